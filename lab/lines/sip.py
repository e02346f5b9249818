"""The parent's side of a softphone: starts the worker process, speaks to it, makes `Line`s of its legs.

Decides: what crosses the socket between the two processes, and what becomes of a call whose worker died.
Refuses to know: PJSIP (lines/softphone.py does), what is said on a call.

The socket is a SEQPACKET pair, so packets keep their order and borders, and either side sees the other one die as end of
file. Packets that begin with `{` are JSON; the others open with a one-byte kind and the leg's number:

    parent -> worker   {"do": "place", "leg": 1, …}   ring, answer, hang_up, duck, spoil, quit   SAY + pcm   HUSH
    worker -> parent   {"leg": 1, "signal": {…}}      facts, incoming, ready, fault   TICK + frame heard + frame spoken

The parent numbers the legs it places 1, 3, 5…; the worker numbers those that come in 2, 4, 6…

In lockstep the parent is the clock. A worker says STEP when it has told all and waits; the parent's STEP, behind its orders,
lets it make one tick. Both sides block meanwhile, so no call time passes and it does not matter who is how fast.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import socket
import struct
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import IO, Any, Literal

from lab.errors import LineError
from lab.ports import LINE_RATES, Codec, Signal, Tick

Clock = Literal["real", "lockstep"]

LEG = struct.Struct("<cI")
"""Head of SAY and HUSH: kind, leg."""
TICK = struct.Struct("<cIIQQ?")
"""Head of a tick: kind, leg, index, samples played, samples dropped, live."""
SAY, HUSH, TICKED, STEP = b"s", b"h", b"t", b"k"

_FRAME_SECONDS = 0.02
_LARGEST_SAY = 16 * 1024
_SOCKET_BUFFER = 1 << 20
_LARGEST_PACKET = 1 << 16
_START_SECONDS = 10.0
_STEP_SECONDS = 10.0
"""A worker in lockstep that is silent for so long hangs, and is killed."""
_QUIT_SECONDS = 3.0


class Link:
    """One end of the socket. Sending does not block: what the socket does not take now waits here, in order.

    patience: seconds to wait for the other side; 0 never, None for ever. In lockstep each side waits for the other's STEP,
    and for room: whoever is not at work itself is reading.
    """

    def __init__(self, end: socket.socket, patience: float | None = 0.0) -> None:
        end.settimeout(patience)
        for size in (socket.SO_SNDBUF, socket.SO_RCVBUF):
            end.setsockopt(socket.SOL_SOCKET, size, _SOCKET_BUFFER)
        self.socket = end
        self.closed = False
        """The other side is gone; all it had sent has been received."""
        self._waiting: deque[bytes] = deque()

    def send(self, packet: bytes) -> bool:
        """Send, or queue behind what waits already. True when nothing waits any more."""
        self._waiting.append(packet)
        return self.flush()

    def flush(self) -> bool:
        """Send what waits. True when nothing waits any more."""
        while self._waiting:
            try:
                self.socket.send(self._waiting[0])
            except BlockingIOError:
                return False
            except OSError:  # nobody reads any more; receive() tells
                self._waiting.clear()
                return True
            self._waiting.popleft()
        return True

    def receive(self) -> Iterator[bytes]:
        """All packets that have come; in lockstep all up to the other side's STEP. Raises TimeoutError when none comes."""
        while not self.closed:
            try:
                packet = self.socket.recv(_LARGEST_PACKET)
            except BlockingIOError:
                return
            except ConnectionResetError:  # it died with packets unread; what it had sent is still to be had
                continue
            if packet == STEP:
                return
            if packet:
                yield packet
            else:
                self.closed = True


class SipLine:
    """One leg of a softphone: a `lab.ports.Line`."""

    def __init__(self, phone: Softphone, leg: int) -> None:
        self.rate = phone.rate
        self._phone = phone
        self._leg = leg
        self._ticks: asyncio.Queue[Tick] = asyncio.Queue()
        self._signals: list[Signal] = []
        self._facts: dict[str, Any] = {}
        self._next, self._played, self._dropped = 0, 0, 0

    async def ticks(self) -> AsyncIterator[Tick]:
        """One per 20 ms from the INVITE; ends after the tick that carries `ended` or `lost`."""
        while True:
            tick = await self._ticks.get()
            yield tick
            if _last(tick):
                return

    def say(self, pcm: bytes) -> None:
        """Queue audio of any length behind what is queued already; it starts when the call is answered."""
        head = LEG.pack(SAY, self._leg)
        for start in range(0, len(pcm), _LARGEST_SAY):
            self._phone._send(head + pcm[start : start + _LARGEST_SAY])

    def hush(self) -> None:
        """Throw away what is queued and not yet played."""
        self._phone._send(LEG.pack(HUSH, self._leg))

    def duck(self, decibels: float) -> None:
        """From the next frame on, what is said goes out softer by so much, 0 being full level. Nothing of it is lost."""
        self._phone._order("duck", self._leg, decibels=decibels)

    def spoil(self, loss: float) -> None:
        """From now on lose this share, 0 to 1, of the packets in both directions; the far end notices, too.

        In lockstep which ones depends on their place in the call, and on which of the softphone's calls it is.
        """
        self._phone._order("spoil", self._leg, loss=loss)

    def ring(self) -> None:
        """Called side: 180."""
        self._phone._order("ring", self._leg)

    def answer(self) -> None:
        """Called side: 200."""
        self._phone._order("answer", self._leg)

    def hang_up(self, code: int = 0) -> None:
        """CANCEL, BYE, or on the called side before the answer the refusal `code` (0: 603)."""
        self._phone._order("hang_up", self._leg, code=code)

    def facts(self) -> Mapping[str, Any]:
        """Ids, addresses, codec, RTP counts, clock; JSON-serialisable, units in the keys. Final after the last tick."""
        return {**self._facts, "worker": {"pid": self._phone.pid, "faults": list(self._phone.faults)}}

    def _deliver(self, tick: Tick) -> None:
        self._next, self._played, self._dropped = tick.index + 1, tick.played, tick.dropped
        self._ticks.put_nowait(tick)

    def _ticked(self, packet: bytes) -> Tick:
        _, _, index, played, dropped, live = TICK.unpack_from(packet)
        middle = (TICK.size + len(packet)) // 2
        signals, self._signals = tuple(self._signals), []
        tick = Tick(index, packet[TICK.size : middle], packet[middle:], played, dropped, live, signals)
        self._deliver(tick)
        return tick

    def _lost(self, reason: str) -> None:
        silence = bytes(self.rate // 50 * 2)
        signals = (*self._signals, Signal("lost", reason=reason))
        self._deliver(Tick(self._next, silence, silence, self._played, self._dropped, False, signals))


def _last(tick: Tick) -> bool:
    return any(s.kind in ("ended", "lost") for s in tick.signals)


@dataclass(frozen=True, slots=True)
class IncomingCall:
    """An INVITE that waits for `line.ring()`, `line.answer()` or `line.hang_up(code)`."""

    line: SipLine
    to_number: str
    """User part of the Request-URI."""
    from_number: str
    display: str
    headers: Mapping[str, str]
    """All X- headers, by their name as it was written."""


class Softphone:
    """A user agent in a worker process of its own, on 127.0.0.1, for at most four calls at a time.

    Made by `start`, ended by `close`, used from one event loop.
    """

    def __init__(
        self, name: str, codec: Codec, process: subprocess.Popen[bytes], link: Link, errors: IO[bytes]
    ) -> None:
        self.name = name
        self.rate = LINE_RATES[codec]
        """Hz of all audio."""
        self.port = 0
        """Of SIP, UDP."""
        self.pid = process.pid
        self.alive = True
        self.faults: list[str] = []
        """Errors inside the worker that did not end it."""
        self._process, self._link, self._errors = process, link, errors
        self._legs: dict[int, SipLine] = {}
        self._placed = itertools.count(1, 2)
        self._calls: asyncio.Queue[IncomingCall | None] = asyncio.Queue()
        self._loop = asyncio.get_running_loop()
        self._ready: asyncio.Future[int] = self._loop.create_future()
        self._gone = asyncio.Event()
        self._pidfd = os.pidfd_open(process.pid)
        self._loop.add_reader(self._pidfd, self._exited)

    @classmethod
    async def start(
        cls, *, name: str, codec: Codec = "pcmu", port: int = 0, lockstep: Lockstep | None = None
    ) -> Softphone:
        """Start a worker on SIP port `port` (0: any free one).

        codec: offered first. lockstep: what it takes its steps from; None: its own clock, in real time.
        Raises LineError when the port is taken or the worker does not come up.
        """
        phone = cls(name, codec, *_spawn(codec, port, "lockstep" if lockstep else "real"))
        try:
            async with asyncio.timeout(_START_SECONDS):
                if lockstep:
                    await lockstep._join(phone)
                else:
                    phone._loop.add_reader(phone._link.socket, phone._receive)
                phone.port = await phone._ready
        except TimeoutError:
            raise LineError(f"softphone did not start within {_START_SECONDS:.0f} s", where=name) from None
        finally:
            if not phone.port:
                await phone._kill()
        return phone

    def place(
        self, to: str, *, from_number: str, display: str = "", headers: Mapping[str, str] = MappingProxyType({})
    ) -> SipLine:
        """Send an INVITE to the SIP URI `to`. What goes wrong with it ends the line; nothing is raised."""
        line = SipLine(self, next(self._placed))
        if not self.alive:
            line._lost("softphone worker is gone")
            return line
        self._legs[line._leg] = line
        self._order("place", line._leg, to=to, user=from_number, display=display, headers=dict(headers))
        return line

    async def incoming(self) -> IncomingCall:
        """The next call that comes in. Raises LineError when the worker is gone."""
        call = await self._calls.get()
        if call is None:
            self._calls.put_nowait(None)  # whoever asks next learns it too
            raise LineError("softphone worker is gone", where=self.name, hint="start a new softphone")
        return call

    async def close(self) -> None:
        """Hang up all calls, end the worker, wait until it is gone. May be called twice."""
        self._order("quit")
        try:
            async with asyncio.timeout(_QUIT_SECONDS):
                await self._gone.wait()
        except TimeoutError:
            await self._kill()

    async def _kill(self) -> None:
        if self.alive:
            self._process.kill()
            await self._gone.wait()

    # -- to the worker

    def _order(self, do: str, leg: int = 0, **more: Any) -> None:
        self._send(json.dumps({"do": do, "leg": leg, **more}).encode())

    def _send(self, packet: bytes) -> None:
        if self.alive and not self._link.send(packet):
            self._loop.add_writer(self._link.socket, self._flush)

    def _flush(self) -> None:
        if self._link.flush():
            self._loop.remove_writer(self._link.socket)

    def _step(self) -> None:
        """In lockstep: one tick of the worker, all it tells taken in. Blocks; a worker that ends or hangs is reaped."""
        self._send(STEP)
        try:
            self._receive()
        except TimeoutError:
            self._process.kill()
            self._exited()
        else:
            if self._link.closed:
                self._exited()

    # -- from the worker

    def _receive(self) -> None:
        for packet in self._link.receive():
            if packet.startswith(TICKED):
                leg = LEG.unpack_from(packet)[1]
                if _last(self._legs[leg]._ticked(packet)):
                    del self._legs[leg]
            else:
                self._told(**json.loads(packet))
        if self._link.closed:
            self._loop.remove_reader(self._link.socket)  # the exit follows; _exited tells what there is to tell

    def _told(
        self,
        leg: int = 0,
        signal: Mapping[str, Any] | None = None,
        facts: Mapping[str, Any] | None = None,
        incoming: Mapping[str, Any] | None = None,
        ready: int = 0,
        failed: Mapping[str, str] | None = None,
        fault: str = "",
    ) -> None:
        if incoming:
            self._legs[leg] = SipLine(self, leg)
            self._calls.put_nowait(IncomingCall(self._legs[leg], **incoming))
        if signal:
            self._legs[leg]._signals.append(Signal(**signal))
        if facts:
            self._legs[leg]._facts = dict(facts)
        if fault:
            self.faults.append(fault)
        if self._ready.done():
            return
        if ready:
            self._ready.set_result(ready)
        elif failed:
            self._ready.set_exception(LineError(**failed, where=self.name))

    def _exited(self) -> None:
        """The process is gone: take what it had sent, reap it, tell everybody who waits."""
        self._receive()
        self._loop.remove_writer(self._link.socket)
        self._loop.remove_reader(self._link.socket)
        self._loop.remove_reader(self._pidfd)
        self._link.socket.close()
        os.close(self._pidfd)
        self.alive = False
        how = f"softphone worker died ({_how(self._process.wait())}){_last_line(self._errors)}"
        self._errors.close()
        for line in self._legs.values():
            line._lost(how)
        self._legs.clear()
        self._calls.put_nowait(None)
        if not self._ready.done():
            self._ready.set_exception(LineError(how, where=self.name, hint="`callctl doctor` looks for the cause"))
        self._gone.set()


class Lockstep:
    """Softphones that step together in the event loop's time: with `lab.pace` fast or fixed, real SIP and RTP in call time.

    Use as an async context manager that outlives its softphones. Every 20 ms of call time each worker, in the order of their
    start, takes in its orders and what came over the network, and makes one tick; then the event loop runs until idle. So
    the same orders give the same ticks.

    What stays on the wall clock: PJSIP's own timers (retransmission, no answer to an INVITE) and what it measures with them,
    jitter and round trip. On loopback nothing is sent twice, and those figures mean nothing here.
    """

    def __init__(self) -> None:
        self._phones: list[Softphone] = []

    async def __aenter__(self) -> Lockstep:
        self._steps = asyncio.ensure_future(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.gather(*(phone.close() for phone in self._phones))
        self._steps.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._steps

    async def _join(self, phone: Softphone) -> None:
        """Wait until the worker waits for its first step."""
        await asyncio.sleep(0)  # softphones that start beside it spawn their workers too, before anybody blocks
        phone._receive()
        self._phones.append(phone)

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        start = loop.time()
        for index in itertools.count(1):
            await asyncio.sleep(start + index * _FRAME_SECONDS - loop.time())
            self._phones = [phone for phone in self._phones if phone.alive]
            for phone in self._phones:
                phone._step()


def _spawn(codec: Codec, port: int, clock: Clock) -> tuple[subprocess.Popen[bytes], Link, IO[bytes]]:
    """A worker, our end of its socket, and the file that takes what a crash prints."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    errors = tempfile.TemporaryFile()  # noqa: SIM115  lives as long as the worker
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "lab.lines.softphone", str(theirs.fileno()), codec, str(port), clock],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            start_new_session=True,  # Ctrl-C is for the parent, which decides how calls end
        )
    return process, Link(ours, _STEP_SECONDS if clock == "lockstep" else 0.0), errors


def _how(status: int) -> str:
    return f"signal {-status}" if status < 0 else f"exit {status}"


def _last_line(errors: IO[bytes]) -> str:
    errors.seek(0)
    lines = errors.read().decode(errors="replace").split("\n")
    return next((f": {line.strip()}" for line in reversed(lines) if line.strip()), "")
