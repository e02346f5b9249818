"""Acceptance of the floor: who interrupts, who throws in a word, who pauses, and what is no turn at all. See harness.py.

CALLCTL_EXAM=FOLDER takes the lines from there instead of the frozen exam: for development sets. CALLCTL_ONLY=N takes only the first N
of each list.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache, partial
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import yaml

from lab import audio, events, models, strict, template
from lab.bench import barge_in, latency, sounds
from lab.call import Call
from lab.carrier import Carrier
from lab.lines.loop import LoopLine, pair
from lab.pace import Pace
from lab.persona import PersonaVoice
from lab.profile import Profile
from lab.runner import Lab, Order, bot_part
from lab.shelf import Shelf
from tests.accept.harness import ROOT, Step, main

EXAM = Path(os.environ.get("CALLCTL_EXAM", ROOT / "tests" / "data" / "floor"))
ONLY = int(os.environ.get("CALLCTL_ONLY", "1000"))
KEPT = ROOT / "recordings" / "accept" / "d-calls"
PAUSED = """
name: bench-pauses
opening_message: "-"
prompt: "-"
llm: {model: scripted, options: {reactions: [{name: never, when: xyzzy, say: "-"}], otherwise: Thank you., gives_up_after: 9}}
"""


@cache
def shelf() -> Shelf:
    return Shelf(Pace("real"))


def rows(name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = yaml.safe_load((EXAM / f"{name}.yaml").read_text())
    return found[:ONLY]


def real(main: Any) -> Any:
    pace = Pace("real")
    shelf()._pace = pace
    return pace.run(main)


# -- both at once ------------------------------------------------------------------------------------------------------


def barged(name: str) -> dict[str, Any]:
    """Duck median <= 0.25 s. Interruptions: yield median <= 0.60 s, p95 <= 1.0 s, none missed. Backchannels: no yield, full level
    <= 0.5 s after, no word lost."""
    lines = barge_in.load().lines
    items = barge_in.Items.model_validate({"lines": lines, name: rows(name)})
    tried: list[barge_in.Tried] = []

    async def run() -> None:
        async with Lab(Carrier([]), KEPT, shelf=shelf()) as lab:
            await barge_in.run(lab, items, told=tried.append)

    real(run)
    found = barge_in.figures(tried)
    held = found["duck"]["p50"] is not None and found["duck"]["p50"] <= 0.25
    if name == "interruptions":
        held = (
            held
            and found["yield"]["p50"] <= 0.60
            and (found["yield"]["p95"] or 9) <= 1.0
            and not found["missed_yields"]
        )
    else:
        held = held and not found["false_yields"] and not found["lines_lost"] and found["restore"]["max"] <= 0.5
    each = [
        {
            "text": t.item.text,
            "heard": t.heard,
            "duck": t.duck,
            "yield": t.yielded,
            "restore": t.restore,
            "lost": t.lost,
        }
        for t in tried
    ]
    return {"held": held, **found, "each": each}


# -- pauses inside -----------------------------------------------------------------------------------------------------


def paused(name: str) -> dict[str, Any]:
    """None of 20 cut in two, and after them the wait is <= 1.2 s."""
    each: list[dict[str, Any]] = []

    async def run() -> None:
        async with Lab(Carrier([]), KEPT, shelf=shelf()) as lab:
            for row in rows(name):
                bot = strict.parse(PAUSED, "the bot", Profile, overrides=[f"opening_message={row['asked']}"])
                turn = latency.Turn(kind="pause", say=tuple(row["parts"]), pause=tuple(row["pauses"]))
                judged, call = await latency.run(lab, bot, [turn])
                one = judged[0]
                each.append(
                    {
                        "said": " … ".join(row["parts"]), "verdict": one.verdict, "v2v": one.v2v,
                        "wait": one.parts.get("endpointing"), "session": call["session"],
                        "heard": one.heard,
                    }
                )  # fmt: skip

    real(run)
    waits = [e["wait"] for e in each if e["wait"] is not None]
    cut = [e for e in each if e["verdict"] in ("half", "over", "unanswered")]
    held = not cut and max(waits) <= 1.2
    return {"held": held, "n": len(each), "cut in two": len(cut), "wait p50": statistics.median(waits), "wait max": max(waits),
            "v2v p50": statistics.median(e["v2v"] for e in each if e["v2v"]), "each": each}  # fmt: skip


# -- no turn at all ----------------------------------------------------------------------------------------------------


def _held_against(bot: Profile, far: Any) -> list[events.Event]:
    """The log of an in-memory call of `bot`'s with a far end that is no engine."""
    pace = Pace("fast")
    shelf()._pace = pace
    log: list[events.Event] = []

    async def call() -> None:
        ours, theirs = pair()
        resolved = bot.resolve({}, template.system(datetime.now(UTC), bot.timezone))
        lab = Lab(Carrier([]), KEPT, pace=pace, carried="loop", shelf=shelf())
        order = Order(resolved, "+12025550199", "+12025550190")
        await lab.prepare(order)
        engines = lab._bot_engines(order)
        await asyncio.gather(*engines.loading)
        theirs.ring()
        await asyncio.gather(Call(bot_part(resolved.profile), ours, engines, pace, emit=log.append).run(), far(theirs))

    pace.run(call)
    return log


def _bot(line: str, **limits: str) -> Profile:
    overrides = [
        f"opening_message={line}",
        *(f"limits.{k}={v}" for k, v in limits.items()),
        "turn_taking.re_engagement.lines=[]",
    ]
    return strict.parse(PAUSED, "the bot", Profile, overrides=overrides)


def nothing(kind: str) -> dict[str, Any]:
    """60 s of it: no customer turn."""
    makers: dict[str, list[Callable[[], bytes]]] = {
        "silence": [lambda: audio.silence(60, 8000), lambda: audio.noise(60, 8000, -65.0, 1)],
        "line noise": [partial(sounds.line_noise, 60, 8000, level_db=level) for level in (-50.0, -40.0)],
        "hold music": [partial(sounds.hold_music, 60, 8000, style) for style in sounds.STYLES],
    }
    turns: dict[str, list[str]] = {}
    for number, make in enumerate(makers[kind]):
        pcm = make()

        async def far(line: LoopLine, pcm: bytes = pcm) -> None:
            line.answer()
            line.say(audio.silence(1.5, 8000) + pcm)
            async for tick in line.ticks():
                if tick.index * 0.02 > 66:
                    line.hang_up()

        log = _held_against(_bot("Hello.", dead_air="100s", max_duration="90s"), far)
        turns[f"{kind} {number}"] = [e.text for e in log if isinstance(e, events.Said) and e.who == "customer"]
    return {"held": not any(turns.values()), "turns": turns}


def echo() -> dict[str, Any]:
    """The bot's own voice leaks back at -20 dB: no self-interruption in 10 calls."""
    cut, each = 0, []
    for number, line_text in enumerate((barge_in.load().lines * 2)[:10]):
        delay = (2, 5, 8, 12, 16, 20, 3, 10, 14, 24)[number]

        async def far(line: LoopLine, delay: int = delay) -> None:
            line.answer()
            late: list[bytes] = [bytes(320)] * delay
            async for tick in line.ticks():
                late.append(audio.from_floats(audio.floats(tick.heard) * np.float32(0.1)))
                line.say(late.pop(0))

        log = _held_against(_bot(line_text, dead_air="4s"), far)
        stops = [e for e in log if isinstance(e, events.Interrupted)]
        theirs = [e.text for e in log if isinstance(e, events.Said) and e.who == "customer"]
        ducks = sum(isinstance(e, events.Ducked) for e in log)
        cut += bool(stops or theirs)
        each.append({"delay": delay * 0.02, "interrupted": len(stops), "ducked": ducks, "heard": theirs})
    return {"held": not cut, "calls": len(each), "self-interruptions": cut, "each": each}


# -- recognition -------------------------------------------------------------------------------------------------------


def words() -> dict[str, Any]:
    """WER through G.711 no worse than the library's own transcribe(), at <= 0.35 of its time."""
    from lab.bench import stt
    from lab.engines.transcribe import Transcribe

    async def run() -> dict[str, Any]:
        voice, recognizer = await shelf().voice(PersonaVoice()), await shelf().recognizer("whisper-base")
        library = Transcribe(models.locate("whisper-base", "stt").path, name="whisper-base")
        return await asyncio.to_thread(lambda: stt.run(voice, recognizer, libraries={"library": library}))

    found: dict[str, Any] = real(run)
    library = found["libraries"]["library"]
    return {"held": found["plain"]["wer"] <= library["wer"] and library["time_ratio"] <= 0.35, **found}


# -- the machine itself ------------------------------------------------------------------------------------------------


def quick() -> dict[str, Any]:
    """floor.py's tests run in under a second: the tests themselves, beside which stands what pytest says with their import."""
    inside, whole = [], []
    for _ in range(3):
        with tempfile.NamedTemporaryFile(suffix=".xml") as report:
            command = [sys.executable, "-m", "pytest", "tests/lab/test_floor.py", f"--junitxml={report.name}"]
            done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
            assert done.returncode == 0, done.stdout
            inside.append(sum(float(case.get("time", 0)) for case in ElementTree.parse(report.name).iter("testcase")))
        whole.append(float(done.stdout.rsplit(" in ", 1)[1].split("s")[0]))
    return {"held": min(inside) < 1.0, "tests": round(min(inside), 2), "pytest says": min(whole)}


def answers() -> dict[str, Any]:
    """The base line: `callctl bench latency`, two passes."""
    bot, said = latency.bot(), latency.turns()[:ONLY]
    judged: list[latency.Judged] = []
    calls = []

    async def run() -> None:
        async with Lab(latency.carrier(), KEPT, shelf=shelf()) as lab:
            for _ in range(2):
                found, call = await latency.run(lab, bot, said)
                judged.extend(found)
                calls.append(call)

    real(run)
    found = latency.figures(judged)
    return {"held": found["turns"]["asked"] >= 66 or ONLY < 1000, **found, "calls": calls}


STEPS: dict[str, Step] = {
    "floor tests": quick,
    **{name: partial(barged, name) for name in ("interruptions", "backchannels")},
    **{name: partial(paused, name) for name in ("numbers", "emails", "hesitations")},
    **{kind: partial(nothing, kind) for kind in ("silence", "line noise", "hold music")},
    "echo": echo,
    "recognition": words,
    "latency": answers,
}

if __name__ == "__main__":
    sys.exit(main("d", STEPS))
