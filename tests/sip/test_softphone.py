"""Softphones call each other: real SIP and RTP on loopback, real worker processes.

In real time is what is about real time, or about processes that die; the rest runs in lockstep, in call time.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import struct
import sys
import time

import psutil
import pytest

from lab import audio
from lab.errors import LineError
from lab.lines.sip import Softphone
from lab.ports import Codec

from .sides import (
    Side,
    called,
    carrier,
    connect,
    dial,
    gone,
    hang_up,
    in_step,
    intact,
    leaping,
    phones,
    real,
    received,
    reply,
    sweep,
)

pytestmark = pytest.mark.sip


async def both_ways(a: Softphone, b: Softphone, rate: int, name: str) -> float:
    """Say something on both ends at once. The share of it that arrived intact, of the worse direction."""
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
    facts = here.line.facts()
    assert facts["codec"] == name
    assert facts["rtp"]["received"] > 30
    assert facts["rtp"]["lost"] == 0
    assert facts["sip_call_id"] == there.line.facts()["sip_call_id"]
    assert facts["clock"]["ticks"] == len(here.ticks)
    json.dumps([facts, there.line.facts()])
    return min(intact(up, there.heard(), rate), intact(down, here.heard(), rate))


@real
async def test_audio_passes_both_ways_in_real_time() -> None:
    async with phones() as (a, b):
        assert await both_ways(a, b, 8000, "PCMU") >= 0.8


@pytest.mark.parametrize(
    ("codec", "rate", "name", "share"),
    [
        ("pcmu", 8000, "PCMU", 1.0),
        ("pcma", 8000, "PCMA", 1.0),
        ("g722", 16000, "G722", 7 / 8),  # two bits a sample above 4 kHz: a loud start there is not quite itself
    ],
)
def test_audio_passes_both_ways_intact(codec: Codec, rate: int, name: str, share: float) -> None:
    @leaping
    async def run() -> None:
        async with in_step(codec=codec) as (a, b):
            assert await both_ways(a, b, rate, name) >= share

    run()


@leaping
async def test_every_sample_said_is_played_or_dropped() -> None:
    async with in_step() as (a, b):
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


@leaping
async def test_what_is_said_before_the_answer_waits_for_it() -> None:
    async with in_step() as (a, b):
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


@leaping
async def test_caller_hangs_up() -> None:
    async with in_step() as (a, b):
        here, there = await connect(a, b)
        ours, theirs = await hang_up(here, there)
        assert (ours.kind, ours.by, theirs.kind, theirs.by) == ("ended", "here", "ended", "there")


@leaping
async def test_called_side_hangs_up() -> None:
    async with in_step() as (a, b):
        here, there = await connect(a, b)
        theirs, ours = await hang_up(there, here)
        assert (ours.kind, ours.by, theirs.kind, theirs.by) == ("ended", "there", "ended", "here")


@leaping
async def test_both_sides_log_every_message() -> None:
    async with in_step() as (a, b):
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


@leaping
async def test_refusals() -> None:
    async with in_step() as (a, b):
        for code in (486, 603, 404):
            here = dial(a, b.port)
            there, _ = await called(b)
            there.line.hang_up(code)
            ours, theirs = await here.end(), await there.end()
            assert (ours.kind, ours.code, ours.by) == ("ended", code, "there")
            assert (theirs.kind, theirs.code, theirs.by) == ("ended", code, "here")
            assert not here.signals("answered")


@leaping
async def test_cancel_while_it_rings() -> None:
    async with in_step() as (a, b):
        here = dial(a, b.port)
        there, _ = await called(b)
        there.line.ring()
        await here.saw("ringing")
        ours, theirs = await hang_up(here, there)
        assert (ours.kind, ours.code, ours.by) == ("ended", 487, "here")
        assert (theirs.kind, theirs.code, theirs.by) == ("ended", 487, "there")


@leaping
async def test_cancel_at_once_reaches_the_far_end() -> None:
    async with in_step() as (a, b):
        here = dial(a, b.port)
        here.line.hang_up()
        there, _ = await called(b)
        ours, theirs = await here.end(), await there.end()
        assert (ours.code, ours.by, theirs.code, theirs.by) == (487, "here", 487, "there")


@leaping
async def test_early_media_is_heard_and_a_reason_is_read() -> None:
    async with in_step(1) as (a,):
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


@leaping
async def test_a_fifth_call_is_busy_by_itself() -> None:
    async with in_step(3) as (a, b, c):
        callers = [dial(a, c.port) for _ in range(4)]
        sides = [(await called(c))[0] for _ in callers]
        fifth = await dial(b, c.port).end()
        assert (fifth.code, fifth.by) == (486, "there")
        for side in sides:
            side.line.hang_up(480)
        assert [(await caller.end()).code for caller in callers] == [480] * 4


@leaping
async def test_what_pjsip_refuses_ends_the_line() -> None:
    async with in_step(1) as (a,):
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


@leaping
async def test_calls_one_after_another_leave_nothing_behind() -> None:
    me = psutil.Process()
    counts = set()
    async with in_step() as (a, b):
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
