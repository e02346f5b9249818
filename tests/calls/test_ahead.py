"""Answers begun before it is known that the customer has finished."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest

from lab import events
from lab.engines.scripted import CHARACTER_SECONDS
from lab.floor import Endpointing, Manners
from lab.pace import Pace
from lab.ports import EngineFacts, Past, Stop, ToolCall

from .holding import Mind, Script, bot, hold
from .test_prepared import robin

COSTS = {"stt": 0.1, "llm_first": 0.3, "tts": 0.2}
PATIENT = Manners(endpointing=Endpointing.fixed(0.8))


class Quick(Mind):
    """It may be asked ahead."""

    facts = EngineFacts("scripted", "rules")


def gaps(mind: Mind, says: dict[float, str], costs: dict[str, float] = COSTS) -> list[events.ReplyGap]:
    side = bot(mind=mind, manners=PATIENT)
    return hold(side, Script(says, hangs_up=14.0), pace=Pace("fixed", costs)).of(events.ReplyGap)


def test_an_answer_made_in_the_pause_costs_nothing_after_it() -> None:
    (late,) = gaps(Mind(lambda heard: "I see."), {3.0: "Hello there."})
    (early,) = gaps(Quick(lambda heard: "I see."), {3.0: "Hello there."})
    assert (late.ahead, early.ahead) == (False, True)
    assert late.seconds - early.seconds == pytest.approx(0.5, abs=0.03)
    assert early.parts["think"] == early.parts["tts"] == 0


def test_an_answer_that_is_not_ready_is_waited_for() -> None:
    (early,) = gaps(Quick(lambda heard: "I see."), {3.0: "Hello there."}, {"stt": 0.1, "llm_first": 2.0})
    assert early.ahead
    assert 1.5 < early.seconds < 2.4
    assert early.parts["think"] == pytest.approx(early.seconds - 0.8, abs=0.1)


def test_who_goes_on_is_answered_as_a_whole() -> None:
    first, rest = "Hello there.", "This is Ann."
    again = 3.0 + CHARACTER_SECONDS * len(first) + 0.6
    mind = Quick(lambda heard: f"You said {heard}")
    talk = hold(
        bot(mind=mind, manners=PATIENT), Script({3.0: first, again: rest}, hangs_up=14.0), pace=Pace("fixed", COSTS)
    )
    assert [turns[-1].text for turns in mind.asked] == [first, f"{first} {rest}"]
    assert [line.text for line in talk.said("bot")] == ["Hello.", f"You said {first} {rest}"]
    (effort,) = talk.of(events.Effort)
    assert effort.discarded["answer"] == pytest.approx(0.5, abs=0.1)
    assert effort.discarded["hear"] == pytest.approx(0.1, abs=0.05)
    assert effort.used["answer"] == pytest.approx(0.5, abs=0.1)


class Alone(Quick):
    """One at a time, as a model in memory is: who asks while another answer is being made waits."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._lock = threading.Lock()

    @property
    def taken(self) -> bool:
        return self._lock.locked()

    def respond(
        self, system: str, turns: Sequence[Past], stop: Stop, *, tools: Sequence[Mapping[str, Any]] = ()
    ) -> Iterator[str | ToolCall]:
        assert self._lock.acquire(timeout=5), "an answer that nobody wanted still has the model"
        try:
            yield from super().respond(system, turns, stop, tools=tools)
        finally:
            self._lock.release()


@pytest.mark.parametrize("pause", [0.2, 0.5, 0.7, 0.9, 1.3, 2.0])
def test_what_was_thrown_away_leaves_the_model_to_what_is_wanted(pause: float) -> None:
    first, rest = "Hello there.", "This is Ann."
    again = 3.0 + CHARACTER_SECONDS * len(first) + pause
    side = bot(mind=Alone(lambda heard: ["I see. ", "Do go on. ", "And so on."]), manners=PATIENT)
    talk = hold(side, Script({3.0: first, again: rest}, hangs_up=18.0), pace=Pace("fixed", COSTS))
    assert not talk.of(events.Fault)
    assert talk.said("bot")[-1].text.startswith("I see.")


def test_nothing_is_begun_once_the_line_has_ended() -> None:
    """The last words are recognised for the log; nobody is left to be answered."""
    mind = Alone(lambda heard: "I see.")
    hold(
        bot(mind=mind, manners=PATIENT),
        Script({3.0: "Hello there, this is Ann."}, hangs_up=4.0),
        pace=Pace("fixed", COSTS),
    )
    assert mind.asked == []
    assert not mind.taken


def test_a_tool_is_not_called_before_it_is_known_that_they_have_finished() -> None:
    says = {4.0: "Could we move it to another day?", 14.0: "Thursday would suit me."}
    side = robin(mind=Quick(lambda heard: "-"), manners=PATIENT)
    talk = hold(side, Script(says, hangs_up=24.0), pace=Pace("fixed", COSTS))
    (called,) = talk.of(events.ToolCalled)
    (heard,) = [line for line in talk.said("customer") if "Thursday" in line.text]
    assert called.at >= heard.ended + 0.8
    assert [gap.ahead for gap in talk.of(events.ReplyGap)] == [True, True]
