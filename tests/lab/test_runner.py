"""What the bot's side of a call is told from its profile."""

from __future__ import annotations

from typing import Any

import pytest

from lab.floor import Endpointing
from lab.profile import Profile
from lab.runner import bot_part, hints


def profile(**more: Any) -> Profile:
    return Profile.model_validate({"name": "robin", "prompt": "-", "opening_message": "Hello.", **more})


def test_words_to_expect_are_those_named_and_the_short_values() -> None:
    values = {"first_name": "Jordan", "note": "a long text about what happened last week", "zip": "12345"}
    bot = profile(stt={"hints": ["Patel", "Jordan"]}, variables=values)
    assert hints(bot) == ("Patel", "Jordan")
    assert bot_part(bot).hints == ("Patel", "Jordan")


@pytest.mark.parametrize(
    ("taking", "language", "waits", "words"),
    [
        ({}, "en", Endpointing(), True),
        ({"endpointing": {"finished": "200ms"}}, "en-US", Endpointing(finished=0.2), True),
        ({"endpointing": "600ms"}, "en", Endpointing.fixed(0.6), True),
        ({}, "de", Endpointing.fixed(0.7), False),
        ({"barge_in": {"words": False}}, "en", Endpointing(), False),
    ],
)
def test_how_the_bot_takes_turns(taking: dict[str, Any], language: str, waits: Endpointing, words: bool) -> None:
    manners = bot_part(profile(turn_taking=taking, language=language)).manners
    assert (manners.endpointing, manners.words) == (waits, words)


def test_a_bot_without_barge_in_never_stops() -> None:
    assert bot_part(profile(turn_taking={"barge_in": {"enabled": False}})).manners.barge_in is None
