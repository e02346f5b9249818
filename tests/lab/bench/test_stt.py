"""How recognisers are measured: with a voice and an ear that are scripts."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence

import pytest

from lab.audio import seconds, silence
from lab.bench import stt
from lab.bench.normalise import normalise
from lab.ports import EngineFacts, Stop


class Mouth:
    """Says nothing, for a tenth of a second a word."""

    facts = EngineFacts("scripted", "mouth")

    def speak(self, text: str, rate: int, stop: Stop) -> Iterator[bytes]:
        yield silence(0.1 * len(text.split()), rate)


class Ear:
    """Hears what it is told to, in this order; told more by hints."""

    facts = EngineFacts("scripted", "ear")

    def __init__(self, plain: Sequence[str], hinted: Sequence[str] = ()) -> None:
        self._plain, self._hinted = iter([plain[0], *plain]), iter(hinted)
        self.hints: list[Sequence[str]] = []

    def hear(self, pcm: bytes, rate: int, *, hints: Sequence[str] = (), stop: Stop) -> Iterator[str]:
        if hints:
            self.hints.append(hints)
        yield next(self._hinted) if hints else next(self._plain)


SPEECH = stt.Speech(
    hints=("Nguyen",),
    utterances=(
        stt.Utterance(say="It is AB twelve.", text="It is A B 1 2.", entities=({"code": "A B 1 2"},), hints=("AB",)),
        stt.Utterance(say="At ten thirty, Nguyen.", entities=({"time": "10:30"}, {"name": "Nguyen"})),
    ),
)


@pytest.fixture
def ear() -> Ear:
    return Ear(["it's AB-12", "At 10:30, win."], ["", "At 10.30, Nguyen"])


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("It's A-B-1-2-3-4.", "it is AB1234"),
        ("202-555-0147", "two oh two, five five five, oh one four seven"),
        ("$45.50", "forty five dollars and fifty cents"),
        ("10:30", "ten thirty"),
        ("3:00 p.m.", "three o'clock PM"),
        ("June 12th, 1984", "June twelfth nineteen eighty four"),
        ("K-O-W-A", "KOWA"),
        ("jo.fox7@mail.com.", "Jo dot fox 7 at mail dot com"),
        ("a hundred and twenty dollars", "$120"),
        ("OK.", "okay"),
    ],
)
def test_the_same_words_are_the_same(one: str, other: str) -> None:
    assert normalise(one) == normalise(other)


@pytest.mark.parametrize(("one", "other"), [("fifteen", "fifty"), ("0155", "155"), ("A B 1", "A P 1"), ("am", "pm")])
def test_other_words_are_others(one: str, other: str) -> None:
    assert normalise(one) != normalise(other)


def test_errors_are_counted_by_word() -> None:
    assert stt.word_error_rate(["one two", "yes please"], ["1 3", "Yes, please."]) == 0.25
    assert stt.word_error_rate(["Mm-hmm."], ["anything"]) == 0.0


@pytest.mark.parametrize(
    ("kind", "value", "heard", "right"),
    [
        ("phone", "202 555 0147", "It's 2025550147.", True),
        ("phone", "202 555 0147", "It's 202-555-0148.", False),
        ("spelled", "K O W", "K, O. W", True),
        ("email", "jo.fox@mail.com", "it's jo dot fox at mail dot com", True),
        ("amount", "45 dollars", "I pay $45 today", True),
        ("amount", "45 dollars", "I pay $145 today", False),
        ("time", "8 AM", "at 8 a.m.", True),
        ("time", "10:30", "at 10:35", False),
        ("name", "Patel", "Pateland", False),
    ],
)
def test_an_entity_is_right_as_a_whole(kind: stt.Kind, value: str, heard: str, right: bool) -> None:
    assert stt.holds(kind, value, heard) is right


def test_figures_are_those_of_what_was_heard(ear: Ear) -> None:
    result = stt.run(Mouth(), ear, speech=SPEECH)
    plain, hinted = result["plain"], result["hinted"]
    assert plain["wer"] == round(1 / 12, 4)
    assert plain["lost"] == 0
    assert plain["entities"]["all"] == {"right": 2, "of": 3, "accuracy": 0.6667}
    assert plain["entities"]["name"]["accuracy"] == 0.0
    assert hinted["lost"] == 1
    assert hinted["entities"]["name"]["accuracy"] == 1.0
    assert json.loads(json.dumps(result)) == result


def test_hints_are_the_sets_and_the_utterances(ear: Ear) -> None:
    stt.run(Mouth(), ear, speech=SPEECH)
    assert ear.hints == [("Nguyen", "AB"), ("Nguyen",)]


def test_others_are_compared_without_hints(ear: Ear) -> None:
    library = Ear(["it is A B 1 2", "at 1030 Nguyen"])
    result = stt.run(Mouth(), ear, speech=SPEECH, libraries={"beam 1": library})
    theirs = result["libraries"]["beam 1"]
    assert (theirs["wer"], theirs["entities"]["all"]["accuracy"]) == (0.0, 1.0)
    assert theirs["time_ratio"] > 0
    assert library.hints == []
    assert result["lines"][1] == {
        "said": "At ten thirty, Nguyen.",
        "plain": "At 10:30, win.",
        "hinted": "At 10.30, Nguyen",
        "beam 1": "at 1030 Nguyen",
    }


def test_progress_is_told(ear: Ear) -> None:
    told: list[tuple[int, int]] = []
    stt.run(Mouth(), ear, speech=SPEECH, progress=lambda done, of: told.append((done, of)))
    assert told == [(1, 2), (2, 2)]


def test_stopped_it_tells_what_it_has(ear: Ear) -> None:
    stop = threading.Event()
    result = stt.run(Mouth(), ear, speech=SPEECH, progress=lambda done, of: stop.set(), stop=stop)
    assert result["utterances"] == len(result["lines"]) == 1


def test_audio_is_a_telephones() -> None:
    pcm = stt.on_the_line(Mouth(), "two words", threading.Event())
    assert seconds(pcm, stt.RATE) == pytest.approx(0.7)


def test_the_shipped_set_is_sound() -> None:
    speech = stt.shipped()
    assert len(speech.utterances) >= 60
    for utterance in speech.utterances:
        for entity in utterance.entities:
            for kind, value in entity.items():
                assert stt.holds(kind, value, utterance.reference), (utterance.reference, value)
        assert normalise(utterance.reference) == normalise(utterance.say), utterance.say
