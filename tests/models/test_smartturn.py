"""Finished or not, by the sound of it, on a telephone line."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import numpy as np
import pytest

from lab.audio import resample, silence
from lab.engines.piper import Piper
from lab.engines.smartturn import SmartTurn
from lab.errors import ModelError
from lab.g711 import PCMU
from tests.models.conftest import GOING, RATE, folder

pytestmark = pytest.mark.models

NAME = "smart-turn-v3.2"
PAUSE = 0.2
"""Seconds of silence after which an endpointer asks."""


class After:
    """A `stop` that is set once it was looked at so often."""

    def __init__(self, looks: int) -> None:
        self._left = looks

    def is_set(self) -> bool:
        self._left -= 1
        return self._left < 0


@pytest.fixture(scope="module")
def judge() -> SmartTurn:
    return SmartTurn(folder(NAME, "turn"), name=NAME)


def line(joe: Piper, text: str) -> bytes:
    """`text` as a telephone delivers it, and the pause after it."""
    return PCMU.decode(PCMU.encode(b"".join(joe.speak(text, RATE, GOING)) + silence(PAUSE, RATE)))


def probability(judge: SmartTurn, pcm: bytes, rate: int = RATE) -> float:
    (found,) = judge.finished(pcm, rate, GOING)
    return found


@pytest.mark.parametrize(
    ("cut", "whole"),
    [
        ("It started, um,", "It started two days ago."),
        ("My name is, um,", "My name is Rebecca Stone."),
        ("Could we move it to, um,", "Could we move it to Thursday afternoon?"),
        ("No, I have to cancel it because, uh,", "No, I have to cancel it."),
    ],
)
def test_who_hesitates_has_not_finished(judge: SmartTurn, joe: Piper, cut: str, whole: str) -> None:
    unfinished, finished = probability(judge, line(joe, cut)), probability(judge, line(joe, whole))
    print(f"{unfinished:.3f} {finished:.3f}")
    assert unfinished < 0.1
    assert finished > 0.9


def test_only_the_newest_eight_seconds_count(judge: SmartTurn, joe: Piper) -> None:
    tail = silence(8, RATE) + line(joe, "That's all, thank you.")
    newest = tail[-8 * RATE * 2 :]
    assert probability(judge, line(joe, "My name is") + tail) == probability(judge, newest)


def test_the_rate_of_the_line_hardly_counts(judge: SmartTurn, joe: Piper) -> None:
    narrow = line(joe, "Could we move it to Thursday afternoon?")
    wide = resample(narrow, RATE, 2 * RATE)
    assert probability(judge, wide, 2 * RATE) == pytest.approx(probability(judge, narrow), abs=0.1)


def test_no_sound_is_judged_too(judge: SmartTurn) -> None:
    for pcm in (b"", silence(0.2, RATE), silence(20, RATE)):
        assert 0 <= probability(judge, pcm) <= 1


def test_stopping_leaves_nothing(judge: SmartTurn) -> None:
    noise = (np.random.default_rng(3).standard_normal(RATE) * 3000).astype("<i2").tobytes()
    stop = threading.Event()
    stop.set()
    assert list(judge.finished(noise, RATE, stop)) == []
    assert list(judge.finished(noise, RATE, After(1))) == []


def test_it_is_cheap_and_knows_itself(judge: SmartTurn) -> None:
    noise = (np.random.default_rng(4).standard_normal(8 * RATE) * 3000).astype("<i2").tobytes()
    first = probability(judge, noise)
    begun = time.thread_time()
    assert [probability(judge, noise) for _ in range(10)] == [first] * 10
    cost = (time.thread_time() - begun) / 10
    print(f"a judgement {cost * 1e3:.0f} ms of CPU")
    assert cost < 0.3
    assert judge.facts.engine == "onnxruntime"
    assert judge.facts.model == NAME


@pytest.mark.parametrize("what", ["missing", "empty", "cut"])
def test_a_damaged_file_is_named(tmp_path: Path, what: str) -> None:
    model = tmp_path / "smart-turn.onnx"
    if what != "missing":
        model.write_bytes(folder(NAME, "turn").read_bytes()[: {"empty": 0, "cut": 100_000}[what]])
    with pytest.raises(ModelError) as error:
        SmartTurn(model, name="damaged")
    print(error.value)
    assert error.value.where == str(model)
    assert "models pull" in (error.value.hint or "")


def test_another_model_is_refused() -> None:
    with pytest.raises(ModelError, match="no Smart Turn"):
        SmartTurn(folder("all-minilm-l6-v2", "embedding"), name="minilm")
