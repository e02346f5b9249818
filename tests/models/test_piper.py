"""The voice: what it says, how long it takes about it, and what it leaves out."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest

from lab.audio import level_db, samples, seconds
from lab.engines.piper import Piper, aloud
from lab.errors import ModelError
from tests.models.conftest import GOING, RATE, folder

LINE = "I am calling about your appointment on Tuesday."


def spoken(voice: Piper, text: str, rate: int = RATE) -> bytes:
    return b"".join(voice.speak(text, rate, GOING))


def variant(*, rate: float = 1.0, pitch: float = 1.0, volume: float = 0.0) -> Piper:
    return Piper(folder("en_US-joe-medium", "voice"), name="joe", rate=rate, pitch=pitch, volume=volume)


def pitch_hertz(pcm: bytes) -> float:
    """Median fundamental frequency of the loud frames, by autocorrelation."""
    wave, size = samples(pcm) / 32768.0, RATE // 20
    found = []
    for frame in wave[: len(wave) // size * size].reshape(-1, size):
        match = np.correlate(frame, frame, "full")[size - 1 :]
        lag = RATE // 250 + int(np.argmax(match[RATE // 250 : RATE // 70]))
        if match[0] > 1.0 and match[lag] > 0.6 * match[0]:
            found.append(RATE / lag)
    return float(np.median(found))


@pytest.mark.models
def test_the_same_text_is_the_same_audio(joe: Piper) -> None:
    assert spoken(joe, LINE) == spoken(joe, LINE)


@pytest.mark.models
@pytest.mark.parametrize("rate", [8000, 16000])
def test_it_begins_and_ends_without_waiting(joe: Piper, rate: int) -> None:
    pcm = spoken(joe, LINE, rate)
    assert 1.5 < seconds(pcm, rate) < 4
    peak = float(np.max(np.abs(samples(pcm))))
    loud = np.flatnonzero(np.abs(samples(pcm)) > peak / 50)
    assert loud[0] / rate < 0.04
    assert (len(samples(pcm)) - loud[-1]) / rate < 0.12


@pytest.mark.models
def test_sentences_are_pieces_without_clicks(joe: Piper) -> None:
    pieces = list(joe.speak("Okay, thank you. Goodbye!", RATE, GOING))
    assert len(pieces) == 2
    joints = [samples(piece)[edge] / 32768.0 for piece in pieces for edge in (0, -1)]
    assert np.max(np.abs(joints)) < 0.01


@pytest.mark.models
def test_rate_pitch_and_volume(joe: Piper) -> None:
    plain, fast, high, soft = (
        spoken(voice, LINE) for voice in (joe, variant(rate=1.25), variant(pitch=1.2), variant(volume=-6))
    )
    assert len(fast) / len(plain) == pytest.approx(1 / 1.25, abs=0.06)
    assert len(high) / len(plain) == pytest.approx(1, abs=0.06)
    assert pitch_hertz(high) / pitch_hertz(plain) == pytest.approx(1.2, abs=0.08)
    assert level_db(soft) == pytest.approx(level_db(plain) - 6, abs=0.5)


@pytest.mark.models
@pytest.mark.parametrize("text", ["", "   ", "..."])
def test_nothing_to_say_is_no_words(joe: Piper, text: str) -> None:
    assert seconds(spoken(joe, text), RATE) < 0.5


@pytest.mark.models
def test_stopping_before_and_between_sentences(joe: Piper) -> None:
    stop = threading.Event()
    pieces = joe.speak("One. Two. Three.", RATE, stop)
    assert next(pieces)
    stop.set()
    assert list(pieces) == []
    assert list(joe.speak(LINE, RATE, stop)) == []


@pytest.mark.models
def test_a_file_that_is_no_voice_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError):
        Piper(tmp_path / "none.onnx", name="none")
    whole = folder("en_US-joe-medium", "voice")
    (tmp_path / "cut.onnx").write_bytes(whole.read_bytes()[:100_000])
    (tmp_path / "cut.onnx.json").write_bytes(whole.with_name(f"{whole.name}.json").read_bytes())
    with pytest.raises(ModelError) as error:
        Piper(tmp_path / "cut.onnx", name="cut")
    assert error.value.where == str(tmp_path / "cut.onnx")


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("$45.00, due", "45 dollars, due"),
        ("$1,200.99!", "1,200 dollars and 99 cents!"),
        ("$1.05.", "1 dollar and 5 cents."),
        ("10:00 am or 3:05 pm", "10 am or 3 oh 5 pm"),
        ("at 10:00", "at 10 o'clock"),
        ("at 10:30 am", "at 10:30 am"),
        ("Dr. Smith", "Dr Smith"),
        ("call (202) 555-0143.", "call 2 0 2, 5 5 5, 0 1 4 3."),
        ("+12025550143", "1, 2 0 2, 5 5 5, 0 1 4 3"),
        ("in 2025", "in 2025"),
    ],
)
def test_what_espeak_misreads_is_put_into_words(written: str, said: str) -> None:
    assert aloud(written) == said
