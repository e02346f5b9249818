"""Which prepared answer a customer's words mean.

Decides: how likely each candidate is, and when that is enough. Refuses to know: models, calls, and what an answer leads to. The
vectors of texts are given to it.

How an answer is picked
1.  A line is compared with every example of every candidate, by meaning (vectors) and by letter (words, pairs of words, runs of
    four characters). Two ridge classifiers over the examples of the step learn what tells its candidates apart; a third one has
    the class "none of them", taught with the examples of other steps and with `lab/off_topic.yaml`.
2.  Candidates that read a value from the words gain by there being one and lose by there being none.
3.  Fixed weights, fitted once on lines of three trades that nobody's examples were written from, make probabilities of it.
4.  A sure one is taken, a hopeless one is none. Between them a language model is asked for a second opinion, one token: yes or no.
5.  Still doubtful, the bot asks back, once; what then is doubtful again is none.
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
from lab.flow import Answer, Text

Vectors = NDArray[np.float32]
"""One row of unit length for each text."""
Matrix = NDArray[np.float64]

# Weights of `_features` and `_surroundings`, in their order. Fitted; see point 3.
WEIGHTS = (4.74, 3.82, 3.94, 6.57, 2.87, 0.26)
SURROUNDINGS = (4.16, 3.57, 0.44, 0.45)

ASK_MODEL = (0.08, 0.92)
"""Between these probabilities a second opinion is worth its time."""
SECOND = (0.76, 1.12, 0.31)
"""Of what both say: weight of the first opinion (log-odds), of the second (log-odds), and a constant."""
SURE, DOUBTFUL = 0.5, 0.35
"""At least this probable is picked; at least that probable is asked back."""

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

    candidates: by id. vectors: of the texts that `taught` gives for them
    """

    def __init__(self, candidates: Mapping[str, Answer], vectors: Vectors) -> None:
        self.keys = tuple(candidates)
        known = [(normal(text), i) for i, key in enumerate(self.keys) for text in _own(candidates[key])]
        texts = [text for text, _ in known]
        self._of = np.array([i for _, i in known])
        self._vectors, self._all = vectors[: len(texts)], vectors
        self._off = vectors[len(vectors) - len(off_topic()) :]
        self._letters = Letters(texts)
        count = len(self.keys)
        each = len(known) / count / np.bincount(self._of, minlength=count)[self._of]
        self._meaning = _ridge(self._vectors @ self._vectors.T, self._of, count, each)
        self._spelling = _ridge(self._letters.of_examples @ self._letters.of_examples.T, self._of, count, each)
        others = len(vectors) - len(texts)
        none = np.full(others, len(known) * NONE_WEIGHT / max(1, others))
        labels = np.append(self._of, np.full(others, count))
        self._with_none = _ridge(vectors @ vectors.T, labels, count + 1, np.append(each, none))

    def guess(self, line: str, vector: Vectors, evidence: Mapping[str, bool] | None = None) -> Guess:
        """vector: of `normal(line)`, one row. evidence: for candidates that read a value from the words, whether there is one."""
        features, surroundings = self.features(line, vector, evidence or {})
        scores = np.append(features @ np.array(WEIGHTS), surroundings @ np.array(SURROUNDINGS))
        odds = np.exp(scores - scores.max())
        probabilities = odds / odds.sum()
        order = np.argsort(-probabilities[:-1], kind="stable")
        return Guess(tuple((self.keys[i], round(float(probabilities[i]), 4)) for i in order))

    def features(self, line: str, vector: Vectors, evidence: Mapping[str, bool]) -> tuple[Matrix, Matrix]:
        """One row for each candidate, and one of what speaks for none of them."""
        text, count = normal(line), len(self.keys)
        row = np.asarray(vector, dtype=np.float64).reshape(-1)
        near, letters = self._vectors @ row, self._letters.likeness(text)
        everything = self._all @ row
        with_none = everything @ self._with_none
        groups = [self._of == i for i in range(count)]
        found = [{True: 1.0, False: -1.0, None: 0.0}[evidence.get(key)] for key in self.keys]
        columns: list[Sequence[float] | Matrix] = [
            [float(np.sort(near[group])[-3:].mean()) for group in groups],
            [float(letters[group].max()) for group in groups],
            near @ self._meaning,
            letters @ self._spelling,
            with_none[:count],
            found,
        ]
        off = float((self._off @ row).max()) if len(self._off) else 0.0
        return np.column_stack([np.asarray(column) for column in columns]), np.array(
            [1.0, off, math.log1p(len(text.split())), with_none[count]]
        )


def taught(candidates: Mapping[str, Answer], elsewhere: Sequence[str]) -> list[str]:
    """The texts a `Sense` of `candidates` is taught with. elsewhere: examples of all other steps."""
    own = [normal(text) for answer in candidates.values() for text in _own(answer)]
    others = [text for text in dict.fromkeys(map(normal, elsewhere)) if text not in set(own)]
    return [*own, *others, *map(normal, off_topic())]


def settle(guess: Guess, second: float | None, *, asked_back: bool) -> Pick:
    """The decision. second: the model's log-odds that the line means `guess.best`. asked_back: the bot did so just now."""
    probability = guess.probability
    if second is not None:
        logit = math.log(max(probability, 1e-6) / max(1 - probability, 1e-6))
        weight, other, constant = SECOND
        both = weight * logit + other * second + constant
        probability = 1 / (1 + math.exp(-max(-50.0, min(50.0, both))))
    probability = round(probability, 4)
    if probability >= SURE:
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

    def likeness(self, text: str) -> NDArray[np.float32]:
        """To each example."""
        return np.asarray(self.of_examples @ self._row(_grams(text)))

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


def _ridge(
    gram: NDArray[np.floating], labels: NDArray[np.integer], count: int, weights: NDArray[np.floating]
) -> Matrix:
    """Kernel ridge regression onto the classes: what a line's likenesses are multiplied with. Shape (examples, count)."""
    root = np.sqrt(np.asarray(weights, dtype=np.float64))
    weighted = gram * root[:, None] * root[None, :] + RIDGE * np.eye(len(gram))
    return np.asarray(root[:, None] * np.linalg.solve(weighted, np.eye(count)[labels] * root[:, None]))
