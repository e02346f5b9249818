"""Softphones call each other: real SIP and RTP on loopback, real worker processes, in real time."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import struct
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import psutil
import pytest

from lab import audio
from lab.errors import LineError
from lab.lines.sip import Codec, IncomingCall, Softphone
from lab.ports import Line, Signal, Tick

pytestmark = pytest.mark.sip


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
async def phones(count: int = 2, codec: Codec = "pcmu") -> AsyncIterator[list[Softphone]]:
    started = await asyncio.gather(*(Softphone.start(name=f"phone{n}", codec=codec) for n in range(count)))
    try:
        yield started
    finally:
        await asyncio.gather(*(phone.close() for phone in started))
        assert [phone.faults for phone in started] == [[]] * count


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
    """Run an async test in an event loop of its own."""

    def run() -> None:
        asyncio.run(asyncio.wait_for(test(), 20))

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


@pytest.mark.parametrize(
    ("codec", "rate", "name"), [("pcmu", 8000, "PCMU"), ("pcma", 8000, "PCMA"), ("g722", 16000, "G722")]
)
def test_audio_passes_both_ways_intact(codec: Codec, rate: int, name: str) -> None:
    @real
    async def run() -> None:
        async with phones(codec=codec) as (a, b):
            here, there = await connect(a, b)
            up, down = sweep(0.8, rate, 300, rate * 0.4), sweep(0.8, rate, rate * 0.4, 300)
            here.line.say(up)
            there.line.say(down)
            await here.until(lambda s: s.ticks[-1].played == len(up) // 2)
            await there.until(lambda s: s.ticks[-1].played == len(down) // 2)
            out = here.ticks[-1].index
            await here.until(lambda s: s.ticks[-1].index > out + 5)
            await hang_up(here, there)
            assert here.signals("answered")[0].codec == there.signals("answered")[0].codec == name
            assert here.line.rate == rate
            assert up in here.spoken()
            assert down in there.spoken()
            assert intact(up, there.heard(), rate) >= 0.8
            assert intact(down, here.heard(), rate) >= 0.8
            facts = here.line.facts()
            assert facts["codec"] == name
            assert facts["rtp"]["received"] > 30
            assert facts["rtp"]["lost"] == 0
            assert facts["sip_call_id"] == there.line.facts()["sip_call_id"]
            assert facts["clock"]["ticks"] == len(here.ticks)
            json.dumps([facts, there.line.facts()])

    run()


@real
async def test_every_sample_said_is_played_or_dropped() -> None:
    async with phones() as (a, b):
        here, there = await connect(a, b)
        first, second = sweep(3, 8000, 300, 3000), sweep(0.3, 8000, 3000, 300)
        here.line.say(first)
        await here.until(lambda s: s.ticks[-1].played >= 1600)
        here.line.hush()
        here.line.say(second)
        await here.until(lambda s: s.ticks[-1].played + s.ticks[-1].dropped == (len(first) + len(second)) // 2)
        await hang_up(here, there)
        kept = here.ticks[-1].played * 2 - len(second)
        assert 3200 <= kept < 3200 + 10 * 320
        assert first[:kept] + second in here.spoken()


@real
async def test_what_is_said_before_the_answer_waits_for_it() -> None:
    async with phones() as (a, b):
        here = dial(a, b.port)
        tone = sweep(0.5, 8000, 400, 2000)
        here.line.say(tone)
        there, _ = await called(b)
        there.line.say(tone)
        there.line.ring()
        await here.saw("ringing")
        await here.until(lambda s: s.ticks[-1].index > 10)
        assert here.ticks[-1].played == there.ticks[-1].played == 0
        there.line.answer()
        for side in (here, there):
            await side.until(lambda s: s.ticks[-1].played == len(tone) // 2)
        mark = here.ticks[-1].index
        await here.until(lambda s: s.ticks[-1].index > mark + 5)
        await hang_up(here, there)
        assert intact(tone, here.heard()) >= 0.8
        assert intact(tone, there.heard()) >= 0.8


@real
async def test_caller_hangs_up() -> None:
    async with phones() as (a, b):
        here, there = await connect(a, b)
        ours, theirs = await hang_up(here, there)
        assert (ours.kind, ours.by, theirs.kind, theirs.by) == ("ended", "here", "ended", "there")


@real
async def test_called_side_hangs_up() -> None:
    async with phones() as (a, b):
        here, there = await connect(a, b)
        theirs, ours = await hang_up(there, here)
        assert (ours.kind, ours.by, theirs.kind, theirs.by) == ("ended", "there", "ended", "here")


@real
async def test_both_sides_log_every_message() -> None:
    async with phones() as (a, b):
        here = dial(a, b.port, display='Ana "the boss"', headers={"X-Campaign": "spring", "X-Tries": "2"})
        there, call = await called(b)
        assert (call.to_number, call.from_number, call.display) == ("+12025550123", "+12025550100", 'Ana "the boss"')
        assert call.headers == {"X-Campaign": "spring", "X-Tries": "2"}
        there.line.ring()
        assert (await here.saw("ringing")).code == 180
        there.line.answer()
        assert (await here.saw("answered")).code == 200
        await hang_up(here, there)
        for side in (here, there):
            starts = [first.split(" sip:")[0] for first in side.messages()]
            assert starts == [
                "INVITE", "SIP/2.0 100 Trying", "SIP/2.0 180 Ringing", "SIP/2.0 200 OK", "ACK", "BYE", "SIP/2.0 200 OK",
            ]  # fmt: skip
        assert [s.by for s in here.signals("message")] == ["here", "there", "there", "there", "here", "here", "there"]
        assert "\r\n\r\nv=0\r\n" in here.signals("message")[0].raw
        assert here.ticks[0].signals[-1].kind == "calling"


@real
async def test_refusals() -> None:
    async with phones() as (a, b):
        for code in (486, 603, 404):
            here = dial(a, b.port)
            there, _ = await called(b)
            there.line.hang_up(code)
            ours, theirs = await here.end(), await there.end()
            assert (ours.kind, ours.code, ours.by) == ("ended", code, "there")
            assert (theirs.kind, theirs.code, theirs.by) == ("ended", code, "here")
            assert not here.signals("answered")


@real
async def test_cancel_while_it_rings() -> None:
    async with phones() as (a, b):
        here = dial(a, b.port)
        there, _ = await called(b)
        there.line.ring()
        await here.saw("ringing")
        ours, theirs = await hang_up(here, there)
        assert (ours.kind, ours.code, ours.by) == ("ended", 487, "here")
        assert (theirs.kind, theirs.code, theirs.by) == ("ended", 487, "there")


@real
async def test_cancel_at_once_reaches_the_far_end() -> None:
    async with phones() as (a, b):
        here = dial(a, b.port)
        here.line.hang_up()
        there, _ = await called(b)
        ours, theirs = await here.end(), await there.end()
        assert (ours.code, ours.by, theirs.code, theirs.by) == (487, "here", 487, "there")


@real
async def test_early_media_is_heard_and_a_reason_is_read() -> None:
    async with phones(1) as (a,):
        with carrier() as far:
            here = dial(a, far.getsockname()[1])
            here.line.say(sweep(1, 8000, 300, 3000))
            invite, caller = await received(far, b"INVITE")
            rtp = int(re.search(rb"m=audio (\d+)", invite)[1])  # type: ignore[index]
            far.sendto(reply(invite, "183 Session Progress", sdp=far), caller)
            assert (await here.saw("early_media")).codec == "PCMU"
            tone = bytes([0x80, 0x80, 0x00, 0x00] * 40)
            for n in range(20):
                far.sendto(struct.pack(">BBHII", 0x80, 0, n, n * 160, 7) + tone, ("127.0.0.1", rtp))
                await asyncio.sleep(0.02)
            assert audio.level_db(here.heard()) > -40
            assert here.ticks[-1].live
            assert here.ticks[-1].played == 0
            why = 'Reason: Q.850;cause=1;text="Unallocated number"\r\n'
            far.sendto(reply(invite, "404 Not Found", extra=why), caller)
            end = await here.end()
            assert (end.code, end.reason, end.by) == (404, "Unallocated number", "there")


@real
async def test_a_fifth_call_is_busy_by_itself() -> None:
    async with phones(3) as (a, b, c):
        callers = [dial(a, c.port) for _ in range(4)]
        sides = [(await called(c))[0] for _ in callers]
        fifth = await dial(b, c.port).end()
        assert (fifth.code, fifth.by) == (486, "there")
        for side in sides:
            side.line.hang_up(480)
        assert [(await caller.end()).code for caller in callers] == [480] * 4


@real
async def test_what_pjsip_refuses_ends_the_line() -> None:
    async with phones(1) as (a,):
        end = await Side(a.place("no uri at all", from_number="1")).end()
        assert (end.kind, end.code) == ("ended", 0)
        assert "URI" in end.reason


@real
async def test_nobody_listens() -> None:
    with carrier() as silent:
        async with phones(1) as (a,):
            end = await dial(a, silent.getsockname()[1]).end()
            assert (end.kind, end.code, end.by) == ("ended", 408, "")


@real
async def test_a_killed_worker_is_lost_and_the_far_end_can_hang_up() -> None:
    async with phones() as (a, b):
        here, there = await connect(a, b)
        began = time.monotonic()
        os.kill(a.pid, signal.SIGKILL)
        lost = await here.end()
        assert time.monotonic() - began < 0.5
        assert (lost.kind, lost.reason) == ("lost", "softphone worker died (signal 9)")
        assert not a.alive
        assert here.line.facts()["sip_call_id"] == there.line.facts()["sip_call_id"]
        with pytest.raises(LineError):
            await a.incoming()
        assert (await dial(a, b.port).end()).kind == "lost"
        there.line.hang_up()
        end = await there.end()
        assert (end.kind, end.by) == ("ended", "here")


@real
async def test_closing_hangs_up_and_leaves_nothing() -> None:
    async with phones() as (a, b):
        here, there = await connect(a, b)
        await a.close()
        assert gone(a.pid)
        assert ((await here.end()).by, (await there.end()).by) == ("here", "there")
        await a.close()


@real
async def test_a_taken_port_is_one_clear_error() -> None:
    with carrier() as taken:
        port = taken.getsockname()[1]
        with pytest.raises(LineError) as error:
            await Softphone.start(name="bot", port=port)
    assert f"SIP port {port} is taken" in str(error.value)
    assert error.value.hint
    assert error.value.exit_code == 3


PARENT = """
import asyncio, sys
from lab.lines.sip import Softphone

async def main():
    bot, idle = await Softphone.start(name="bot"), await Softphone.start(name="idle")
    line = bot.place(f"sip:+12025550123@127.0.0.1:{sys.argv[1]}", from_number="+12025550100")
    print(bot.pid, idle.pid, flush=True)
    async for _ in line.ticks(): pass

asyncio.run(main())
"""


@real
async def test_workers_do_not_outlive_their_parent() -> None:
    async with phones(1) as (b,):
        parent = await asyncio.create_subprocess_exec(
            sys.executable, "-c", PARENT, str(b.port), stdout=asyncio.subprocess.PIPE
        )
        there, _ = await called(b)
        there.line.answer()
        await there.saw("answered")
        assert parent.stdout
        workers = [int(pid) for pid in (await parent.stdout.readline()).split()]
        assert not any(gone(pid) for pid in workers)
        parent.kill()
        died = time.monotonic()
        end = await there.end()
        assert (end.kind, end.by) == ("ended", "there")
        assert "BYE" in there.messages()[-2]
        while not all(gone(pid) for pid in workers):
            assert time.monotonic() - died < 2
            await asyncio.sleep(0.02)
        await parent.wait()


@real
async def test_a_terminated_worker_says_bye() -> None:
    async with phones() as (a, b):
        here, there = await connect(a, b)
        os.kill(a.pid, signal.SIGTERM)
        assert (await there.end()).by == "there"
        assert (await here.end()).by == "here"


@real
async def test_calls_one_after_another_leave_nothing_behind() -> None:
    me = psutil.Process()
    counts = set()
    async with phones() as (a, b):
        for n in range(6):
            here, there = await connect(a, b)
            here.line.say(sweep(0.2, 8000, 300, 3000))
            await here.until(lambda s: s.ticks[-1].index > 30)
            await hang_up(here, there)
            if n:  # the first call opens what is opened once
                counts.add((me.num_fds(), len(me.children()), *(psutil.Process(p.pid).num_fds() for p in (a, b))))
            assert not a._legs
            assert not b._legs
        assert len(counts) == 1


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
