"""What words tell about the floor."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab import cues
from lab.cues import Ending, Wish, ending, expected, mumbled, wish


@pytest.mark.parametrize(
    ("question", "expects"),
    [
        ("What is the best number to reach you?", "phone_number"),
        ("Which phone number may the driver call?", "phone_number"),
        ("Could you spell your e-mail address for me?", "email"),
        ("How do you spell that?", "spelling"),
        ("Could you give me your order number?", "number"),
        ("What is your zip code?", "number"),
        ("Could you read me your number, please?", "phone_number"),
        ("Do you have a number of visits in mind?", None),
        ("Where would you like the receipt to go?", "email"),
        ("Which day would suit you?", None),
        ("Am I speaking with Jordan?", None),
    ],
)
def test_what_a_question_asks_for(question: str, expects: str | None) -> None:
    assert expected(question) == expects


@pytest.mark.parametrize(
    ("text", "asked", "how"),
    [
        ("", "", Ending.NOTHING),
        ("Yes, I can come.", "", Ending.FINISHED),
        ("Yes.", "", Ending.WORD),
        ("Tuesday", "", Ending.FINISHED),
        ("I would come but then again I am not free", "", Ending.UNSURE),
        ("I'd like.", "", Ending.OPEN),
        ("My name is.", "", Ending.OPEN),
        ("It's for my.", "", Ending.OPEN),
        ("Well, I was thinking...", "", Ending.OPEN),
        ("Hold on.", "", Ending.FINISHED),
        ("I think so.", "", Ending.FINISHED),
        ("What is it for?", "", Ending.FINISHED),
        ("That's it.", "", Ending.FINISHED),
        ("It's for mine.", "", Ending.DOUBTFUL),
        ("Could you also?", "", Ending.DOUBTFUL),
        ("It is 202, 555", "", Ending.COUNTING),
        ("202-555-0143.", "", Ending.FINISHED),
        ("Oh two.", "", Ending.COUNTING),
        ("Two.", "", Ending.FINISHED),
        ("My little daughter has a fever.", "", Ending.STATED),
        ("No, that was all, thank you.", "", Ending.FINISHED),
        ("G.", "", Ending.COUNTING),
        ("R, D, S, Gmail.", "", Ending.COUNTING),
        ("Yeah, it says you S.", "What is your e-mail address?", Ending.COUNTING),
        ("Well, I've been having.", "", Ending.OPEN),
        ("Please tell her that.", "", Ending.OPEN),
        ("Yes, I know that.", "", Ending.FINISHED),
        ("The new number is 2o.", "What is your phone number?", Ending.COUNTING),
        ("202 555 L1 2", "What is your phone number?", Ending.COUNTING),
        ("At 3:30.", "", Ending.FINISHED),
        ("It was $240.", "", Ending.FINISHED),
        ("202.", "What is your phone number?", Ending.COUNTING),
        ("I do not have one.", "What is your phone number?", Ending.FINISHED),
        ("J-O-H-N", "", Ending.COUNTING),
        ("J-O-H-N at example.com.", "", Ending.FINISHED),
        ("John at", "What is your e-mail address?", Ending.COUNTING),
        ("khersgmail.com", "What is your e-mail address?", Ending.FINISHED),
    ],
)
def test_how_a_text_ends(text: str, asked: str, how: Ending) -> None:
    assert ending(text, expected(asked)) is how


@pytest.mark.parametrize(
    ("text", "asks"),
    [
        ("", Wish.PERHAPS),
        ("Mm-hmm.", Wish.NONE),
        ("Yeah, okay.", Wish.NONE),
        ("That's right.", Wish.NONE),
        ("Amen.", Wish.PERHAPS),
        ("Yeah, but", Wish.GOES_ON),
        ("Oh, I", Wish.PERHAPS),
        ("Oh, no", Wish.LIKELY),
        ("That is fine", Wish.NONE),
        ("That's you", Wish.PERHAPS),
        ("Wait.", Wish.FLOOR),
        ("No, no.", Wish.FLOOR),
        ("Okay, wait", Wish.FLOOR),
        ("Who is this?", Wish.FLOOR),
        ("Parcel?", Wish.PERHAPS),
        ("Green parrots.", Wish.LIKELY),
    ],
)
def test_what_words_over_the_bot_ask_for(text: str, asks: Wish) -> None:
    assert wish(text) is asks


def test_what_recognisers_make_of_a_murmur() -> None:
    assert mumbled("Amen.")
    assert mumbled("Mm-hmm, okay.")
    assert mumbled("Come.")
    assert not mumbled("Stop.")
    assert not mumbled("Parcel?")


@given(st.text(max_size=60), st.sampled_from([None, "phone_number", "email", "number", "spelling"]))
def test_any_text_ends_somehow(text: str, expects: cues.Expects | None) -> None:
    assert isinstance(ending(text, expects), Ending)
    assert isinstance(wish(text), Wish)
    assert not (wish(text) is Wish.FLOOR and mumbled(text))
