"""PCM helpers. Audio is 16-bit signed little-endian mono in bytes; rates are in Hz; a frame is 20 ms.

Decides: the frame's length and how rates are changed. Refuses to know: where audio comes from or goes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

FRAME_SECONDS = 0.02
SAMPLE_BYTES = 2

Samples = NDArray[np.int16]

_OCTAVES = 8
"""Of noise: white noise held for 1, 2, 4… samples, added up."""


def frame_bytes(rate: int) -> int:
    """Bytes of one 20 ms frame at `rate` Hz (8000 -> 320, 16000 -> 640)."""
    return rate // 50 * SAMPLE_BYTES


def silence(seconds: float, rate: int) -> bytes:
    """`seconds` of digital silence at `rate` Hz, rounded to a whole sample."""
    return bytes(round(seconds * rate) * SAMPLE_BYTES)


def seconds(pcm: bytes, rate: int) -> float:
    """Length of `pcm` in seconds."""
    return len(pcm) / SAMPLE_BYTES / rate


def samples(pcm: bytes) -> Samples:
    """`pcm` as a read-only int16 array."""
    return np.frombuffer(pcm, dtype="<i2")


def floats(pcm: bytes) -> NDArray[np.float32]:
    """`pcm` as float32 in [-1, 1)."""
    return samples(pcm).astype(np.float32) / 32768.0


def from_floats(audio: NDArray[np.float32]) -> bytes:
    """Float audio in [-1, 1] as PCM, clipped."""
    return (np.clip(audio, -1.0, 32767 / 32768) * 32768.0).astype("<i2").tobytes()


def resample(pcm: bytes, source: int, target: int) -> bytes:
    """The whole of `pcm` from `source` to `target` Hz (soxr, high quality). Not for streams cut in pieces."""
    if source == target or not pcm:
        return pcm
    import soxr  # 25 ms to import: only when a rate really changes

    out: Samples = soxr.resample(samples(pcm), source, target)
    return out.astype("<i2").tobytes()


def level_db(pcm: bytes) -> float:
    """RMS level in dB full scale; -120.0 for silence or nothing."""
    wide = samples(pcm).astype(np.int64)
    energy = int(wide @ wide)  # of whole numbers: exact, and a third of the time of numpy's mean
    return max(-120.0, 10.0 * math.log10(energy / len(wide) / 32768**2)) if energy else -120.0


def noise(seconds: float, rate: int, level_db: float, seed: int) -> bytes:
    """Noise like that of a room or a street, the softer the higher (pink).

    level_db: RMS in dB full scale, at most -15; kept within 1 dB from 1 s on. The same on every machine, as it is made of
    whole numbers alone.
    """
    length = round(seconds * rate)
    peak = round(10 ** (level_db / 20) * 32768 * (3 / _OCTAVES) ** 0.5)
    random = np.random.RandomState(seed)  # not a Generator: its stream never changes between versions of numpy
    total = np.zeros(length, np.int16)
    for held in (1 << octave for octave in range(_OCTAVES)):
        steps: Samples = random.randint(-peak, peak + 1, length // held + 1, dtype=np.int16)
        total += np.repeat(steps, held)[:length]
    return total.astype("<i2").tobytes()


def factor(decibels: float) -> float:
    """What a level is multiplied with to become so many dB softer."""
    return float(10 ** (-decibels / 20))


def scaled(pcm: bytes, begin: float, end: float) -> bytes:
    """`pcm` times a factor, 0 to 1, that goes evenly from `begin` to `end`."""
    if begin == end == 1.0:
        return pcm
    wave = samples(pcm)
    return (wave * np.linspace(begin, end, len(wave))).astype("<i2").tobytes()


def mix(one: bytes, other: bytes) -> bytes:
    """Both at once, clipped. They are of the same length."""
    both: NDArray[np.int32] = np.clip(samples(one).astype(np.int32) + samples(other), -32768, 32767)
    return both.astype("<i2").tobytes()


def frames(pcm: bytes, rate: int) -> Iterator[bytes]:
    """`pcm` in 20 ms frames; the last one is filled up with silence."""
    size = frame_bytes(rate)
    for start in range(0, len(pcm), size):
        yield pcm[start : start + size].ljust(size, b"\0")
