"""A line that loses packets: real RTP that does not arrive, in lockstep the same packets on every run."""

from __future__ import annotations

import asyncio
import itertools
import re
import socket
from threading import Event

import pytest

from lab import events
from lab.call import Call, Part
from lab.engines.scripted import ScriptedVoice, read_tones
from lab.floor import Endpointing, Manners
from lab.lines.softphone import _Transport
from lab.pace import Pace
from lab.ports import ToolCall

from .sides import Side, carrier, connect, dial, hang_up, in_step, leaping, phones, real, received, reply
from .test_lockstep import engines, story

pytestmark = pytest.mark.sip

PATIENT = Manners(endpointing=Endpointing.fixed(0.6), barge_in=0.4, words=False)

TEXT = "The quick brown fox jumps over the lazy dog. " * 4
WORDS = b"".join(ScriptedVoice().speak(TEXT, 8000, Event()))


async def goes_on(side: Side, frames: int) -> None:
    last = side.ticks[-1].index + frames
    await side.until(lambda side: side.ticks[-1].index >= last)


def lost(side: Side) -> int:
    """Packets that did not reach this end."""
    count: int = side.line.facts()["rtp"]["lost"]
    return count


async def spoilt(before: int, loss: float, during: int, after: int) -> tuple[Side, Side]:
    """A call in which both ends speak, for so many frames before, during and after the loss. The called end spoils it."""
    async with in_step() as (a, b):
        here, there = await connect(a, b)
        here.line.say(WORDS)
        there.line.say(WORDS)
        await goes_on(there, before)
        there.line.spoil(loss)
        await goes_on(there, during)
        there.line.spoil(0.0)
        await goes_on(there, after)
        await hang_up(here, there)
    return here, there


@leaping
async def test_the_share_is_lost_both_ways() -> None:
    here, there = await spoilt(0, 0.2, 300, 10)
    assert 40 < lost(here) < 80
    assert 40 < lost(there) < 80
    assert here.heard() != there.heard()


@leaping
async def test_a_percent_is_a_percent_and_all_is_all() -> None:
    here, there = await spoilt(0, 0.01, 300, 10)
    assert 0 < lost(here) + lost(there) < 20
    here, there = await spoilt(50, 1.0, 30, 50)
    assert (lost(here), lost(there)) == (30, 30)


@leaping
async def test_it_ends_when_told() -> None:
    for side in await spoilt(100, 0.5, 100, 250):
        assert 35 <= lost(side) <= 65
        heard = read_tones(side.heard(), 8000)
        assert heard.startswith(TEXT[:25])
        assert "?" in heard
        assert TEXT[90:135] in heard


@leaping
async def test_the_same_call_loses_the_same_packets_and_more_loss_takes_more() -> None:
    runs = [await spoilt(20, loss, 150, 20) for loss in (0.2, 0.2, 0.4)]
    once, again, more = ([side.heard() for side in run] for run in runs)
    assert once == again
    assert once != more
    assert all(lost(little) < lost(much) for little, much in zip(runs[0], runs[2], strict=True))


LINE, END = "Good. Now the next one of my long lines.", ToolCall("end_call")


def talk(loss: float) -> tuple[list[events.Event], list[events.Event]]:
    """A call whose called end spoils the line before it rings: the log of the bot, that of the customer."""
    ours, theirs, count = list[events.Event](), list[events.Event](), itertools.count(1)
    pace = Pace("fixed")

    async def main() -> None:
        async with in_step() as (a, b):

            async def answer() -> None:
                incoming = await b.incoming()
                incoming.line.spoil(loss)
                incoming.line.ring()
                part = Part(me="customer", manners=PATIENT, answers_after=0.5)
                words = engines(lambda heard: ["I heard every word of what you have said to me."], pace)
                await Call(part, incoming.line, words, pace, emit=theirs.append).run()

            line = a.place(f"sip:+12025550123@127.0.0.1:{b.port}", from_number="+12025550100")
            part = Part(me="bot", manners=PATIENT, opening="Hello, this is Robin.")
            words = engines(lambda heard: [LINE, END] if next(count) == 4 else [LINE], pace)
            await asyncio.gather(Call(part, line, words, pace, emit=ours.append).run(), answer())

    pace.run(main)
    return ours, theirs


def test_a_conversation_goes_on_over_a_bad_line_and_is_the_same_each_time() -> None:
    (ours, theirs), again = talk(0.3), talk(0.3)
    assert [story(log) for log in again] == [story(ours), story(theirs)]
    for log, far_log, far in ((ours, theirs, "customer"), (theirs, ours, "bot")):
        understood, said = ([e.text for e in x if isinstance(e, events.Said) and e.who == far] for x in (log, far_log))
        assert len(set(understood) - set(said)) > 2
    assert any("?" in e.text for e in ours if isinstance(e, events.Said) and e.who == "customer")
    assert next(e for e in ours if isinstance(e, events.Ended)).cause == "end_call"


@real
async def test_packets_are_lost_in_real_time_too() -> None:
    async with phones() as (a, b):
        here, there = await connect(a, b)
        here.line.spoil(0.5)
        await goes_on(here, 100)
        await hang_up(here, there)
    assert all(25 < lost(side) < 75 for side in (here, there))


def rtp_came(at: socket.socket) -> int:
    count = 0
    while True:
        try:
            count += at.recv(8192)[0] == 0x80
        except BlockingIOError:
            return count


@leaping
async def test_a_re_invite_does_not_mend_the_line() -> None:
    async with in_step(1) as (a,):
        with carrier() as far, carrier() as media, carrier() as moved:
            here = dial(a, far.getsockname()[1])
            here.line.spoil(1.0)
            invite, phone = await received(far, b"INVITE")
            far.sendto(reply(invite, "200 OK", sdp=media), phone)
            await here.saw("answered")
            await goes_on(here, 50)
            assert rtp_came(media) == 0

            head = {k: v for k, _, v in (h.partition(": ") for h in invite.decode().split("\r\n"))}
            offer = re.sub(r"m=audio \d+", f"m=audio {moved.getsockname()[1]}", invite.decode().split("\r\n\r\n")[1])
            again = [
                f"INVITE {head['Contact'].strip('<>')} SIP/2.0",
                f"Via: SIP/2.0/UDP 127.0.0.1:{far.getsockname()[1]};branch=z9hG4bKagain",
                f"From: {head['To']};tag=far",
                f"To: {head['From']}",
                f"Call-ID: {head['Call-ID']}",
                "CSeq: 1 INVITE",
                "Contact: <sip:far@127.0.0.1>",
                "Content-Type: application/sdp",
                f"Content-Length: {len(offer)}",
            ]
            far.sendto(("\r\n".join(again) + "\r\n\r\n" + offer).encode(), phone)
            await received(far, b"SIP/2.0 200")
            await goes_on(here, 50)
            assert rtp_came(moved) == 0
            here.line.spoil(0.0)
            await goes_on(here, 50)
            assert rtp_came(moved) == 50
            assert rtp_came(media) == 0


def test_another_pjsip_is_refused() -> None:
    with pytest.raises(RuntimeError, match=r"PJSIP 2\.16 .*install pjsua2-python"):
        _Transport.check("2.16")
