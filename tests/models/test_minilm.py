"""Sentences as vectors: what means the same is nearer, and nothing but the text counts."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from lab.engines.minilm import MiniLM
from lab.errors import ModelError
from tests.models.conftest import GOING, folder

pytestmark = pytest.mark.models

NAME = "all-minilm-l6-v2"
PAIRS = [
    ("Could we move it to Thursday afternoon?", "Can I reschedule for Thursday?"),
    ("Please don't call me again.", "Take me off your list."),
    ("Is there any parking near the clinic?", "Where can I leave my car?"),
    ("Who is this, please?", "Who am I speaking with?"),
    ("How much is it going to cost?", "What's the price?"),
]
"""Two ways to say the same; no pair is about what another is about."""
LINES = [line for pair in PAIRS for line in pair]


class After:
    """A `stop` that is set once it was looked at so often."""

    def __init__(self, looks: int) -> None:
        self._left = looks

    def is_set(self) -> bool:
        self._left -= 1
        return self._left < 0


@pytest.fixture(scope="module")
def minilm() -> MiniLM:
    return MiniLM(folder(NAME, "embedding"), name=NAME)


def embedded(minilm: MiniLM, texts: Sequence[str]) -> NDArray[np.float32]:
    (rows,) = minilm.embed(texts, GOING)
    return rows


def test_what_means_the_same_is_nearer(minilm: MiniLM) -> None:
    ones = embedded(minilm, [one for one, _ in PAIRS])
    others = embedded(minilm, [other for _, other in PAIRS])
    likeness = ones @ others.T
    print(np.round(likeness, 2))
    assert list(likeness.argmax(axis=1)) == list(range(len(PAIRS)))
    assert list(likeness.argmax(axis=0)) == list(range(len(PAIRS)))


def test_rows_have_unit_length(minilm: MiniLM) -> None:
    rows = embedded(minilm, [*LINES, "", "…", "日本", "word " * 500])
    assert rows.shape == (len(LINES) + 4, 384)
    assert rows.dtype == np.float32
    assert np.allclose(np.linalg.norm(rows, axis=1), 1, atol=0.02)  # steps of a 127th
    assert np.array_equal(np.round(rows * 127) / np.float32(127), rows)
    assert embedded(minilm, []).shape == (0, 384)


def test_a_row_does_not_depend_on_the_others(minilm: MiniLM) -> None:
    together = embedded(minilm, LINES)
    alone = np.concatenate([embedded(minilm, [line]) for line in LINES])
    beside_a_long_one = embedded(minilm, ["word " * 100, *LINES])[1:]
    another = embedded(MiniLM(folder(NAME, "embedding"), name=NAME), LINES[::-1])[::-1]
    assert np.array_equal(together, alone)
    assert np.array_equal(together, beside_a_long_one)
    assert np.array_equal(together, another)


def test_large_letters_do_not_count_and_what_is_too_long_is_cut(minilm: MiniLM) -> None:
    rows = embedded(minilm, ["Yes, please", "YES, PLEASE", "word " * 62, "word " * 62 + "parking"])
    assert np.array_equal(rows[0], rows[1])
    assert np.array_equal(rows[2], rows[3])


def test_stopping_leaves_nothing_and_what_is_known_needs_no_time() -> None:
    fresh = MiniLM(folder(NAME, "embedding"), name=NAME)
    assert list(fresh.embed(LINES, After(3))) == []
    stop = threading.Event()
    stop.set()
    assert list(fresh.embed(LINES, stop)) == []
    (rows,) = fresh.embed(LINES[:3], stop)
    assert np.array_equal(rows, embedded(fresh, LINES[:3]))


def test_it_is_cheap_and_knows_itself(minilm: MiniLM) -> None:
    fresh = [f"{line} {n}" for n in range(5) for line in LINES]
    begun = time.perf_counter()
    for line in fresh:
        embedded(minilm, [line])
    cost = (time.perf_counter() - begun) / len(fresh)
    print(f"a text {cost * 1e3:.1f} ms")
    assert cost < 0.05
    assert minilm.facts.engine == "onnxruntime"
    assert minilm.facts.model == NAME


@pytest.mark.parametrize("what", ["missing", "empty", "cut", "without a tokenizer", "a wrong tokenizer"])
def test_a_damaged_file_is_named(tmp_path: Path, what: str) -> None:
    whole = folder(NAME, "embedding")
    model, tokens = tmp_path / "model.onnx", tmp_path / "tokenizer.json"
    if what != "missing":
        model.write_bytes(whole.read_bytes()[: {"empty": 0, "cut": 100_000}.get(what)])
    if what != "without a tokenizer":
        tokens.write_text("{}")
    with pytest.raises(ModelError) as error:
        MiniLM(model, name="damaged")
    print(error.value)
    assert error.value.where == str(tokens if "tokenizer" in what else model)
    assert "models pull" in (error.value.hint or "")


def test_another_model_is_refused() -> None:
    with pytest.raises(ModelError, match="no MiniLM"):
        MiniLM(folder("en_US-joe-medium", "voice"), name="joe")
