"""The floor with real ears and a real voice, over real SIP: a sample of what `make accept-d` measures. Function, not speed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lab import audio, events, strict, template
from lab.bench import barge_in, latency, sounds
from lab.call import Call
from lab.carrier import Carrier
from lab.lines.loop import LoopLine, pair
from lab.pace import Pace
from lab.profile import Profile
from lab.runner import Lab, Order, bot_part

pytestmark = [pytest.mark.models, pytest.mark.prove]

ANSWERS_ALL = """
name: answers-all
opening_message: "-"
prompt: "-"
llm: {model: scripted, options: {reactions: [{name: none, when: xyzzy, say: "-"}], otherwise: Thank you., gives_up_after: 9}}
turn_taking: {re_engagement: {lines: []}}
"""


def bot(line: str) -> Profile:
    return strict.parse(ANSWERS_ALL, "the bot", Profile, overrides=[f"opening_message={line}", "limits.dead_air=100s"])


def test_it_gives_way_to_words_and_speaks_on_over_the_others(tmp_path: Path) -> None:
    items = barge_in.load().first(2)

    async def main() -> list[barge_in.Tried]:
        async with Lab(Carrier([]), tmp_path) as lab:
            return await barge_in.run(lab, items)

    tried = Pace("real").run(main)
    assert [one.item.text for one in tried if not one.held] == []
    assert [one.item.text for one in tried if one.duck is None or one.duck > 1.0] == []


@pytest.mark.parametrize(
    ("asked", "parts", "pauses"),
    [
        ("What is your phone number?", ("Sure, it's two oh two,", "five five five,", "oh one four three."), (0.7, 0.7)),
        ("How can I help you?", ("My name is", "Dana Reed."), (0.9,)),
    ],
)
def test_nobody_is_cut_off_in_the_middle(
    tmp_path: Path, asked: str, parts: tuple[str, ...], pauses: tuple[float, ...]
) -> None:
    async def main() -> list[latency.Judged]:
        async with Lab(Carrier([]), tmp_path) as lab:
            turn = latency.Turn(kind="pause", say=parts, pause=pauses)
            return (await latency.run(lab, bot(asked), [turn]))[0]

    (one,) = Pace("real").run(main)
    assert one.verdict == "good", one


Far = Callable[[LoopLine], Coroutine[Any, Any, None]]


def held_against(folder: Path, line: str, far: Far) -> list[events.Event]:
    """The log of a call in memory with a far end that is no customer."""
    pace, log = Pace("fast"), list[events.Event]()

    async def main() -> None:
        ours, theirs = pair()
        resolved = bot(line).resolve({}, template.system(datetime.now(UTC), "UTC"))
        order = Order(resolved, "+12025550199", "+12025550190")
        async with Lab(Carrier([]), folder, pace=pace, carried="loop") as lab:
            engines = lab._bot_engines(order)
            await asyncio.gather(*engines.loading)
            theirs.ring()
            call = Call(bot_part(resolved.profile), ours, engines, pace, emit=log.append)
            await asyncio.gather(call.run(), far(theirs))

    pace.run(main)
    return log


def test_its_own_voice_leaking_back_interrupts_nobody(tmp_path: Path) -> None:
    async def echoes(line: LoopLine) -> None:
        line.answer()
        late = [bytes(320)] * 10
        async for tick in line.ticks():
            late.append(audio.from_floats(audio.floats(tick.heard) * np.float32(0.1)))
            line.say(late.pop(0))
            if tick.index > 800:
                line.hang_up()

    log = held_against(tmp_path, barge_in.load().lines[3], echoes)
    assert not [e for e in log if isinstance(e, events.Interrupted)]


@pytest.mark.parametrize("kind", ["silence", "noise", "music"])
def test_what_is_no_speech_is_no_turn(tmp_path: Path, kind: str) -> None:
    made = {
        "silence": lambda: audio.noise(15, 8000, -65.0, 1),
        "noise": lambda: sounds.line_noise(15, 8000, level_db=-45.0),
        "music": lambda: sounds.hold_music(15, 8000, sounds.STYLES[0]),
    }[kind]()

    async def plays(line: LoopLine) -> None:
        line.answer()
        line.say(audio.silence(1.5, 8000) + made)
        async for tick in line.ticks():
            if tick.index > 900:
                line.hang_up()

    log = held_against(tmp_path, "Hello.", plays)
    assert not [e.text for e in log if isinstance(e, events.Said) and e.who == "customer"]
