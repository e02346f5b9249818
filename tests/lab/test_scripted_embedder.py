"""Likeness by spelling: vectors that any process computes alike, of unit length whatever the text."""

from __future__ import annotations

import subprocess
import sys
import threading

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.engines.scripted import ScriptedEmbedder
from lab.pace import Pace
from lab.ports import Embedder
from lab.shelf import Shelf

RUN = threading.Event()
EMBEDDER: Embedder = ScriptedEmbedder()
quick = settings(max_examples=50, deadline=None)


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
    rows = EMBEDDER.embed(texts, RUN)
    assert rows.shape == (len(texts), 384)
    assert rows.dtype == np.float32
    assert np.allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)
    for text, row in zip(texts, rows, strict=True):
        assert np.array_equal(EMBEDDER.embed([text], RUN)[0], row)


def test_what_is_spelt_alike_is_nearer() -> None:
    move, moved, park = EMBEDDER.embed(
        ["Could we move it to Thursday?", "can you move it to thursday", "Is there any parking?"], RUN
    )
    assert move @ moved > 0.6 > 0.3 > move @ park


def test_case_and_punctuation_do_not_count() -> None:
    one, other = EMBEDDER.embed(["Yes, please!", "  yes   please"], RUN)
    assert np.array_equal(one, other)


def test_another_process_computes_the_same() -> None:
    code = (
        "import threading; from lab.engines.scripted import ScriptedEmbedder;"
        "print(ScriptedEmbedder().embed(['Thursday afternoon'], threading.Event()).tobytes().hex())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == EMBEDDER.embed(["Thursday afternoon"], RUN).tobytes().hex()


def test_stopping_leaves_the_rows_made_so_far() -> None:
    texts = ["one", "two", "three"]
    assert np.array_equal(EMBEDDER.embed(texts, After(2)), EMBEDDER.embed(texts, RUN)[:2])
    assert EMBEDDER.embed(texts, After(0)).shape == (0, 384)


def test_the_shelf_has_it() -> None:
    async def first() -> Embedder:
        return await Shelf(Pace("fixed")).embedder("scripted")

    assert Pace("fixed").run(first).facts.engine == "scripted"
