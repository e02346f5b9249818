"""Speech to text: Whisper weights in CTranslate2's format, driven on short windows.

Decides: how much silence the model is shown after an utterance, and when what it wrote is a loop or was made up.
Refuses to know: where an utterance begins and ends, and what its words mean.

How an utterance is heard:
1. Whisper was trained on 30 s windows and `faster_whisper.transcribe` always encodes 30 s. Here the window is the
   utterance and a pad, 8 s at least, which costs a quarter of that.
2. The shorter the pad, the less sure the decoder is that the utterance is over: it says it again. Letting it write when
   each sentence begins and ends cures that; faint noise over the whole window in place of digital silence helps.
3. What still looks like a loop is heard again in the full window, and given up when it loops there too.
4. Over noise and beeps Whisper writes phrases from its training. Its own doubt tells them from words. Lines before it make
   it find words in noise and be sure of them, so it is asked for its doubt first, and given them only where somebody spoke.
5. Such lines are the hints, and one with a number and a code in it: it then writes digits and letters as they were said.
   They cost as much as the words of a short utterance, so a short one without hints is read as it is.
"""

from __future__ import annotations

import threading
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lab.audio import floats, resample
from lab.errors import ConfigError, ModelError
from lab.ports import EngineFacts, Stop

_RATE = 16000
_FULL = 30.0
"""Seconds the model was trained on, and the most it can take."""
_SHORT = 8.0
"""Seconds of the shortest window."""
_PAD = 2.0
"""Seconds of near-silence at least, after the utterance."""
_CUT = 5.0
"""Seconds before the end of a full window, within which an utterance that does not fit is cut."""
_NOISE = 10 ** (-75 / 20)
"""Level of the faint noise, RMS of full scale."""
_INAUDIBLE = 10 ** (-55 / 20)
"""An utterance whose loudest 20 ms stay below this is silence."""
_TOKENS = 8.0
"""Tokens a second that quick speech can need, and at least as many for any utterance."""
_DOUBT = 0.35
"""Probability that nobody spoke, over which words need more confidence. Measured: speech under 0.3, noise over 0.45."""
_HINT_TOKENS = 64
"""Of the hints at most; Whisper gives what came before half of its 448."""
_TIMESTAMP = 0.02
"""Seconds from one of Whisper's timestamps to the next."""
_EXAMPLE = "My number is 312 640 0958, oh nine five eight. My code is K 7 0 4 2 B."
"""What somebody may have said before digits or letters."""
_BRIEF = 1.3
"""Seconds of audio below which, without hints, there is nothing to be gained by what came before."""
_BEAM = 2
"""Hypotheses where there are hints to choose by."""


@dataclass(frozen=True, slots=True)
class _Heard:
    """What one window gave."""

    text: str
    doubt: float
    """Probability that nobody spoke."""
    confidence: float
    """Average log-probability of a token."""
    capped: bool
    """It had to be stopped."""

    @property
    def made_up(self) -> bool:
        """Words where there were none. Measured confidence of speech: over -1.4; of noise, beeps and clicks: under
        -1.0; a lone tone gives a loop."""
        unsure = self.confidence < -1.8 or (self.doubt > _DOUBT and self.confidence < -0.8)
        return unsure or not any(letter.isalnum() for letter in self.text)

    @property
    def loops(self) -> bool:
        """Certainly: it went on past what can be said in the time, or is far too regular."""
        written = self.text.encode()
        return self.capped or len(written) > 2.4 * len(zlib.compress(written))

    @property
    def repeats(self) -> bool:
        """Perhaps a loop, perhaps said twice: three words or more that come again at once, whole or in part."""
        words = self.text.lower().replace(",", " ").replace(".", " ").replace("?", " ").replace("!", " ").split()
        return any(
            words[at : at + 3] == words[at + size : at + size + 3] and len(set(words[at : at + 3])) > 1
            for size in range(3, len(words))
            for at in range(len(words) - size - 2)
        )


class Whisper:
    """A Recognizer. One utterance at a time; a second caller waits.

    path:     folder with model.bin, config.json, tokenizer.json, vocabulary.txt
    name:     what the profile calls it, for the facts
    language: ISO 639-1; English-only weights do not look at it

    Raises ModelError when the folder holds no such model, ConfigError for a language that Whisper does not know.
    """

    def __init__(
        self,
        path: Path,
        *,
        name: str,
        sha256: str | None = None,
        language: str = "en",
        threads: int = 2,
        compute_type: str = "int8",
    ) -> None:
        from faster_whisper.feature_extractor import FeatureExtractor

        self._where = str(path)
        self._model, self._tokens = _load(path, language, threads, compute_type)
        self._mel = FeatureExtractor(feature_size=self._model.n_mels)
        noise = np.random.default_rng(0).standard_normal(round(_FULL * _RATE), dtype=np.float32)
        self._background: NDArray[np.float32] = noise * np.float32(_NOISE)
        self._lock = threading.Lock()
        self.facts = EngineFacts(
            "faster-whisper",
            name,
            sha256,
            version("faster-whisper"),
            {
                "language": language,
                "threads": threads,
                "compute_type": compute_type,
                "ctranslate2": version("ctranslate2"),
            },
        )

    def hear(self, pcm: bytes, rate: int, *, hints: Sequence[str] = (), stop: Stop) -> Iterator[str]:
        """The text so far of one utterance: once for each 28 s, so nearly always once. "" when nobody spoke.

        pcm: 16-bit mono at `rate` Hz. hints: words likely to occur; of many, the last 64 tokens count. Ends
        without a text when `stop` is set: it is looked at before and after each encoding (100 ms).
        """
        text = ""
        for audio in _pieces(floats(resample(pcm, rate, _RATE))):
            words = self._words(audio, hints, stop)
            if words is None:
                return
            text = f"{text} {words}".strip()
            yield text

    def _words(self, audio: NDArray[np.float32], hints: Sequence[str], stop: Stop) -> str | None:
        """What was said in `audio`, which fits a window; None when stopped."""
        if stop.is_set():
            return None
        if _loudest(audio) < _INAUDIBLE:
            return ""
        window = min(_FULL, max(_SHORT, len(audio) / _RATE + _PAD))
        with self._lock:
            heard = self._listen(audio, window, hints, stop)
            if heard is not None and (heard.loops or heard.repeats) and window < _FULL:
                heard = self._listen(audio, _FULL, (), stop)
        if heard is None:
            return None
        return "" if heard.made_up or heard.loops else heard.text

    def _listen(self, audio: NDArray[np.float32], window: float, hints: Sequence[str], stop: Stop) -> _Heard | None:
        """The best reading of `audio` at the head of `window` seconds; None when stopped."""
        import ctranslate2

        if stop.is_set():
            return None
        shown = self._background[: round(window * 50) * _RATE // 50].copy()
        shown[: len(audio)] += audio[: len(shown)]
        length = len(audio) / _RATE
        try:
            mel = np.ascontiguousarray(self._mel(shown, padding=0)[np.newaxis], dtype=np.float32)
            encoded = self._model.encode(ctranslate2.StorageView.from_array(mel))
            if stop.is_set():
                return None
            if (hints or length > _BRIEF) and self._doubt(encoded) < _DOUBT:
                heard = self._read(encoded, length, self._before(hints), _BEAM if hints else 1)
                if not (heard.made_up or heard.loops or heard.repeats):
                    return heard
            return self._read(encoded, length)
        except RuntimeError as error:
            raise ModelError(f"Whisper failed: {error}", where=self._where, hint="run `callctl doctor`") from error

    def _doubt(self, encoded: Any) -> float:
        """Probability that nobody spoke."""
        prompt = list(self._tokens.sot_sequence)
        [result] = self._model.generate(
            encoded, [prompt], beam_size=1, max_length=len(prompt) + 1, return_no_speech_prob=True
        )
        return float(result.no_speech_prob)

    def _read(self, encoded: Any, length: float, before: Sequence[int] = (), beam: int = 1) -> _Heard:
        """Words out of the encoding of `length` seconds of audio, after the tokens `before`. beam: hypotheses"""
        prompt = [*before, *self._tokens.sot_sequence]
        most = round(_TOKENS * (1 + length))
        [result] = self._model.generate(
            encoded,
            [prompt],
            beam_size=beam,
            max_length=max(2 * most, most + len(prompt)),  # the library gives the answer half of max_length
            return_scores=True,
            return_no_speech_prob=True,
        )
        written: list[int] = result.sequences_ids[0]
        return _Heard(
            text=self._tokens.decode(self._within(written, length)).strip(),
            doubt=result.no_speech_prob,
            confidence=result.scores[0],
            capped=len(written) >= most,
        )

    def _within(self, written: Sequence[int], length: float) -> list[int]:
        """The tokens of `written` that are text, up to the first sentence that begins after `length` seconds."""
        text: list[int] = []
        moment = 0.0
        for token in written:
            if token >= self._tokens.timestamp_begin:
                moment = (token - self._tokens.timestamp_begin) * _TIMESTAMP
            elif moment < length:
                text.append(token)
        return text

    def _before(self, hints: Sequence[str]) -> list[int]:
        """The hints and the example as what was said before, which is how Whisper takes them."""
        first = self._tokens.timestamp_begin
        ends = first + round(5.0 / _TIMESTAMP)
        said = [self._tokens.encode(f" {', '.join(hints)}.")[-_HINT_TOKENS:]] if hints else []
        said.append(self._tokens.encode(f" {_EXAMPLE}"))
        return [self._tokens.sot_prev, *(token for each in said for token in (first, *each, ends))]


def _load(path: Path, language: str, threads: int, compute_type: str) -> tuple[Any, Any]:
    """CTranslate2's model and faster_whisper's tokenizer."""
    import json

    import ctranslate2
    import tokenizers
    from faster_whisper.tokenizer import Tokenizer

    try:
        vocabulary = (path / "tokenizer.json").read_text(encoding="utf-8")
        json.loads(vocabulary)  # tokenizers raises a bare Exception for a damaged file
        model = ctranslate2.models.Whisper(str(path), compute_type=compute_type, intra_threads=threads)
    except (OSError, ValueError, RuntimeError) as error:
        raise ModelError(
            f"not usable as a Whisper model: {error}",
            where=str(path),
            hint="it is a folder with model.bin, config.json, tokenizer.json and vocabulary.txt; "
            "fetch it again with `callctl models pull`",
        ) from error
    try:
        tokens = Tokenizer(
            tokenizers.Tokenizer.from_str(vocabulary), model.is_multilingual, task="transcribe", language=language
        )
    except ValueError as error:
        raise ConfigError(
            f"Whisper does not know the language {language!r}",
            where="stt.options.language",
            hint="write its two letters, such as en or de",
        ) from error
    return model, tokens


def _pieces(audio: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
    """`audio` in parts that fit a window, cut where it is quietest near each end; one empty part for no audio."""
    longest, frame = round((_FULL - _PAD) * _RATE), _RATE // 50
    while len(audio) > longest:
        start = longest - round(_CUT * _RATE)
        energy = np.square(audio[start:longest]).reshape(-1, frame).mean(axis=1)
        cut = start + int(np.argmin(energy)) * frame
        yield audio[:cut]
        audio = audio[cut:]
    yield audio


def _loudest(audio: NDArray[np.float32]) -> float:
    """RMS of the loudest 20 ms, 1.0 being full scale."""
    frame = _RATE // 50
    whole = audio[: len(audio) // frame * frame].reshape(-1, frame)
    return float(np.sqrt(np.max(np.mean(np.square(whole), axis=1), initial=0.0)))
