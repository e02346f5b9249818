"""Speech to text by faster_whisper's own `transcribe()`: what our way of driving Whisper is measured against.

Decides: nothing; every setting but the model, the language and the threads is the library's. Refuses to know: calls, and that
there is another way.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path

from lab.audio import floats, resample
from lab.errors import ModelError
from lab.ports import EngineFacts, Stop

_RATE = 16000


class Transcribe:
    """A Recognizer. path: a folder as for lab.engines.whisper. Raises ModelError when it holds no such model."""

    def __init__(
        self, path: Path, *, name: str, language: str = "en", threads: int = 2, compute_type: str = "int8"
    ) -> None:
        from faster_whisper import WhisperModel

        try:
            self._model = WhisperModel(str(path), compute_type=compute_type, cpu_threads=threads)
        except (OSError, ValueError, RuntimeError) as error:
            raise ModelError(f"not usable as a Whisper model: {error}", where=str(path)) from error
        self._language = language
        self.facts = EngineFacts("faster-whisper transcribe()", name, None, version("faster-whisper"))

    def hear(self, pcm: bytes, rate: int, *, hints: Sequence[str] = (), stop: Stop) -> Iterator[str]:
        """The text of one utterance, once. pcm: 16-bit mono at `rate` Hz. hints: become the library's hot words."""
        if stop.is_set():
            return
        parts, _ = self._model.transcribe(
            floats(resample(pcm, rate, _RATE)), language=self._language, hotwords=", ".join(hints) or None
        )
        yield " ".join(part.text.strip() for part in parts)
