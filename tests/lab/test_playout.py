"""What was heard of a line, from counts of samples."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.playout import Playout


def said(*phrases: tuple[str, int]) -> Playout:
    playout = Playout()
    playout.begin()
    for text, samples in phrases:
        playout.add(text, samples)
    return playout


def test_nothing_played_nothing_heard() -> None:
    playout = said(("Good morning.", 1300))
    assert playout.heard() == ""
    assert playout.text == playout.last_phrase == "Good morning."
    assert not playout.empty


def test_all_played_all_heard() -> None:
    playout = said(("Good morning.", 1300), ("This is Robin.", 1400))
    playout.advance(2700, 0)
    assert playout.empty
    assert playout.heard() == playout.text == "Good morning. This is Robin."


def test_only_whole_words_are_heard() -> None:
    playout = said(("Good morning.", 1300))
    playout.advance(399, 0)
    assert playout.heard() == ""
    playout.advance(400, 0)
    assert playout.heard() == "Good"
    playout.advance(1299, 0)
    assert playout.heard() == "Good"


def test_the_quiet_before_a_phrase_says_no_word() -> None:
    playout = said(("Well.", 500))
    playout.add("I am not sure.", 2400, quiet=1000)
    playout.advance(1500, 0)
    assert playout.heard() == "Well."
    playout.advance(1600, 0)
    assert playout.heard() == "Well. I"


def test_what_was_thrown_away_was_not_heard() -> None:
    playout = said(("Good morning.", 1300))
    playout.advance(500, 800)
    assert playout.empty
    assert playout.heard() == "Good"


def test_a_line_after_a_cut_one_counts_from_its_own_beginning() -> None:
    playout = said(("Good morning.", 1300))
    playout.advance(500, 800)
    playout.begin()
    playout.add("Yes?", 400)
    assert not playout.empty
    assert playout.heard() == ""
    playout.advance(900, 800)
    assert playout.empty
    assert playout.heard() == "Yes?"


def test_a_phrase_without_sound_is_over_at_once() -> None:
    playout = said(("...", 0), ("Yes.", 400))
    playout.advance(0, 0)
    assert playout.heard() == "..."


@given(
    st.lists(st.tuples(st.text("ab. ", min_size=1, max_size=12).map(str.strip), st.integers(0, 5000)), max_size=5),
    st.lists(st.integers(0, 26_000), min_size=2, max_size=6),
)
def test_what_was_heard_only_grows_and_is_a_beginning_of_the_text(
    phrases: list[tuple[str, int]], counts: list[int]
) -> None:
    playout = said(*phrases)
    before: list[str] = []
    for played in sorted(min(c, playout.said) for c in counts):
        playout.advance(played, 0)
        words = playout.heard().split()
        assert words[: len(before)] == before
        assert playout.text.split()[: len(words)] == words
        before = words


def test_what_was_not_heard_begins_with_the_phrase_that_was_cut() -> None:
    playout = Playout()
    playout.begin()
    playout.add("Good morning.", 100)
    playout.add("Can you come?", 120, quiet=20)
    playout.advance(150, 70)
    assert playout.unheard() == "Can you come?"
    playout.advance(220, 0)
    assert playout.unheard() == ""


@pytest.mark.parametrize(("played", "asked"), [(50, False), (90, False), (125, True), (300, False)])
def test_whether_a_question_is_the_last_thing_that_sounded(played: int, asked: bool) -> None:
    playout = Playout()
    playout.begin()
    playout.add("Good morning.", 100)
    playout.add("Can you come?", 120, quiet=20)
    assert playout.asked_since(played) is (asked or played > 120)
    playout.add("Or is it Friday?", 100)
    assert playout.asked_since(125) is False
