"""Which event counts for which step, and when an expectation came true; logs made by hand."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lab import events, scenario
from lab.checks import Failure, StepRecord, records, verdict
from lab.ports import Who
from lab.result import fold

HEAD = "name: x\nprofile: dental-reminder\n"


def said(who: Who, turn: int, began: float, ended: float, text: str = "Hello.", heard: str | None = None, answers: int | None = None) -> events.Said:  # fmt: skip
    heard = text if heard is None else heard
    return events.Said(at=ended, who=who, turn=turn, text=text, heard=heard, began=began, ended=ended, cut=heard != text, answers=answers)  # fmt: skip


def done(step: int, began: float, ended: float) -> events.StepDone:
    return events.StepDone(at=ended, step=step, began=began, ended=ended)


def call(*middle: events.Event, end: float = 30.0, cause: str = "hung_up") -> list[events.Event]:
    started = events.Started(
        at=0.0, session_id="1", wall="", bot="b", bot_version="1", from_number="", to_number="", rate=8000
    )
    ended = events.Ended(at=end, cause=cause, by="there")
    return [started, events.Answered(at=2.0), *sorted(middle, key=lambda e: e.at), ended]


def failures(text: str, log: list[events.Event], document: dict[str, Any] | None = None) -> tuple[Failure, ...]:
    if document is None:
        document = fold(log, recording_url=None, recording_key=None).model_dump(by_alias=True)
    found = verdict(scenario.parse(HEAD + text, "x.yaml"), log, document)
    assert found.passed == (not found.failures)
    return found.failures


def met(text: str, log: list[events.Event], document: dict[str, Any] | None = None) -> bool:
    return not failures(text, log, document)


GREETING = said("bot", 1, 2.5, 4.5, "Hi, this is Robin.")
TALK = call(
    GREETING,
    done(0, 2.0, 4.5),
    done(1, 5.0, 6.0),
    said("customer", 2, 5.02, 6.02, "How much is it?"),
    events.ReplyGap(at=7.02, turn=3, answers=2, seconds=1.0),
    said("bot", 3, 7.02, 9.0, "That's forty-five (45) dollars!", answers=2),
    done(2, 9.2, 10.0),
    said("customer", 4, 9.22, 10.02, "And the other one?"),
    events.ReplyGap(at=11.52, turn=5, answers=4, seconds=1.5),
    said("bot", 5, 11.52, 13.0, "Sixty.", answers=4),
    done(3, 13.2, 13.2),
    end=13.4,
)


def turns(first: str = "", second: str = "", greeting: str = "{event: greeting}") -> str:
    rows = [f"turns:\n  - expect: {greeting}\n"]
    rows += [f"  - user: a\n    expect: {{{first}}}\n" if first else "  - user: a\n"]
    rows += [f"  - user: b\n    expect: {{{second}}}\n" if second else "  - user: b\n"]
    return "".join(rows) + "  - hang_up: true\n"


# -- texts -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("event: reply", True),
        ('contains: "45"', True),
        ("contains: FORTY five", True),
        ("contains: [thats, dollars]", True),
        ("contains: [thats, euros]", False),
        ("contains: dollar", False),  # whole words
        ("one_of: [euros, dollars]", True),
        ("one_of: [euros, pounds]", False),
        ("absent: euros", True),
        ("absent: [euros, dollars]", False),
        (r"matches: '\(45\)'", True),
        ("matches: FORTY", False),  # as it is
        ("contains: sixty", False),
        ("within: 1s", True),
        ("within: 999ms", False),
        ('within: 3s, contains: "45", absent: euros', True),
        ("event: re_engagement", False),
        ("event: interrupted", False),
        ("event: tool_call", False),
        ("event: ended", False),
    ],
)
def test_a_reply(asked: str, expected: bool) -> None:
    assert met(turns(asked), TALK) is expected


def test_a_failure_tells_the_step_the_line_what_was_heard_and_where_to_listen() -> None:
    (failure,) = failures(turns('contains: "60", within: 3s'), TALK)
    assert failure == Failure(
        step=1,
        where="x.yaml:6",
        expected="a reply within 3s with `60`",
        heard="`That's forty-five (45) dollars!`, 1.00 s",
        at=5.02,
    )


def test_what_did_not_reach_the_customer_was_not_said() -> None:
    log = call(
        done(0, 3.0, 4.0), said("customer", 1, 3.0, 4.0), said("bot", 2, 5.0, 6.0, "Yes. No.", "Yes.", answers=1)
    )
    assert met("turns: [{user: a, expect: {contains: 'yes'}}]", log)
    assert not met("turns: [{user: a, expect: {contains: 'no'}}]", log)
    unheard = call(done(0, 3.0, 4.0), said("customer", 1, 3.0, 4.0), said("bot", 2, 5.0, 6.0, "Yes.", "", answers=1))
    assert not met("turns: [{user: a, expect: {event: reply}}]", unheard)


@pytest.mark.parametrize("asked", ["event: reply", "absent: anything", "within: 1h", "matches: '.*'", "one_of: [a]"])
def test_nothing_heard_meets_nothing(asked: str) -> None:
    log = call(done(0, 3.0, 4.0), said("customer", 1, 3.0, 4.0))
    (failure,) = failures(f"turns: [{{user: a, expect: {{{asked}}}}}]", log)
    assert (failure.heard, failure.at) == ("nothing of the kind", 2.0)


# -- the turn it belongs to --------------------------------------------------------------------------------------------


def test_a_reply_counts_for_its_own_step_only() -> None:
    assert met(turns('contains: "45"', "contains: sixty"), TALK)
    assert [f.step for f in failures(turns("contains: sixty", 'contains: "45"'), TALK)] == [1, 2]


def test_a_reply_begun_before_the_step_never_counts() -> None:
    log = call(
        done(0, 3.0, 4.0),
        said("customer", 1, 3.0, 4.0),
        done(1, 5.5, 6.0),
        said("bot", 2, 5.48, 9.0, "Forty-five.", answers=1),
        said("customer", 3, 5.5, 6.0),
    )
    asked = "turns: [{user: a%s}, {user: b, after: {event: bot_speaking}%s}]"
    assert met(asked % (", expect: {contains: forty}", ""), log)
    assert not met(asked % ("", ", expect: {contains: forty}"), log)


def test_a_late_answer_to_something_earlier_never_counts() -> None:
    log = call(
        done(0, 3.0, 4.0),
        said("customer", 1, 3.0, 4.0),
        done(1, 5.0, 6.0),
        said("bot", 2, 6.5, 7.0, "Forty-five.", answers=1),
        said("customer", 3, 5.0, 6.0),
    )
    assert not met("turns: [{user: a}, {user: b, expect: {event: reply}}]", log)
    assert not met("turns: [{user: a, expect: {event: reply}}, {user: b}]", log)


def test_an_answer_to_nobody_knows_what_never_counts() -> None:
    log = call(done(0, 3.0, 4.0), said("bot", 2, 5.0, 6.0, answers=9))
    assert not met("turns: [{user: a, expect: {event: reply}}]", log)


def test_a_turn_that_runs_through_two_steps_is_answered_in_the_second() -> None:
    log = call(
        done(0, 3.0, 4.0),
        done(1, 4.3, 5.0),
        said("customer", 1, 3.02, 5.02, "Two oh two. Five."),
        said("bot", 2, 6.0, 7.0, answers=1),
    )
    spoken_on = "{user: b, after: {event: customer_finished, delay: 300ms}%s}"
    assert met(f"turns: [{{user: a}}, {spoken_on % ', expect: {event: reply}'}]", log)
    assert not met(f"turns: [{{user: a, expect: {{event: reply}}}}, {spoken_on % ''}]", log)


def test_a_step_that_waits_takes_the_reply_to_the_action_before_it() -> None:
    log = call(
        done(0, 3.0, 4.0),
        said("customer", 1, 3.02, 3.98),
        done(1, 4.0, 6.0),
        said("bot", 2, 5.0, 6.0, "Forty.", answers=1),
        done(2, 7.0, 8.0),
    )
    assert met("turns: [{user: a}, {expect: {contains: forty, within: 1s}}, {user: b}]", log) is True
    assert met("turns: [{user: a, expect: {event: reply}}, {expect: {event: reply}}, {user: b}]", log) is True
    assert met("turns: [{user: a}, {expect: {contains: fifty}}, {user: b}]", log) is False


@settings(deadline=None)
@given(st.floats(0, 100), st.floats(0, 100), st.floats(0, 5), st.floats(0, 5))
def test_whatever_the_times_a_reply_counts_for_one_of_two_steps_at_most(
    first: float, reply: float, spoken: float, pause: float
) -> None:
    second = first + spoken + pause
    log = call(
        done(0, first, first + spoken),
        said("customer", 1, first, first + spoken),
        said("bot", 2, reply, reply + 1, answers=1),
        done(1, second, second + 1),
        end=300.0,
    )
    counted = [
        met("turns: [{user: a, expect: {event: reply}}, {user: b}]", log),
        met("turns: [{user: a}, {user: b, expect: {event: reply}}]", log),
    ]
    assert sum(counted) <= 1
    if reply < first:
        assert counted == [False, False]
    if reply < second:
        assert counted[1] is False


# -- within ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("within", "expected"), [("500ms", True), ("0.499s", False)])
def test_a_greeting_is_timed_from_the_answer(within: str, expected: bool) -> None:
    assert met(turns(greeting=f"{{event: greeting, within: {within}}}"), TALK) is expected


@pytest.mark.parametrize(("within", "expected"), [("700ms", True), ("699ms", False)])
def test_an_interruption_is_timed_until_the_bot_is_silent(within: str, expected: bool) -> None:
    log = call(
        done(0, 3.0, 4.5),
        said("bot", 1, 2.1, 3.7, "Hi, this is Robin.", "Hi, this"),
        events.Interrupted(at=3.5, turn=1, by=2),
        said("customer", 2, 3.02, 4.5),
    )
    asked = "turns: [{user: a, after: {event: bot_speaking}, expect: {event: interrupted, within: %s}}]"
    assert met(asked % within, log) is expected
    assert not met("turns: [{silence: 1s, expect: {event: interrupted}}]", call(done(0, 3.6, 4.6), *log[2:-1]))


def test_asking_again_is_timed_from_the_beginning_of_the_silence() -> None:
    log = call(
        GREETING,
        done(0, 4.5, 24.5),
        events.ReEngaged(at=12.5, attempt=1, silence=8.0),
        said("bot", 2, 12.6, 14.0, "Still there?"),
        events.ReEngaged(at=22.0, attempt=2, silence=8.0),
        said("bot", 3, 22.1, 24.0, "I cannot hear you."),
    )
    asked = "turns: [{silence: 20s, expect: [{event: re_engagement, %s}]}]"
    assert met(asked % "within: 8.1s, contains: still there", log)
    assert not met(asked % "within: 8.09s", log)
    assert met(asked % "within: 18s, contains: hear you", log)
    assert not met(asked % "absent: hear you", log)  # in any of them
    assert not met("turns: [{silence: 20s, expect: {event: reply}}]", log)


def test_the_end_and_tools() -> None:
    log = call(
        done(0, 3.0, 4.0),
        events.ToolCalled(at=5.0, name="end_call", arguments={"why": "done"}),
        end=5.5,
        cause="end_call",
    )
    assert met("turns: [{user: a, expect: [{event: tool_call, contains: [end call, done]}, {event: ended}]}]", log)
    assert met("turns: [{user: a, expect: {event: ended, within: 1500ms}}]", log)
    assert not met("turns: [{user: a, expect: {event: ended, within: 1499ms}}]", log)
    assert not met("turns: [{user: a, expect: {event: tool_call, contains: book}}]", log)


def test_without_a_measured_gap_a_reply_is_timed_from_the_step() -> None:
    log = call(done(0, 3.0, 4.0), said("customer", 1, 3.0, 4.0), said("bot", 2, 5.0, 6.0, answers=1))
    assert met("turns: [{user: a, expect: {within: 1s}}]", log)
    assert not met("turns: [{user: a, expect: {within: 0.9s}}]", log)


# -- steps that never happened -----------------------------------------------------------------------------------------


def test_a_step_that_was_never_reached_is_a_failure_that_says_so() -> None:
    text = "turns:\n  - user: a\n  - user: b\n    expect: {absent: anything}\n  - hang_up: true\n"
    log = call(done(0, 3.0, 4.0), end=9.0, cause="closure_phrase")
    assert [(f.step, f.where, f.expected, f.heard, f.at) for f in failures(text, log)] == [
        (1, "x.yaml:5", "step 2 happens", "the call ended before it (closure_phrase)", 7.0),
        (2, "x.yaml:7", "step 3 happens", "the call ended before it (closure_phrase)", 7.0),
    ]


def test_records_come_from_the_log() -> None:
    assert records(2, call(done(0, 3.0, 4.0))) == (StepRecord(0, 3.0, 4.0), StepRecord(1, None, None))
    line = events.to_line(done(1, 2.5, 3.5))
    assert line == '{"at":3.5,"kind":"scenario.step","step":1,"began":2.5,"ended":3.5}'
    assert events.from_line(line) == done(1, 2.5, 3.5)


def test_a_call_that_was_never_answered() -> None:
    log = [call()[0], events.Ended(at=9.0, cause="rejected")]
    (failure,) = failures("turns: [{user: a, expect: {event: reply}}]", log)
    assert (failure.step, failure.at) == (0, None)


# -- the whole call ----------------------------------------------------------------------------------------------------

DOCUMENT = {
    "disconnected_by": "customer",
    "call_duration_seconds": 61.5,
    "was_transferred": False,
    "transcript": [{"speaker": "bot", "text": "It's 10:30.", "timestamp": 0.5}],
    "post_call_analysis": {"DISPOSITION": "Confirmed", "COUNT": 3, "REMARK": None},
    "callctl": {"goal": None, "metrics": {"v2v": {"p50": 0.9, "p95": None}, "greeting": 0.5}},
}


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("{result: disconnected_by, equals: customer}", True),
        ("{result: disconnected_by, equals: Customer}", True),
        ("{result: disconnected_by, one_of: [bot, timeout]}", False),
        ("{result: was_transferred, equals: false}", True),
        ("{result: was_transferred, equals: true}", False),
        ("{result: post_call_analysis.COUNT, equals: 3}", True),
        ("{result: post_call_analysis.COUNT, equals: 3.0}", True),
        ("{result: post_call_analysis.COUNT, equals: three}", False),
        ("{result: post_call_analysis.COUNT, min: 3, max: 3}", True),
        ("{result: post_call_analysis.COUNT, min: 4}", False),
        ("{result: post_call_analysis.DISPOSITION, min: 4}", False),
        ("{result: was_transferred, max: 1}", False),
        ("{result: transcript.0.text, contains: 10 30}", True),
        ("{result: transcript.0.text, contains: 30 10}", False),
        ("{result: transcript.0.text, matches: '1.:30'}", True),
        ("{result: transcript.0.text, absent: tuesday}", True),
        ("{result: transcript.0.text, absent: its}", False),
        ("{result: transcript, contains: its 10 30}", True),
        ("{result: call_duration_seconds, max: 61.5s}", True),
        ("{result: call_duration_seconds, max: 1m}", False),
        # null, and what is not there
        ("{result: callctl.goal, equals: 'null'}", False),
        ("{result: callctl.goal, equals: false}", False),
        ("{result: callctl.goal, absent: anything}", False),
        ("{result: callctl.goal, max: 5}", False),
        ("{result: callctl.goal, matches: '.*'}", False),
        ("{result: post_call_analysis.REMARK, absent: anything}", False),
        ("{result: post_call_analysis.NOTHING, absent: anything}", False),
        ("{result: transcript.1.text, absent: anything}", False),
        ("{result: recording_key, matches: '.*'}", False),
        # figures
        ("{metric: v2v.p50, max: 900ms}", True),
        ("{v2v.p50: <= 900ms}", True),
        ("{v2v.p50: '<=899ms'}", False),
        ("{v2v.p50: '>= 0.9s'}", True),
        ("{v2v.p50: '>= 901ms'}", False),
        ("{greeting_latency: <= 500ms}", True),
        ("{duration: <= 1m}", False),
        ("{v2v.p95: <= 1h}", False),
        ("{v2v.p95: '>= 0s'}", False),
        ("{stt_delay.p50: <= 1h}", False),
        ("{interruptions: <= 1}", False),
    ],
)
def test_what_the_result_says(asked: str, expected: bool) -> None:
    text = f"persona: dental-confirms\nexpect: {asked}\n"
    assert met(text, call(), DOCUMENT) is expected
    if not expected:
        (failure,) = failures(text, call(), DOCUMENT)
        assert (failure.step, failure.where, failure.at) == (None, "x.yaml:4", None)


@pytest.mark.parametrize(
    ("asked", "expected", "heard"),
    [
        ("{v2v.p50: <= 1ms}", "v2v.p50 at most 1ms", "0.9 s"),
        ("{v2v.p95: <= 1s}", "v2v.p95 at most 1s", "not measured"),
        ("{result: callctl.goal, equals: true}", "callctl.goal = `true`", "null"),
        ("{result: disconnected_by, one_of: [bot, RNR]}", "disconnected_by = `bot` or `RNR`", "customer"),
        ("{event: reply, count: 2}", "reply 2 times", "0 times"),
        ("{event: reply, contains: [my cat, zebra], count: 1}", "reply with `my cat` with `zebra` 1 times", "0 times"),
    ],
)
def test_failures_of_the_whole_call(asked: str, expected: str, heard: str) -> None:
    (failure,) = failures(f"persona: dental-confirms\nexpect: [{asked}]\n", call(), DOCUMENT)
    assert (failure.expected, failure.heard) == (expected, heard)


@pytest.mark.parametrize(
    ("event", "count"),
    [("greeting", 1), ("reply", 2), ("re_engagement", 0), ("interrupted", 0), ("ended", 1), ("tool_call", 0)],
)
def test_how_often_something_happened(event: str, count: int) -> None:
    asked = "persona: dental-confirms\nexpect: {event: %s, count: %d}\n"
    assert met(asked % (event, count), TALK)
    assert not met(asked % (event, count + 1), TALK)


def test_how_often_some_words_were_said() -> None:
    assert met(COUNTED % ("dollars", 1), TALK)
    assert not met(COUNTED % ("sixty", 2), TALK)
    assert met(COUNTED % ("zebra", 0), TALK)


COUNTED = "persona: dental-confirms\nexpect: {event: reply, contains: %s, count: %d}\n"


def test_a_real_document_has_every_figure() -> None:
    text = "persona: dental-confirms\nexpect: [{v2v.p50: <= 1250ms}, {v2v.max: <= 1.5s}, {v2v.n: '>= 2'}, {turns.bot: <= 3}]\n"
    heard = [
        events.ReplyHeard(at=e.at, turn=e.turn, answers=e.answers, seconds=e.seconds)
        for e in TALK
        if isinstance(e, events.ReplyGap)
    ]
    assert met(text, [*TALK, *heard])
