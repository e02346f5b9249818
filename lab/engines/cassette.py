"""Engines on tape: each call's work recorded, and given again without a model.

Decides: what makes two questions to an engine the same, what an item costs when it is given again, and when a recording no
longer fits the call. Refuses to know: models, files, and the call itself.

How this works
1.  A tape is one call's: `Recording` fills a take, `Playback` reads one. The engines below put their questions to a tape; it
    asks the engine behind them, or nobody.
2.  Recorded at pace `fixed`, an item becomes visible at (call time it was asked for) + (seconds its making took, in whole
    milliseconds), and given again it does so at the same moment. Hence the played call is the recorded one, byte by byte.
    At pace `fast` the same work is seen a little later, and what is heard of it then may be another 20 ms frame.
3.  What is asked twice in one call has two answers, given in that order; who asks more often gets the last one again.
4.  Audio is kept as G.711 codes, and while it is recorded, too, the call is given what the codes stand for.
5.  A detector's decisions are kept as hundredths. A rolling hash of what it heard tells in which frame a call goes another
    way than the recorded one.
6.  The first thing that is not on the tape stays in `Playback.error`: a call in which an engine fails ends like any other,
    and only whoever placed it can say that its result means nothing.
"""

from __future__ import annotations

import time
import zlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from lab import audio
from lab.cassette import Answer, Item, Question, Rows, Take, Track
from lab.errors import ConfigError
from lab.g711 import PCMU
from lab.ports import (
    Detector,
    Embedder,
    EngineFacts,
    Judge,
    Past,
    Recognizer,
    Responder,
    Stop,
    ToolCall,
    Turn,
    Use,
    Voice,
)

GIST = 60
"""Characters shown of what was asked."""
SCORE_DIGITS = 4
"""Decimals kept of a score; the call that is recorded is given no more of them either."""
_STEPS = 127
"""Of which vectors hold whole parts; see `lab.ports.Embedder`."""
DETECTOR = "detector"
"""What a detector is asked for as, in the take's list of engines."""

E = TypeVar("E")
Make = Callable[[], Iterator[Any]]
_WORDS = {
    "engine": "the engine or its options",
    "pcm": "the audio",
    "rate": "the sample rate",
    "hints": "the hints",
    "system": "the prompt",
    "turns": "what was said before",
    "choices": "the choices",
    "texts": "the texts",
    "text": "the text",
    "schema": "the schema",
    "tools": "the tools",
}


class Tape(Protocol):
    """Where engines put their questions."""

    def ask(self, question: Question, make: Make, stop: Stop) -> Iterator[Any]:
        """The items, each with its cost (`lab.ports.Priced`). make: asks the engine itself."""
        ...


class Recording:
    """Fills `take` with all that the engines of one call give.

    clock: seconds; what passes on it while an engine makes an item is the item's cost.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.take = Take()
        self._clock = clock

    def ask(self, question: Question, make: Make, stop: Stop) -> Iterator[Any]:
        answer = Answer(question)
        self.take.answers.append(answer)
        return _Recorded(make(), answer, stop, self._clock)

    def detector(self, side: str, detector: Detector) -> Detector:
        self.take.engines[DETECTOR] = detector.facts
        track = self.take.tracks[side] = Track()
        return _RecordedDetector(detector, track)


class Playback:
    """Gives one call's engines again from `take`.

    where: the cassette and the call, for errors. anew: the command that records them anew.
    """

    def __init__(self, take: Take, *, where: str, anew: str) -> None:
        self.error: ConfigError | None = None
        """The first thing that was asked for and not there."""
        self._take, self._where, self._anew = take, where, anew
        self._answers: defaultdict[str, list[Answer]] = defaultdict(list)
        for answer in take.answers:
            self._answers[answer.question.key].append(answer)
        self._asked: Counter[str] = Counter()

    def ask(self, question: Question, make: Make, stop: Stop) -> Iterator[Any]:
        """Raises ConfigError when this was not asked while recording."""
        answers = self._answers.get(question.key)
        if not answers:
            raise self.missing(f"the {question.stage} was not asked this: {question.asked}{self._nearest(question)}")
        times = self._asked[question.key]
        self._asked[question.key] += 1
        return _Played(self, answers[min(times, len(answers) - 1)])

    def detector(self, side: str) -> Detector:
        """Raises ConfigError when that side had none."""
        if side not in self._take.tracks:
            raise self.missing(f"nothing is recorded of the {side}'s detector")
        return _PlayedDetector(self, side, self._take.tracks[side], self.facts(DETECTOR))

    def facts(self, asked: str, pinned: str | None = None) -> EngineFacts:
        """The engine that was loaded for `asked`. pinned: SHA-256 that its model has today, where that is known.

        Raises ConfigError when the call had another engine, or the same with another model.
        """
        facts = self._take.engines.get(asked)
        if facts is None:
            had = ", ".join(sorted(self._take.engines)) or "none"
            raise self.missing(f"there was no engine {asked}; the call had {had}")
        if pinned is not None and facts.sha256 != pinned:
            recorded = f"SHA-256 {facts.sha256[:12]}…" if facts.sha256 else "no SHA-256"
            raise self.missing(f"{facts.model} was a model with {recorded}, now it is {pinned[:12]}…")
        return facts

    def missing(self, what: str) -> ConfigError:
        """The error for something that is not on the tape, kept if it is the first."""
        error = ConfigError(
            f"the recording does not fit this call: {what}", where=self._where, hint=f"record it anew: {self._anew}"
        )
        self.error = self.error or error
        return error

    def _nearest(self, question: Question) -> str:
        """In which parts the question differs from the one recorded that is most like it."""

        def differing(other: Question) -> list[str]:
            names = dict.fromkeys([*question.parts, *other.parts])
            return [name for name in names if question.parts.get(name) != other.parts.get(name)]

        others = [a.question for a in self._take.answers if a.question.stage == question.stage]
        if not others:
            return f" (no {question.stage} at all was recorded)"
        nearest = min(others, key=lambda other: len(differing(other)))
        changed = " and ".join(_WORDS.get(name, name) for name in differing(nearest))
        return f" (nearest is {nearest.asked}: {changed} changed)"


class TapedRecognizer:
    """A Recognizer on tape. recognizer: the one behind it; None when the tape needs none."""

    def __init__(self, tape: Tape, facts: EngineFacts, recognizer: Recognizer | None) -> None:
        self.facts, self._tape, self._recognizer = facts, tape, recognizer

    def hear(self, pcm: bytes, rate: int, *, hints: Sequence[str] = (), stop: Stop) -> Iterator[str]:
        asked = f"{audio.seconds(pcm, rate):.2f} s of audio"
        question = Question.to(self.facts, "stt", asked, pcm=pcm, rate=rate, hints=list(hints))
        return self._tape.ask(question, lambda: _real(self._recognizer).hear(pcm, rate, hints=hints, stop=stop), stop)


class TapedResponder:
    """A Responder on tape."""

    def __init__(self, tape: Tape, facts: EngineFacts, responder: Responder | None) -> None:
        self.facts, self._tape, self._responder = facts, tape, responder

    def warm(self, system: str, stop: Stop, turns: Sequence[Past] = (), *, use: Use = "talk") -> None:
        if self._responder is not None:
            self._responder.warm(system, stop, turns, use=use)

    def respond(
        self, system: str, turns: Sequence[Past], stop: Stop, *, tools: Sequence[Mapping[str, Any]] = ()
    ) -> Iterator[str | ToolCall]:
        asked = _gist(turns[-1].text if turns else "")
        offered = {"tools": list(tools)} if tools else {}
        question = Question.to(self.facts, "llm", asked, system=system, turns=_plain(turns), **offered)
        return self._tape.ask(question, lambda: _real(self._responder).respond(system, turns, stop, tools=tools), stop)

    def weigh(
        self, system: str, turns: Sequence[Past], choices: Sequence[str], stop: Stop
    ) -> Iterator[Sequence[float]]:
        asked = _gist(turns[-1].text if turns else "")
        question = Question.to(self.facts, "pick", asked, system=system, turns=_plain(turns), choices=list(choices))
        return self._tape.ask(question, lambda: _real(self._responder).weigh(system, turns, choices, stop), stop)

    def extract(
        self, system: str, text: str, schema: Mapping[str, Any], stop: Stop, *, use: Use = "analysis"
    ) -> Iterator[str]:
        question = Question.to(self.facts, "extract", _gist(text), system=system, text=text, schema=schema)
        return self._tape.ask(
            question, lambda: _real(self._responder).extract(system, text, schema, stop, use=use), stop
        )


class TapedEmbedder:
    """An Embedder on tape."""

    def __init__(self, tape: Tape, facts: EngineFacts, embedder: Embedder | None) -> None:
        self.facts, self._tape, self._embedder = facts, tape, embedder

    def embed(self, texts: Sequence[str], stop: Stop) -> Iterator[NDArray[np.float32]]:
        asked = _gist(texts[0]) if len(texts) == 1 else f"{len(texts)} texts"
        question = Question.to(self.facts, "embed", asked, texts=list(texts))
        return self._tape.ask(question, lambda: _real(self._embedder).embed(texts, stop), stop)


class TapedJudge:
    """A Judge on tape."""

    def __init__(self, tape: Tape, facts: EngineFacts, judge: Judge | None) -> None:
        self.facts, self._tape, self._judge = facts, tape, judge

    def finished(self, pcm: bytes, rate: int, stop: Stop) -> Iterator[float]:
        asked = f"{audio.seconds(pcm, rate):.2f} s of audio"
        question = Question.to(self.facts, "turn", asked, pcm=pcm, rate=rate)
        for scores in self._tape.ask(question, lambda: _as_scores(_real(self._judge).finished(pcm, rate, stop)), stop):
            yield scores[0]


def _as_scores(judged: Iterator[float]) -> Iterator[tuple[float]]:
    """A probability as the kind of item that a tape keeps."""
    for finished in judged:
        yield (finished,)


class TapedVoice:
    """A Voice on tape."""

    def __init__(self, tape: Tape, facts: EngineFacts, voice: Voice | None) -> None:
        self.facts, self._tape, self._voice = facts, tape, voice

    def speak(self, text: str, rate: int, stop: Stop) -> Iterator[bytes]:
        question = Question.to(self.facts, "tts", _gist(text), text=text, rate=rate)
        return self._tape.ask(question, lambda: _real(self._voice).speak(text, rate, stop), stop)


class _Recorded(Iterator[Any]):
    """An engine's items on their way onto the tape."""

    def __init__(self, items: Iterator[Any], answer: Answer, stop: Stop, clock: Callable[[], float]) -> None:
        self._items, self._answer, self._stop, self._clock = items, answer, stop, clock
        self.cost = 0.0

    def __next__(self) -> Any:
        asked = self._clock()
        try:
            item: Item = next(self._items)
        except StopIteration:
            self._answer.complete = not self._stop.is_set()
            raise
        self.cost = round(self._clock() - asked, 3)
        if isinstance(item, bytes):
            item = PCMU.encode(item)
        elif isinstance(item, np.ndarray):
            item = Rows(item.shape[1], np.round(item * _STEPS).astype(np.int8).tobytes())
        elif isinstance(item, Sequence) and not isinstance(item, str):
            item = tuple(round(score, SCORE_DIGITS) for score in item)
        self._answer.items.append(item)
        self._answer.costs.append(self.cost)
        return _given(item)

    def close(self) -> None:
        close = getattr(self._items, "close", None)
        if close is not None:
            close()


class _Played(Iterator[Any]):
    """An answer given again."""

    def __init__(self, tape: Playback, answer: Answer) -> None:
        self._tape, self._answer, self._next = tape, answer, 0
        self.cost = 0.0

    def __next__(self) -> Any:
        answer, at = self._answer, self._next
        if at == len(answer.items):
            if answer.complete:
                raise StopIteration
            question = answer.question
            raise self._tape.missing(
                f"the {question.stage} was stopped in the middle of its answer to {question.asked}, and now it is not"
            )
        self._next += 1
        self.cost = answer.costs[at]
        return _given(answer.items[at])


class _RecordedDetector:
    def __init__(self, detector: Detector, track: Track) -> None:
        self.facts, self._detector, self._track, self._hash = detector.facts, detector, track, 0

    def probability(self, frame: bytes, rate: int) -> float:
        self._hash = zlib.crc32(frame, self._hash)
        hundredths = round(self._detector.probability(frame, rate) * 100)
        self._track.hundredths.append(hundredths)
        self._track.checks.append(self._hash & 0xFF)
        return hundredths / 100


class _PlayedDetector:
    def __init__(self, tape: Playback, side: str, track: Track, facts: EngineFacts) -> None:
        self.facts, self._tape, self._side, self._track = facts, tape, side, track
        self._hash = self._frames = 0

    def probability(self, frame: bytes, rate: int) -> float:
        """Raises ConfigError in the first frame that is not what was heard then."""
        at, track = self._frames, self._track
        self._frames += 1
        self._hash = zlib.crc32(frame, self._hash)
        when = f"{at * audio.FRAME_SECONDS:.2f} s after the answer"
        if at >= len(track.checks):
            raise self._tape.missing(f"the {self._side}'s side ended {when}, and now it goes on")
        if track.checks[at] != self._hash & 0xFF:
            raise self._tape.missing(f"what the {self._side} hears is not what was heard then, from {when} on")
        return track.hundredths[at] / 100


def _given(item: Item) -> Any:
    """What the call gets for what is kept."""
    if isinstance(item, Rows):
        return np.frombuffer(item.data, np.int8).reshape(-1, item.width).astype(np.float32) / _STEPS
    return PCMU.decode(item) if isinstance(item, bytes) else item


def _plain(turns: Sequence[Past]) -> list[dict[str, Any]]:
    """The history as JSON can say it."""
    return [
        asdict(turn)
        if isinstance(turn, Turn)
        else {"tool": turn.call.name, "arguments": dict(turn.call.arguments), "data": turn.data}
        for turn in turns
    ]


def _gist(text: str) -> str:
    words = " ".join(text.split())
    return f'"{words}"' if len(words) <= GIST else f'"{words[: GIST - 1]}…"'


def _real(engine: E | None) -> E:
    assert engine is not None, "a tape that asks an engine is made with one"
    return engine
