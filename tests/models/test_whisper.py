"""The recogniser against what a telephone carries: speech, near-speech, and nothing."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from lab.audio import floats, resample, silence
from lab.engines.whisper import Whisper
from lab.errors import ConfigError, ModelError
from tests.models.conftest import GOING, RATE, Says, folder, g711, words

pytestmark = pytest.mark.models

LINES = [
    "Hello, this is Maya from Bright Smile Dental.",
    "I am calling about your appointment on Tuesday at 10:30 am.",
    "Could we move it to Thursday afternoon?",
    "Yes, three thirty works for me.",
    "No, I can't make it this week, sorry.",
    "Who is this, please?",
    "I would like to cancel my appointment.",
    "Is there any parking near the clinic?",
    "Please don't call me again.",
    "Tuesday at 10 AM is fine.",
    "My birthday is June 12th, 1984.",
    "Okay, thank you very much. Goodbye!",
]


def heard(whisper: Whisper, pcm: bytes, hints: Sequence[str] = ()) -> str:
    return list(whisper.hear(pcm, RATE, hints=hints, stop=GOING))[-1]


def error_rate(said: Sequence[str], understood: Sequence[str]) -> float:
    import jiwer

    return float(jiwer.wer([words(line) for line in said], [words(line) for line in understood]))


def made(seconds: float, decibels: float, hertz: float | None = None) -> bytes:
    """A tone, or white noise, of that RMS level."""
    time = np.arange(round(seconds * RATE)) / RATE
    wave = (
        np.random.default_rng(1).standard_normal(time.size)
        if hertz is None
        else np.sqrt(2) * np.sin(2 * np.pi * hertz * time)
    )
    return g711((np.clip(wave * 10 ** (decibels / 20), -1, 1) * 32767).astype("<i2").tobytes())


def test_phone_lines_come_through(whisper: Whisper, says: Says) -> None:
    understood = [heard(whisper, says(line)) for line in LINES]
    rate = error_rate(LINES, understood)
    print(f"{whisper.facts.model}: word error rate {rate:.1%}")
    assert rate < 0.15, understood


def test_no_worse_than_the_library_and_faster(whisper: Whisper, says: Says) -> None:
    """Times are printed, not asserted: other work may share the machine."""
    from faster_whisper import WhisperModel

    model = WhisperModel(str(folder(whisper.facts.model, "stt")), compute_type="int8", cpu_threads=2)
    calls = [says(line) for line in LINES[:6]]
    begun = time.perf_counter()
    ours = [heard(whisper, pcm) for pcm in calls]
    turned = time.perf_counter()
    theirs = [
        " ".join(
            part.text for part in model.transcribe(floats(resample(pcm, RATE, 16000)), language="en", beam_size=1)[0]
        )
        for pcm in calls
    ]
    print(f"{whisper.facts.model}: {(turned - begun) / (time.perf_counter() - turned):.2f} of the library's time")
    assert error_rate(LINES[:6], ours) <= error_rate(LINES[:6], theirs) + 0.05


@pytest.mark.parametrize("seconds", [0.0, 0.3, 2.0])
def test_silence_has_no_words(whisper: Whisper, seconds: float) -> None:
    assert heard(whisper, silence(seconds, RATE)) == ""


@pytest.mark.parametrize("hints", [(), ("Maya", "Bright Smile Dental", "Tuesday")], ids=["plain", "hinted"])
@pytest.mark.parametrize(
    "pcm",
    [
        *(pytest.param(made(s, db), id=f"noise {db} dB {s} s") for db in (-40, -25) for s in (1.0, 4.0)),
        *(
            pytest.param(silence(0.2, RATE) + made(s, -12, 1000) + silence(0.3, RATE), id=f"beep {s} s")
            for s in (0.6, 3.0)
        ),
        pytest.param(made(2.0, -20, 440), id="dial tone"),
    ],
)
def test_noise_has_no_words(whisper: Whisper, pcm: bytes, hints: Sequence[str]) -> None:
    assert heard(whisper, pcm, hints) == ""


@pytest.mark.parametrize(
    ("line", "times"), [("No no no.", 3), ("No, no, no, no, no!", 5), ("Yes.", 1), ("Hi.", 1), ("Stop.", 1)]
)
def test_nothing_is_said_more_often_than_it_was(whisper: Whisper, says: Says, line: str, times: int) -> None:
    understood = words(heard(whisper, says(line))).split()
    assert set(understood) == set(words(line).split())
    assert abs(len(understood) - times) <= times // 2


def test_hints_help_with_names_and_leave_the_rest(whisper: Whisper, says: Says) -> None:
    named = ["My name is Siobhan Kowalczyk.", "I have an appointment with Doctor Nguyen."]
    hints = ("Siobhan Kowalczyk", "Nguyen")
    with_hints = [heard(whisper, says(line), hints) for line in named]
    assert error_rate(named, with_hints) < error_rate(named, [heard(whisper, says(line)) for line in named])
    assert error_rate(LINES[:6], [heard(whisper, says(line), hints) for line in LINES[:6]]) < 0.15


def test_the_same_audio_gives_the_same_text(whisper: Whisper, says: Says) -> None:
    pcm = says(LINES[1])
    assert heard(whisper, pcm) == heard(whisper, pcm)


def test_longer_than_a_window_gives_texts_that_grow(whisper: Whisper, says: Says) -> None:
    lines = LINES
    texts = list(whisper.hear(b"".join(says(line) for line in lines), RATE, stop=GOING))
    assert len(texts) > 1
    assert all(later.startswith(sooner) for sooner, later in pairwise(texts))
    assert error_rate([" ".join(lines)], texts[-1:]) < 0.15


def test_stopped_before_it_says_nothing(whisper: Whisper, says: Says) -> None:
    stop = threading.Event()
    stop.set()
    begun = time.perf_counter()
    assert list(whisper.hear(says(LINES[0]), RATE, stop=stop)) == []
    assert time.perf_counter() - begun < 2


def test_a_folder_that_is_no_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError) as missing:
        Whisper(tmp_path / "nowhere", name="nowhere")
    assert missing.value.where == str(tmp_path / "nowhere")
    assert missing.value.hint

    whole = folder("whisper-tiny.en", "stt")
    for name in ("config.json", "tokenizer.json", "vocabulary.txt"):
        (tmp_path / name).write_bytes((whole / name).read_bytes())
    with (whole / "model.bin").open("rb") as weights:
        (tmp_path / "model.bin").write_bytes(weights.read(1_000_000))
    with pytest.raises(ModelError):
        Whisper(tmp_path, name="truncated")


def test_an_unknown_language_is_the_users_to_change() -> None:
    with pytest.raises(ConfigError, match="'xx'"):
        Whisper(folder("whisper-base", "stt"), name="whisper-base", language="xx")
