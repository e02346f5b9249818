"""Speech that is tones: what is said is read back from the sound alone, also from a poor one."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from lab import audio
from lab.engines.scripted import (
    CHARACTER_SECONDS,
    ScriptedDetector,
    ScriptedEars,
    ScriptedResponder,
    ScriptedVoice,
    read_tones,
)
from lab.ports import ToolCall, Turn

RUN = threading.Event()
PRINTABLE = "".join(chr(c) for c in range(32, 127))
rates = st.sampled_from([8000, 16000])
lead_ins = st.integers(0, 3000)
words = st.text(PRINTABLE[1:], min_size=1, max_size=12)
lines = st.lists(words, min_size=1, max_size=5).map(" ".join)
quick = settings(max_examples=50, deadline=None)


def spoken(text: str, rate: int) -> bytes:
    return b"".join(ScriptedVoice().speak(text, rate, RUN))


def quiet(samples: int) -> bytes:
    return bytes(samples * audio.SAMPLE_BYTES)


def through_mu_law(pcm: bytes) -> bytes:
    """As G.711 carries it: logarithmic, eight bits."""
    linear = audio.floats(pcm)
    code = np.round(np.sign(linear) * np.log1p(255 * np.abs(linear)) / np.log1p(255) * 127)
    magnitude = (np.power(256, np.abs(code) / 127) - 1) / 255
    return audio.from_floats((np.sign(code) * magnitude).astype(np.float32))


@quick
@given(lines, rates, lead_ins)
def test_what_is_said_is_read_back(text: str, rate: int, lead_in: int) -> None:
    assert read_tones(quiet(lead_in) + spoken(text, rate) + quiet(500), rate) == text


@quick
@given(lines, lead_ins)
def test_through_mu_law(text: str, lead_in: int) -> None:
    assert read_tones(through_mu_law(quiet(lead_in) + spoken(text, 8000) + quiet(500)), 8000) == text


@pytest.mark.parametrize("rate", [8000, 16000])
def test_every_character_there_is(rate: int) -> None:
    assert read_tones(spoken(PRINTABLE, rate), rate) == PRINTABLE.strip()


@pytest.mark.parametrize("rate", [8000, 16000])
def test_a_very_long_line(rate: int) -> None:
    text = "The quick brown fox jumps over the lazy dog, and back again. " * 20
    assert read_tones(quiet(77) + spoken(text, rate), rate) == text.strip()


@quick
@given(lines, rates, lead_ins, st.floats(0, 1))
def test_a_line_cut_in_mid_word_reads_as_its_beginning(text: str, rate: int, lead_in: int, share: float) -> None:
    speech = spoken(text, rate)
    cut = speech[: round(share * len(speech) / 2) * 2]
    got = read_tones(quiet(lead_in) + cut + quiet(2000), rate)
    whole = int(audio.seconds(cut, rate) / CHARACTER_SECONDS + 1e-6)
    assert text[:whole].strip() == got[: len(text[:whole].strip())]
    rest = got[len(text[:whole].strip()) :].strip()
    assert rest in ("", "?", text[whole : whole + 1])


@quick
@given(lines, rates, lead_ins, st.floats(0, 1), st.booleans())
def test_a_spoilt_frame_spoils_a_character_or_two_and_shifts_nothing(
    text: str, rate: int, lead_in: int, where: float, noise: bool
) -> None:
    speech = bytearray(spoken(text, rate))
    size = audio.frame_bytes(rate)
    assume(len(speech) > 4 * size)
    at = round(where * (len(speech) - 3 * size) / 2) * 2 + size
    hiss = np.random.default_rng(7).normal(0, 3000, size // 2).astype("<i2").tobytes()
    speech[at : at + size] = hiss if noise else bytes(size)
    got = read_tones(quiet(lead_in) + bytes(speech), rate)
    first = at // round(CHARACTER_SECONDS * rate * 2)
    assert len(got.replace(" ", "")) >= len(text.replace(" ", "")) - 2
    assert got.startswith(text[:first].strip())
    after = text[first + 2 :].strip()
    assert got.endswith(after)


@pytest.mark.parametrize("text", ["What did you say?", "Yes."])
def test_two_lines_with_quiet_between_are_words_apart(text: str) -> None:
    pcm = spoken("Hello.", 8000) + audio.silence(0.25, 8000) + spoken(text, 8000)
    assert read_tones(pcm, 8000) == f"Hello. {text}"


@pytest.mark.parametrize("pcm", [b"", bytes(2), bytes(320), audio.silence(1.0, 8000)])
def test_silence_has_no_words(pcm: bytes) -> None:
    assert list(ScriptedEars().hear(pcm, 8000, stop=RUN)) == [""]


def test_hiss_is_no_text() -> None:
    hiss = np.random.default_rng(7).normal(0, 3000, 8000).astype("<i2").tobytes()
    assert set(read_tones(hiss, 8000)) <= {"?"}


def test_a_letter_takes_as_long_as_it_says() -> None:
    assert audio.seconds(spoken("x" * 50, 8000), 8000) == pytest.approx(50 * CHARACTER_SECONDS)
    assert list(ScriptedVoice().speak("", 8000, RUN)) == []


def test_a_stopped_voice_is_silent() -> None:
    stop = threading.Event()
    stop.set()
    assert list(ScriptedVoice().speak("Hello", 8000, stop)) == []


def test_loud_is_speech() -> None:
    detector = ScriptedDetector()
    assert {detector.probability(f, 8000) for f in audio.frames(spoken("Hello", 8000)[:4000], 8000)} == {1.0}
    assert detector.probability(bytes(320), 8000) == 0.0


def test_a_responder_sees_the_newest_line_only() -> None:
    responder = ScriptedResponder(
        lambda heard: [heard.upper()] * bool(heard) + [ToolCall("end_call")] * (heard == "bye"), {"coming": True}
    )
    assert list(responder.respond("", [], RUN)) == []
    assert list(responder.respond("", [Turn("bot", "a"), Turn("customer", "hi")], RUN)) == ["HI"]
    assert list(responder.respond("", [Turn("customer", "bye")], RUN)) == ["BYE", ToolCall("end_call")]
    assert "".join(responder.extract("", "", {}, RUN)) == '{"coming": true}'
