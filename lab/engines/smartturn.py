"""Has somebody who fell silent finished, by the sound of it: Smart Turn v3, a small Whisper encoder with one answer.

Decides: which sound the model is shown, and in what form. Refuses to know: when it is asked, and how sure is sure enough.

It was trained on features of 8 s that end a little after the last word: what is shorter has digital silence before it, and
the level is evened out with that silence counted in. Telephone sound goes up to its rate in floats: rounded to 16 bits on the
way, the empty upper half of the spectrum fills with noise it never heard, and the answer moves by 0.05.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lab.audio import SAMPLE_BYTES, floats
from lab.engines.onnx import session
from lab.errors import ModelError
from lab.ports import EngineFacts, Stop

_RATE = 16000
_SECONDS = 8
_BINS, _FRAMES = 80, 800
_INPUT = "input_features"
_HINT = "fetch it again with `callctl models pull smart-turn-v3.2`"


class SmartTurn:
    """A Judge. Several threads may ask it at once.

    path:    the .onnx file
    name:    what the profile calls it, for the facts
    threads: of the inference

    Raises ModelError when the file is missing or damaged, or is another model's.
    """

    def __init__(self, path: Path, *, name: str, sha256: str | None = None, threads: int = 1) -> None:
        from faster_whisper.feature_extractor import FeatureExtractor

        self._session = session(path, threads=threads, hint=_HINT)
        taken, given = self._session.get_inputs(), self._session.get_outputs()
        if [(one.name, one.shape[1:]) for one in taken] != [(_INPUT, [_BINS, _FRAMES])] or given[0].shape[1:] != [1]:
            raise ModelError("an ONNX model, but no Smart Turn v3", where=str(path), hint=_HINT)
        self._mel = FeatureExtractor(feature_size=_BINS)
        self.facts = EngineFacts(
            "onnxruntime",
            name,
            sha256,
            version("onnxruntime"),
            {"threads": threads, "faster-whisper": version("faster-whisper")},
        )

    def finished(self, pcm: bytes, rate: int, stop: Stop) -> Iterator[float]:
        """The probability, 0 to 1, once; nothing when stopped. `stop` is looked at before and after the inference."""
        if stop.is_set():
            return
        shown = _evened(_window(pcm, rate))
        features = np.ascontiguousarray(self._mel(shown, padding=0)[np.newaxis], dtype=np.float32)
        (answer,) = self._session.run(None, {_INPUT: features})
        if not stop.is_set():
            yield float(answer[0, 0])


def _window(pcm: bytes, rate: int) -> NDArray[np.float32]:
    """The newest 8 s at the model's rate, digital silence before what is shorter."""
    audio = floats(pcm[-_SECONDS * rate * SAMPLE_BYTES :])
    if rate != _RATE:
        import soxr

        audio = soxr.resample(audio, rate, _RATE)
    audio = audio[-_SECONDS * _RATE :]
    return np.pad(audio, (_SECONDS * _RATE - len(audio), 0))


def _evened(audio: NDArray[np.float32]) -> NDArray[np.float32]:
    """`audio` with mean 0 and variance 1, as Whisper's features are not made for, and these are."""
    even: NDArray[np.float32] = (audio - audio.mean()) / np.sqrt(audio.var() + np.float32(1e-7))
    return even
