"""Softphones in lockstep: the same worker processes, SIP and RTP, in call time that leaps, the same on every run."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import sys
import time
from collections.abc import Callable
from typing import TypeVar

import pytest

from lab import events
from lab.call import Call, Engines, Part
from lab.dialogue import Brief, Dialogue
from lab.engines.scripted import ScriptedDetector, ScriptedEars, ScriptedResponder, ScriptedVoice
from lab.errors import LineError
from lab.floor import Endpointing, Manners
from lab.lines.sip import Lockstep, Softphone
from lab.pace import Pace
from lab.ports import Responder, ToolCall

from .sides import called, connect, dial, gone, hang_up, in_step, leaping, phones, real

pytestmark = pytest.mark.sip

PATIENT = Manners(endpointing=Endpointing.fixed(0.6), barge_in=0.4, words=False)

T = TypeVar("T")
Answer = Callable[[str], list[str | ToolCall]]


def ready(engine: T) -> asyncio.Future[T]:
    future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
    future.set_result(engine)
    return future


def engines(answer: Answer, pace: Pace) -> Engines:
    mind: asyncio.Future[Responder] = ready(ScriptedResponder(answer))
    return Engines(ready(ScriptedEars()), Dialogue(Brief(), mind, pace), ready(ScriptedVoice()), ScriptedDetector())


def talk(replies: int) -> tuple[list[events.Event], list[events.Event], float]:
    """A call over SIP: the log of the bot, that of the customer, and the wall seconds from the INVITE to the end."""
    pace, ours, theirs = Pace("fixed"), list[events.Event](), list[events.Event]()
    count = itertools.count(1)

    def bot(heard: str) -> list[str | ToolCall]:
        number = next(count)
        end = [ToolCall("end_call")] if number == replies else []
        return [f"You said: {heard[:12]}. This is reply {number}.", *end]

    def customer(heard: str) -> list[str | ToolCall]:
        return [f"I heard {heard[-24:]}"]

    async def main() -> float:
        async with in_step() as (a, b):

            async def answer() -> None:
                incoming = await b.incoming()
                incoming.line.ring()
                part = Part(me="customer", manners=PATIENT, answers_after=0.5)
                await Call(part, incoming.line, engines(customer, pace), pace, emit=theirs.append).run()

            began = time.monotonic()
            line = a.place(f"sip:+12025550123@127.0.0.1:{b.port}", from_number="+12025550100")
            part = Part(me="bot", manners=PATIENT, opening="Hello, this is Robin. How are you?")
            await asyncio.gather(Call(part, line, engines(bot, pace), pace, emit=ours.append).run(), answer())
            return time.monotonic() - began

    return ours, theirs, pace.run(main)


def story(log: list[events.Event]) -> list[str]:
    """The log without what names this run: ports, tags, Call-ID, packet timing by the wall clock."""
    return [events.to_line(e) for e in log if not isinstance(e, events.SipMessage | events.LineFacts)]


def test_a_call_of_a_minute_loses_nothing_and_is_the_same_each_time() -> None:
    runs = [talk(9) for _ in range(3)]
    for ours, theirs, _ in runs:
        assert ours[-1].at > 60
        said = [e for e in ours if isinstance(e, events.Said)]
        assert len(said) == 1 + 2 * 9
        assert said[-1].text in [e.text for e in theirs if isinstance(e, events.Said)]
        for log in (ours, theirs):
            facts = log[-1]
            assert isinstance(facts, events.LineFacts)
            rtp, jitter_buffer = facts.facts["rtp"], facts.facts["jitter_buffer"]
            assert rtp["received"] > 50 * 60
            assert (rtp["lost"], rtp["discarded"]) == (0, 0)
            assert (jitter_buffer["lost_frames"], jitter_buffer["discarded_frames"]) == (0, 0)
    for ours, theirs, _ in runs[1:]:
        assert story(ours) == story(runs[0][0])
        assert story(theirs) == story(runs[0][1])


@pytest.mark.prove
def test_a_call_of_a_minute_takes_two_seconds() -> None:
    speeds = [ours[-1].at / wall for ours, _, wall in (talk(9) for _ in range(9))]
    assert max(speeds) >= 30, speeds


@leaping
async def test_every_message_comes_at_the_same_tick() -> None:
    ticks = set()
    async with in_step() as (a, b):
        for _ in range(8):
            here = dial(a, b.port)
            there, _ = await called(b)
            there.line.ring()
            await here.saw("ringing")
            there.line.answer()
            await asyncio.gather(here.saw("answered"), there.saw("answered"))
            await hang_up(here, there)
            ticks.add(
                tuple((t.index, s.kind, s.reason[:3]) for side in (here, there) for t in side.ticks for s in t.signals)
            )
    assert len(ticks) == 1


@leaping
async def test_call_time_passes_with_the_ticks_and_not_while_workers_start() -> None:
    loop = asyncio.get_running_loop()
    async with in_step() as (a, b):
        assert loop.time() == 0
        here, there = await connect(a, b)
        began, first = loop.time(), here.ticks[-1].index
        await here.until(lambda side: side.ticks[-1].index == first + 300)
        assert loop.time() - began == pytest.approx(6.0)
        await hang_up(here, there)


@leaping
async def test_more_calls_in_a_second_than_pjsip_has_sockets_for() -> None:
    async with in_step() as (a, b):
        for _ in range(33):
            here = dial(a, b.port)
            there, _ = await called(b)
            there.line.hang_up(486)
            assert (await here.end()).code == (await there.end()).code == 486


@leaping
async def test_a_killed_worker_is_lost_and_the_other_one_goes_on() -> None:
    async with in_step() as (a, b):
        here, there = await connect(a, b)
        os.kill(a.pid, signal.SIGKILL)
        lost = await here.end()
        assert (lost.kind, lost.reason) == ("lost", "softphone worker died (signal 9)")
        assert not a.alive
        there.line.hang_up()
        assert ((await there.end()).by, b.alive) == ("here", True)


@leaping
async def test_a_terminated_worker_says_bye() -> None:
    async with in_step() as (a, b):
        here, there = await connect(a, b)
        os.kill(a.pid, signal.SIGTERM)
        assert ((await here.end()).by, (await there.end()).by) == ("here", "there")


@leaping
async def test_leaving_ends_calls_and_workers_politely() -> None:
    async with Lockstep() as lockstep:
        a, b = [await Softphone.start(name=name, lockstep=lockstep) for name in "ab"]
        here, there = await connect(a, b)
        await a.close()
        assert gone(a.pid)
        assert ((await here.end()).by, (await there.end()).by) == ("here", "there")
    assert gone(b.pid)
    assert (a.faults, b.faults) == ([], [])


@leaping
async def test_a_taken_port_is_one_clear_error() -> None:
    async with Lockstep() as lockstep:
        first = await Softphone.start(name="first", lockstep=lockstep)
        with pytest.raises(LineError, match=f"SIP port {first.port} is taken"):
            await Softphone.start(name="second", port=first.port, lockstep=lockstep)
        await hang_up(*await connect(first, await Softphone.start(name="third", lockstep=lockstep)))


PARENT = """
import asyncio, sys
from lab.lines.sip import Lockstep, Softphone

async def main():
    async with Lockstep() as lockstep:
        bot, idle = [await Softphone.start(name=name, lockstep=lockstep) for name in ("bot", "idle")]
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
        assert (await there.end()).by == "there"
        while not all(gone(pid) for pid in workers):
            assert time.monotonic() - died < 2
            await asyncio.sleep(0.02)
        await parent.wait()
