"""At pace `fixed` a call is its own replay: the same bytes each time, whatever else the machine does."""

from __future__ import annotations

import threading

import pytest

from lab.floor import Endpointing, Manners
from lab.pace import Pace

from .holding import END, Side, bot, customer, hold


def sides() -> tuple[Side, Side]:
    """A lively call: an interruption, a word thrown in, silence that is asked about, a goodbye."""
    remarks = iter(["Wait, who is this?", "Ah. ", "", "Fine, then I come on Friday."])
    robin = bot(
        "Hello, this is Robin from the dental clinic. I am calling about your appointment.",
        lambda heard: ["Good", "bye.", END] if "Friday" in heard else "This is Robin, and I ask when you come.",
        manners=Manners(endpointing=Endpointing.fixed(0.5), ask_again_after=2.0, ask_again_times=2, dead_air=20.0),
        ask_again=("Are you there?", "Hello?"),
        max_duration=60.0,
    )
    pat = customer(
        lambda heard: next(remarks, "Yes."), manners=Manners(endpointing=Endpointing.fixed(0.2), barge_in=0.8)
    )
    return robin, pat


def test_twenty_times_the_same_call() -> None:
    first = hold(*sides())
    assert first.end.cause == "end_call"
    assert len(first.lines) > 5
    assert {hold(*sides()).text for _ in range(20)} == {first.text}


def test_the_same_call_on_a_busy_machine() -> None:
    stop = threading.Event()

    def spin() -> None:
        while not stop.is_set():
            sum(range(1000))

    quiet = hold(*sides()).text
    thread = threading.Thread(target=spin)
    thread.start()
    try:
        assert hold(*sides()).text == quiet
    finally:
        stop.set()
        thread.join()


def test_costs_come_from_the_table() -> None:
    def length(costs: dict[str, float]) -> float:
        return hold(
            bot("Hello.", lambda heard: [END]), customer(lambda heard: "Who?"), pace=Pace("fixed", costs)
        ).end.at

    assert length({"llm_first": 2.0}) - length({}) == pytest.approx(4.0, abs=0.05)  # both sides think once


def test_the_same_call_at_pace_fast() -> None:
    fast = hold(*sides(), pace=Pace("fast"))
    assert ("bot", "Goodbye.") in fast.lines
    assert fast.end.cause == "end_call"
