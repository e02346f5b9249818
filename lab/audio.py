"""PCM helpers. Audio is 16-bit signed little-endian mono in bytes; rates are in Hz; a frame is 20 ms.

Decides: the frame's length and how rates are changed. Refuses to know: where audio comes from or goes.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

FRAME_SECONDS = 0.02
SAMPLE_BYTES = 2

Samples = NDArray[np.int16]


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
    if not pcm:
        return -120.0
    rms = float(np.sqrt(np.mean(np.square(samples(pcm).astype(np.float64)))))
    return max(-120.0, 20.0 * float(np.log10(rms / 32768.0))) if rms > 0 else -120.0


def frames(pcm: bytes, rate: int) -> Iterator[bytes]:
    """`pcm` in 20 ms frames; the last one is filled up with silence."""
    size = frame_bytes(rate)
    for start in range(0, len(pcm), size):
        yield pcm[start : start + size].ljust(size, b"\0")
