"""Whole calls with prepared answers: what is logged of each reply, what the result says, what an interruption leaves behind."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from lab import events, result
from lab.dialogue import Brief
from lab.engines.scripted import CHARACTER_SECONDS
from lab.floor import Endpointing, Manners
from lab.flow import Flow
from lab.pace import Pace
from lab.tooling import Tool

from .holding import END, Script, Side, Talk, bot, customer, hold

OPENING = "Hello, this is Robin. Can you come tomorrow?"
THURSDAY = "2026-01-08"

FLOW = Flow.model_validate(
    {
        "fields": {"coming": {"type": "yes_no"}, "day": {"type": "day"}},
        "steps": {
            "ask": {
                "answers": {
                    "accept": {
                        "means": "the customer will come",
                        "examples": ["I will be there", "that works for me"],
                        "says": "Good. See you tomorrow, goodbye.",
                        "fills": {"coming": "yes"},
                        "next": "end",
                    },
                    "move": {
                        "means": "the customer wants another day",
                        "examples": ["could we move it to another day", "tomorrow is bad for me"],
                        "says": "Of course, that is no problem at all, it happens to everybody now and then.",
                        "next": "day",
                    },
                }
            },
            "day": {
                "says": "Which day suits you?",
                "asks_for": "day",
                "next": "over",
                "answers": {
                    "names_day": {
                        "means": "the customer names a day",
                        "examples": ["Thursday would suit me", "on Monday please"],
                        "says": "Your code is {{tool.code}}.",
                        "fills": {"day": "heard"},
                        "calls": "book",
                    }
                },
            },
            "over": {
                "says": "Is there anything else?",
                "answers": {
                    "nothing": {
                        "means": "that was all",
                        "examples": ["no that was all", "nothing else thanks"],
                        "says": "Goodbye.",
                        "fills": {"coming": "yes"},
                        "next": "end",
                    }
                },
            },
        },
        "always": {"repeat": {"examples": ["what did you say just now"]}},
    }
)
BOOK = {
    "description": "Books the day.",
    "parameters": {"day": {"type": "string"}},
    "arguments": {"day": "{{fields.day}}"},
    "saves": {"code": "code"},
    "filler": "One moment, please.",
    "on_failure": "I cannot book that now.",
    "mock": {"answer": {"code": "A 12"}},
}


def robin(mock: dict[str, Any] | None = None, **more: Any) -> Side:
    tool = Tool.model_validate({**BOOK, **({"mock": mock} if mock else {})})
    brief = Brief("You are Robin.", OPENING, FLOW, {"book": tool}, {}, date(2026, 1, 5))
    return bot(OPENING, brief=brief, **more)


def pat(heard: str) -> str:
    """A customer who wants another day, and hears what was asked."""
    for asked, answer in [
        ("tomorrow", "Could we move it to another day?"),
        ("Which day", "Thursday would suit me."),
        ("else", "No, that was all."),
    ]:
        if asked in heard:
            return answer
    return "Bye."


def replies(talk: Talk) -> list[tuple[str, str | None, str | None, str | None]]:
    return [(e.how, e.step, e.pick, e.next) for e in talk.of(events.Replied)]


def folded(talk: Talk, expect: dict[str, Any]) -> result.CallctlPart:
    """Our part of the result, as a lab would write it."""
    started = events.Started(
        at=0.0,
        session_id="x",
        wall="",
        bot="robin",
        bot_version="1",
        from_number="+12025550100",
        to_number="+12025550101",
        rate=8000,
        context={"expect": expect},
    )
    return result.fold([started, *talk.log], recording_url=None, recording_key=None).callctl


def test_a_call_that_books_a_day() -> None:
    talk = hold(robin(), customer(pat))
    assert [line for who, line in talk.lines if who == "bot"] == [
        OPENING,
        "Of course, that is no problem at all, it happens to everybody now and then. Which day suits you?",
        "Your code is A 12. Is there anything else?",
        "Goodbye.",
    ]
    assert replies(talk) == [
        ("picked", "ask", "move", "day"),
        ("picked", "day", "names_day", "over"),
        ("picked", "over", "nothing", "over"),
    ]
    (called, end), (answered,) = talk.of(events.ToolCalled), talk.of(events.ToolAnswered)
    assert (called.name, called.arguments, end.name) == ("book", {"day": THURSDAY}, "end_call")
    assert (answered.name, answered.ok, answered.data, answered.error) == ("book", True, {"code": "A 12"}, None)
    booked = talk.of(events.Replied)[1]
    assert (booked.filled, booked.by, booked.tool) == ({"day": THURSDAY}, {"day": "words"}, "book")
    assert (talk.end.cause, talk.by) == ("end_call", "bot")


def test_a_reply_is_logged_with_its_turns_when_it_begins_to_be_heard() -> None:
    talk = hold(robin(), customer(pat))
    said = {e.turn: e for e in [*talk.said("bot"), *talk.said("customer")]}
    for reply in talk.of(events.Replied):
        assert said[reply.turn].who == "bot"
        assert said[reply.turn].answers == reply.answers
        assert said[reply.answers].who == "customer"
        assert said[reply.answers].ended < reply.at < said[reply.turn].ended


@pytest.mark.parametrize(
    ("expect", "goal"),
    [
        ({"disconnected_by": ["bot"], "fields": {"day": THURSDAY, "coming": True}}, True),
        ({"fields": {"day": "2026-01-09"}}, False),
        ({"disconnected_by": ["customer"], "fields": {"day": THURSDAY}}, False),
    ],
)
def test_the_result_says_what_was_found_out_and_whether_that_was_the_goal(expect: dict[str, Any], goal: bool) -> None:
    ours = folded(hold(robin(), customer(pat)), expect)
    assert ours.fields == {"day": THURSDAY, "coming": True}
    assert (ours.goal, ours.analysis_right) == (goal, None)


def test_a_slow_tool_is_bridged_within_the_same_line() -> None:
    talk = hold(robin({"answer": {"code": "A 12"}, "delay": "2500ms"}), customer(pat))
    line = "One moment, please. Your code is A 12. Is there anything else?"
    assert ("bot", line) in talk.lines
    (answered,) = talk.of(events.ToolAnswered)
    called = talk.of(events.ToolCalled)[0]
    assert answered.at - called.at == pytest.approx(2.5, abs=0.05)
    filler = next(e for e in talk.of(events.Partial) if e.text == "One moment, please.")
    assert filler.at - called.at == pytest.approx(1.08, abs=0.05)  # and the voice takes 80 ms
    assert folded(talk, {}).fields == {"day": THURSDAY, "coming": True}


def test_a_failed_tool_is_spoken_and_ends_nothing() -> None:
    asked = iter(["Could we move it to another day?", "Thursday would suit me."])
    talk = hold(robin({"fails": "full"}), customer(lambda heard: next(asked, [END])))
    assert ("bot", "I cannot book that now. Which day suits you?") in talk.lines
    (answered,) = talk.of(events.ToolAnswered)
    assert (answered.ok, answered.error) == (False, "full")
    assert (talk.end.cause, folded(talk, {}).fields) == ("hung_up", {})
    assert not talk.of(events.Fault)


def interrupted(says: str, after: float) -> Talk:
    """The customer asks for another day, and speaks again `after` that moment; then names a day."""
    manners = Manners(endpointing=Endpointing.fixed(0.3), barge_in=0.3)
    script = Script(
        {5.0: "Could we move it to another day?", 5.0 + after: says, 20.0: "Thursday would suit me."}, hangs_up=30.0
    )
    return hold(robin(manners=manners), script)


def test_a_line_that_was_cut_counts_as_said() -> None:
    talk = interrupted("Wait a moment.", 4.5)
    (cut,) = talk.of(events.Interrupted)
    moved = talk.of(events.Replied)[0]
    assert (moved.pick, moved.next, moved.turn) == ("move", "day", cut.turn)
    assert "Which day" not in next(e for e in talk.said("bot") if e.turn == cut.turn).heard
    assert [e.step for e in talk.of(events.Replied)[1:]] == ["day", "day"]
    assert folded(talk, {}).fields == {"day": THURSDAY}


def test_who_asks_for_it_again_hears_the_line_that_was_cut() -> None:
    talk = interrupted("What did you say just now?", 4.5)
    (cut,) = talk.of(events.Interrupted)
    first = next(e for e in talk.said("bot") if e.turn == cut.turn)
    again = next(e for e in talk.said("bot") if e.turn > cut.turn)
    assert again.text == first.text != first.heard


def test_a_reply_that_nobody_heard_changes_nothing() -> None:
    """They go on speaking before the line begins: what was understood first is forgotten."""
    first, rest = "That works for me", "No. Could we move it to another day? Tomorrow is bad for me."
    manners = Manners(endpointing=Endpointing.fixed(0.3), barge_in=0.3)
    pause = CHARACTER_SECONDS * len(first) + 1.0  # the turn is over, its words are known, the voice has not begun
    slow = Pace("fixed", {"stt": 0.2, "tts": 1.0})
    talk = hold(robin(manners=manners), Script({5.0: first, 5.0 + pause: rest}, hangs_up=20.0), pace=slow)
    assert len([e for e in talk.of(events.Stage) if e.stage == "stt"]) == 2
    assert [(e.step, e.pick) for e in talk.of(events.Replied)] == [("ask", "move")]
    assert folded(talk, {}).fields == {}
    assert talk.end.cause == "hung_up"


def test_who_hears_tones_only_has_a_conversation_without_any_model() -> None:
    side = robin()
    hold(side, customer(pat))
    assert side.mind.asked == []
