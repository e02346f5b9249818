"""The customer's ear: what a customer of ours said and received, kept, and the latencies as they were there.

Decides: which sound in the ear is which reply of the bot's. Refuses to know: how the customer came to speak, and the bot's own figures
beyond the moment of each reply.

How the two ends are brought together: each counts its own frames from the answer as it saw it. The bot's voice is in both
recordings, so the shift at which its levels fit best is the shift of the clocks, transport included.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from lab import events, voiced
from lab.ports import Tick
from lab.record import EAR_WAV, StereoWav, disk
from lab.voiced import BLOCK_SECONDS, Channel, End

_EARLY, _LATE = 0.06, 0.30
"""Seconds around a reply's moment, shifted, in which its first voiced sample is looked for."""
_AFTER_YIELD = round(0.4 / BLOCK_SECONDS)
"""Blocks after we stopped, in which our last sample reaches the ear."""


class Ear:
    """Use as a context manager; `tick` takes each tick of the customer's line.

    folder: of the call, for ear.wav (left what the customer said, right what it heard); None keeps no file.
    """

    def __init__(self, folder: Path | None, rate: int) -> None:
        self.end = End(Channel(), Channel())
        self._folder = folder or Path()
        with disk(self._folder):
            self._wav = StereoWav(folder / EAR_WAV, rate) if folder else None
        self._answered = False

    def __enter__(self) -> Ear:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._wav is not None:
            with disk(self._folder):
                self._wav.close()

    def tick(self, tick: Tick) -> None:
        self._answered = self._answered or any(signal.kind == "answered" for signal in tick.signals)
        if not self._answered or not tick.live:
            return
        self.end.customer.feed(tick.spoken)
        self.end.bot.feed(tick.heard)
        if self._wav is not None:
            with disk(self._folder):
                self._wav.append(tick.spoken, tick.heard)


def facts(log: Sequence[events.Event], inside: End, ear: End) -> Iterator[events.Event]:
    """What the customer's end tells after the call: replies, yields, and how both voices went together.

    inside: the bot's end of the same call.
    """
    answered = next((e.at for e in log if isinstance(e, events.Answered)), None)
    if answered is None or not len(inside.bot) or not len(ear.bot):
        return
    behind = voiced.shift(inside.bot.levels, ear.bot.levels)
    customer, bot = voiced.voiced(ear.customer.levels), voiced.voiced(ear.bot.levels)

    def block(at: float) -> int:
        return round((at - answered) / BLOCK_SECONDS) + behind

    for event in log:
        if isinstance(event, events.ReplyGap) and (gap := _gap(ear, block(event.at))) is not None:
            yield events.ReplyHeard(at=log[-1].at, turn=event.turn, answers=event.answers, seconds=gap)
        elif isinstance(event, events.Interrupted):
            at = block(event.at)
            onset = ear.customer.onset(at)
            sounding = np.flatnonzero(bot[max(0, (onset or at) - 1) : at + _AFTER_YIELD])
            if onset is None or not sounding.size:
                continue
            last = onset - 1 + int(sounding[-1]) + 1
            together = int(np.count_nonzero(customer[onset:last] & bot[onset:last]))
            yield events.YieldHeard(
                at=log[-1].at,
                turn=event.turn,
                by=event.by,
                yield_latency=voiced.seconds(last - onset),
                talk_over=voiced.seconds(together),
            )
    both, none = customer & bot, ~customer & ~bot
    yield events.EarFacts(at=log[-1].at, overlap=_stretches(both, 0.3), dead_air=_stretches(none, 3.0))


def _gap(ear: End, moment: int) -> float | None:
    onset = ear.bot.first_voiced(moment - round(_EARLY / BLOCK_SECONDS), moment + round(_LATE / BLOCK_SECONDS))
    last = ear.customer.last_voiced(onset) if onset is not None else None
    return voiced.seconds(onset - (last + 1)) if onset is not None and last is not None else None


def _stretches(marked: NDArray[np.bool_], shortest: float) -> float:
    """Seconds in stretches of at least `shortest` seconds."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], marked.astype(np.int8), [0]])))
    lengths = edges[1::2] - edges[::2]
    return voiced.seconds(int(lengths[lengths >= round(shortest / BLOCK_SECONDS)].sum()))
