"""What a telephone line carries while nobody speaks: music on hold, noise, tones, clicks. 16-bit mono PCM in bytes.

Decides: how each of them sounds. Refuses to know: who listens, and what anybody takes it for.

All is made of numpy and a seed, so the same arguments are the same sound. Levels are RMS in dB of full scale over the
whole length, of `clicks` the peak. Nothing is limited to the telephone's band but by `rate`: send it through lab.g711.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from lab.audio import floats, from_floats, noise

Wave = NDArray[np.float64]
Style = Literal["melody", "arpeggio", "pad", "voice"]
"""A plucked melody over chords; a quick arpeggio with drums; chords that swell; somebody humming with vibrato."""
STYLES: tuple[Style, ...] = get_args(Style)
Tone = Literal["beep", "ring_back", "busy", "sit", "fax", "calling_fax"]
TONES: tuple[Tone, ...] = get_args(Tone)

_CADENCES: Mapping[Tone, Sequence[tuple[tuple[float, ...], float]]] = {
    "beep": (((1000,), 0.4), ((), 2.6)),
    "ring_back": (((440, 480), 2.0), ((), 4.0)),
    "busy": (((480, 620), 0.5), ((), 0.5)),
    "sit": (((913.8,), 0.38), ((1370.6,), 0.38), ((1776.7,), 0.38), ((), 1.5)),
    "fax": (((2100,), 3.3), ((), 1.7)),
    "calling_fax": (((1100,), 0.5), ((), 3.0)),
}
"""What sounds together (Hz) and for how long (s), again and again."""
_ROWS, _COLUMNS = (697, 770, 852, 941), (1209, 1336, 1477, 1633)
_KEYS = "123A456B789C*0#D"
_BEAT = 0.5
"""Seconds."""
_PROGRESSIONS = ((0, 5, 3, 4), (0, 3, 4, 0), (5, 3, 0, 4), (0, 4, 5, 3))
"""Degrees of the scale, one a bar of four beats."""
_MAJOR = (0, 2, 4, 5, 7, 9, 11)
_VOWELS = (
    ((730, 1090, 2440), (1.0, 0.5, 0.15)),
    ((530, 1840, 2480), (1.0, 0.35, 0.2)),
    ((390, 1990, 2550), (1.0, 0.25, 0.2)),
    ((570, 840, 2410), (1.0, 0.6, 0.1)),
    ((440, 1020, 2240), (1.0, 0.4, 0.1)),
)
"""Formants of a few vowels: their middles (Hz) and strengths."""


def hold_music(seconds: float, rate: int, style: Style, *, level_db: float = -20.0, seed: int = 0) -> bytes:
    """Music on hold; the seed chooses key, chords and tune."""
    random = np.random.RandomState(seed)  # not a Generator: its stream never changes between versions of numpy
    key = 48 + random.randint(12)
    chords = _PROGRESSIONS[random.randint(len(_PROGRESSIONS))]
    wave = np.zeros(round(seconds * rate))
    for bar in range(int(seconds / (4 * _BEAT)) + 1):
        degree, begin = chords[bar % len(chords)], 4 * _BEAT * bar
        chord = [_pitch(key, degree + step) for step in (0, 2, 4)]
        if style == "melody":
            for hertz in chord:
                _add(wave, rate, begin, 0.35 * _pluck(hertz, 4 * _BEAT, rate, decay=1.2))
            for at, length in _rhythm(random):
                tune = _pitch(key, degree + random.choice([0, 1, 2, 4, 7]) + 7)
                _add(wave, rate, begin + at, _pluck(tune, length + 0.2, rate, decay=0.5))
        elif style == "arpeggio":
            for n in range(16):
                _add(
                    wave, rate, begin + n * _BEAT / 4, _pluck(chord[n % 3] * (1, 2, 2, 4)[n % 4], 0.3, rate, decay=0.12)
                )
            for beat in range(4):
                _add(wave, rate, begin + beat * _BEAT, 1.5 * _drum(beat, rate, random))
                _add(wave, rate, begin + (beat + 0.5) * _BEAT, 0.4 * _hiss(0.05, rate, random))
        elif style == "pad":
            for hertz in chord:
                _add(wave, rate, begin, _swell(hertz, 4.4 * _BEAT, rate, random))
    if style == "voice":
        wave += _hum(seconds, rate, key, chords, random)
    return _at(wave, level_db)


def line_noise(
    seconds: float, rate: int, *, level_db: float = -50.0, hum: float | None = None, white: bool = False, seed: int = 0
) -> bytes:
    """A line on which nobody speaks: pink noise; `white`, as comfort noise is; or the mains' hum, of 50 or 60 Hz."""
    length = round(seconds * rate)
    if hum is not None:
        times = np.arange(length) / rate
        parts = [np.sin(2 * np.pi * hum * n * times + n) / n for n in (1, 2, 3, 5, 7, 9, 11) if hum * n < rate / 2]
        return _at(np.sum(parts, axis=0), level_db)
    if white:
        return _at(np.random.RandomState(seed).standard_normal(length), level_db)
    return _at(floats(noise(seconds, rate, -20.0, seed)).astype(np.float64), level_db)


def beep(seconds: float, rate: int, tone: Tone = "beep", *, level_db: float = -15.0) -> bytes:
    """A signal tone in its cadence, from its beginning."""
    wave, at = np.zeros(round(seconds * rate)), 0.0
    while at < seconds:
        for hertz, length in _CADENCES[tone]:
            _add(wave, rate, at, _edges(_sines(hertz, length, rate), rate))
            at += length
    return _at(wave, level_db)


def keys(pressed: str, rate: int, *, level_db: float = -15.0, each: float = 0.12) -> bytes:
    """DTMF: each key of `pressed` for `each` seconds, with as long a pause after it."""
    wave = np.zeros(round(2 * each * len(pressed) * rate))
    for n, key in enumerate(pressed):
        row, column = divmod(_KEYS.index(key), 4)
        _add(wave, rate, 2 * each * n, _edges(_sines((_ROWS[row], _COLUMNS[column]), each, rate), rate))
    return _at(wave, level_db)


def clicks(seconds: float, rate: int, *, level_db: float = -10.0, every: float = 0.7, seed: int = 0) -> bytes:
    """Switches, a handset put down: short thumps, one in `every` seconds or so. level_db: of the peak."""
    random = np.random.RandomState(seed)
    wave, at = np.zeros(round(seconds * rate)), 0.0
    while (at := at + random.exponential(every)) < seconds:
        length = random.uniform(0.002, 0.03)
        _add(wave, rate, at, random.uniform(0.4, 1.0) * _hiss(5 * length, rate, random))
    peak = np.max(np.abs(wave), initial=1e-9)
    return from_floats((wave * 10 ** (level_db / 20) / peak).astype(np.float32))


def _at(wave: Wave, level_db: float) -> bytes:
    """PCM of that RMS level; what would exceed full scale is clipped."""
    level = np.sqrt(np.mean(np.square(wave))) if wave.size else 0.0
    return from_floats((wave * 10 ** (level_db / 20) / max(float(level), 1e-9)).astype(np.float32))


def _add(wave: Wave, rate: int, at: float, sound: Wave) -> None:
    """Mix `sound` into `wave` at `at` seconds; what hangs over the end is dropped."""
    begin = round(at * rate)
    part = wave[begin : begin + len(sound)]
    part += sound[: len(part)]


def _pitch(key: int, degree: int) -> float:
    """Hz of a degree of the major scale on the MIDI note `key`."""
    octave, step = divmod(degree, 7)
    return float(440 * 2 ** ((key + 12 * octave + _MAJOR[step] - 69) / 12))


def _rhythm(random: np.random.RandomState) -> Iterator[tuple[float, float]]:
    """Notes of one bar: when and how long, in seconds."""
    at = 0.0
    while at < 4 * _BEAT - 1e-6:
        length = min(float(random.choice([0.5, 0.5, 1, 1, 2])) * _BEAT, 4 * _BEAT - at)
        if random.rand() < 0.85:
            yield at, length
        at += length


def _sines(hertz: Sequence[float], seconds: float, rate: int) -> Wave:
    times = np.arange(round(seconds * rate)) / rate
    wave: Wave = np.sum([np.sin(2 * np.pi * each * times) for each in hertz], axis=0) if hertz else 0 * times
    return wave


def _edges(wave: Wave, rate: int) -> Wave:
    """`wave` with 4 ms of rise and of fall."""
    times = np.arange(len(wave)) / rate
    return wave * np.clip(np.minimum(times, times[::-1]) / 0.004, 0, 1)


def _pluck(hertz: float, seconds: float, rate: int, *, decay: float) -> Wave:
    """A struck string. decay: seconds to a third of its loudness; its overtones go sooner."""
    times = np.arange(round(seconds * rate)) / rate
    wave = np.zeros(len(times))
    for n in range(1, 8):
        if n * hertz < 0.45 * rate:
            wave += np.sin(2 * np.pi * n * hertz * times) * np.exp(-times * (0.6 + 0.4 * n) / decay) / n**1.2
    return _edges(wave, rate)


def _swell(hertz: float, seconds: float, rate: int, random: np.random.RandomState) -> Wave:
    """Three strings a little out of tune that come and go."""
    times = np.arange(round(seconds * rate)) / rate
    wave = np.zeros(len(times))
    for detuned in hertz * np.array([0.995, 1.0, 1.006]):
        for n in range(1, 10):
            if n * detuned < 0.45 * rate:
                wave += np.sin(2 * np.pi * (n * detuned * times + random.rand())) / n**1.5
    return wave * np.sin(np.pi * times / seconds) ** 0.7


def _hiss(seconds: float, rate: int, random: np.random.RandomState) -> Wave:
    """A burst of noise that dies away."""
    length = max(1, round(seconds * rate))
    return np.asarray(random.standard_normal(length) * np.exp(-5 * np.arange(length) / length))


def _drum(beat: int, rate: int, random: np.random.RandomState) -> Wave:
    """A kick on the even beats, a snare on the odd."""
    if beat % 2:
        return _hiss(0.15, rate, random)
    times = np.arange(round(0.2 * rate)) / rate
    return np.asarray(np.sin(2 * np.pi * (50 * times + 6 * (1 - np.exp(-times * 30)))) * np.exp(-times * 15))


def _hum(seconds: float, rate: int, key: int, chords: Sequence[int], random: np.random.RandomState) -> Wave:
    """A tune without words: the pitch glides from note to note with vibrato, the mouth from vowel to vowel."""
    length = round(seconds * rate)
    times = np.arange(length) / rate
    starts: list[float] = []
    hertz: list[float] = []
    vowels: list[int] = []
    for bar in range(int(seconds / (4 * _BEAT)) + 1):
        for at, _ in _rhythm(random):
            starts.append(4 * _BEAT * bar + at)
            hertz.append(_pitch(key, chords[bar % len(chords)] + random.choice([0, 1, 2, 4])))
            vowels.append(random.randint(len(_VOWELS)))
    note = np.clip(np.searchsorted(starts, times, side="right") - 1, 0, None)
    since = np.maximum(times - np.array(starts)[note], 0)
    before = np.maximum(note - 1, 0)
    glide = 1 - np.exp(-since / 0.04)
    pitch = np.array(hertz)[before] ** (1 - glide) * np.array(hertz)[note] ** glide
    pitch *= 1 + 0.015 * np.sin(2 * np.pi * 5.5 * times) * np.minimum(since / 0.3, 1)
    phase = 2 * np.pi * np.cumsum(pitch) / rate
    middles = np.array([middle for middle, _ in _VOWELS], float)[np.array(vowels)]
    strengths = np.array([strength for _, strength in _VOWELS])[np.array(vowels)]
    wave = np.zeros(length)
    for n in range(1, int(0.45 * rate / np.min(pitch, initial=min(hertz))) + 1):
        at = n * pitch
        shape = np.full(length, 0.02)
        for formant in range(3):
            middle = middles[before, formant] * (1 - glide) + middles[note, formant] * glide
            strength = strengths[before, formant] * (1 - glide) + strengths[note, formant] * glide
            shape += strength / (1 + ((at - middle) / 90) ** 2)
        wave += np.where(at < 0.45 * rate, shape * np.sin(n * phase), 0) / n**0.5
    loud = np.minimum(since / 0.05, 1) * (0.6 + 0.4 * np.exp(-since))
    return np.asarray(wave * loud)
