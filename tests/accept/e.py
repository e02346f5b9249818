"""Acceptance of work ahead of the decision: how soon the bot answers, what that costs, and that it starts fast. See harness.py.

The floor itself is measured again by `python -m tests.accept.d`.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from tests.accept.harness import ROOT, Step, main

RIVALS = (
    "--free",
    *("--set", "stt.model=whisper-tiny.en", "--set", "llm.model=qwen2.5-coder-0.5b"),
    *("--set", "llm.max_tokens=40", "--set", "llm.temperature=0"),
)
THEIRS = 1.66
"""Seconds, median v2v of the best rival in this setting on such a machine."""
FLAWS = ("half", "over", "holed", "unanswered")


def bench(name: str, *options: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "callctl", "bench", name, "--json", *options]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert done.returncode in (0, 4), done.returncode
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def flawless(found: dict[str, Any]) -> bool:
    return not any(found["turns"][flaw] for flaw in FLAWS)


def discarded(found: dict[str, Any]) -> float:
    """Share of the engines' time over all calls, counted as `metrics.work.discarded_share` is for one."""
    works = [call["work"] for call in found["calls"]]
    thrown, used = (sum(work[kind] for work in works) for kind in ("discarded", "used"))
    return float(round(thrown / (thrown + used), 3))


def default() -> dict[str, Any]:
    """Picked: median <= 0.50 s, p95 <= 0.9 s; generated: <= 1.0 s, <= 1.6 s; discarded work <= 35 %; every turn good."""
    found = bench("latency")
    picked, generated = found["picked"], found["generated"]
    held = picked["p50"] <= 0.50 and picked["p95"] <= 0.9 and generated["p50"] <= 1.0 and generated["p95"] <= 1.6
    thrown = discarded(found)
    return {"held": held and flawless(found) and thrown <= 0.35, "discarded": thrown, **found}


def rivals() -> dict[str, Any]:
    """Median <= 0.70 s against their 1.66 s; CPU of the bot's processes <= 27 s per call minute."""
    found = bench("latency", *RIVALS)
    cpu = max(call["cpu_per_minute"] for call in found["calls"])
    held = found["v2v"]["p50"] <= 0.70 and cpu <= 27 and flawless(found)
    return {"held": held, "of theirs": round(found["v2v"]["p50"] / THEIRS, 2), "discarded": discarded(found), **found}


def together() -> dict[str, Any]:
    """Two calls at once each keep a median <= 1.5 x one call's; of three the figures are printed."""
    one, two, three = (bench("latency", "--passes", "1", "--turns", "18", "--calls", str(n)) for n in (1, 2, 3))
    alone = one["v2v"]["p50"]
    each = [call["v2v"]["p50"] for call in two["calls"]]
    return {
        "held": all(median is not None and median <= 1.5 * alone for median in each),
        "one": alone,
        "two": each,
        "three": [call["v2v"]["p50"] for call in three["calls"]],
        "three reliable": three["reliable"],
        "why": three["why"],
        "turns": {"one": one["turns"], "two": two["turns"], "three": three["turns"]},
    }


def start() -> dict[str, Any]:
    """Warm dial to INVITE <= 1.0 s."""
    found = bench("start")
    return {"held": found["warm"]["p50"] <= 1.0, **found}


STEPS: dict[str, Step] = {"default": default, "rivals' setting": rivals, "together": together, "start": start}

if __name__ == "__main__":
    sys.exit(main("e", STEPS))
