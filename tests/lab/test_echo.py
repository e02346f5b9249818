"""Our own voice is known by its wave; nobody else's is taken for it."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from lab import audio
from lab.echo import Echo
from lab.g711 import PCMU

RATE = 8000
Wave = NDArray[np.float64]


def speech(seconds: float, seed: int, pitch: float = 110.0) -> Wave:
    """Something like a voice: harmonics of a wandering pitch in syllables, and breath."""
    random = np.random.default_rng(seed)
    count = round(seconds * RATE)
    t = np.arange(count) / RATE
    wander = np.interp(t, np.arange(0, seconds + 1, 0.3), random.uniform(0.8, 1.3, len(np.arange(0, seconds + 1, 0.3))))
    phase = 2 * np.pi * np.cumsum(pitch * wander) / RATE
    tone = sum(np.sin(k * phase + random.uniform(0, 6)) / k for k in range(1, 18))
    syllables = np.interp(
        t, np.arange(0, seconds + 1, 0.12), random.uniform(0, 1, len(np.arange(0, seconds + 1, 0.12)))
    )
    wave = np.asarray(tone) * syllables + 0.15 * random.standard_normal(count) * (1 - syllables)
    return np.asarray(wave / np.abs(wave).max() * 0.5)


def coded(wave: Wave) -> bytes:
    return PCMU.decode(PCMU.encode(audio.from_floats(wave.astype(np.float32))))


def shares(heard: Wave, spoken: Wave) -> list[bool]:
    """Whether each frame is taken for an echo, from 0.3 s on."""
    echo, found = Echo(RATE), []
    pairs = zip(audio.frames(coded(heard), RATE), audio.frames(coded(spoken), RATE), strict=True)
    for number, (there, here) in enumerate(pairs):
        echo.step(there, here)
        if number >= 15:
            found.append(echo.ours())
    return found


def later(wave: Wave, seconds: float, decibels: float) -> Wave:
    shift = round(seconds * RATE)
    return np.concatenate([np.zeros(shift), wave])[: len(wave)] * 10 ** (decibels / 20)


@pytest.mark.parametrize("delay", [0.02, 0.11, 0.5])
@pytest.mark.parametrize("decibels", [-6, -20, -30])
def test_a_delayed_copy_is_ours(delay: float, decibels: float) -> None:
    spoken = speech(4, 1)
    found = shares(later(spoken, delay, decibels), spoken)
    assert np.mean(found[round(delay / 0.02) + 5 :]) > 0.98


def test_so_is_one_from_a_room() -> None:
    spoken = speech(4, 2)
    room = np.random.default_rng(0).standard_normal(400) * np.exp(-np.arange(400) / 80)
    room[0] = 3.0
    heard = later(np.convolve(spoken, room / np.abs(room).sum())[: len(spoken)], 0.08, -10)
    assert np.mean(shares(heard, spoken)[10:]) > 0.95


@pytest.mark.parametrize("pitch", [90.0, 110.0, 180.0])
@pytest.mark.parametrize("decibels", [0, -10])
def test_a_person_is_not(pitch: float, decibels: float) -> None:
    found = shares(speech(6, 7, pitch) * 10 ** (decibels / 20), speech(6, 1))
    assert np.mean(found) < 0.01


def test_nor_is_a_person_over_an_echo() -> None:
    spoken = speech(6, 1)
    found = shares(speech(6, 7, 140.0) * 0.7 + later(spoken, 0.1, -20), spoken)
    assert np.mean(found) < 0.1


def test_silence_is_nobodys() -> None:
    assert not any(shares(np.zeros(RATE), speech(1, 1)))
    assert not any(shares(speech(1, 1), np.zeros(RATE)))
