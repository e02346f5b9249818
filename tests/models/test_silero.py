"""The detector: speech from the rest, at both rates of a line. Its model comes with its package."""

from __future__ import annotations

import time

import numpy as np
import pytest

from lab.audio import frames, resample, silence
from lab.engines.silero import Silero
from tests.models.conftest import RATE, Says


def hear(pcm: bytes, rate: int) -> list[float]:
    detector = Silero()
    return [detector.probability(frame, rate) for frame in frames(pcm, rate)]


@pytest.mark.models
@pytest.mark.parametrize("rate", [8000, 16000])
def test_speech_stands_out(says: Says, rate: int) -> None:
    line = says("Could we move it to Thursday afternoon?")
    found = hear(resample(silence(1, RATE) + line + silence(1, RATE), RATE, rate), rate)
    assert max(found[:55]) < 0.2
    assert np.mean(np.array(found[65 : len(found) - 80]) > 0.5) > 0.8
    assert max(found[-25:]) < 0.2


@pytest.mark.parametrize("rate", [8000, 16000])
@pytest.mark.parametrize("level", [0.0, 0.003, 0.03])
def test_noise_is_no_speech(rate: int, level: float) -> None:
    noise = np.random.default_rng(2).standard_normal(2 * rate) * level * 32767
    assert max(hear(noise.astype("<i2").tobytes(), rate)) < 0.5


def test_streams_do_not_hear_each_other() -> None:
    noise = (np.random.default_rng(3).standard_normal(RATE) * 3000).astype("<i2").tobytes()
    alone = hear(noise, RATE)
    one, other = Silero(), Silero()
    mixed = []
    for frame in frames(noise, RATE):
        mixed.append(one.probability(frame, RATE))
        other.probability(frame[::-1], RATE)
    assert mixed == alone


def test_it_is_cheap_and_knows_itself() -> None:
    Silero()
    begun = time.perf_counter()
    detector = Silero()
    loaded = time.perf_counter()
    for frame in frames(silence(2, RATE), RATE):
        detector.probability(frame, RATE)
    print(f"load {(loaded - begun) * 1e3:.1f} ms, frame {(time.perf_counter() - loaded) * 1e4:.0f} us")
    assert loaded - begun < 0.5
    assert detector.facts.engine == "silero-vad"
    assert len(detector.facts.sha256 or "") == 64
