"""The in-memory line: both sides of a call in one event loop, 20 ms at a time, in call time.

Decides: how frames and signals cross from one side to the other, and what becomes of those that do not arrive.
Refuses to know: pace (it only awaits timers), SIP, files.

It sounds like the softphone's line: what is said goes through the codec, takes as long, begins as late after the answer, and
what is lost on the way is filled in alike. The same calls of `say`, `hush`, `spoil`… give the same frames.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lab import audio, g711
from lab.ports import LINE_RATES, Codec, Signal, SignalKind, Tick

DELAY = 1
"""Frames from tick spoken to tick heard. The softphones take 5 to 25 ms on loopback, depending on how their clocks lie."""
SETTLE_TICKS = 3
"""Queued audio waits so long after the answer, as in the softphone."""
FADE = 4
"""Frames for which the last good one is repeated, ever softer, when nothing comes: as measured of PJSIP."""

_SAME = 1e-6
"""Seconds by which two reckonings of one moment may differ."""
_BYE = "Normal call clearing"
_REASONS = {
    180: "Ringing",
    200: "OK",
    404: "Not Found",
    480: "Temporarily Unavailable",
    486: "Busy Here",
    487: "Request Terminated",
    603: "Decline",
}


def _fourteen_bits(pcm: bytes) -> bytes:
    return (audio.samples(pcm) & -4).tobytes()


_CODED: Mapping[Codec, Callable[[bytes], bytes]] = {
    "pcmu": lambda pcm: g711.PCMU.decode(g711.PCMU.encode(pcm)),
    "pcma": lambda pcm: g711.PCMA.decode(g711.PCMA.encode(pcm)),
    "g722": _fourteen_bits,
}
"""What comes out of a codec at the other end."""


class LoopLine:
    """One end of an in-memory call: a `lab.ports.Line`. Make both with `pair`."""

    def __init__(self, codec: Codec, *, calling: bool, delay: int, loss: float, seed: int) -> None:
        self.rate = LINE_RATES[codec]
        self._codec, self._coded = codec.upper(), _CODED[codec]
        self._calling = calling
        self._delay = delay
        self._loss, self._chance = loss, random.Random(2 * seed + calling)
        self._size = audio.frame_bytes(self.rate)
        self._silence = bytes(self._size)
        self._coded_silence = self._coded(self._silence)
        self._fading = np.linspace(1.0, 0.0, FADE * self._size // audio.SAMPLE_BYTES).reshape(FADE, -1)
        self._peer: LoopLine
        self._queue = bytearray()
        self._level = self._next_level = 1.0
        """Of the frame that left last and of the next one, as factors."""
        self._ticks = self._played = self._dropped = 0
        self._speaks_from: int | None = None
        self._inbox: deque[tuple[float, bytes]] = deque()
        """Frames on their way to this end, each with the moment it is due."""
        self._sent = self._sent_lost = self._empty = 0
        self._last_came: bytes | None = None
        self._missing = 0
        """Frames since then."""
        self._signals: list[Signal] = [Signal("calling")] if calling else []
        self._answered = self._over = False

    async def ticks(self) -> AsyncIterator[Tick]:
        loop = asyncio.get_running_loop()
        start, over = loop.time(), False
        while not over:
            index = self._ticks
            now = start + index * audio.FRAME_SECONDS
            await asyncio.sleep(now - loop.time())
            self._ticks += 1
            signals, self._signals = tuple(self._signals), []
            for signal in signals:
                if signal.kind == "answered":
                    self._speaks_from = index + SETTLE_TICKS
                over = over or signal.kind == "ended"
            live = self._answered and not self._over
            heard = spoken = self._silence
            if live:
                spoken = self._take(index)
                self._send(spoken, now)
                heard = self._hear(now)
            yield Tick(index, heard, spoken, self._played, self._dropped, live, signals)

    def say(self, pcm: bytes) -> None:
        self._queue += pcm

    def hush(self) -> None:
        self._dropped += len(self._queue) // audio.SAMPLE_BYTES
        self._queue.clear()

    def duck(self, decibels: float) -> None:
        self._next_level = audio.factor(decibels)

    def spoil(self, loss: float) -> None:
        """From now on lose this share, 0 to 1, of the packets in both directions, whichever end says so.

        Which ones depends on the pair's seed and their place in the call: more loss takes the same ones, and others.
        """
        self._loss = self._peer._loss = loss

    def ring(self) -> None:
        for end in (self, self._peer):
            end._signal("ringing", 180)

    def answer(self) -> None:
        for end in (self, self._peer):
            if not end._over:
                end._answered = True
                end._signal("answered", 200, codec=self._codec)

    def hang_up(self, code: int = 0) -> None:
        if self._over:
            return
        self._over = self._peer._over = True
        code = 200 if self._answered else (487 if self._calling else code or 603)
        reason = _REASONS.get(code, "")
        self._signals.append(Signal("ended", code, reason, "here"))
        self._peer._signals.append(Signal("ended", code, _BYE if self._answered else reason, "there"))

    def facts(self) -> Mapping[str, Any]:
        """Codec, counts of packets and ticks, under the keys of the softphone's line; JSON-serialisable."""
        lost = self._peer._sent_lost
        return {
            "line": "loop",
            "codec": self._codec if self._answered else "",
            "rtp": {
                "received": self._peer._sent - lost,
                "lost": lost,
                "sent": self._sent,
                "sent_lost": self._sent_lost,
            },
            "jitter_buffer": {
                "mean_delay_ms": round(self._delay * audio.FRAME_SECONDS * 1000),
                "empty_frames": self._empty,
            },
            "clock": {"ticks": self._ticks},
        }

    def _take(self, index: int) -> bytes:
        """The next frame to send."""
        before, self._level = self._level, self._next_level
        if not self._queue or self._speaks_from is None or index < self._speaks_from:
            return self._silence
        frame = bytes(self._queue[: self._size])
        del self._queue[: self._size]
        self._played += len(frame) // audio.SAMPLE_BYTES
        return audio.scaled(frame.ljust(self._size, b"\0"), before, self._level)

    def _send(self, frame: bytes, now: float) -> None:
        self._sent += 1
        if self._chance.random() < self._loss:
            self._sent_lost += 1
            return
        coded = self._coded_silence if frame is self._silence else self._coded(frame)
        self._peer._inbox.append((now + self._delay * audio.FRAME_SECONDS, coded))

    def _hear(self, now: float) -> bytes:
        """The newest frame that is due: who started late does not stay behind. Where there is none, one made up."""
        came = None
        while self._inbox and self._inbox[0][0] < now + _SAME:
            came = self._inbox.popleft()[1]
        if came is not None:
            self._last_came, self._missing = came, 0
            return came
        if self._last_came is None:
            return self._silence
        self._empty, self._missing = self._empty + 1, self._missing + 1
        if self._missing > FADE:
            return self._silence
        softer: NDArray[np.float64] = audio.samples(self._last_came) * self._fading[self._missing - 1]
        return softer.astype("<i2").tobytes()

    def _signal(self, kind: SignalKind, code: int, codec: str = "") -> None:
        if not self._over:
            self._signals.append(Signal(kind, code, _REASONS[code], codec=codec))


def pair(codec: Codec = "pcmu", *, delay: int = DELAY, loss: float = 0.0, seed: int = 0) -> tuple[LoopLine, LoopLine]:
    """The calling and the called end of one call.

    codec: as negotiated; G.711 audio really is encoded and decoded, G.722 audio only loses its two lowest bits, as there is
    no codec of ours for it. delay: frames, at least 1. loss: share of packets lost both ways, until an end says otherwise
    with `spoil`. seed: decides which ones.
    """
    caller, callee = (LoopLine(codec, calling=calling, delay=delay, loss=loss, seed=seed) for calling in (True, False))
    caller._peer, callee._peer = callee, caller
    return caller, callee
