"""The call-result document, from logs written here by hand."""

from __future__ import annotations

from typing import Any

import jsonschema
import pytest
from pydantic import ValidationError

from lab import events
from lab.ports import Who
from lab.result import CAUSES, CallResult, disconnected_by, fold, json_schema, transcript

URL, KEY = "file:///calls/1/call.wav", "1/call.wav"


def started(**context: Any) -> events.Started:
    return events.Started(
        at=0.0,
        session_id="20260105-101500-3fa2c1",
        wall="2026-01-05T10:15:00.000+00:00",
        bot="robin",
        bot_version="1",
        from_number="+12025550100",
        to_number="+12025550101",
        rate=8000,
        context=context,
    )


def said(who: Who, turn: int, began: float, text: str = "Hello.", heard: str | None = None) -> events.Said:
    heard = text if heard is None else heard
    return events.Said(
        at=began + 1, who=who, turn=turn, text=text, heard=heard, began=began, ended=began + 1, cut=heard != text
    )


def call(*middle: events.Event, cause: str = "end_call", **context: Any) -> list[events.Event]:
    end = events.Ended(at=12.34, cause=cause, by="here", code=200, reason="OK")
    return [started(**context), events.Answered(at=2.0), *middle, end]


def folded(log: list[events.Event]) -> CallResult:
    return fold(log, recording_url=URL, recording_key=KEY)


# -- who ended it ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("cause", "expected"), CAUSES.items())
def test_every_cause_with_a_customer_who_spoke(cause: str, expected: str) -> None:
    assert disconnected_by(call(said("customer", 1, 3.0), cause=cause)) == expected


@pytest.mark.parametrize(("cause", "expected"), CAUSES.items())
def test_every_cause_with_a_customer_who_never_spoke(cause: str, expected: str) -> None:
    silent = "RNR" if cause in ("dead_air", "max_duration") else expected
    assert disconnected_by(call(said("bot", 1, 3.0), cause=cause)) == silent


def test_a_log_that_does_not_say_is_an_error() -> None:
    assert disconnected_by([started()]) == "error"
    assert disconnected_by(call(cause="a cause of tomorrow")) == "error"


# -- the document ------------------------------------------------------------------------------------------------------


def test_a_whole_document() -> None:
    log = call(
        said("bot", 1, 2.5, "Hello, this is Robin.", "Hello, this"),
        said("customer", 2, 4.0, "Who?"),
        engines={"llm": {"model": "tiny"}},
    )
    document = folded([*log, events.Analysed(at=12.34, data={"coming": True}, error=None, took=1.0, attempts=1)])
    assert document.session_id == "20260105-101500-3fa2c1"
    assert (document.caller_id, document.from_number) == ("+12025550101", "+12025550100")
    assert document.call_duration_seconds == 10.34
    assert [(t.speaker, t.text, t.timestamp) for t in document.transcript] == [
        ("bot", "Hello, this", 0.5),
        ("customer", "Who?", 2.0),
    ]
    assert (document.recording_url, document.recording_key) == (URL, KEY)
    assert document.post_call_analysis == {"coming": True}
    assert document.callctl.analysis_error is None
    assert document.callctl.engines == {"llm": {"model": "tiny"}}
    assert document.callctl.sip == {"code": 200, "reason": "OK", "ended_by": "bot", "cause": "end_call", "detail": ""}


def test_a_call_that_was_never_answered() -> None:
    end = events.Ended(at=30.0, cause="rejected", by="there", code=486, reason="Busy Here")
    document = folded([started(), events.Signalled(at=0.1, state="ringing", code=180), end])
    assert document.call_duration_seconds == 0.0
    assert (document.recording_url, document.recording_key, document.transcript) == (None, None, [])
    assert document.callctl.sip["ended_by"] == "customer"


def test_a_log_without_its_end_lasts_to_its_last_event() -> None:
    document = folded(call(said("customer", 1, 5.0))[:-1])
    assert (document.disconnected_by, document.call_duration_seconds) == ("error", 4.0)
    assert document.callctl.sip["cause"] == "killed"
    assert document.post_call_analysis is None
    assert document.callctl.analysis_error


def test_a_log_must_begin_with_its_start() -> None:
    with pytest.raises(ValueError, match=r"call\.started"):
        folded([events.Answered(at=1.0)])


def test_it_follows_its_own_schema() -> None:
    document = folded(call(said("customer", 1, 3.0), said("bot", 2, 4.5))).model_dump(by_alias=True)
    jsonschema.Draft202012Validator.check_schema(json_schema())
    jsonschema.validate(document, json_schema())
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**document, "disconnected_by": "nobody"}, json_schema())
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**document, "more": 1}, json_schema())


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("call_duration_seconds", "10.34"),
        ("call_duration_seconds", -1.0),
        ("was_transferred", 0),
        ("disconnected_by", "nobody"),
        ("caller_id", 12025550101),
        ("transcript", None),
        ("surprise", 1),
    ],
)
def test_its_types_are_strict(field: str, value: object) -> None:
    document = folded(call()).model_dump(by_alias=True)
    with pytest.raises(ValidationError, match=field):
        CallResult.model_validate({**document, field: value})


# -- transcript --------------------------------------------------------------------------------------------------------


def test_a_turn_said_again_replaces_its_first_version() -> None:
    log = [said("customer", 1, 3.0, "I would"), said("customer", 1, 3.0, "I would like to come"), said("bot", 2, 6.0)]
    assert [t.text for t in transcript(log, 2.0)] == ["I would like to come", "Hello."]


def test_lines_stand_in_the_order_in_which_they_were_begun() -> None:
    log = [said("customer", 2, 5.0, "Wait"), said("bot", 1, 3.0, "Let me tell you")]
    assert [t.text for t in transcript(log, 2.0)] == ["Let me tell you", "Wait"]


def test_what_nobody_heard_is_not_in_it_and_nothing_is_before_the_answer() -> None:
    log = [said("bot", 1, 1.98, "Hello"), said("bot", 2, 3.0, "Never heard", "")]
    assert [(t.text, t.timestamp) for t in transcript(log, 2.0)] == [("Hello", 0.0)]


# -- goal --------------------------------------------------------------------------------------------------------------


def goal(expect: dict[str, Any] | None, *more: events.Event, cause: str = "hung_up") -> bool | None:
    return folded([*call(said("customer", 1, 3.0), cause=cause, expect=expect), *more]).callctl.goal


def analysed(data: dict[str, Any] | None) -> events.Analysed:
    return events.Analysed(at=13.0, data=data, error=None if data else "no", took=1.0, attempts=1)


def test_no_expectation_no_verdict() -> None:
    assert goal(None) is None
    assert goal({}) is None


def test_who_hung_up() -> None:
    assert goal({"disconnected_by": ["customer", "bot"]}) is True
    assert goal({"disconnected_by": ["bot"]}) is False


def test_what_was_told() -> None:
    assert goal({"told": ["name", "date"]}, events.Told(at=13.0, told=["date", "name", "thanks"])) is True
    assert goal({"told": ["name", "date"]}, events.Told(at=13.0, told=["date"])) is False
    assert goal({"told": ["name"]}) is False


def replied(**fields: Any) -> events.Replied:
    return events.Replied(at=9.0, turn=2, answers=1, how="picked", fields=fields)


def test_what_the_conversation_found_out() -> None:
    expect = {"fields": {"coming": True}}
    assert goal(expect, replied(coming=True, why="x")) is True
    assert goal(expect, replied(coming=False)) is False
    assert goal(expect, replied()) is False
    assert goal(expect) is False
    assert goal({**expect, "disconnected_by": ["bot"]}, replied(coming=True)) is False


def test_the_last_reply_says_what_is_known() -> None:
    log = [*call(said("customer", 1, 3.0)), replied(day="2026-01-08", coming=True), replied(coming=True)]
    assert folded(log).callctl.fields == {"coming": True}
    assert folded(call(said("customer", 1, 3.0))).callctl.fields == {}


def test_an_analysis_is_judged_apart() -> None:
    def right(expect: dict[str, Any] | None, *more: events.Event) -> bool | None:
        return folded([*call(said("customer", 1, 3.0), expect=expect), *more]).callctl.analysis_right

    expect = {"analysis": {"coming": True}}
    assert right(expect, analysed({"coming": True, "why": "x"})) is True
    assert right(expect, analysed({"coming": False})) is False
    assert right(expect, analysed({})) is False
    assert right(expect, analysed(None)) is None
    assert right(expect) is None
    assert right({"fields": {"coming": True}}, analysed({"coming": True})) is None
    assert right(None, analysed({"coming": True})) is None
    assert goal(expect, analysed({"coming": False})) is True
