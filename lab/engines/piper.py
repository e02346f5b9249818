"""Text to speech: a Piper voice.

Decides: how a phrase is synthesised, trimmed and brought to a line's rate. Refuses to know: where a line of text is cut
into phrases, and when it is played.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lab.audio import from_floats, silence
from lab.engines.onnx import session
from lab.errors import ModelError
from lab.ports import EngineFacts, Stop

_BLOCK = 0.005
"""Seconds over which loudness is judged when silence is trimmed."""
_QUIET = 10 ** (-45 / 20)
"""Below this part of a phrase's peak is near-silence."""
_LEAD = 0.01
"""Seconds of near-silence left before the first sound."""
_TAIL = 0.06
"""Seconds of near-silence left after the last."""
_BETWEEN_SENTENCES = 0.18
"""Seconds of silence between two sentences of one phrase: with lead and tail what the untrimmed voice pauses."""
_SCALES = (0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.2, 1.4, 1.6, 2.0, 2.4)
_LENGTHS = (0.55, 0.61, 0.65, 0.76, 0.88, 0.96, 1.0, 1.1, 1.28, 1.46, 1.76, 2.07)
"""How long speech becomes at each of Piper's length scales. Each sound lasts a whole number of 12 ms frames, rounded
up, so the length does not follow the scale (measured on en_US-joe-medium, mean of 12 sentences)."""

_ALOUD = [
    (re.compile(r"\b(Dr|Mr|Mrs|Ms)\."), r"\1"),
    (re.compile(r"\b[Mm]+[- ]?[Hh][Mm]+\b"), "um-hmm"),
    (re.compile(r"\$(\d[\d,]*)(?:\.00)?(?![.,]?\d)"), r"\1 dollars"),
    (re.compile(r"\$(\d[\d,]*)\.(?=\d\d(?!\d))0?([1-9]?\d)"), r"\1 dollars and \2 cents"),
    (re.compile(r"\b(1 dollar|1 cent)s\b"), r"\1"),
    (re.compile(r"\b(\d{1,2}):00(?=\s*[ap]\.?m\b)", re.IGNORECASE), r"\1"),
    (re.compile(r"\b(\d{1,2}):00\b"), r"\1 o'clock"),
    (re.compile(r"\b(\d{1,2}):0([1-9])\b"), r"\1 oh \2"),
]
"""What espeak-ng reads wrongly in English, and the words for it, in this order."""
_PHONE = re.compile(
    r"(?<![\d+])(?:(\+?1)[ .-]?)?\(?(\d{3})\)?[ .-]?(\d{3})[ .-]?(\d{4})(?!\d)|(?<!\d)(\d{3})-(\d{4})(?!\d)"
)
"""A North American telephone number, with or without its area code."""


class Piper:
    """A Voice.

    path:    the .onnx file, its .onnx.json beside it
    name:    what the profile calls it, for the facts
    rate:    speaking rate, 1.2 is faster
    pitch:   1.1 is a higher voice at the same speaking rate
    volume:  dB against the voice's own level
    noise:   variation of sound and of rhythm, 0 to 1; at 0 the same text is the same audio, each time
    threads: of the inference

    Raises ModelError when the files are missing or are no Piper voice.
    """

    def __init__(
        self,
        path: Path,
        *,
        name: str,
        sha256: str | None = None,
        rate: float = 1.0,
        pitch: float = 1.0,
        volume: float = 0.0,
        noise: float = 0.0,
        threads: int = 2,
    ) -> None:
        from piper import SynthesisConfig

        self._voice = _load(path, threads)
        self._english = self._voice.config.espeak_voice.startswith("en")
        self._pitch = pitch
        self._how = SynthesisConfig(
            length_scale=self._voice.config.length_scale * float(np.interp(pitch / rate, _LENGTHS, _SCALES)),
            noise_scale=noise,
            noise_w_scale=noise,
            normalize_audio=False,  # a short word would come out louder than a long sentence
            volume=10 ** (volume / 20),
        )
        self.facts = EngineFacts(
            "piper-tts",
            name,
            sha256,
            version("piper-tts"),
            {"rate": rate, "pitch": pitch, "volume": volume, "noise": noise, "threads": threads},
        )

    def speak(self, text: str, rate: int, stop: Stop) -> Iterator[bytes]:
        """16-bit mono at `rate` Hz, one piece a sentence; nothing for a text without sounds.

        `stop` is looked at between sentences: 3 s of speech take some 150 ms on two cores.
        """
        if stop.is_set():
            return
        begun = False
        for chunk in self._voice.synthesize(aloud(text) if self._english else text, self._how):
            if stop.is_set():
                return
            if piece := self._render(chunk.audio_float_array, chunk.sample_rate, rate):
                yield silence(_BETWEEN_SENTENCES, rate) + piece if begun else piece
                begun = True

    def _render(self, audio: NDArray[np.float32], source: int, target: int) -> bytes:
        """One sentence, trimmed, at `target` Hz. A raised pitch is slow speech taken at a higher rate."""
        import soxr

        return from_floats(soxr.resample(_trim(audio, source), source * self._pitch, target))


def aloud(text: str) -> str:
    """English `text` with the amounts, times, titles and telephone numbers that espeak-ng misreads put into words."""

    def digits(number: re.Match[str]) -> str:
        return ", ".join(" ".join(group.lstrip("+")) for group in number.groups() if group)

    text = _PHONE.sub(digits, text)
    for wrong, right in _ALOUD:
        text = wrong.sub(right, text)
    return text


def _load(path: Path, threads: int) -> Any:
    """The PiperVoice, with a session of its own: PiperVoice.load() does not let its threads be chosen."""
    import json

    from piper import PiperConfig, PiperVoice

    hint = "a voice is an .onnx file with its .onnx.json beside it; fetch it again with `callctl models pull`"
    try:
        config = PiperConfig.from_dict(json.loads(path.with_name(f"{path.name}.json").read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(f"not usable as a Piper voice: {error}", where=str(path), hint=hint) from error
    return PiperVoice(session=session(path, threads=threads, hint=hint), config=config)


def _trim(audio: NDArray[np.float32], rate: int) -> NDArray[np.float32]:
    """`audio` without the near-silence at its ends, but for a short lead and tail; empty when there is only silence."""
    block = round(_BLOCK * rate)
    whole = audio[: len(audio) // block * block].reshape(-1, block)
    loud = np.flatnonzero(np.sqrt(np.mean(np.square(whole), axis=1)) > _QUIET * np.max(np.abs(audio), initial=1e-6))
    if not loud.size:
        return audio[:0]
    first, last = int(loud[0]) * block, (int(loud[-1]) + 1) * block
    return audio[max(0, first - round(_LEAD * rate)) : last + round(_TAIL * rate)]
