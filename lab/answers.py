"""Which prepared answer a customer's words mean.

Decides: how likely each candidate is, and when that is enough. Refuses to know: models, calls, and what an answer leads to. The
vectors of texts are given to it.

How an answer is picked
1.  A line is compared with every example of every candidate, by meaning (vectors) and by letter (words, pairs of words, runs of
    four characters). Two ridge classifiers over the examples of the step learn what tells its candidates apart; a third one has
    the class "none of them", taught with the examples of other steps and with `lab/off_topic.yaml`.
2.  Fixed weights, fitted once on lines of three trades that nobody's examples were written from, make probabilities of it.
3.  A sure one is taken, a hopeless one is none. Between them a language model is asked for a second opinion, one token: yes or no.
4.  Still doubtful, the bot asks back, once; what then is doubtful again is none.
"""

from __future__ import annotations

import functools
import itertools
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from lab import strict
from lab.flow import Answer, Flow, Text

Vectors = NDArray[np.float32]
"""One row of unit length for each text."""
Matrix = NDArray[np.float64]

# Weights of `_features` and `_surroundings`, in their order. Fitted; see point 2.
WEIGHTS = (4.86, 3.90, 3.38, 7.23, 2.78)
SURROUNDINGS = (3.52, 5.72, 0.27, 1.24)

ASK_MODEL = (0.08, 0.92)
"""Between these probabilities a second opinion is worth its time."""
SECOND = (1.2, 1.1, 0.4)
"""Of what both say: weight of the first opinion (log-odds), of the second (log-odds), and a constant."""
SURE, DOUBTFUL = 0.5, 0.3
"""At least this probable is picked; at least that probable is asked back."""
SURE_TO_ACT = 0.6
"""The same as SURE for an answer that ends the call, fills a field or calls a tool, unless the bot asked back already."""

RIDGE = 1.0
NONE_WEIGHT = 0.5
"""Of all the examples of "none" together, against all the candidates' together."""


@dataclass(frozen=True, slots=True)
class Guess:
    """A line as one step understands it: candidates, the likeliest first, with their probabilities; the rest is none of them."""

    ranked: tuple[tuple[str, float], ...]

    @property
    def best(self) -> str:
        return self.ranked[0][0]

    @property
    def probability(self) -> float:
        return self.ranked[0][1]

    @property
    def open(self) -> bool:
        """A second opinion is worth asking for."""
        return ASK_MODEL[0] < self.probability < ASK_MODEL[1]


@dataclass(frozen=True, slots=True)
class Pick:
    """What became of a line. key: the likeliest candidate, also where it was not picked. confidence: its probability."""

    kind: Literal["picked", "unclear", "none"]
    key: str
    confidence: float
    second: float | None = None
    """The model's opinion, in log-odds of yes; None when it was not asked."""


class Sense:
    """What can be meant in one step. Made once; `guess` takes a millisecond.

    candidates: by id. vectors: of the texts that `taught` gives for them. off_topic: how many of those, at the end, mean nothing
    """

    def __init__(self, candidates: Mapping[str, Answer], vectors: Vectors, off_topic: int) -> None:
        self.keys = tuple(candidates)
        known = [(normal(text), i) for i, key in enumerate(self.keys) for text in _own(candidates[key])]
        texts = [text for text, _ in known]
        self._of = np.array([i for _, i in known])
        self._vectors = vectors[: len(texts)]
        self._off = vectors[len(vectors) - off_topic :]
        self._letters = Letters(texts)
        count = len(self.keys)
        each = len(known) / count / np.bincount(self._of, minlength=count)[self._of]
        self._meaning = _ridge(self._vectors, self._of, count, each)
        self._spelling = _ridge(self._letters.of_examples, self._of, count, each)
        others = len(vectors) - len(texts)
        none = np.full(others, len(known) * NONE_WEIGHT / max(1, others))
        labels = np.append(self._of, np.full(others, count))
        self._with_none = _ridge(vectors, labels, count + 1, np.append(each, none))

    def guess(self, line: str, vector: Vectors) -> Guess:
        """vector: of `normal(line)`, one row."""
        features, surroundings = self.features(line, vector)
        scores = np.append(features @ np.array(WEIGHTS), surroundings @ np.array(SURROUNDINGS))
        odds = np.exp(scores - scores.max())
        probabilities = odds / odds.sum()
        order = np.argsort(-probabilities[:-1], kind="stable")
        return Guess(tuple((self.keys[i], round(float(probabilities[i]), 4)) for i in order))

    def features(self, line: str, vector: Vectors) -> tuple[Matrix, Matrix]:
        """One row for each candidate, and one of what speaks for none of them."""
        text, count = normal(line), len(self.keys)
        row = np.asarray(vector, dtype=np.float64).reshape(-1)
        spelt = self._letters.row(text)
        near, letters = self._vectors @ row, self._letters.of_examples @ spelt
        with_none = row @ self._with_none
        groups = [self._of == i for i in range(count)]
        columns: list[Sequence[float] | Matrix] = [
            [float(np.sort(near[group])[-3:].mean()) for group in groups],
            [float(letters[group].max()) for group in groups],
            row @ self._meaning,
            spelt @ self._spelling,
            with_none[:count],
        ]
        off = float((self._off @ row).max()) if len(self._off) else 0.0
        return np.column_stack([np.asarray(column) for column in columns]), np.array(
            [1.0, off, math.log1p(len(text.split())), with_none[count]]
        )


def taught(flow: Flow, candidates: Mapping[str, Answer]) -> tuple[list[str], int]:
    """The texts a `Sense` of `candidates` is taught with, and how many of those, at the end, mean nothing anywhere."""
    own = [normal(text) for answer in candidates.values() for text in _own(answer)]
    mine, off = set(own), _off_topic(flow)
    elsewhere = (normal(e) for step in flow.steps for a in flow.candidates(step).values() for e in a.examples)
    return [*own, *(text for text in dict.fromkeys(elsewhere) if text not in mine), *off], len(off)


def texts(flow: Flow, also: Mapping[str, Answer]) -> list[str]:
    """All that is taught in some step of `flow`, or where `also` can be meant; each once."""
    groups = [*(flow.candidates(step) for step in flow.steps), also]
    own = [normal(text) for group in groups for answer in group.values() for text in _own(answer)]
    return list(dict.fromkeys([*own, *_off_topic(flow)]))


def _off_topic(flow: Flow) -> list[str]:
    return list(dict.fromkeys(map(normal, (*flow.off_topic, *off_topic()))))


def settle(guess: Guess, second: float | None, *, asked_back: bool, acts: bool = False) -> Pick:
    """The decision.

    second: the model's log-odds that the line means `guess.best`. asked_back: the bot did so just now. acts: see SURE_TO_ACT
    """
    probability = guess.probability
    if second is not None:
        logit = math.log(max(probability, 1e-6) / max(1 - probability, 1e-6))
        weight, other, constant = SECOND
        both = weight * logit + other * second + constant
        probability = 1 / (1 + math.exp(-max(-50.0, min(50.0, both))))
    probability = round(probability, 4)
    if probability >= (SURE_TO_ACT if acts and not asked_back else SURE):
        return Pick("picked", guess.best, probability, second)
    if probability >= DOUBTFUL and not asked_back:
        return Pick("unclear", guess.best, probability, second)
    return Pick("none", guess.best, probability, second)


def second_opinion(said: str, line: str, answer: Answer) -> tuple[str, str]:
    """The question to a language model, in two parts: what is known before the customer speaks, and the rest. Yes or No."""
    known = f'You judge what a customer means on the phone.\nThe bot has just said: "{said}"'
    return known, f'The customer answers: "{line}"\nDoes this mean: {answer.means}? Answer Yes or No.'


YES_NO = ("Yes", "No")


def normal(text: str) -> str:
    """`text` as it is compared: small letters, no punctuation at its ends."""
    return " ".join(text.lower().split()).strip(' .!?,;:-\u2026"')


class _OffTopic(strict.Strict):
    off_topic: tuple[Text, ...] = Field(min_length=1)


@functools.cache
def off_topic() -> tuple[str, ...]:
    """Lines that mean nothing anybody prepared for."""
    return strict.load(Path(__file__).parent / "off_topic.yaml", _OffTopic).off_topic


class Letters:
    """Likeness by the letter: cosine of words, pairs of words and runs of four characters, the rarer the weightier."""

    def __init__(self, texts: Sequence[str]) -> None:
        counts = [_grams(text) for text in texts]
        spread = Counter(gram for count in counts for gram in count)
        self._place = {gram: i for i, gram in enumerate(spread)}
        self._rarity = np.array([math.log(len(texts) / times) + 1 for times in spread.values()], dtype=np.float32)
        self.of_examples = np.stack([self._row(count) for count in counts])

    def row(self, text: str) -> NDArray[np.float32]:
        """`text` as one row like those of the examples."""
        return self._row(_grams(text))

    def _row(self, grams: Mapping[str, int]) -> NDArray[np.float32]:
        row = np.zeros(len(self._place), dtype=np.float32)
        for gram, times in grams.items():
            if gram in self._place:
                row[self._place[gram]] = 1 + math.log(times)
        row *= self._rarity
        return row / max(float(np.linalg.norm(row)), 1e-9)


def _grams(text: str) -> Counter[str]:
    plain = f" {re.sub(r'[^a-z0-9 ]', ' ', text.replace(chr(39), ''))} "
    words = plain.split()
    grams = Counter(words)
    grams.update(f"{a}_{b}" for a, b in itertools.pairwise(words))
    grams.update(f"#{plain[i : i + 4]}" for i in range(len(plain) - 3))
    return grams


def _own(answer: Answer) -> tuple[str, ...]:
    meaning = (answer.means or "").removeprefix("the customer ")
    return (*answer.examples, *([meaning] if meaning else []))


def _ridge(rows: NDArray[np.float32], labels: NDArray[np.integer], count: int, weights: NDArray[np.floating]) -> Matrix:
    """Ridge regression onto the classes: what a row is multiplied with. Shape (width of a row, count).

    Solved for the rows or for their columns, whichever are fewer: both give the same.
    """
    root = np.sqrt(np.asarray(weights, dtype=np.float64))[:, None]
    weighted, wanted = rows * root, np.eye(count)[labels] * root
    high, wide = weighted.shape
    if high < wide:
        solved = weighted.T @ np.linalg.solve(weighted @ weighted.T + RIDGE * np.eye(high), wanted)
    else:
        solved = np.linalg.solve(weighted.T @ weighted + RIDGE * np.eye(wide), weighted.T @ wanted)
    return np.asarray(solved)
