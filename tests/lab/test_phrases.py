"""Where a phrase ends, and that it does not matter in which pieces the words came."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.phrases import Phrases, pause_after


def phrases(*pieces: str) -> list[str]:
    cutter = Phrases()
    done = [phrase for piece in pieces for phrase in cutter.feed(piece)]
    return done + cutter.rest()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("   ", []),
        ("Hello", ["Hello"]),
        ("Hello. How are you?", ["Hello.", "How are you?"]),
        ("Really?! Yes!", ["Really?!", "Yes!"]),
        ("Well... I think so.", ["Well...", "I think so."]),
        ("Well… I think so.", ["Well…", "I think so."]),
        ("First this; then that.", ["First this;", "then that."]),
        ('He said "yes." Then he left.', ['He said "yes."', "Then he left."]),
        ("(All of it.) Good.", ["(All of it.)", "Good."]),
        ("Line one.\nLine two.", ["Line one.", "Line two."]),
    ],
)
def test_sentences(text: str, expected: list[str]) -> None:
    assert phrases(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "This is Dr. Patel speaking",
        "Ask Mr. Green or Mrs. Blue on Main St. near the park",
        "Is 10:30 a.m. tomorrow still fine?",
        "At 5 p.m. on Friday",
        "That is $45.50 in all",
        "Version 3.11 is out",
        "1. Brush twice a day",
        "J. R. Smith is here",
        "See www.example.com for more",
    ],
)
def test_not_inside_an_abbreviation_a_time_or_an_amount(text: str) -> None:
    assert phrases(text) == [text]


def test_an_amount_at_the_end_ends_its_sentence() -> None:
    assert phrases("It is $45.50. Is that fine?") == ["It is $45.50.", "Is that fine?"]


def test_a_comma_ends_a_phrase_only_after_a_few_words() -> None:
    assert phrases("Yes, of course I can come, if you like.") == ["Yes, of course I can come,", "if you like."]


def test_a_phrase_comes_out_as_soon_as_it_is_known_to_be_complete() -> None:
    cutter = Phrases()
    assert cutter.feed("Hello.") == []  # it might go on: 3.5, example.com
    assert cutter.feed(" ") == ["Hello."]
    assert cutter.feed("Bye") == []
    assert cutter.rest() == ["Bye"]
    assert cutter.rest() == []


def test_quiet_between_phrases() -> None:
    assert pause_after("Well,") < pause_after("Well.")
    assert pause_after('"Well,"') == pause_after("Well,")


_WORDS = ["Hello", "Dr.", "a.m.", "10:30", "$45.50.", "no", "no.", "yes,", "Well...", '"Really?"', "1.", ";", "…", "é."]
texts = st.lists(st.sampled_from(_WORDS) | st.text(".,!?:;…'\") ab1\n", max_size=5), max_size=12).map(" ".join)


@given(texts, st.lists(st.integers(0, 100), max_size=10))
def test_the_pieces_do_not_matter(text: str, cuts: list[int]) -> None:
    borders = [0, *sorted(min(c, len(text)) for c in cuts), len(text)]
    pieces = [text[a:b] for a, b in pairwise(borders)]
    assert phrases(*pieces) == phrases(*text) == phrases(text)


@given(texts)
def test_no_word_is_lost_or_changed(text: str) -> None:
    assert " ".join(phrases(text)).split() == text.split()
    assert all(p == p.strip() != "" for p in phrases(text))
