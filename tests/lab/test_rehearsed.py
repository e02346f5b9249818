"""A voice that remembers."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from lab import rehearsed
from lab.audio import silence
from lab.ports import EngineFacts, Stop
from lab.rehearsed import Rehearsed

GOING = threading.Event()


class Mouth:
    facts = EngineFacts("scripted", "mouth")

    def __init__(self) -> None:
        self.said: list[str] = []

    def speak(self, text: str, rate: int, stop: Stop) -> Iterator[bytes]:
        self.said.append(text)
        for _ in text.split():
            if stop.is_set():
                return
            yield silence(0.1, rate)


def test_what_was_said_once_is_not_made_again() -> None:
    mouth = Mouth()
    voice = Rehearsed(mouth)
    first, second = (list(voice.speak("one two", 8000, GOING)) for _ in range(2))
    assert first == second == [silence(0.1, 8000)] * 2
    list(voice.speak("one two", 16000, GOING))
    assert mouth.said == ["one two", "one two"]
    assert voice.facts.remembers
    assert not mouth.facts.remembers


def test_what_was_stopped_is_not_kept() -> None:
    mouth, stop = Mouth(), threading.Event()
    voice = Rehearsed(mouth)
    pieces = voice.speak("one two three", 8000, stop)
    next(pieces)
    stop.set()
    assert list(pieces) == []
    left = voice.speak("four five", 8000, GOING)
    next(left)
    left.close()  # type: ignore[attr-defined]
    assert len(list(voice.speak("one two three", 8000, GOING))) == 3
    assert len(list(voice.speak("four five", 8000, GOING))) == 2


def test_what_was_asked_for_longest_ago_goes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rehearsed, "MOST", 0.35)
    mouth = Mouth()
    voice = Rehearsed(mouth)
    for text in ("a", "b", "c", "a", "d", "a", "b"):
        list(voice.speak(text, 8000, GOING))
    assert mouth.said == ["a", "b", "c", "d", "b"]
