"""Our echo is told from somebody, whatever comes back and whoever speaks; the voices are made of numbers."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from lab.audio import frames, from_floats, level_db, samples
from lab.echo import Echo
from lab.g711 import PCMU

Sound = NDArray[np.float64]

VOICED_DB = -52.0
"""What stands in for the detector: louder than this is voice."""
SYLLABLES = 12


def voice(seed: int, rate: int, *, pitch: float = 110.0, pause: float = 0.08) -> Sound:
    """Some 4 s like speech at -23 dBFS: syllables of gliding pitch and changing vowels, every third begins with a hiss."""
    random = np.random.default_rng(seed)
    parts = []
    for number in range(SYLLABLES):
        length = int(random.uniform(0.15, 0.35) * rate)
        time = np.arange(length) / rate
        hertz = pitch * random.uniform(0.85, 1.2) * (1 + random.uniform(-0.6, 0.6) * time)
        phase = 2 * np.pi * np.cumsum(hertz) / rate
        formants = random.uniform([250, 800, 2200], [800, 2200, 3200])
        vowel = np.zeros(length)
        for harmonic in range(1, int(3600 / hertz.max())):
            distance = (harmonic * pitch - formants) / (60 + 0.08 * formants)
            vowel += np.sum([1, 0.5, 0.25] / (1 + distance**2)) * np.cos(harmonic * phase + 0.3 * harmonic**1.5)
        syllable = vowel * np.sin(np.pi * np.arange(length) / length) ** 0.6
        if number % 3 == 0:
            syllable[: length // 3] += 0.4 * np.abs(vowel).max() * np.diff(random.standard_normal(length // 3 + 1)) / 3
        parts += [syllable, np.zeros(int(random.uniform(0.5, 1.5) * pause * rate))]
    sound = np.concatenate(parts)
    return sound / np.sqrt(np.mean(sound**2)) * 10 ** (-23 / 20)


def talk(seeds: list[int], rate: int, *, wait: float = 0.0, pitch: float = 110.0, db: float = 0.0) -> Sound:
    """One line after the other, half a second between them."""
    gap = np.zeros(rate // 2)
    lines = [part for seed in seeds for part in (voice(seed, rate, pitch=pitch), gap)]
    return np.concatenate([np.zeros(int(wait * rate)), *lines]) * 10 ** (db / 20)


def through_law(sound: Sound) -> Sound:
    pcm = from_floats(sound.astype(np.float32))
    return samples(PCMU.decode(PCMU.encode(pcm))) / 32768.0


def room(seconds: float, rate: int, seed: int) -> Sound:
    """What came straight, then as much energy again of what the walls send back, 60 dB softer after `seconds`."""
    length = max(1, round(seconds * rate))
    walls = np.random.default_rng(seed).standard_normal(length) * np.exp(-6.9 * np.arange(length) / length)
    walls /= np.sqrt(np.sum(walls**2))
    walls[0] = 1.0
    return walls / np.sqrt(np.sum(walls**2))


def echo(spoken: Sound, rate: int, *, db: float, delay: float, walls: float = 0.0) -> Sound:
    """`spoken` as the far side sends it back: `delay` and `walls` in seconds."""
    back = np.convolve(through_law(spoken), room(walls, rate, seed=3))[: len(spoken)]
    return np.concatenate([np.zeros(round(delay * rate)), back])[: len(spoken)] * 10 ** (db / 20)


def line(sound: Sound, *, noise_db: float = -60.0) -> bytes:
    """`sound` as it arrives here, with the line's noise, of whole frames."""
    noise = np.random.default_rng(9).standard_normal(len(sound)) * 10 ** (noise_db / 20)
    return from_floats(through_law(sound + noise).astype(np.float32))


def asked(heard: bytes, spoken: Sound, rate: int) -> Iterator[tuple[int, bool]]:
    """Number and answer of each frame in which there is voice while we sound or sounded a moment ago."""
    ear, sounded = Echo(rate), -100
    said = from_floats(spoken.astype(np.float32))
    for number, (came, left) in enumerate(zip(frames(heard, rate), frames(said, rate), strict=True)):
        ear.step(came, left)
        sounded = number if any(left) else sounded
        if level_db(came) > VOICED_DB and number - sounded <= 30:
            yield number, ear.ours()


def share(answers: list[bool]) -> float:
    assert len(answers) > 100
    return sum(answers) / len(answers)


both_rates = pytest.mark.parametrize("rate", [8000, 16000])


@both_rates
@pytest.mark.parametrize("walls", [0.0, 0.05, 0.1])
@pytest.mark.parametrize(("db", "delay"), [(-6, 0.02), (-12, 0.2613), (-20, 0.5), (-27, 0.1)])
def test_an_echo_is_ours(rate: int, walls: float, db: float, delay: float) -> None:
    spoken = talk([1, 2, 3], rate)
    heard = line(echo(spoken, rate, db=db, delay=delay, walls=walls))
    answers = list(asked(heard, spoken, rate))
    began = answers[0][0]
    assert share([ours for number, ours in answers if number > began + 3]) >= 0.98
