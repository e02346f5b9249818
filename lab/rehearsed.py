"""A voice that remembers what it has said.

Decides: what is kept, and how much. Refuses to know: who speaks, and why a line is spoken before it is needed.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import replace

from lab import audio
from lab.ports import Stop, Voice

MOST = 1200.0
"""Seconds of sound kept; what was asked for longest ago goes first. At 8 kHz they are 19 MB."""


class Rehearsed:
    """A Voice. What another one has made of a text is given again at once; a text that was stopped is not kept."""

    def __init__(self, voice: Voice) -> None:
        self.facts = replace(voice.facts, remembers=True)
        self._voice = voice
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[str, int], tuple[bytes, ...]] = OrderedDict()
        self._seconds = 0.0

    def speak(self, text: str, rate: int, stop: Stop) -> Iterator[bytes]:
        """As the voice does. Two threads that ask for the same at once both have it made."""
        with self._lock:
            known = self._kept.get((text, rate))
            if known is not None:
                self._kept.move_to_end((text, rate))
        if known is not None:
            yield from known
            return
        pieces = []
        for piece in self._voice.speak(text, rate, stop):
            pieces.append(piece)
            yield piece
        if not stop.is_set():
            self._keep((text, rate), tuple(pieces))

    def _keep(self, what: tuple[str, int], pieces: tuple[bytes, ...]) -> None:
        with self._lock:
            self._seconds -= self._length(what)
            self._kept[what] = pieces
            self._seconds += self._length(what)
            while self._seconds > MOST:
                oldest = next(iter(self._kept))
                self._seconds -= self._length(oldest)
                del self._kept[oldest]

    def _length(self, what: tuple[str, int]) -> float:
        return sum(audio.seconds(piece, what[1]) for piece in self._kept.get(what, ()))
