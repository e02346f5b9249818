"""Whose voice is on the line: somebody's, or our own come back.

Decides: whether the newest sound heard is what we said ourselves, later and softer, so that we never give way to our echo.
Refuses to know: what is voice and what is noise, who has the floor, what makes a line echo.

How this works
1.  The newest quarter of a second heard is laid beside what was spoken at each delay up to 0.6 s: how alike are they there,
    -1 to 1? Frames hardly louder than the line's own noise are left out, so a word that has just begun is compared as it is.
    Bands of the spectrum count almost the same, loud or soft: by their loudest tones alone any two vowels are alike.
2.  An echo keeps its path, while another voice is like ours by chance, now at one delay, now at another. So these curves are
    added up, the older the less. What stands out of the sum is the path, a room's echoes of the echo with it; from then on
    it is likeness along the path that counts. No sound is judged by a path learnt from it.
3.  Until there is a path, and when it changes, great likeness at whatever delay will do.
4.  The path tells how loud the echo must be. Who is much louder is somebody, however much of our echo is under it, and stays
    somebody a moment longer: words have soft sounds too.
"""

from __future__ import annotations

import math
from collections import deque
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lab.audio import floats

_Audio = NDArray[np.floating[Any]]

_RATE = 8000
"""Hz at which sounds are compared: what a wider line carries above is of no use here."""
_FRAME = _RATE // 50
_WINDOW, _DELAYS = 12, 30
"""Frames heard that are compared, and frames of delay they are compared at."""
_SIZE = (_WINDOW + _DELAYS) * _FRAME
_LOUDNESS = 5
"""Newest frames by which loudness is judged."""

_SILENCE = 10 ** (-66 / 10)
"""Energy a sample, of full scale, below which there is nothing to judge."""
_NOISE, _SOFTEST = 150, 1.3
"""Frames whose softest is taken for the line's noise, and how much more energy than it noise has on the whole."""
_AUDIBLE, _FEWEST = 3.0, 4
"""Times the noise's energy from which a frame is compared, and how many such frames it takes."""

_BAND = 120
"""Steps of the spectrum in one band: 143 Hz."""
_WHITENING = 0.4
"""How alike bands are made: 0 leaves their energy as it is, 0.5 makes it the same."""

_BEFORE, _AFTER = _RATE * 8 // 1000, _RATE * 52 // 1000
"""Samples of delay that belong to the path, on both sides of the strongest."""
_FADING, _FADING_UNLIKE = 0.9, 0.6
"""What is left of the path when the next curve is added, a quarter of a second later at the earliest."""
_ALIKE = 0.25
"""Likeness along the path, from which it is an echo."""
_ALIKE_ANYWHERE, _ALIKE_AT_FIRST = 0.45, 0.25
"""The same at any one delay, when there is a path and when there is none."""

_AT_FIRST = -10.0
"""dB: an echo is taken to be no louder than this, of what was spoken, before one has been heard."""
_LOUDER, _MUCH_LOUDER = 8.0, 20.0
"""dB above the echo's level from which it is somebody, and above which it does not matter how much."""
_FORGETTING = 0.95
"""What is left, a frame later, of the dB by which somebody was louder."""
_FALL, _RISE, _CREEP = 0.3, 0.1, 0.03
"""dB by which the echo's level is corrected at a time: down, up, and up towards what somebody may have said over it."""


class Echo:
    """The ear for our own voice on one side of one call. Feed `step` once a frame, in order.

    rate: Hz of the line, a multiple of 8000.
    """

    def __init__(self, rate: int) -> None:
        self._each = rate // _RATE
        self._mean = np.full(self._each, 1 / self._each, np.float32)
        silence = np.zeros(_FRAME, np.float32)
        self._heard: deque[_Audio] = deque([silence] * _WINDOW, _WINDOW)
        self._spoken: deque[_Audio] = deque([silence] * (_WINDOW + _DELAYS), _WINDOW + _DELAYS)
        self._energies: deque[float] = deque(maxlen=_NOISE)
        """Of a sample, by frame heard."""
        self._frame = 0
        self._asked = 0
        """The frame of the newest question."""
        self._path = _Path()
        self._alike = False
        self._level: float | None = None
        """Of the echo: dB over what was spoken."""
        self._louder = 0.0
        """dB over the echo, fading."""
        self._ours = False

    def step(self, heard: bytes, spoken: bytes) -> None:
        """The frame that came and the one that left in the same 20 ms, 16-bit mono at the line's rate."""
        self._frame += 1
        newest = self._narrow(heard)
        self._energies.append(float(newest @ newest) / _FRAME)
        self._heard.append(newest)
        self._spoken.append(self._narrow(spoken))

    def ours(self) -> bool:
        """Is the voice heard now our echo, and nobody's beside it? Ask only when there is voice: it takes some 0.2 ms.

        Of a sound hardly louder than the line's noise it says what it said of the sound before.
        """
        if len(self._energies) < _WINDOW:
            return False
        energies = np.array(self._energies)
        noise, loudness = max(_SILENCE, _SOFTEST * energies.min()), energies[-_LOUDNESS:].mean()
        spoken = np.concatenate(self._spoken)
        if not spoken.any():
            self._ours = False
            return False
        if loudness < _SILENCE:
            return self._ours  # a detector of voice takes some frames to notice that there is none any more
        audible = energies[-_WINDOW:] > _AUDIBLE * noise
        if loudness < _AUDIBLE * noise or audible.sum() < _FEWEST:
            return self._ours
        curve = _likeness(np.concatenate(self._heard) * np.repeat(audible, _FRAME), spoken)
        self._path.learn(curve, self._frame)
        self._alike = self._path.alike(curve, float(audible.mean()))
        self._compare(loudness - noise, self._path.brings(spoken))
        self._ours = self._alike and self._louder < _LOUDER
        return self._ours

    def _narrow(self, frame: bytes) -> _Audio:
        wide = floats(frame)
        return wide if self._each == 1 else wide.reshape(-1, self._each) @ self._mean

    def _compare(self, heard: float, unsoftened: float | None) -> None:
        """How much louder than the echo is it? Both are energies a sample."""
        self._louder *= _FORGETTING ** (self._frame - self._asked)
        self._asked = self._frame
        if unsoftened is None:
            return
        level = _decibels(heard) - _decibels(unsoftened)
        if self._level is None:
            if not self._alike:
                return
            self._level = min(level, _AT_FIRST)
        above = level - self._level
        self._louder = max(self._louder, min(above, _MUCH_LOUDER))
        if self._alike:
            self._level += max(-_FALL, min(above, _RISE if above < _LOUDER else _CREEP))


class _Path:
    """By which delays our voice comes back: a sum of curves of likeness."""

    def __init__(self) -> None:
        self._sum: _Audio = np.zeros(_DELAYS * _FRAME + 1)
        self._next: tuple[int, _Audio] | None = None
        """The curve to be added, and its frame."""
        self._delays = slice(0, 0)
        """Those of the path; none before it is known."""
        self._fading = _FADING

    def learn(self, curve: _Audio, frame: int) -> None:
        """Add the curve before this, once no sound is in both."""
        if self._next is None:
            self._next = frame, curve
        elif frame - self._next[0] >= _WINDOW:
            self._sum = self._fading * self._sum + self._next[1]
            self._next = frame, curve
            strongest = int(np.argmax(np.abs(self._sum)))
            self._delays = slice(max(0, strongest - _BEFORE), strongest + _AFTER)

    def alike(self, curve: _Audio, audible: float) -> bool:
        """Does `curve` show our voice? audible: share of the window that was compared; chance likes short sounds."""
        path = self._sum[self._delays]
        anywhere = float(np.abs(curve).max())
        if not len(path):
            return anywhere > min(_ALIKE_ANYWHERE, _ALIKE_AT_FIRST / math.sqrt(audible))
        weights = path * np.abs(path)
        along = float(curve[self._delays] @ weights) > _ALIKE * math.sqrt(weights @ weights)
        self._fading = _FADING if along else _FADING_UNLIKE
        return along or anywhere > _ALIKE_ANYWHERE

    def brings(self, spoken: _Audio) -> float | None:
        """Energy a sample of what the path now brings back of `spoken`, as if it did not soften it; None: no path yet."""
        shares = np.square(self._sum[self._delays])
        if not len(shares):
            return None
        sums = np.concatenate([[0.0], np.cumsum(np.square(spoken))])
        ends = _SIZE - self._delays.start - np.arange(len(shares))
        length = _LOUDNESS * _FRAME
        return float((sums[ends] - sums[ends - length]) @ shares / shares.sum() / length)


_TINY = 1e-12
"""Keeps silence from being divided by."""


def _likeness(heard: _Audio, spoken: _Audio) -> _Audio:
    """Correlation, -1 to 1, of `heard` with `spoken` by samples of delay, the spectrum of `heard` made flat."""
    sound, ours = np.fft.rfft(heard, _SIZE), np.fft.rfft(spoken)
    bands = np.square(np.abs(sound[1:])).reshape(-1, _BAND).mean(axis=1)
    flat = np.concatenate([[0.0], np.repeat((bands + 1e-3 * bands.mean() + _TINY) ** -_WHITENING, _BAND)])
    sound *= flat
    ours *= flat
    products = np.fft.irfft(ours * np.conj(sound), _SIZE)[: _DELAYS * _FRAME + 1]
    sums = np.concatenate([[0.0], np.cumsum(np.square(np.fft.irfft(ours, _SIZE)))])
    energies = sums[_WINDOW * _FRAME :] - sums[: _DELAYS * _FRAME + 1]
    energy = 2 * np.vdot(sound, sound).real / _SIZE
    curve: _Audio = products / np.sqrt(energy * np.maximum(energies, 0.01 * energies.max() + _TINY))
    return curve[::-1]


def _decibels(energy: float) -> float:
    return 10 * math.log10(max(energy, _SILENCE))
