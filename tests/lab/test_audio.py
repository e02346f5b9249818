"""Levels, and the noise that a scenario puts behind a voice."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from lab import audio


def pcm(*samples: int) -> bytes:
    return np.array(samples, "<i2").tobytes()


@pytest.mark.parametrize(
    ("sound", "level"),
    [(b"", -120.0), (bytes(320), -120.0), (pcm(-32768) * 160, 0.0), (pcm(16384, -16384), -6.02), (pcm(1), -90.31)],
)
def test_levels(sound: bytes, level: float) -> None:
    assert audio.level_db(sound) == pytest.approx(level, abs=0.01)


@pytest.mark.parametrize("level", [-15.0, -30.0, -50.0])
@pytest.mark.parametrize("rate", [8000, 16000])
def test_noise_has_its_length_and_level(level: float, rate: int) -> None:
    for seed in range(10):
        noise = audio.noise(1.5, rate, level, seed)
        assert audio.seconds(noise, rate) == 1.5
        assert audio.level_db(noise) == pytest.approx(level, abs=1.0)


def test_noise_never_turns_over() -> None:
    loudest = audio.samples(audio.noise(60.0, 16000, -15.0, 1)).astype(int)
    assert np.abs(np.diff(loudest)).max() < 32768


def test_noise_is_as_strong_in_each_octave() -> None:
    power = np.abs(np.fft.rfft(audio.floats(audio.noise(20.0, 8000, -20.0, 1)))) ** 2
    hz = np.fft.rfftfreq(20 * 8000, 1 / 8000)
    octaves = [power[(hz >= low) & (hz < 2 * low)].sum() for low in (62, 125, 250, 500, 1000, 2000)]
    assert max(octaves) / min(octaves) < 1.5


def test_noise_is_the_same_everywhere() -> None:
    digest = hashlib.sha256(audio.noise(1.0, 8000, -30.0, 5)).hexdigest()
    assert digest.startswith("d6e1a1826c84cbc1")
    assert audio.noise(1.0, 8000, -30.0, 5) != audio.noise(1.0, 8000, -30.0, 6)


def test_mixing_adds_and_clips() -> None:
    assert audio.mix(pcm(1, 30000, -30000), pcm(2, 30000, -30000)) == pcm(3, 32767, -32768)
