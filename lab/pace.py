"""The one place that knows wall time from call time.

Decides: how call time passes. Refuses to know: what a call is, who computes, what anything costs besides its table.

real    The line has its own clock (SIP, a microphone). Call time is the event loop's own monotonic time.
fast    An in-memory line. While no engine computes, call time leaps from one timer to the next; while one does, it passes
        with the wall clock. Waiting and talking cost nothing, thinking costs what it costs.
fixed   Like fast, but the loop stands still while an engine computes, and each result becomes visible at exactly
        (call time it was asked for) + (cost from a table). The same call gives the same log.

Everything on a call's path awaits ordinary asyncio timers; under `fast` and `fixed` the event loop itself is virtual
(`VirtualLoop`), so that no code but this knows the difference.
"""

from __future__ import annotations

import asyncio
import contextlib
import selectors
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

T = TypeVar("T")
PaceName = Literal["real", "fast", "fixed"]

DEFAULT_COSTS: Mapping[str, float] = {
    "load": 0.0,
    "stt": 0.20,
    "llm_first": 0.30,
    "llm": 0.02,
    "tts": 0.08,
    "analysis": 2.0,
}
"""Seconds per result: stt a text, llm_first the first piece of a reply, llm each further piece, tts each piece of audio."""


class _VirtualSelector(selectors.DefaultSelector):
    """Waits by moving the clock instead of sleeping, unless something outside the loop is at work."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.at_work = 0
        """Engine jobs running in threads: while there are any, call time passes with the wall clock."""

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if self.at_work or timeout is None:
            before = time.monotonic()
            ready = super().select(timeout)
            elapsed = time.monotonic() - before
            if self.at_work:
                self.now += elapsed if timeout is None else min(elapsed, max(timeout, 0.0))
            return ready
        ready = super().select(0)
        if not ready and timeout > 0:
            self.now += timeout
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose time leaps to the next timer whenever nothing is left to do."""

    def __init__(self) -> None:
        self._virtual = _VirtualSelector()
        super().__init__(self._virtual)

    def time(self) -> float:
        return self._virtual.now

    @contextlib.contextmanager
    def work(self) -> Iterator[None]:
        """Something outside the loop computes: let call time pass with the wall clock."""
        self._virtual.at_work += 1
        try:
            yield
        finally:
            self._virtual.at_work -= 1


@dataclass(frozen=True)
class Pace:
    """How call time passes in the running event loop.

    costs: seconds per result and stage, used by `fixed` only; a stage that is not named costs nothing.
    """

    name: PaceName = "real"
    costs: Mapping[str, float] = field(default_factory=lambda: dict(DEFAULT_COSTS))

    @property
    def inline(self) -> bool:
        """The loop stands still while engines compute; they are charged by the table."""
        return self.name == "fixed"

    def now(self) -> float:
        """Call time in seconds, from an arbitrary zero."""
        return asyncio.get_running_loop().time()

    async def until(self, moment: float) -> None:
        """Sleep until `now()` is `moment`."""
        left = moment - self.now()
        if left > 0:
            await asyncio.sleep(left)

    async def charge(self, stage: str) -> None:
        """Under `fixed`: let the stage's cost pass."""
        await asyncio.sleep(self.costs.get(stage, 0.0))

    @contextlib.contextmanager
    def work(self) -> Iterator[None]:
        """Around work in a thread; see `VirtualLoop.work`."""
        loop = asyncio.get_running_loop()
        with loop.work() if isinstance(loop, VirtualLoop) else contextlib.nullcontext():
            yield

    def run(self, main: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Run `main()` in an event loop of this pace."""
        factory = None if self.name == "real" else VirtualLoop
        with asyncio.Runner(loop_factory=factory) as runner:
            return runner.run(main())
