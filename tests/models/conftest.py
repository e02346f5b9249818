"""What the tests of the real engines share: the models, a telephone line without a telephone, how words are counted."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lab.audio import samples, silence
from lab.catalogue import Kind
from lab.engines.piper import Piper
from lab.engines.whisper import Whisper
from lab.errors import ModelError
from lab.models import locate

Says = Callable[[str], bytes]

RATE = 8000
GOING = threading.Event()
"""Never set."""


def folder(name: str, kind: Kind) -> Path:
    """Where a model of the catalogue lies; skips the test when it is not in the cache."""
    try:
        return locate(name, kind).path
    except ModelError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def joe() -> Piper:
    return Piper(folder("en_US-joe-medium", "voice"), name="en_US-joe-medium")


@pytest.fixture(scope="session", params=["whisper-base", "whisper-tiny.en"])
def whisper(request: pytest.FixtureRequest) -> Whisper:
    return Whisper(folder(request.param, "stt"), name=request.param)


@pytest.fixture(scope="session")
def says(joe: Piper) -> Says:
    """A line of text as a telephone delivers it: spoken, through G.711, with a little silence on both sides."""

    def say(text: str) -> bytes:
        return g711(silence(0.2, RATE) + b"".join(joe.speak(text, RATE, GOING)) + silence(0.3, RATE))

    return say


def g711(pcm: bytes) -> bytes:
    """`pcm` through mu-law and back (the smooth curve of it, in 255 steps)."""
    linear = samples(pcm) / 32768.0
    law = np.sign(linear) * np.log1p(255 * np.abs(linear)) / np.log(256)
    law = np.round(law * 127) / 127
    return np.asarray(np.sign(law) * (256 ** np.abs(law) - 1) / 255 * 32767).astype("<i2").tobytes()


def words(text: str) -> str:
    """`text` as words that can be counted: spelling and numbers made alike, each digit a word of its own."""
    from whisper_normalizer.english import EnglishTextNormalizer

    text = re.sub(r"\b([ap])\.?\s?m\b\.?", r"\1m", text, flags=re.IGNORECASE)
    text = re.sub(r"(?<=\d)[:.](?=\d)", " ", text)
    text = re.sub(r"(?<=\d)(st|nd|rd|th)\b", "", EnglishTextNormalizer()(text))
    text = re.sub(r"\d", r" \g<0> ", text)
    return " ".join(re.sub(r"[^\w\s]", " ", text).split())
