"""Which answer is meant, with vectors by spelling: enough to see that nothing is mixed up."""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lab import answers, flow
from lab.answers import DOUBTFUL, SURE, SURE_TO_ACT, Guess, Sense, settle
from lab.engines.scripted import ScriptedEmbedder
from lab.flow import Answer

RUN = threading.Event()
OWN: dict[str, Answer] = {
    "comes": Answer(
        means="the customer will come to the appointment",
        examples=("I will be there", "see you on Tuesday", "that works for me", "count me in", "I wouldn't miss it"),
    ),
    "moves": Answer(
        means="the customer wants another day",
        examples=("can we move it", "I need a different day", "that day is bad", "push it back a week", "not then"),
    ),
    "asks_parking": Answer(
        means="the customer asks where to park",
        examples=(
            "where do I park",
            "is there parking",
            "can I leave my car there",
            "do I feed a meter",
            "what garage",
        ),
    ),
}
ELSEWHERE = ("I already paid that", "yes this is she", "how much do I owe", "CAN WE MOVE IT.")
NEAR = ("do you have a dog", "my tooth is fine")


def talk() -> flow.Flow:
    """A flow whose first step has OWN."""
    always = {key: Answer(next="end") for key in ("repeat", "wait", "goodbye", "human")}
    other = Answer(means="the customer has paid", examples=ELSEWHERE, next="end")
    steps = {"here": flow.Step(answers=OWN), "there": flow.Step(says=("And now?",), answers={"paid": other})}
    return flow.Flow(steps=steps, always=always, off_topic=NEAR)


def vectors(texts: Sequence[str]) -> answers.Vectors:
    return next(iter(ScriptedEmbedder().embed(texts, RUN)))


def candidates() -> dict[str, Answer]:
    return talk().candidates("here")


@cache
def sense() -> Sense:
    here = candidates()
    texts, off_topic = answers.taught(talk(), here)
    return Sense(here, vectors(texts), off_topic)


def guess(line: str) -> Guess:
    return sense().guess(line, vectors([answers.normal(line)])[0])


EXAMPLES = [(key, text) for key, answer in candidates().items() for text in answer.examples[:8]]


@pytest.mark.parametrize(("key", "text"), EXAMPLES)
def test_an_example_is_picked(key: str, text: str) -> None:
    found = guess(text)
    assert found.best == key
    assert settle(found, None, asked_back=False).kind == "picked"


@pytest.mark.parametrize(
    "line", ["CAN WE MOVE IT?", "  can we   move it ", "Can we move it.", "so can we move it", "can we move that"]
)
def test_nearly_an_example_is_picked(line: str) -> None:
    assert settle(guess(line), None, asked_back=False).key == "moves"


def test_off_topic_is_not_picked() -> None:
    lines = answers.off_topic()[::3]
    picked = [line for line in lines if settle(guess(line), None, asked_back=False).kind == "picked"]
    assert len(picked) <= 0.05 * len(lines), picked


def test_probabilities_are_ranked_and_leave_room_for_none() -> None:
    found = guess("where can I park my boat")
    chances = [chance for _, chance in found.ranked]
    assert chances == sorted(chances, reverse=True)
    assert {key for key, _ in found.ranked} == set(candidates())
    assert 0 < sum(chances) <= 1.001
    assert found.probability == chances[0]


def test_the_same_line_is_judged_the_same() -> None:
    again = sense.__wrapped__()
    for line in ("where is it", "push it", "I will be late"):
        assert again.guess(line, vectors([answers.normal(line)])[0]) == guess(line)


def test_what_it_is_taught() -> None:
    texts, off_topic = answers.taught(talk(), candidates())
    own = [text for key, text in EXAMPLES if key == "comes"]
    assert texts[0] == "i will be there"
    assert texts[: len(own)] == [answers.normal(text) for text in own]
    assert "will come to the appointment" in texts
    assert texts.count("can we move it") == 1  # an example of another step that is one here too is not taught as "none"
    assert "i already paid that" in texts
    assert texts[-off_topic:] == [answers.normal(text) for text in (*NEAR, *answers.off_topic())]
    assert set(texts) < set(answers.texts(talk(), {}))


def test_no_answer_is_taught_what_is_off_topic() -> None:
    off = {answers.normal(text) for text in answers.off_topic()}
    assert len(off) > 100
    shipped = {answers.normal(text) for answer in flow.shipped().values() for text in answer.examples}
    assert not off & shipped


@settings(deadline=None, max_examples=40)
@given(st.text(max_size=60))
def test_any_line_is_judged(line: str) -> None:
    found = guess(line)
    assert all(0 <= chance <= 1 for _, chance in found.ranked)
    assert len(found.ranked) == len(candidates())


# -- settling ----------------------------------------------------------------------------------------------------------


def judged(probability: float) -> Guess:
    return Guess((("a", probability), ("b", 0.01)))


@pytest.mark.parametrize(
    ("probability", "asked_back", "kind"),
    [
        (1.0, False, "picked"),
        (SURE, False, "picked"),
        (SURE, True, "picked"),
        (SURE - 0.01, False, "unclear"),
        (SURE - 0.01, True, "none"),
        (DOUBTFUL, False, "unclear"),
        (DOUBTFUL, True, "none"),
        (DOUBTFUL - 0.01, False, "none"),
        (0.0, False, "none"),
    ],
)
def test_bands(probability: float, asked_back: bool, kind: str) -> None:
    pick = settle(judged(probability), None, asked_back=asked_back)
    assert (pick.kind, pick.key, pick.confidence, pick.second) == (kind, "a", round(probability, 4), None)


def test_what_cannot_be_taken_back_must_be_surer() -> None:
    kinds = [settle(judged(p), None, asked_back=False, acts=True).kind for p in (SURE, SURE_TO_ACT - 0.01, SURE_TO_ACT)]
    assert kinds == ["unclear", "unclear", "picked"]
    assert settle(judged(SURE), None, asked_back=True, acts=True).kind == "picked"


@given(st.floats(0, 1), st.floats(-20, 20), st.floats(0, 20), st.booleans())
def test_the_more_a_model_agrees_the_surer(probability: float, second: float, more: float, asked_back: bool) -> None:
    less_sure, surer = (
        settle(judged(probability), opinion, asked_back=asked_back) for opinion in (second, second + more)
    )
    assert 0 <= less_sure.confidence <= surer.confidence <= 1
    assert less_sure.second == second


@pytest.mark.parametrize("sure", [0.0, 1.0])
def test_certainty_can_be_combined_with_an_opinion(sure: float) -> None:
    pick = settle(judged(sure), -math.inf if sure else math.inf, asked_back=False)
    assert pick.kind in ("picked", "none")


def test_a_second_opinion_is_worth_its_time_in_between_only() -> None:
    low, high = answers.ASK_MODEL
    assert [judged(p).open for p in (0.0, low, (low + high) / 2, high, 1.0)] == [False, False, True, False, False]
    assert low < DOUBTFUL < SURE < high


def test_the_question_to_the_model_says_what_is_meant_and_heard() -> None:
    known, question = answers.second_opinion("Can you come?", "sure thing", OWN["comes"])
    assert '"Can you come?"' in known
    assert '"sure thing"' in question
    assert "the customer will come to the appointment" in question
    assert "sure" not in known


# -- texts -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("Yes, please!", "yes, please"),
        ("  I  am\there. ", "i am here"),
        ("\u2026what?", "what"),
        ('"OK"', "ok"),
        ("?!", ""),
        ("it's 5:30", "it's 5:30"),
    ],
)
def test_normal(text: str, plain: str) -> None:
    assert answers.normal(text) == plain


@given(st.text())
def test_normal_twice_is_normal_once(text: str) -> None:
    once = answers.normal(text)
    assert answers.normal(once) == once
    assert "  " not in once


def test_likeness_by_the_letter() -> None:
    letters = answers.Letters(["where do i park", "can we move it", "move the car"])
    assert letters.of_examples @ letters.row("where do i park") == pytest.approx([1, 0, 0], abs=0.2)
    assert int(np.argmax(letters.of_examples @ letters.row("we must move it"))) == 1
    assert float((letters.of_examples @ letters.row("zzz")).max()) == 0.0
