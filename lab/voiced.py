"""When a voice really sounded: the energy of both channels of one end of a call, 5 ms at a time.

Decides: which 5 ms are voiced, and how far two recordings of one call are shifted. Refuses to know: turns, events, files.

A detector judges chunks of 32 ms, late at the beginning and later at the end; latencies are counted from sound itself. A block is
voiced when it is louder than `AUDIBLE_DB` and stands `_ABOVE_NOISE` dB out of the channel's noise: the level that one block in
twenty of the last seconds stays below.
"""

from __future__ import annotations

import math
from array import array
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lab import audio

BLOCK_SECONDS = 0.005
PER_FRAME = round(audio.FRAME_SECONDS / BLOCK_SECONDS)
AUDIBLE_DB = -50.0
_ABOVE_NOISE = 14.0
_NOISE_SECONDS = 4.0
_LONGEST_SHIFT = 1.0
"""Seconds that the two ends of a call may have been answered apart."""

_APART = round(0.25 / BLOCK_SECONDS)
"""Blocks of silence between two stretches of one voice that count as two."""

Levels = NDArray[np.float32]


class Channel:
    """The levels of one direction, dB of full scale, a frame at a time."""

    def __init__(self) -> None:
        self._levels = array("f")

    def feed(self, frame: bytes) -> None:
        wave = audio.samples(frame).astype(np.int64).reshape(PER_FRAME, -1)
        for energy in np.einsum("ij,ij->i", wave, wave).tolist():
            mean = energy / wave.shape[1] / 32768**2
            self._levels.append(10.0 * math.log10(mean) if mean > 1e-12 else -120.0)

    def __len__(self) -> int:
        return len(self._levels)

    @property
    def levels(self) -> Levels:
        return np.array(self._levels, np.float32)

    def last_voiced(self, until: int) -> int | None:
        """The last voiced block before block `until`, looking back as far as the noise is known."""
        first = max(0, until - round(_NOISE_SECONDS / BLOCK_SECONDS))
        voiced = np.flatnonzero(_voiced(np.array(self._levels[first:until], np.float32)))
        return first + int(voiced[-1]) if voiced.size else None

    def first_voiced(self, since: int, until: int) -> int | None:
        """The first voiced block from block `since` on."""
        first = max(0, until - round(_NOISE_SECONDS / BLOCK_SECONDS))
        voiced = np.flatnonzero(_voiced(np.array(self._levels[first:until], np.float32)))
        found = voiced[voiced + first >= since]
        return first + int(found[0]) if found.size else None

    def onset(self, until: int) -> int | None:
        """Where the voice began that sounds at block `until`, or shortly before: the first voiced block after `_APART` without."""
        first = max(0, until - round(_NOISE_SECONDS / BLOCK_SECONDS))
        found = np.flatnonzero(_voiced(np.array(self._levels[first:until], np.float32)))
        if not found.size:
            return None
        breaks = np.flatnonzero(np.diff(found) > _APART)
        return first + int(found[breaks[-1] + 1] if breaks.size else found[0])


@dataclass(frozen=True, slots=True)
class End:
    """Both directions as one end of the call had them, from the answer on there."""

    customer: Channel
    bot: Channel


def seconds(block: int) -> float:
    """Of a block's beginning, or of the end of the one before it."""
    return round(block * BLOCK_SECONDS, 3)


def voiced(levels: Levels) -> NDArray[np.bool_]:
    """Which blocks of a whole channel are voiced."""
    size = round(_NOISE_SECONDS / BLOCK_SECONDS)
    out = np.zeros(len(levels), bool)
    for first in range(0, len(levels), size):  # noise changes slowly: judged by the stretch before and around
        around = levels[max(0, first - size) : first + 2 * size]
        out[first : first + size] = levels[first : first + size] > _threshold(around)
    return out


def shift(inside: Levels, ear: Levels) -> int:
    """Blocks by which `ear` lies behind `inside`, both being the bot's voice: where they fit best."""
    longest = round(_LONGEST_SHIFT / BLOCK_SECONDS)
    a, b = np.clip(inside, -70, 0) + 70, np.clip(ear, -70, 0) + 70
    size = 1 << (len(a) + len(b)).bit_length()
    both = np.fft.irfft(np.conj(np.fft.rfft(a - a.mean(), size)) * np.fft.rfft(b - b.mean(), size), size)
    near = np.concatenate([both[-longest:], both[: longest + 1]])
    return int(np.argmax(near)) - longest


def _voiced(levels: Levels) -> NDArray[np.bool_]:
    return np.asarray(levels > _threshold(levels)) if len(levels) else np.zeros(0, bool)


def _threshold(levels: Levels) -> float:
    there = levels[levels > -119.0]
    noise = float(np.percentile(there, 5)) if len(there) >= 40 and len(there) > 0.9 * len(levels) else -120.0
    return max(AUDIBLE_DB, noise + _ABOVE_NOISE)
