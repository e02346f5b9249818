"""Lines as models write them, and as they are said."""

from __future__ import annotations

import pytest

from lab.speakable import speakable


@pytest.mark.parametrize(
    ("tokens", "said"),
    [
        (["Ass", "istant", ":", " Hello", " there", "."], "Hello there."),
        (['"', "Hello", '."'], "Hello."),
        (["**", "Yes", "**", ",", " of", " course", "."], "Yes, of course."),
        (["*", "smil", "es", "*", " Good", " day", "!"], "Good day!"),
        (["Well", " (", "pa", "uses", ")", " yes", "."], "Well yes."),
        (["Call", " (", "202", ")", " 555", "."], "Call (202) 555."),
        (["\n", "\n", "One", ".", "\n\n", "Two", "."], "One."),
        (["See", " you", ".", " Customer", ":", " Bye"], "See you."),
        (["It", "'s", " 3", ":", "30", "."], "It's 3:30."),
        ([], ""),
        (["\n", " "], ""),
    ],
)
def test_what_nobody_would_say_is_left_out(tokens: list[str], said: str) -> None:
    assert "".join(speakable(tokens, 50)) == said


@pytest.mark.parametrize(
    ("tokens", "said"),
    [
        (["Thank", " you", " for", " com"], "Thank you for"),
        (["Thank", " you", " re", "schedul"], "Thank you"),
        (["Thank", " you", " now", "."], "Thank you now"),
    ],
)
def test_a_line_that_is_too_long_ends_at_a_words_end(tokens: list[str], said: str) -> None:
    assert "".join(speakable(tokens, 3)) == said


def test_pieces_come_as_words_and_punctuation_at_once() -> None:
    assert list(speakable(["Good", " morn", "ing", ".", " How", " are", " you", "?"], 50)) == [
        "Good",
        " morning.",
        " How",
        " are",
        " you?",
    ]
