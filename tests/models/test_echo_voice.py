"""Our echo and somebody, with a real voice on both sides: the same one, which is the hardest."""

from __future__ import annotations

import numpy as np
import pytest

from lab.audio import frames, from_floats, level_db, samples, silence
from lab.engines.piper import Piper
from tests.lab.test_echo import Sound, asked, echo, line, share
from tests.models.conftest import GOING, folder

BOT = (
    "Hello, this is Anna calling from Riverside Dental about your appointment on Tuesday at ten thirty.",
    "Would you like to confirm the appointment, or would you rather move it to another day?",
)
PERSON = ("No wait, hold on. I can't do Thursday, I'm at work until six.", "Sorry, who is this?")


def said(voice: Piper, lines: tuple[str, ...], rate: int, *, wait: float = 0.0, db: float = 0.0) -> Sound:
    pieces = [piece for text in lines for piece in voice.speak(text, rate, GOING)]
    pcm = silence(wait, rate) + b"".join(silence(0.3, rate) + piece for piece in pieces)
    return samples(pcm) / 32768.0 * 10 ** (db / 20)


def as_long_as(sound: Sound, other: Sound) -> Sound:
    return np.pad(sound, (0, max(0, len(other) - len(sound))))[: len(other)]


@pytest.mark.models
@pytest.mark.parametrize("rate", [8000, 16000])
@pytest.mark.parametrize(
    ("db", "delay", "walls"), [(-6, 0.02, 0.0), (-12, 0.2613, 0.1), (-20, 0.5, 0.05), (-26, 0.1, 0.05)]
)
def test_an_echo_is_ours(joe: Piper, rate: int, db: float, delay: float, walls: float) -> None:
    spoken = said(joe, BOT, rate)
    answers = list(asked(line(echo(spoken, rate, db=db, delay=delay, walls=walls)), spoken, rate))
    assert share([ours for number, ours in answers if number > answers[0][0] + 3]) >= 0.98


@pytest.mark.models
@pytest.mark.parametrize("rate", [8000, 16000])
@pytest.mark.parametrize("pitch", [1.0, 0.85, 1.25])
@pytest.mark.parametrize("db", [0, -10])
def test_other_words_are_not(joe: Piper, rate: int, pitch: float, db: float) -> None:
    spoken = said(joe, BOT, rate)
    other = Piper(folder("en_US-joe-medium", "voice"), name="joe", pitch=pitch)
    person = as_long_as(said(other, PERSON, rate, db=db), spoken)
    assert share([not ours for _, ours in asked(line(person), spoken, rate)]) >= 0.98


@pytest.mark.models
@pytest.mark.parametrize("rate", [8000, 16000])
@pytest.mark.parametrize("db", [0, -6])
def test_nor_over_an_echo(joe: Piper, rate: int, db: float) -> None:
    spoken = said(joe, BOT, rate)
    person = as_long_as(said(joe, PERSON, rate, wait=3.0, db=db), spoken)
    heard = line(echo(spoken, rate, db=-20, delay=0.15, walls=0.05) + person)
    voiced = [level_db(frame) > -45 for frame in frames(from_floats(person.astype(np.float32)), rate)]
    answers = [ours for number, ours in asked(heard, spoken, rate) if all(voiced[number - 5 : number + 1])]
    assert share([not ours for ours in answers]) >= 0.95
