"""Our echo is told from somebody, whatever comes back and whoever speaks; the voices are made of numbers."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from lab.audio import frame_bytes, frames, from_floats, level_db, samples, silence
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
    return np.asarray(sound / np.sqrt(np.mean(sound**2)) * 10 ** (-23 / 20))


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
    return np.asarray(walls / np.sqrt(np.sum(walls**2)))


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
    assert len(answers) > 60
    return sum(answers) / len(answers)


both_rates = pytest.mark.parametrize("rate", [8000, 16000])


@both_rates
@pytest.mark.parametrize("walls", [0.0, 0.05, 0.1])
@pytest.mark.parametrize(("db", "delay"), [(-6, 0.02), (-12, 0.2613), (-20, 0.5), (-27, 0.1)])
def test_an_echo_is_ours(rate: int, walls: float, db: float, delay: float) -> None:
    spoken = talk([1, 2, 3], rate)
    answers = list(asked(line(echo(spoken, rate, db=db, delay=delay, walls=walls)), spoken, rate))
    began = answers[0][0]
    assert share([ours for number, ours in answers if number > began + 3]) >= 0.98


@both_rates
@pytest.mark.parametrize("db", [0, -6, -10])
@pytest.mark.parametrize("pitch", [110.0, 95.0, 140.0, 210.0])
def test_somebody_is_not(rate: int, db: float, pitch: float) -> None:
    spoken = talk([1, 2, 3], rate)
    person = talk([11, 12, 13], rate, wait=0.3, pitch=pitch, db=db)[: len(spoken)]
    spoken = spoken[: len(person)]
    assert share([not ours for _, ours in asked(line(person), spoken, rate)]) >= 0.995


@both_rates
@pytest.mark.parametrize("db", [0, -6])
@pytest.mark.parametrize("pitch", [110.0, 180.0])
@pytest.mark.parametrize("walls", [0.0, 0.05])
def test_who_speaks_over_an_echo_is_heard(rate: int, db: float, pitch: float, walls: float) -> None:
    spoken = talk([1, 2, 3], rate)
    person = talk([11, 12], rate, wait=3.0, pitch=pitch, db=db)[: len(spoken)]
    person = np.pad(person, (0, len(spoken) - len(person)))
    heard = line(echo(spoken, rate, db=-20, delay=0.15, walls=walls) + person)
    voiced = [level_db(frame) > -45 for frame in frames(from_floats(person.astype(np.float32)), rate)]
    answers = [(number, ours) for number, ours in asked(heard, spoken, rate) if all(voiced[number - 5 : number + 1])]
    assert share([not ours for _, ours in answers]) >= 0.95


@both_rates
def test_the_echo_is_ours_again_when_they_have_spoken(rate: int) -> None:
    spoken = talk([1, 2, 3], rate)
    word = np.pad(voice(11, rate)[: rate // 2], (3 * rate, len(spoken) - 3 * rate - rate // 2))
    answers = dict(asked(line(echo(spoken, rate, db=-20, delay=0.15) + word), spoken, rate))
    assert not any(ours for number, ours in answers.items() if 155 <= number < 175)
    assert share([ours for number, ours in answers.items() if number >= 200]) >= 0.98


def test_an_echo_that_comes_upside_down_is_ours() -> None:
    spoken = talk([1, 2], 8000)
    answers = [ours for _, ours in asked(line(-echo(spoken, 8000, db=-15, delay=0.1)), spoken, 8000)]
    assert share(answers[4:]) >= 0.98


def test_a_path_that_changes_is_found_again() -> None:
    spoken = talk([1, 2, 3], 8000)
    half = len(spoken) // 2
    before, after = (echo(spoken, 8000, db=-15, delay=delay, walls=0.05) for delay in (0.1, 0.3))
    answers = dict(asked(line(np.concatenate([before[:half], after[half:]])), spoken, 8000))
    changed = half // 160
    assert share([ours for number, ours in answers.items() if not changed - 3 <= number < changed + 60]) >= 0.97


@both_rates
def test_silence_is_nobodys(rate: int) -> None:
    quiet, sound = silence(0.02, rate), from_floats(voice(1, rate).astype(np.float32))
    for heard, spoken in [(quiet, quiet), (sound, quiet), (quiet, sound)]:
        ear = Echo(rate)
        assert not ear.ours()
        for number in range(100):
            at = number * frame_bytes(rate)
            ear.step((heard * 200)[at : at + len(quiet)], (spoken * 200)[at : at + len(quiet)])
            assert not ear.ours()


def test_clicks_and_hum_do_no_harm() -> None:
    ear, rate = Echo(8000), 8000
    hum = from_floats((0.3 * np.sin(np.arange(2 * rate) * 2 * np.pi * 50 / rate)).astype(np.float32))
    click = from_floats(np.where(np.arange(2 * rate) % 4000 == 0, 0.9, 0.0).astype(np.float32))
    still = from_floats(np.full(2 * rate, 0.2, np.float32))
    for heard, spoken in [(hum, click), (click, hum), (still, hum), (hum, still), (still, still), (click, click)]:
        for came, left in zip(frames(heard, rate), frames(spoken, rate), strict=True):
            ear.step(came, left)
            assert ear.ours() in (True, False)


@both_rates
def test_silence_inside_an_echo_is_still_ours(rate: int) -> None:
    """A detector holds on to voice for some frames: they are no one else's."""
    spoken = talk([1, 2], rate)
    heard = echo(spoken, rate, db=-20, delay=0.1)
    heard[3 * rate : 3 * rate + rate // 5] = 0.0
    ear = Echo(rate)
    said = from_floats(spoken.astype(np.float32))
    came = from_floats(through_law(heard).astype(np.float32))
    answers = []
    for theirs, mine in zip(frames(came, rate), frames(said, rate), strict=True):
        ear.step(theirs, mine)
        answers.append(ear.ours())
    assert all(answers[3 * 50 : 3 * 50 + 10])
