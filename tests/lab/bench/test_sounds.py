"""The sounds of a line on which nobody speaks."""

from __future__ import annotations

import numpy as np
import pytest

from lab.audio import floats, level_db, seconds
from lab.bench import sounds

RATE = 8000


def strongest(pcm: bytes, count: int) -> list[float]:
    """The `count` strongest frequencies, in Hz, rising; a second gives whole Hz."""
    spectrum = np.abs(np.fft.rfft(floats(pcm)))
    return sorted(float(hertz) * RATE / (len(pcm) // 2) for hertz in np.argsort(spectrum)[-count:])


@pytest.mark.parametrize("style", sounds.STYLES)
def test_music_has_its_length_its_level_and_its_seed(style: sounds.Style) -> None:
    pcm = sounds.hold_music(3.0, RATE, style, level_db=-20, seed=4)
    assert seconds(pcm, RATE) == 3.0
    assert level_db(pcm) == pytest.approx(-20, abs=0.5)
    assert pcm == sounds.hold_music(3.0, RATE, style, level_db=-20, seed=4)
    assert pcm != sounds.hold_music(3.0, RATE, style, level_db=-20, seed=5)


@pytest.mark.parametrize("rate", [8000, 16000])
@pytest.mark.parametrize("style", sounds.STYLES)
def test_music_fits_any_line_and_any_length(style: sounds.Style, rate: int) -> None:
    assert seconds(sounds.hold_music(0.5, rate, style), rate) == 0.5
    assert sounds.hold_music(0.0, rate, style) == b""


@pytest.mark.parametrize("level", [-65, -50, -35])
@pytest.mark.parametrize(("white", "hum"), [(False, None), (True, None), (False, 50.0)], ids=["pink", "white", "hum"])
def test_noise_has_its_level(level: float, white: bool, hum: float | None) -> None:
    pcm = sounds.line_noise(2.0, RATE, level_db=level, white=white, hum=hum)
    assert level_db(pcm) == pytest.approx(level, abs=0.6)


def test_hum_is_that_of_the_mains() -> None:
    assert strongest(sounds.line_noise(1.0, RATE, hum=60), 2) == [60, 120]


@pytest.mark.parametrize(
    ("tone", "length", "hertz"),
    [("beep", 0.4, [1000]), ("ring_back", 1.0, [440, 480]), ("busy", 0.5, [480, 620]), ("fax", 1.0, [2100])],
)
def test_tones_are_those_of_the_telephone(tone: sounds.Tone, length: float, hertz: list[float]) -> None:
    assert strongest(sounds.beep(length, RATE, tone), len(hertz)) == pytest.approx(hertz, abs=3)


def test_a_tone_keeps_its_cadence() -> None:
    pcm = sounds.beep(12.0, RATE, "ring_back")
    second = [level_db(pcm[n * 2 * RATE : (n + 1) * 2 * RATE]) > -60 for n in range(12)]
    assert second == ([True] * 2 + [False] * 4) * 2


def test_a_key_is_its_row_and_its_column() -> None:
    assert strongest(sounds.keys("7", RATE, each=0.5)[: RATE // 2 * 2], 2) == pytest.approx([852, 1209], abs=4)
    assert seconds(sounds.keys("159#", RATE), RATE) == pytest.approx(0.96)


def test_clicks_are_short_and_have_their_peak() -> None:
    wave = np.abs(floats(sounds.clicks(10.0, RATE, level_db=-10, seed=1)))
    assert np.max(wave) == pytest.approx(10 ** (-10 / 20), rel=0.01)
    assert np.mean(wave > 0.001) < 0.3
