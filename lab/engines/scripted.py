"""Engines without models: speech that is tones, ears that read them, answers by rule, likeness by spelling. For tests and for plumbing.

Decides: how text becomes sound that survives a telephone line and can be read back. Refuses to know: models, networks, files.

Each character sounds for 60 ms (about as fast as people speak) as two tones at once, one of ten low and one of ten high, with
5 ms of quiet at its end. So a scripted ear really hears what came over the line, cut-off words and lost packets included; no
text passes beside the audio.
"""

from __future__ import annotations

import json
import math
import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lab import audio
from lab.ports import EngineFacts, Past, Stop, ToolCall, Use

CHARACTER_SECONDS = 0.06
_GAP_SECONDS = 0.005
_LOW = [400 + 100 * i for i in range(10)]
_HIGH = [1500 + 200 * i for i in range(10)]
_ALPHABET = "".join(chr(c) for c in range(32, 127))
_LEVEL = 0.25
_QUIET = 0.02
_BUCKETS = 384
"""Of trigrams. As wide as a model's vectors."""


@cache
def _tone(character: str, rate: int) -> NDArray[np.float32]:
    index = max(0, _ALPHABET.find(character))
    t = np.arange(round((CHARACTER_SECONDS - _GAP_SECONDS) * rate)) / rate
    both = np.sin(2 * np.pi * _LOW[index // 10] * t) + np.sin(2 * np.pi * _HIGH[index % 10] * t)
    tone = np.concatenate([_LEVEL * both, np.zeros(round(_GAP_SECONDS * rate))])
    return tone.astype(np.float32)


class ScriptedVoice:
    """Speaks any printable ASCII text as tones."""

    facts = EngineFacts("scripted", "tones")

    def speak(self, text: str, rate: int, stop: Stop) -> Iterator[bytes]:
        if text and not stop.is_set():
            yield audio.from_floats(np.concatenate([_tone(c, rate) for c in text]))


class ScriptedEars:
    """Reads what ScriptedVoice said, from the sound alone."""

    facts = EngineFacts("scripted", "tones")

    def hear(self, pcm: bytes, rate: int, *, hints: Sequence[str] = (), stop: Stop) -> Iterator[str]:
        yield read_tones(pcm, rate)


class ScriptedDetector:
    """Loud is speech."""

    facts = EngineFacts("scripted", "level")

    def probability(self, frame: bytes, rate: int) -> float:
        return 1.0 if audio.level_db(frame) > -40.0 else 0.0


class ScriptedEmbedder:
    """Texts that are spelt alike lie close together: which trigrams of characters occur, and how often. Large and small
    letters are alike; of what stands between words, nothing counts."""

    facts = EngineFacts("scripted", "trigrams")

    def embed(self, texts: Sequence[str], stop: Stop) -> Iterator[NDArray[np.float32]]:
        rows = np.zeros((len(texts), _BUCKETS), np.float32)
        for made, text in enumerate(texts):
            if stop.is_set():
                return
            row, words = rows[made], re.findall(r"\w+", text.casefold())
            spelt = f"  {' '.join(words)} "
            for at in range(len(spelt) - 2):
                row[zlib.crc32(spelt[at : at + 3].encode("utf-8", "replace")) % _BUCKETS] += 1
            row /= np.sqrt(np.square(row).sum())
        yield np.round(rows * 127) / np.float32(127)


class ScriptedResponder:
    """Answers by a rule that sees only the newest line of the other side, or what a tool just returned.

    answer: what was heard -> what `respond` gives. analysis: the document `extract` gives.
    """

    facts = EngineFacts("scripted", "rules", calls_tools=True, ahead=False)

    def __init__(
        self, answer: Callable[[str], Iterable[str | ToolCall]], analysis: Mapping[str, Any] | None = None
    ) -> None:
        self._answer, self._analysis = answer, analysis or {}

    def warm(self, system: str, stop: Stop, turns: Sequence[Past] = (), *, use: Use = "talk") -> None:
        """Nothing to make ready."""

    def respond(
        self, system: str, turns: Sequence[Past], stop: Stop, *, tools: Sequence[Mapping[str, Any]] = ()
    ) -> Iterator[str | ToolCall]:
        yield from self._answer(turns[-1].text if turns else "")

    def weigh(
        self, system: str, turns: Sequence[Past], choices: Sequence[str], stop: Stop
    ) -> Iterator[Sequence[float]]:
        """No opinion: each is as likely as the others."""
        yield [-math.log(len(choices))] * len(choices)

    def extract(
        self, system: str, text: str, schema: Mapping[str, Any], stop: Stop, *, use: Use = "analysis"
    ) -> Iterator[str]:
        yield json.dumps(self._analysis)


def read_tones(pcm: bytes, rate: int) -> str:
    """The text in `pcm`. Silence of more than one character reads as one space; a spoilt character as `?`."""
    sound = audio.floats(pcm)
    grain = round(_GAP_SECONDS * rate)
    count = len(sound) // grain
    loud = np.sqrt(np.mean(np.square(sound[: count * grain].reshape(count, grain)), axis=1)) > _QUIET
    width = round(CHARACTER_SECONDS / _GAP_SECONDS)
    out: list[str] = []
    at, last_end = 0, None
    while at < count:
        if not loud[at]:
            at += 1
            continue
        if last_end is not None and at - last_end > width:
            out.append(" ")
        if int(loud[at : at + width].sum()) >= width // 2:
            out.append(_character(sound[(at + 1) * grain : (at + width - 2) * grain], rate))
        at = last_end = at + width - 2
        while at < count and loud[at] and at < last_end + 2:  # the gap may lie a grain or two later
            at += 1
    return " ".join("".join(out).split())


@cache
def _probes(length: int, rate: int) -> NDArray[np.complex128]:
    """One row for each tone: how much of it is in `length` samples."""
    waves = np.exp(-2j * np.pi * np.outer(_LOW + _HIGH, np.arange(length) / rate))
    return np.asarray(waves * np.hanning(length))


def _character(sound: NDArray[np.float32], rate: int) -> str:
    power = np.abs(
        np.einsum("ij,j->i", _probes(len(sound), rate), sound)
    )  # not BLAS: its threads cost more than the sum

    def strongest(tones: NDArray[np.float64]) -> tuple[int, float]:
        best = int(np.argmax(tones))
        return best, float(tones[best] / (tones.sum() + 1e-9))

    (low, low_share), (high, high_share) = strongest(power[:10]), strongest(power[10:])
    index = low * 10 + high
    return _ALPHABET[index] if index < len(_ALPHABET) and min(low_share, high_share) > 0.4 else "?"
