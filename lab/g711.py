"""G.711: 16-bit samples to one byte each and back, by the µ-law (PCMU) and the A-law (PCMA).

Decides: nothing; the recommendation does. Refuses to know: rates, frames, who sends what to whom.

A code is a sign, one of eight segments, each twice as coarse as the one below it, and one of sixteen steps in the segment.
Of a sample only the upper 14 bits are looked at, of these the magnitude; so does PJSIP, whose tables these are to the bit.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_BIAS = 33
"""Added by the µ-law, so that its segments begin at powers of two."""
_HIGHEST_U, _HIGHEST_A = 8191, 4095


class Law:
    """One of the two laws. codes: by sample, taken as unsigned. levels: the sample that each code stands for."""

    def __init__(self, codes: NDArray[np.uint8], levels: NDArray[np.int16]) -> None:
        self._codes, self._levels = codes, levels

    def encode(self, pcm: bytes) -> bytes:
        """One byte for each 16-bit sample of `pcm`."""
        return np.take(self._codes, np.frombuffer(pcm, "<u2")).tobytes()

    def decode(self, codes: bytes) -> bytes:
        """16-bit PCM, one sample for each byte of `codes`."""
        return np.take(self._levels, np.frombuffer(codes, np.uint8)).tobytes()


def _segment(magnitude: NDArray[np.int64], first_end: int) -> NDArray[np.int64]:
    """0 below `first_end`, 1 below twice that, and so on to 7."""
    return np.searchsorted(first_end << np.arange(7), magnitude, side="right")


def _mu_law() -> Law:
    magnitude = np.minimum(np.abs(_ALL_SAMPLES >> 2) + _BIAS, _HIGHEST_U)
    segment = _segment(magnitude, 64)
    codes = (segment << 4) | ((magnitude >> (segment + 1)) & 15)
    exponent, step = (_ALL_CODES >> 4) & 7, _ALL_CODES & 15
    levels = (((2 * step + _BIAS) << exponent) - _BIAS) << 2
    return _law(codes, levels, positive=0xFF, negative=0x7F)


def _a_law() -> Law:
    magnitude = np.minimum(np.abs(_ALL_SAMPLES >> 2) >> 1, _HIGHEST_A)
    segment = _segment(magnitude, 32)
    codes = (segment << 4) | ((magnitude >> np.maximum(segment, 1)) & 15)
    exponent, step = (_ALL_CODES >> 4) & 7, _ALL_CODES & 15
    levels = np.where(exponent == 0, 2 * step + 1, (2 * step + 33) << np.maximum(exponent - 1, 0)) << 3
    return _law(codes, levels, positive=0xD5, negative=0x55)


def _law(codes: NDArray[np.int64], levels: NDArray[np.int64], *, positive: int, negative: int) -> Law:
    """positive, negative: the bits that the wire has the other way round, the sign among them."""
    wire = np.where(_ALL_SAMPLES >= 0, codes ^ positive, codes ^ negative)
    plain = _ALL_CODES ^ negative
    samples = np.where(_ALL_CODES & 0x80, levels[plain & 0x7F], -levels[plain & 0x7F])
    return Law(wire.astype(np.uint8), samples.astype("<i2"))


_ALL_SAMPLES = np.arange(1 << 16, dtype=np.uint16).view(np.int16).astype(np.int64)
_ALL_CODES = np.arange(256)

PCMU, PCMA = _mu_law(), _a_law()
