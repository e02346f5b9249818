"""What SIP tests need: both ends of a call with all they saw, softphones to place it, a far end that says what it is told."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import psutil

from lab import audio
from lab.lines.sip import IncomingCall, Lockstep, Softphone
from lab.pace import Pace
from lab.ports import Codec, Line, Signal, Tick


class Side:
    """One end of a call, all of its ticks kept, each with the moment it came."""

    def __init__(self, line: Line) -> None:
        self.line = line
        self.ticks: list[Tick] = []
        self.came: list[float] = []
        self._moved = asyncio.Condition()
        self.over = asyncio.create_task(self._follow())

    async def _follow(self) -> None:
        async for tick in self.line.ticks():
            async with self._moved:
                self.ticks.append(tick)
                self.came.append(time.monotonic())
                self._moved.notify_all()

    async def until(self, holds: Callable[[Side], object]) -> None:
        async with asyncio.timeout(8), self._moved:
            await self._moved.wait_for(lambda: holds(self))

    async def saw(self, kind: str) -> Signal:
        await self.until(lambda side: side.signals(kind))
        return self.signals(kind)[0]

    async def end(self) -> Signal:
        """The signal of the last tick that ended the call."""
        async with asyncio.timeout(8):
            await self.over
        assert [t.index for t in self.ticks] == list(range(len(self.ticks)))
        return self.ticks[-1].signals[-1]

    def signals(self, kind: str) -> list[Signal]:
        return [s for tick in self.ticks for s in tick.signals if s.kind == kind]

    def messages(self) -> list[str]:
        return [s.raw.split("\r\n")[0] for s in self.signals("message")]

    def heard(self) -> bytes:
        return b"".join(t.heard for t in self.ticks)

    def spoken(self) -> bytes:
        return b"".join(t.spoken for t in self.ticks)


@asynccontextmanager
async def phones(
    count: int = 2, codec: Codec = "pcmu", lockstep: Lockstep | None = None
) -> AsyncIterator[list[Softphone]]:
    """Softphones on their own clocks, in real time."""
    starting = (Softphone.start(name=f"phone{n}", codec=codec, lockstep=lockstep) for n in range(count))
    started = await asyncio.gather(*starting)
    try:
        yield started
    finally:
        await asyncio.gather(*(phone.close() for phone in started))
        assert [phone.faults for phone in started] == [[]] * count


@asynccontextmanager
async def in_step(count: int = 2, codec: Codec = "pcmu") -> AsyncIterator[list[Softphone]]:
    """Softphones in lockstep; for `leaping` tests."""
    async with Lockstep() as lockstep, phones(count, codec, lockstep) as started:
        yield started


def dial(caller: Softphone, port: int, **more: Any) -> Side:
    return Side(caller.place(f"sip:+12025550123@127.0.0.1:{port}", from_number="+12025550100", **more))


async def called(phone: Softphone) -> tuple[Side, IncomingCall]:
    async with asyncio.timeout(5):
        call = await phone.incoming()
    return Side(call.line), call


async def connect(caller: Softphone, callee: Softphone) -> tuple[Side, Side]:
    here = dial(caller, callee.port)
    there, _ = await called(callee)
    there.line.answer()
    await asyncio.gather(here.saw("answered"), there.saw("answered"))
    return here, there


async def hang_up(here: Side, there: Side) -> tuple[Signal, Signal]:
    here.line.hang_up()
    return await here.end(), await there.end()


def real(test: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    """Run an async test in an event loop of its own, in real time."""
    return _run_at(Pace("real"), test)


def leaping(test: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    """Run an async test in an event loop of its own, in call time that leaps; time-outs count call time too."""
    return _run_at(Pace("fixed"), test)


def _run_at(pace: Pace, test: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    def run() -> None:
        pace.run(lambda: asyncio.wait_for(test(), 20))

    run.__name__, run.__doc__ = test.__name__, test.__doc__
    return run


def sweep(seconds: float, rate: int, low: float, high: float) -> bytes:
    t = np.arange(int(seconds * rate)) / rate
    phase = 2 * np.pi * (low * t + (high - low) * t * t / (2 * seconds))
    return audio.from_floats((0.4 * np.sin(phase)).astype(np.float32))


def intact(said: bytes, heard: bytes, rate: int = 8000) -> float:
    """Share of `said`, in pieces of 100 ms, that is found in `heard`.

    In pieces because a jitter buffer may once put in or leave out a frame on a busy machine.
    """
    size = rate // 10 * 2
    pieces = [said[start : start + size] for start in range(0, len(said), size)]
    return sum(likeness(piece, heard) > 0.98 for piece in pieces) / len(pieces)


def likeness(said: bytes, heard: bytes) -> float:
    """Best normalised correlation of `said` with any stretch of `heard`; 1.0 is the same."""
    a, b = audio.floats(said), audio.floats(heard)
    size = 1 << (len(a) + len(b)).bit_length()
    product = np.fft.irfft(np.fft.rfft(b, size) * np.conj(np.fft.rfft(a, size)), size)[: len(b) - len(a) + 1]
    energy = np.cumsum(np.append(0.0, np.square(b, dtype=np.float64)))
    stretch = energy[len(a) :] - energy[: -len(a)]
    return float(np.max(product / np.sqrt(np.maximum(stretch, 1e-9) * float(a @ a))))


def gone(pid: int) -> bool:
    """No such process, or only its entry that nobody has reaped."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def carrier() -> socket.socket:
    """A UDP socket that says only what a test makes it say."""
    far = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    far.bind(("127.0.0.1", 0))
    far.setblocking(False)
    return far


async def received(far: socket.socket, method: bytes) -> tuple[bytes, tuple[str, int]]:
    while True:
        packet, sender = await asyncio.get_running_loop().sock_recvfrom(far, 8192)
        if packet.startswith(method):
            return packet, sender


def reply(request: bytes, status: str, *, extra: str = "", sdp: socket.socket | None = None) -> bytes:
    """A response to `request`; `sdp`: with PCMU to and from that socket."""
    kept = [h for h in request.decode().split("\r\n") if h.split(":")[0] in ("Via", "From", "Call-ID", "CSeq")]
    to = next(h for h in request.decode().split("\r\n") if h.startswith("To:")) + ";tag=far"
    body = ""
    if sdp:
        body = f"v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio {sdp.getsockname()[1]} RTP/AVP 0\r\n"
        extra += "Contact: <sip:far@127.0.0.1>\r\nContent-Type: application/sdp\r\n"
    head = "\r\n".join([f"SIP/2.0 {status}", *kept, to])
    return f"{head}\r\n{extra}Content-Length: {len(body)}\r\n\r\n{body}".encode()
