"""The in-memory line: what one end says the other hears, and both know how the call stands."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from lab import audio
from lab.lines.loop import LoopLine, pair
from lab.pace import Pace
from lab.ports import Tick

Script = Callable[[int], None]


def talk(caller: LoopLine, callee: LoopLine, script: Script, *, late: float = 0.0) -> tuple[list[Tick], list[Tick]]:
    """Both ends to the call's end. script: does what is to be done in each tick of the caller. late: the callee's start."""

    async def calling() -> list[Tick]:
        ticks = []
        async for tick in caller.ticks():
            ticks.append(tick)
            script(tick.index)
        return ticks

    async def called() -> list[Tick]:
        await asyncio.sleep(late)
        return [tick async for tick in callee.ticks()]

    async def both() -> tuple[list[Tick], list[Tick]]:
        return await asyncio.gather(calling(), called())

    return Pace("fixed").run(both)


def at(deeds: dict[int, Callable[[], None]]) -> Script:
    return lambda index: deeds.get(index, lambda: None)()


def signals(ticks: list[Tick]) -> list[tuple[int, str, int, str]]:
    return [(t.index, s.kind, s.code, s.by) for t in ticks for s in t.signals]


SPEECH = b"".join(n.to_bytes(2, "little") for n in range(1, 401))  # two and a half frames at 8 kHz


def test_a_call_from_invite_to_bye() -> None:
    caller, callee = pair()
    ours, theirs = talk(caller, callee, at({1: callee.ring, 5: callee.answer, 20: caller.hang_up}))
    assert signals(ours) == [
        (0, "calling", 0, ""),
        (2, "ringing", 180, ""),
        (6, "answered", 200, ""),
        (21, "ended", 200, "here"),
    ]
    assert [(kind, by) for _, kind, _, by in signals(theirs)] == [("calling", ""), ("answered", ""), ("ended", "there")]
    assert [t.index for t in ours] == list(range(22))
    assert [t.live for t in ours] == [False] * 6 + [True] * 16


@pytest.mark.parametrize("rate", [8000, 16000])
def test_what_one_end_says_the_other_hears(rate: int) -> None:
    caller, callee = pair(rate)
    deeds = {0: callee.answer, 3: lambda: caller.say(SPEECH), 4: lambda: callee.say(SPEECH[::-1]), 40: caller.hang_up}
    ours, theirs = talk(caller, callee, at(deeds))
    for said, heard, speech in ((ours, theirs, SPEECH), (theirs, ours, SPEECH[::-1])):
        assert b"".join(t.spoken for t in said).strip(b"\0") == speech.strip(b"\0")
        assert b"".join(t.heard for t in heard).strip(b"\0") == speech.strip(b"\0")
        assert {len(t.heard) for t in heard} == {audio.frame_bytes(rate)}
        first_said = next(t.index for t in said if any(t.spoken))
        first_heard = next(t.index for t in heard if any(t.heard))
        assert 0 <= first_heard - first_said <= 1


def test_what_is_said_before_the_answer_waits_for_it() -> None:
    caller, callee = pair()
    ours, theirs = talk(caller, callee, at({0: lambda: caller.say(SPEECH), 5: callee.answer, 20: caller.hang_up}))
    assert [t.played for t in ours[:7]] == [0] * 6 + [160]
    assert next(t.index for t in theirs if any(t.heard)) in (6, 7)


@pytest.mark.parametrize("late", [0.01, 0.5, 1.0])
def test_an_end_that_starts_late_hears_no_later(late: float) -> None:
    caller, callee = pair()
    deeds = {100: callee.answer, 110: lambda: caller.say(SPEECH), 140: caller.hang_up}
    _, theirs = talk(caller, callee, at(deeds), late=late)
    heard = next(t.index for t in theirs if any(t.heard)) * audio.FRAME_SECONDS + late
    assert heard - 111 * audio.FRAME_SECONDS <= 0.021


def test_counts_of_what_was_played_and_thrown_away() -> None:
    caller, callee = pair()
    deeds = {0: callee.answer, 1: lambda: caller.say(SPEECH * 4), 4: caller.hush, 6: lambda: caller.say(SPEECH)}
    ours, _ = talk(caller, callee, at({**deeds, 20: caller.hang_up}))
    assert [(t.played, t.dropped) for t in ours[1:11]] == [
        (0, 0),
        (160, 0),
        (320, 0),
        (480, 0),
        (480, 1120),
        (480, 1120),
        (640, 1120),
        (800, 1120),
        (880, 1120),
        (880, 1120),
    ]


@pytest.mark.parametrize("code", [404, 480, 486, 603])
def test_a_refusal_carries_its_code(code: int) -> None:
    caller, callee = pair()
    ours, _ = talk(caller, callee, at({1: callee.ring, 5: lambda: callee.hang_up(code)}))
    assert signals(ours)[-1] == (6, "ended", code, "there")
    assert ours[-1].signals[-1].reason


def test_cancelling_before_the_answer() -> None:
    caller, callee = pair()
    ours, theirs = talk(caller, callee, at({5: caller.hang_up}))
    assert signals(ours)[-1][1:] == ("ended", 487, "here")
    assert signals(theirs)[-1][1:] == ("ended", 487, "there")


def test_only_the_first_goodbye_counts() -> None:
    caller, callee = pair()

    def both() -> None:
        callee.hang_up()
        caller.hang_up()
        callee.answer()
        callee.ring()

    ours, theirs = talk(caller, callee, at({0: callee.answer, 5: both}))
    assert [s[1:] for s in signals(ours)] == [("calling", 0, ""), ("answered", 200, ""), ("ended", 200, "there")]
    assert [s[1:] for s in signals(theirs)][-1] == ("ended", 200, "here")


def test_facts() -> None:
    assert pair(16000)[0].facts() == {"line": "loop", "rate_hz": 16000}
