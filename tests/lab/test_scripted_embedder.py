"""Likeness by spelling: vectors that any process computes alike, of unit length whatever the text."""

from __future__ import annotations

import subprocess
import sys
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from lab.engines.scripted import ScriptedEmbedder
from lab.pace import Pace
from lab.ports import Embedder
from lab.shelf import Shelf

RUN = threading.Event()
EMBEDDER: Embedder = ScriptedEmbedder()
quick = settings(max_examples=50, deadline=None)


def rows(*texts: str) -> NDArray[np.float32]:
    """What EMBEDDER makes of them."""
    (found,) = EMBEDDER.embed(texts, RUN)
    return found


class After:
    """A `stop` that is set once it was looked at so often."""

    def __init__(self, looks: int) -> None:
        self._left = looks

    def is_set(self) -> bool:
        self._left -= 1
        return self._left < 0


@quick
@given(st.lists(st.text(st.characters(), max_size=80), max_size=6))
def test_any_text_has_a_row_of_unit_length_that_is_its_own(texts: list[str]) -> None:
    found = rows(*texts)
    assert found.shape == (len(texts), 384)
    assert found.dtype == np.float32
    assert np.allclose(np.linalg.norm(found, axis=1), 1, atol=0.05)  # steps of a 127th
    assert np.array_equal(np.round(found * 127) / np.float32(127), found)
    for text, row in zip(texts, found, strict=True):
        assert np.array_equal(rows(text)[0], row)


def test_what_is_spelt_alike_is_nearer() -> None:
    move, moved, park = rows("Could we move it to Thursday?", "can you move it to thursday", "Is there any parking?")
    assert move @ moved > 0.6 > 0.3 > move @ park


def test_case_and_punctuation_do_not_count() -> None:
    one, other = rows("Yes, please!", "  yes   please")
    assert np.array_equal(one, other)


def test_another_process_computes_the_same() -> None:
    code = (
        "import threading; from lab.engines.scripted import ScriptedEmbedder;"
        "print(next(ScriptedEmbedder().embed(['Thursday afternoon'], threading.Event())).tobytes().hex())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == rows("Thursday afternoon").tobytes().hex()


@pytest.mark.parametrize("looks", [0, 2])
def test_stopping_leaves_nothing(looks: int) -> None:
    assert list(EMBEDDER.embed(["one", "two", "three"], After(looks))) == []


def test_the_shelf_has_it() -> None:
    async def first() -> Embedder:
        return await Shelf(Pace("fixed")).embedder("scripted")

    assert Pace("fixed").run(first).facts.engine == "scripted"
