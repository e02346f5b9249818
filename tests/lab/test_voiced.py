"""When a voice really sounded, to five milliseconds."""

from __future__ import annotations

import numpy as np
import pytest

from lab import audio, voiced
from lab.voiced import Channel

RATE = 8000


def sound(seconds: float, level_db: float = -20.0, seed: int = 0) -> bytes:
    wave = np.random.default_rng(seed).standard_normal(round(seconds * RATE)) * 10 ** (level_db / 20)
    return audio.from_floats(wave.astype(np.float32))


def channel(*parts: bytes, under: bytes = b"") -> Channel:
    found = Channel()
    whole = b"".join(parts)
    if under:
        whole = audio.mix(whole, under[: len(whole)])
    for frame in audio.frames(whole, RATE):
        found.feed(frame)
    return found


def quiet(seconds: float) -> bytes:
    return audio.silence(seconds, RATE)


def test_first_and_last() -> None:
    heard = channel(quiet(0.5), sound(0.3), quiet(0.4), sound(0.2), quiet(1.0))
    assert len(heard) == 480
    assert heard.first_voiced(0, len(heard)) == 100
    assert heard.last_voiced(len(heard)) == 279
    assert heard.last_voiced(200) == 159
    assert heard.first_voiced(170, len(heard)) == 240
    assert heard.first_voiced(290, len(heard)) is None
    assert voiced.seconds(280) == 1.4


def test_an_onset_is_after_a_pause() -> None:
    heard = channel(quiet(0.5), sound(0.3), quiet(0.1), sound(0.2), quiet(0.5), sound(0.2))
    assert heard.onset(220) == 100, "a tenth of a second within a word is no pause"
    assert heard.onset(len(heard)) == 320
    assert channel(quiet(1.0)).onset(200) is None


@pytest.mark.parametrize("noise", [-60.0, -45.0])
def test_noise_is_no_voice(noise: float) -> None:
    heard = channel(quiet(1.0), sound(0.5), quiet(1.0), under=sound(3.0, noise, seed=1))
    first, last = heard.first_voiced(0, len(heard)), heard.last_voiced(len(heard))
    assert first == pytest.approx(200, abs=1)
    assert last == pytest.approx(299, abs=1)


@pytest.mark.parametrize("behind", [-30, 0, 12, 150])
def test_two_recordings_of_one_voice_fit_at_their_shift(behind: int) -> None:
    parts = [sound(0.3, seed=1), quiet(0.4), sound(0.7, seed=2), quiet(0.2), sound(0.1, seed=3), quiet(1.0)]
    early = channel(quiet(1.0), *parts)
    late = channel(quiet(1.0 + behind * 0.005), *parts)
    assert voiced.shift(early.levels, late.levels) == behind


def test_a_whole_channel_is_judged_alike() -> None:
    heard = channel(quiet(1.0), sound(0.5), quiet(1.0))
    blocks = np.flatnonzero(voiced.voiced(heard.levels))
    assert (blocks[0], blocks[-1]) == (200, 299)
    assert voiced.voiced(Channel().levels).size == 0
