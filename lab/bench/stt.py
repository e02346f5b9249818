"""How well and how fast recognisers hear customers on a telephone line.

Decides: what is asked of them, what counts as right, how time is shared out. Refuses to know: any engine's library, and how
figures are shown.

Every utterance of the set is spoken by a voice, sent through G.711 and heard by each recogniser in turn, so that a machine
that slows down slows all of them. Reference and text are brought to one spelling before they are compared.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from lab import audio, g711
from lab.bench.normalise import DIGITS, normalise
from lab.ports import Recognizer, Stop, Voice
from lab.strict import Strict, load

Kind = Literal["phone", "code", "date", "time", "amount", "name", "spelled", "email"]
KINDS: tuple[Kind, ...] = get_args(Kind)
_GROUPED_ANYHOW: frozenset[Kind] = frozenset({"phone", "code", "spelled", "email"})
"""Kinds of which only letters and digits count, not where one word ends."""
RATE = 8000
"""Hz, of a G.711 line."""
_LEAD, _TAIL = 0.3, 0.2
"""Seconds of silence that a call gives its recogniser on both sides."""
_PEOPLE = ("plain", "hinted")


class Utterance(Strict):
    """One thing a customer says."""

    say: str
    """As the voice is to read it."""
    text: str = ""
    """What was said; the same as `say` when empty."""
    entities: tuple[dict[Kind, str], ...] = ()
    """What must come through whole."""
    hints: tuple[str, ...] = ()
    """Words that a bot would know beforehand in this place."""

    @property
    def reference(self) -> str:
        return self.text or self.say


class Speech(Strict):
    """A set of utterances, and the words that a bot would know beforehand in any of them."""

    hints: tuple[str, ...] = ()
    utterances: tuple[Utterance, ...]

    def first(self, count: int) -> Speech:
        return self.model_copy(update={"utterances": self.utterances[:count]})


@dataclass(slots=True)
class _Ear:
    """One way of hearing, and what came of it."""

    recognizer: Recognizer
    hinted: bool
    texts: list[str]
    wall: float = 0.0
    """Seconds."""
    cpu: float = 0.0
    """Seconds of all threads of this process together."""


def shipped() -> Speech:
    """The set that comes with the lab."""
    return load(Path(__file__).parent / "speech.yaml", Speech)


def run(
    voice: Voice,
    recognizer: Recognizer,
    *,
    speech: Speech | None = None,
    libraries: Mapping[str, Recognizer] | None = None,
    progress: Callable[[int, int], None] | None = None,
    stop: Stop | None = None,
) -> dict[str, Any]:
    """Figures for `recognizer`, ready for JSON; of what was heard until `stop` was set.

    speech:    None for the shipped set
    libraries: by name, recognisers to compare with; they get no hints
    progress:  called with utterances done and utterances in all

    In the result, `plain`, `hinted` and each of `libraries` have `wer` (errors a word of the reference), `lost` (utterances
    of which nothing was heard), `entities` (by kind and as `all`: `right`, `of`, `accuracy`), `seconds_per_utterance` and
    `cpu_seconds_per_utterance`; each of `libraries` also has `time_ratio` and `cpu_ratio`, the plain time against its own.
    `lines` has what was heard of each utterance. Raises ModelError when an engine fails.
    """
    speech, stop = speech or shipped(), stop or threading.Event()
    ears = {name: _Ear(recognizer, name == "hinted", []) for name in _PEOPLE}
    others = {name: _Ear(other, False, []) for name, other in (libraries or {}).items()}
    done: list[Utterance] = []
    heard_seconds = 0.0
    for utterance in speech.utterances:
        pcm = on_the_line(voice, utterance.say, stop)
        if not done:
            for each in (recognizer, *(libraries or {}).values()):
                list(each.hear(pcm, RATE, stop=stop))  # the first time takes longer
        heard = [_hear(ear, pcm, (*speech.hints, *utterance.hints), stop) for ear in (*ears.values(), *others.values())]
        if not all(heard):
            break
        done.append(utterance)
        heard_seconds += audio.seconds(pcm, RATE)
        if progress:
            progress(len(done), len(speech.utterances))
    plain = ears["plain"]
    return {
        "model": recognizer.facts.model,
        "voice": voice.facts.model,
        "utterances": len(done),
        "audio_seconds": round(heard_seconds, 1),
        **{name: _figures(done, ear) for name, ear in ears.items()},
        "libraries": {
            name: _figures(done, ear)
            | {"time_ratio": _ratio(plain.wall, ear.wall), "cpu_ratio": _ratio(plain.cpu, ear.cpu)}
            for name, ear in others.items()
        },
        "lines": [
            {"said": each.reference, **{name: ear.texts[n] for name, ear in (ears | others).items()}}
            for n, each in enumerate(done)
        ],
    }


def on_the_line(voice: Voice, text: str, stop: Stop) -> bytes:
    """`text` as a recogniser gets it from a G.711 line (µ-law): 16-bit mono at 8 kHz, silence on both sides."""
    spoken = b"".join(voice.speak(text, RATE, stop))
    pcm = audio.silence(_LEAD, RATE) + spoken + audio.silence(_TAIL, RATE)
    return g711.PCMU.decode(g711.PCMU.encode(pcm))


def word_error_rate(said: Sequence[str], heard: Sequence[str]) -> float:
    """Words changed, left out and put in, for each word of `said`; both are normalised here. 0 when nothing was said."""
    from jiwer import process_words

    pairs = [(normalise(one), normalise(other)) for one, other in zip(said, heard, strict=True)]
    pairs = [pair for pair in pairs if pair[0]]  # sounds such as "mm-hmm" are no words
    if not pairs:
        return 0.0
    return float(process_words([one for one, _ in pairs], [other for _, other in pairs]).wer)


def holds(kind: Kind, value: str, heard: str) -> bool:
    """Whether `heard` has the whole of `value`, and no more digits beside it."""
    wanted, words = normalise(value).split(), normalise(heard).split()
    if kind in _GROUPED_ANYHOW:
        return _letters(wanted) in _letters(words)
    size = len(wanted)
    return any(
        words[at : at + size] == wanted
        and not (at and {words[at - 1], wanted[0]} <= DIGITS)
        and not (at + size < len(words) and {words[at + size], wanted[-1]} <= DIGITS)
        for at in range(len(words) - size + 1)
    )


def _letters(words: Sequence[str]) -> str:
    return "".join(words)


def _hear(ear: _Ear, pcm: bytes, hints: Sequence[str], stop: Stop) -> bool:
    """False when it was stopped before a text came."""
    wall, cpu = time.perf_counter(), time.process_time()
    texts = list(ear.recognizer.hear(pcm, RATE, hints=hints if ear.hinted else (), stop=stop))
    if not texts or stop.is_set():
        return False
    ear.wall += time.perf_counter() - wall
    ear.cpu += time.process_time() - cpu
    ear.texts.append(texts[-1])
    return True


def _figures(done: Sequence[Utterance], ear: _Ear) -> dict[str, Any]:
    counts: dict[str, list[bool]] = {}
    for utterance, text in zip(done, ear.texts, strict=False):
        for kind, value in (item for entity in utterance.entities for item in entity.items()):
            right = holds(kind, value, text)
            counts.setdefault(kind, []).append(right)
            counts.setdefault("all", []).append(right)
    return {
        "wer": round(word_error_rate([each.reference for each in done], ear.texts[: len(done)]), 4),
        "lost": sum(not text for text in ear.texts[: len(done)]),
        "entities": {
            kind: {
                "right": sum(counts[kind]),
                "of": len(counts[kind]),
                "accuracy": round(sum(counts[kind]) / len(counts[kind]), 4),
            }
            for kind in ("all", *KINDS)
            if kind in counts
        },
        "seconds_per_utterance": _ratio(ear.wall, len(done)),
        "cpu_seconds_per_utterance": _ratio(ear.cpu, len(done)),
    }


def _ratio(one: float, other: float) -> float | None:
    return round(one / other, 4) if other else None
