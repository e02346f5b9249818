"""How punctual the line's 20 ms are while models compute: the worst tick, and how many came late.

Decides: what computes meanwhile. Refuses to know: what a late tick does to a call.
"""

from __future__ import annotations

import asyncio
import threading
from contextlib import AsyncExitStack
from typing import Any

from lab import audio
from lab.lines.sip import SipLine, Softphone
from lab.ports import Recognizer, Tick

LATE_MS = 10.0
"""As the softphone counts it."""


async def run(seconds: float, recognizer: Recognizer | None) -> dict[str, Any]:
    """A call of so many seconds, with sound both ways; `recognizer` hears all the while, None for an idle machine.

    worst, late: of the worse leg; seconds, and ticks over `LATE_MS` milliseconds. Raises LineError.
    """
    pcm = audio.noise(seconds, 8000, -30.0, 0)
    stop = threading.Event()
    busy = asyncio.to_thread(_compute, recognizer, stop) if recognizer else None
    computing = asyncio.ensure_future(busy) if busy else None
    try:
        async with AsyncExitStack() as stack:
            phones = [await Softphone.start(name=name) for name in ("bench's caller", "bench's called side")]
            for phone in phones:
                stack.push_async_callback(phone.close)
            here = phones[0].place(f"sip:bench@127.0.0.1:{phones[1].port}", from_number="bench")
            there = (await phones[1].incoming()).line
            there.answer()
            await asyncio.gather(_speak(here, pcm, hangs_up=True), _speak(there, pcm, hangs_up=False))
            clocks = [leg.facts()["clock"] for leg in (here, there)]
    finally:
        stop.set()
        if computing is not None:
            await computing
    return {
        "ticks": min(clock["ticks"] for clock in clocks),
        "worst": round(max(clock["worst_tick_ms"] for clock in clocks) / 1000, 4),
        "late": max(clock["late_ticks"] for clock in clocks),
    }


async def _speak(line: SipLine, pcm: bytes, *, hangs_up: bool) -> None:
    line.say(pcm)
    async for tick in line.ticks():
        if hangs_up and _said(tick, pcm):
            line.hang_up()


def _said(tick: Tick, pcm: bytes) -> bool:
    return tick.played >= len(pcm) // audio.SAMPLE_BYTES


def _compute(recognizer: Recognizer, stop: threading.Event) -> None:
    words = audio.noise(3.0, 16000, -20.0, 1)
    while not stop.is_set():
        list(recognizer.hear(words, 16000, stop=stop))
