"""The in-memory line: both sides of a call in one event loop, 20 ms at a time, in call time.

Decides: how frames and signals cross from one side to the other. Refuses to know: pace (it only awaits timers), SIP, files.
Plain form: a perfect line with one frame of delay.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Mapping
from typing import Any

from lab import audio
from lab.ports import Signal, SignalKind, Tick

_REASONS = {
    180: "Ringing",
    200: "OK",
    404: "Not Found",
    480: "Temporarily Unavailable",
    486: "Busy Here",
    487: "Request Terminated",
    603: "Decline",
}


class LoopLine:
    """One end of an in-memory call. Make both with `pair`."""

    def __init__(self, rate: int, *, calling: bool) -> None:
        self.rate = rate
        self._size = audio.frame_bytes(rate)
        self._calling = calling
        self._peer: LoopLine
        self._queue = bytearray()
        self._played = self._dropped = 0
        self._inbox: deque[bytes] = deque()
        self._signals: list[Signal] = [Signal("calling")]
        self._answered = self._over = False

    async def ticks(self) -> AsyncIterator[Tick]:
        loop = asyncio.get_running_loop()
        start, index = loop.time(), 0
        while True:
            await asyncio.sleep(start + index * audio.FRAME_SECONDS - loop.time())
            signals, self._signals = tuple(self._signals), []
            spoken = self._take() if self._answered else bytes(self._size)
            if self._answered:  # else whoever starts later would stay behind for ever
                self._peer._inbox.append(spoken)
            heard = self._inbox.popleft() if self._inbox else bytes(self._size)
            yield Tick(index, heard, spoken, self._played, self._dropped, self._answered, signals)
            if any(s.kind == "ended" for s in signals):
                return
            index += 1

    def say(self, pcm: bytes) -> None:
        self._queue += pcm

    def hush(self) -> None:
        self._dropped += len(self._queue) // audio.SAMPLE_BYTES
        self._queue.clear()

    def ring(self) -> None:
        self._peer._signal("ringing", 180)

    def answer(self) -> None:
        for end in (self, self._peer):
            if not end._over:
                end._answered = True
                end._signal("answered", 200, codec="PCM")

    def hang_up(self, code: int = 0) -> None:
        if not self._over:
            code = 200 if self._answered else (487 if self._calling else code or 603)
            for end, by in ((self, "here"), (self._peer, "there")):
                end._over = True
                end._signals.append(Signal("ended", code, _REASONS.get(code, ""), "here" if by == "here" else "there"))

    def facts(self) -> Mapping[str, Any]:
        return {"line": "loop", "rate_hz": self.rate}

    def _take(self) -> bytes:
        frame = bytes(self._queue[: self._size])
        del self._queue[: self._size]
        self._played += len(frame) // audio.SAMPLE_BYTES
        return frame.ljust(self._size, b"\0")

    def _signal(self, kind: SignalKind, code: int, codec: str = "") -> None:
        if not self._over:
            self._signals.append(Signal(kind, code, _REASONS.get(code, ""), codec=codec))


def pair(rate: int = 8000) -> tuple[LoopLine, LoopLine]:
    """The calling and the called end of one call."""
    caller, callee = LoopLine(rate, calling=True), LoopLine(rate, calling=False)
    caller._peer, callee._peer = callee, caller
    return caller, callee
