"""The in-memory line: what one end says the other hears, and both know how the call stands."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lab import audio, g711
from lab.lines.loop import DELAY, FADE, SETTLE_TICKS, LoopLine, pair
from lab.pace import Pace
from lab.ports import LINE_RATES, Codec, Tick

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


CODECS: list[Codec] = ["pcmu", "pcma", "g722"]
codecs = st.sampled_from(CODECS)

SPEECH = g711.PCMU.decode(bytes(range(100)) * 4)
"""Two and a half frames at 8 kHz that the default codec leaves as they are."""


def coded(pcm: bytes, codec: Codec) -> bytes:
    """What of `pcm` a codec lets through."""
    law = {"pcmu": g711.PCMU, "pcma": g711.PCMA}.get(codec)
    return law.decode(law.encode(pcm)) if law else (audio.samples(pcm) & -4).tobytes()


def spoken(ticks: list[Tick]) -> bytes:
    return b"".join(t.spoken for t in ticks if t.live)


def heard(ticks: list[Tick]) -> bytes:
    return b"".join(t.heard for t in ticks if t.live)


def test_a_call_from_invite_to_bye() -> None:
    caller, callee = pair()
    ours, theirs = talk(caller, callee, at({1: callee.ring, 5: callee.answer, 20: caller.hang_up}))
    assert signals(ours) == [
        (0, "calling", 0, ""),
        (2, "ringing", 180, ""),
        (6, "answered", 200, ""),
        (21, "ended", 200, "here"),
    ]
    assert [(kind, by) for _, kind, _, by in signals(theirs)] == [("ringing", ""), ("answered", ""), ("ended", "there")]
    assert [t.index for t in ours] == list(range(22))
    assert [t.live for t in ours] == [False] * 6 + [True] * 15 + [False]
    assert {s.codec for t in (*ours, *theirs) for s in t.signals if s.kind == "answered"} == {"PCMU"}


@settings(max_examples=30, deadline=None)
@given(codecs, st.integers(1, 5), st.binary(max_size=2000), st.binary(max_size=2000), st.integers(2, 9))
def test_what_one_end_says_the_other_hears_whole_and_exactly_so_much_later(
    codec: Codec, delay: int, one: bytes, other: bytes, when: int
) -> None:
    caller, callee = pair(codec, delay=delay)
    one, other = one[: len(one) & -2], other[: len(other) & -2]
    says = {1: lambda: caller.say(one), when: lambda: callee.say(other)}
    ours, theirs = talk(caller, callee, at({0: callee.answer, **says, 60: caller.hang_up}))
    for said, came, speech in ((ours, theirs, one), (theirs, ours, other)):
        assert spoken(said).strip(b"\0") == speech.strip(b"\0")
        begun = delay + next(t.index for t in said if t.live)
        for tick in came[begun:-2]:
            assert tick.heard == coded(said[tick.index - delay].spoken, codec)
        assert not any(heard(came[:begun]))
    assert {len(t.heard) for t in (*ours, *theirs)} == {audio.frame_bytes(LINE_RATES[codec])}


def test_what_is_said_before_the_answer_waits_for_it() -> None:
    caller, callee = pair()
    ours, theirs = talk(caller, callee, at({0: lambda: caller.say(SPEECH), 5: callee.answer, 20: caller.hang_up}))
    first = 6 + SETTLE_TICKS
    assert [t.played for t in ours[: first + 1]] == [0] * first + [160]
    assert next(t.index for t in theirs if any(t.heard)) == first + DELAY


@pytest.mark.parametrize("late", [0.01, 0.5, 1.0])
def test_an_end_that_starts_late_hears_no_later(late: float) -> None:
    caller, callee = pair()
    deeds = {100: callee.answer, 110: lambda: caller.say(SPEECH), 140: caller.hang_up}
    _, theirs = talk(caller, callee, at(deeds), late=late)
    heard = next(t.index for t in theirs if any(t.heard)) * audio.FRAME_SECONDS + late
    assert 0.0 <= heard - (111 + DELAY) * audio.FRAME_SECONDS < 0.02


def test_counts_of_what_was_played_and_thrown_away() -> None:
    caller, callee = pair()
    deeds = {0: callee.answer, 4: lambda: caller.say(SPEECH * 4), 7: caller.hush, 9: lambda: caller.say(SPEECH)}
    ours, _ = talk(caller, callee, at({**deeds, 20: caller.hang_up}))
    assert [(t.played, t.dropped) for t in ours[4:14]] == [
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
    assert ours[-1].signals[-1].reason == "Normal call clearing"
    assert [s[1:] for s in signals(theirs)][-1] == ("ended", 200, "here")


# -- a line that loses packets -----------------------------------------------------------------------------------------


def tone(frames: int) -> bytes:
    return audio.from_floats(np.float32(0.5) * np.sin(np.arange(frames * 160, dtype=np.float32)))


def lossy(
    loss: float, seed: int, deeds: Callable[[LoopLine], dict[int, Callable[[], None]]] = lambda caller: {}
) -> str:
    """A call of six seconds over such a line: `.` for each frame of the caller's that came, `x` for each that did not."""
    caller, callee = pair(loss=loss, seed=seed)
    ours, theirs = talk(
        caller, callee, at({0: lambda: caller.say(tone(300)), 1: callee.answer, **deeds(caller), 310: caller.hang_up})
    )
    first = next(t.index for t in ours if t.spoken.strip(b"\0"))
    came = [coded(ours[n].spoken, "pcmu") == theirs[n + DELAY].heard for n in range(first, first + 300)]
    return "".join(".x"[not whole] for whole in came)


@settings(max_examples=5, deadline=None)
@given(st.floats(0.0, 0.6), st.integers(0, 1 << 32))
def test_the_same_seed_loses_the_same_packets(loss: float, seed: int) -> None:
    lost = lossy(loss, seed)
    assert lost == lossy(loss, seed)
    assert lost.count("x") / len(lost) == pytest.approx(loss, abs=0.12)


def test_more_loss_takes_the_same_packets_and_others() -> None:
    little, much = lossy(0.05, 7), lossy(0.2, 7)
    assert 0 < little.count("x") < much.count("x")
    assert all(b == "x" for a, b in zip(little, much, strict=True) if a == "x")


def test_another_seed_loses_others_and_so_does_the_other_direction() -> None:
    assert lossy(0.2, 7) != lossy(0.2, 8)
    caller, callee = pair(loss=0.2)
    talk(caller, callee, at({0: callee.answer, 300: caller.hang_up}))
    ours, theirs = caller.facts()["rtp"], callee.facts()["rtp"]
    assert (ours["lost"], ours["sent_lost"]) == (theirs["sent_lost"], theirs["lost"])
    assert ours["lost"] != ours["sent_lost"]


def test_a_line_goes_bad_in_the_middle_of_a_call_and_recovers() -> None:
    lost = lossy(0.0, 3, lambda caller: {100: lambda: caller.spoil(0.5), 200: lambda: caller.spoil(0.0)})
    assert "x" not in lost[:90] + lost[210:]
    assert 30 < lost[100:190].count("x") < 60


def test_what_is_missing_fades_out_and_is_counted() -> None:
    caller, callee = pair()
    deeds = {0: lambda: caller.say(tone(60)), 1: callee.answer, 20: lambda: caller.spoil(1.0)}
    ours, theirs = talk(caller, callee, at({**deeds, 30: lambda: caller.spoil(0.0), 40: caller.hang_up}))
    gap = [
        t.index for t in theirs if t.live and t.index > 10 and t.heard != coded(ours[t.index - DELAY].spoken, "pcmu")
    ]
    assert gap == list(range(21 + DELAY, 31 + DELAY))
    levels = [audio.level_db(theirs[n].heard) for n in range(gap[0] - 1, gap[-1] + 2)]
    assert levels[: FADE + 1] == sorted(levels[: FADE + 1], reverse=True)
    assert levels[FADE] > -40.0
    assert set(levels[FADE + 1 : -1]) == {-120.0}
    assert levels[-1] == pytest.approx(levels[0], abs=0.1)
    assert callee.facts()["rtp"]["lost"] == callee.facts()["jitter_buffer"]["empty_frames"] == 10
    assert caller.facts()["rtp"]["lost"] == caller.facts()["jitter_buffer"]["empty_frames"] == 10


@pytest.mark.parametrize("end", [0, 1])
def test_whichever_end_spoils_the_line_loses_both_ways(end: int) -> None:
    ends = pair()
    caller, callee = ends
    talk(caller, callee, at({0: callee.answer, 10: lambda: ends[end].spoil(0.2), 310: caller.hang_up}))
    lost = [line.facts()["rtp"]["lost"] for line in ends]
    assert all(40 < count < 80 for count in lost)
    assert lost[0] != lost[1]


def test_ducking_makes_softer_within_a_frame_and_loses_nothing() -> None:
    caller, callee = pair()
    deeds = {0: lambda: caller.say(tone(60)), 1: callee.answer, 20: lambda: caller.duck(18.0)}
    ours, _ = talk(caller, callee, at({**deeds, 40: lambda: caller.duck(0.0), 80: caller.hang_up}))
    levels = [audio.level_db(t.spoken) for t in ours if t.live]
    full = levels[10]
    assert levels[18] == pytest.approx(full, abs=0.2)
    assert all(level == pytest.approx(full - 18, abs=0.3) for level in levels[22:38])
    assert levels[42] == pytest.approx(full, abs=0.2)
    assert ours[-1].played == len(tone(60)) // audio.SAMPLE_BYTES
    assert ours[-1].dropped == 0


def test_facts() -> None:
    caller, callee = pair("g722")
    ours, _ = talk(caller, callee, at({0: callee.answer, 20: caller.hang_up}))
    assert caller.facts() == {
        "line": "loop",
        "codec": "G722",
        "rtp": {"received": 20, "lost": 0, "sent": 20, "sent_lost": 0},
        "jitter_buffer": {"mean_delay_ms": 20, "empty_frames": 0},
        "clock": {"ticks": len(ours)},
    }
    json.dumps(caller.facts())
