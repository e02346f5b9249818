"""Was this machine quiet enough to believe a latency?

Decides: when figures of a call are not reliable, and why. Refuses to know: the figures.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import Any

import psutil

OTHERS = 0.10
"""Share of the machine that other processes may use while we measure."""
STEAL = 0.02
"""Share of the machine that its host may take from it."""
WORST_TICK_MS, LATE_TICKS = 60.0, 0.02
"""A frame that much too late moves what is heard; so do many that are a little late."""


class Guard:
    """Watches from its making to `doubts`."""

    def __init__(self) -> None:
        self._began = _now()

    def doubts(self) -> list[str]:
        """Why what was measured meanwhile is not reliable; empty when it is."""
        (t0, busy0, steal0, ours0), (t1, busy1, steal1, ours1) = self._began, _now()
        capacity = max(t1 - t0, 0.01) * (os.cpu_count() or 1)
        others, stolen = (busy1 - busy0 - (ours1 - ours0)) / capacity, (steal1 - steal0) / capacity
        found = []
        if others > OTHERS:
            found.append(f"other processes used {others:.0%} of the CPU")
        if stolen > STEAL:
            found.append(f"the machine's host took {stolen:.0%} of the CPU")
        return found

    def used(self) -> float:
        """Seconds of CPU that this process and its children used."""
        return _now()[3] - self._began[3]


def late(clock: Mapping[str, Any]) -> list[str]:
    """What a line's clock says against it. clock: of `lab.ports.Line.facts`."""
    worst, share = clock.get("worst_tick_ms", 0.0), clock.get("late_ticks", 0) / max(1, clock.get("ticks", 1))
    if worst > WORST_TICK_MS:
        return [f"one tick of the line came {worst:.0f} ms late"]
    return [f"{share:.0%} of the line's ticks came late"] if share > LATE_TICKS else []


def _now() -> tuple[float, float, float, float]:
    """Wall clock, and CPU seconds: of everybody, stolen, and of this process with its children."""
    times = psutil.cpu_times()
    idle = times.idle + getattr(times, "iowait", 0.0)
    steal = getattr(times, "steal", 0.0)
    busy = sum(times[:8]) - idle - steal if hasattr(times, "steal") else times.user + times.system
    me = psutil.Process()
    ours = 0.0
    for process in (me, *me.children(recursive=True)):
        try:
            used = process.cpu_times()
        except psutil.NoSuchProcess:  # it ended; what it used is in our own children's time
            continue
        ours += used.user + used.system
    ended = me.cpu_times()
    return time.monotonic(), busy, steal, ours + ended.children_user + ended.children_system
