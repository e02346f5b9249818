"""How a prepared conversation moves: what is said, known and open after each thing the customer means."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lab import course, flow, strict
from lab.course import Line, State
from lab.flow import END, HEARD, Flow
from lab.profile import Profile, load
from lab.values import Value

TODAY = date(2026, 11, 20)
"""A Friday."""
FRIDAY, MONDAY = "2026-11-27", "2026-11-23"
OPENING = "Hi, this is Kim. Am I speaking with Sam?"
FLOW = """\
fields:
  person: {type: choice, choices: {right: [right], wrong: [wrong]}}
  day: {type: day}
  amount: {type: amount}
steps:
  hello:
    answers:
      yes: {fills: {person: right}, next: day}
      wrong_person: {says: Sorry. Goodbye., fills: {person: wrong}, next: end}
      tells_all: {means: all at once, examples: [all], fills: {day: heard, amount: heard}, next: day}
  day:
    says: Thank you. On which day?
    asks_for: day
    next: amount
    also: [questions]
    answers:
      names_day: {means: a day, examples: [Friday], says: [Good., Fine.], fills: {day: heard, amount: "heard?"}}
      later: {means: another time, examples: [later], says: "When then?"}
      never: {means: not at all, examples: [never], confirm: "Really never?", says: Noted. Goodbye., fills: {day: Monday}, next: end}
      skip: {means: no day, examples: [skip], confirm: "Skip it?", says: Skipped., next: close}
  amount:
    says: And how much?
    again: How much?
    asks_for: amount
    next: close
    also: [questions]
    answers:
      names_amount: {means: a sum, examples: [ten], fills: {amount: heard}}
  close:
    says: ["{{fields.amount}} {{fields.day}}. Anything else?", "So {{fields.amount}} {{fields.day}}. Is that all?"]
    answers:
      yes: {says: "{{fields.amount}} it is. Goodbye.", next: end}
      no: {says: Once more., clears: [day, amount], next: day}
      other_day: {means: another day, examples: [no that day], clears: day, next: day}
sets:
  questions:
    price: {means: the price, examples: [how much], says: [It is free., It costs nothing.]}
always:
  repeat: {}
  wait: {says: Sure.}
  busy: {says: One minute only., next: close}
  goodbye: {says: Goodbye., next: end}
ask_back: ["Pardon?", "Sorry?"]
unknown: [I do not know.]
gives_up: {says: I give up. Goodbye., fills: {person: wrong}}
"""


def read(text: str = FLOW) -> Flow:
    return strict.parse(text, "flow.yaml", Flow)


TALK = read()


def at(step: str, **more: Any) -> State:
    return State(step, said="Before. What now?", **more)


def meant(key: str, state: State, talk: Flow = TALK, /, **heard: Value) -> Line:
    """What follows when the customer means `key`; heard: what is read from their words."""
    acting = course.acting(talk, state, key) or course.candidates(talk, state)[key]
    return course.follow(talk, state, key, {**course.constants(talk, acting, TODAY), **heard}, TODAY)


def test_it_begins_with_the_opening() -> None:
    state = course.begin(TALK, OPENING)
    assert (state.step, state.said, dict(state.fields), state.misses) == ("hello", OPENING, {}, 0)


def test_the_next_step_is_entered_and_the_field_filled() -> None:
    line = meant("yes", course.begin(TALK, OPENING))
    assert (line.text, line.state.step, line.end) == ("Thank you. On which day?", "day", False)
    assert line.state.fields == {"person": "right"}
    assert line.state.said == line.text


def test_what_is_asked_for_leads_on() -> None:
    line = meant("names_day", at("day"), day=FRIDAY)
    assert (line.text, line.state.step) == ("Good. And how much?", "amount")


def test_a_step_is_passed_over_when_its_field_is_known() -> None:
    line = meant("names_day", at("day"), day=FRIDAY, amount=80.0)
    assert line.state.step == "close"
    assert line.text == "Good. eighty dollars Friday, November twenty seventh. Anything else?"
    line = meant("tells_all", at("hello"), day=FRIDAY, amount=80.0)
    assert line.state.step == "close"


def test_an_answer_that_leads_nowhere_asks_the_question_again() -> None:
    assert meant("price", at("day")).text == "It is free. On which day?"
    assert meant("price", at("amount")).text == "It is free. How much?"
    line = meant("later", at("day"))
    assert (line.text, line.state.step) == ("When then? On which day?", "day")


def test_the_first_steps_question_is_the_last_thing_said() -> None:
    assert (
        course.digress(TALK, course.begin(TALK, OPENING), None, TODAY).text == "I do not know. Am I speaking with Sam?"
    )


def test_a_question_is_not_asked_twice_in_one_breath() -> None:
    talk = read(FLOW.replace("When then?", "I see. On which day?"))
    assert meant("later", at("day"), talk).text == "I see. On which day?"


def test_variants_take_turns() -> None:
    state = at("day")
    said = []
    for _ in range(3):
        line = meant("price", state)
        said.append(line.text.split(".")[0])
        state = line.state
    assert said == ["It is free", "It costs nothing", "It is free"]


def test_asking_back_takes_turns_too() -> None:
    one = course.ask_back(TALK, at("amount"), TODAY)
    two = course.ask_back(TALK, one.state, TODAY)
    assert (one.text, two.text) == ("Pardon? How much?", "Sorry? How much?")
    assert (one.state.unclear, two.state.misses) == (True, 2)


def test_wait_asks_nothing() -> None:
    line = meant("wait", at("day"))
    assert (line.text, line.state.step) == ("Sure.", "day")


def test_repeat_says_the_last_line_again() -> None:
    line = meant("repeat", at("day"))
    assert (line.text, line.state.said) == ("Before. What now?", "Before. What now?")
    again = meant("repeat", meant("price", at("day")).state)
    assert again.text == "It is free. On which day?"


def test_the_call_ends_with_the_answers_words_alone() -> None:
    line = meant("wrong_person", at("hello"))
    assert (line.text, line.end, dict(line.state.fields)) == ("Sorry. Goodbye.", True, {"person": "wrong"})


def test_what_is_known_is_said() -> None:
    fields = {"amount": 80.5, "day": FRIDAY}
    assert meant("yes", at("close", fields=fields)).text == "eighty dollars and fifty cents it is. Goodbye."


def test_clearing_makes_a_step_ask_again() -> None:
    fields = {"amount": 80.0, "day": FRIDAY, "person": "right"}
    line = meant("no", at("close", fields=fields))
    assert (line.text, line.state.step) == ("Once more. Thank you. On which day?", "day")
    assert line.state.fields == {"person": "right"}
    line = meant("names_day", meant("other_day", at("close", fields=fields)).state, day=MONDAY)
    assert line.state.step == "close"
    assert line.state.fields["day"] == MONDAY


def test_a_loop_of_known_fields_ends() -> None:
    talk = read(FLOW.replace("asks_for: amount\n    next: close", "asks_for: amount\n    next: day"))
    line = meant("names_day", at("day", fields={"amount": 1.0}), talk, day=FRIDAY)
    assert line.state.step in talk.steps


# -- confirming --------------------------------------------------------------------------------------------------------


def test_what_would_hurt_is_asked_first() -> None:
    line = meant("never", at("day"))
    assert (line.text, line.end, line.state.confirming) == ("Really never?", False, "never")
    assert (dict(line.state.fields), dict(line.state.pending)) == ({}, {"day": MONDAY})
    assert course.acting(TALK, at("day"), "never") is None


def test_a_yes_lets_it_happen() -> None:
    asked = meant("never", at("day")).state
    acting = course.acting(TALK, asked, "yes")
    assert acting is not None
    assert acting.says == ("Noted. Goodbye.",)
    line = meant("yes", asked)
    assert (line.text, line.end, dict(line.state.fields)) == ("Noted. Goodbye.", True, {"day": MONDAY})
    assert (line.state.confirming, dict(line.state.pending)) == (None, {})


def test_a_no_asks_the_steps_question_again() -> None:
    asked = meant("never", at("day")).state
    assert course.acting(TALK, asked, "no") is None
    line = meant("no", asked)
    assert (line.text, line.end, line.state.step) == ("On which day?", False, "day")
    assert (line.state.confirming, dict(line.state.pending), dict(line.state.fields)) == (None, {}, {})


def test_while_confirming_only_yes_no_and_what_is_understood_always_count() -> None:
    asked = meant("never", at("day")).state
    assert list(course.candidates(TALK, asked)) == ["yes", "no", "repeat", "wait", "busy", "goodbye"]
    assert meant("repeat", asked).text == "Really never?"
    assert meant("wait", asked).state.confirming == "never"
    assert course.ask_back(TALK, asked, TODAY).text == "Pardon? Really never?"
    assert course.digress(TALK, asked, "We are open.", TODAY).text == "We are open. Really never?"


def test_leaving_the_step_drops_what_waited_for_a_yes() -> None:
    line = meant("busy", meant("skip", at("day")).state)
    assert (line.state.step, line.state.confirming) == ("close", None)
    assert meant("yes", line.state).end


# -- not understood ----------------------------------------------------------------------------------------------------


def test_something_made_up_comes_before_the_question() -> None:
    line = course.digress(TALK, at("day", unclear=True), "We are open on Sundays.", TODAY)
    assert (line.text, line.state.unclear, line.state.misses) == ("We are open on Sundays. On which day?", False, 1)


def test_it_gives_up_after_too_many_misses_in_a_row() -> None:
    state = at("day")
    for _ in range(course.MOST_MISSES - 1):
        line = course.digress(TALK, state, None, TODAY)
        assert not line.end
        state = line.state
    for line in (course.digress(TALK, state, "Whatever.", TODAY), course.ask_back(TALK, state, TODAY)):
        assert (line.text, line.end, dict(line.state.fields)) == ("I give up. Goodbye.", True, {"person": "wrong"})
    assert meant("price", state).state.misses == 0


# -- tools -------------------------------------------------------------------------------------------------------------


def test_a_failure_is_said_and_nothing_is_filled() -> None:
    state = at("hello")
    line = course.follow(TALK, state, "yes", {"person": "right"}, TODAY, failure="It did not work.")
    assert line.text == "It did not work. Thank you. On which day?"
    assert dict(line.state.fields) == {}
    asked = meant("skip", at("day")).state
    assert course.follow(TALK, asked, "yes", {}, TODAY, failure="No.").text.startswith("No. ")


def test_what_is_read_from_the_words_and_what_stands_in_the_file() -> None:
    answer = TALK.steps["day"].answers["names_day"]
    assert course.wanted(TALK, answer) == {"day": True, "amount": False}
    assert course.constants(TALK, answer, TODAY) == {}
    never = TALK.steps["day"].answers["never"]
    assert course.wanted(TALK, never) == {}
    assert course.constants(TALK, never, TODAY) == {"day": MONDAY}


# -- any conversation --------------------------------------------------------------------------------------------------

SHIPPED = sorted((Path(__file__).parents[2] / "profiles").glob("*.yaml"))
SAMPLES: Mapping[str, Value] = {
    "yes_no": True,
    "day": FRIDAY,
    "time": "14:30",
    "amount": 80.0,
    "number": 3,
    "phone": "+12025550143",
    "name": "Ann",
    "text": "what they said",
}


def _flows() -> dict[str, Flow]:
    loaded: list[Profile] = [load(path) for path in SHIPPED]
    found = {bot.name: filled for bot in loaded if (filled := bot.resolve({}, {}).profile.flow)}
    return {**found, "test": TALK}


FLOWS = _flows()


def _sample(talk: Flow, name: str) -> Value:
    field = talk.fields[name]
    return next(iter(field.choices)) if field.type == "choice" else SAMPLES[field.type]


@pytest.mark.parametrize("name", list(FLOWS))
@settings(deadline=None, max_examples=25)
@given(data=st.data())
def test_any_conversation_stands_somewhere(name: str, data: st.DataObject) -> None:
    talk = FLOWS[name]
    state = course.begin(talk, OPENING)
    for _ in range(data.draw(st.integers(1, 12))):
        keys = list(course.candidates(talk, state))
        key = data.draw(st.sampled_from([*keys, "?", "-"]))
        if key == "?":
            line = course.ask_back(talk, state, TODAY)
        elif key == "-":
            line = course.digress(talk, state, data.draw(st.sampled_from([None, "Right."])), TODAY)
        else:
            answer = course.candidates(talk, state)[key]
            filled = course.constants(talk, answer, TODAY)
            for wanted, must in course.wanted(talk, answer).items():
                if must or data.draw(st.booleans()):
                    filled[wanted] = _sample(talk, wanted)
            failure = "That failed." if data.draw(st.integers(0, 5)) == 0 else None
            line = course.follow(talk, state, key, filled, TODAY, failure=failure)
        state = line.state
        assert line.text.strip()
        assert line.text == state.said
        assert state.step in talk.steps
        assert set(state.fields) <= set(talk.fields)
        assert state.confirming is None or talk.candidates(state.step)[state.confirming].confirm
        assert 0 <= state.misses < course.MOST_MISSES
        assert len(course.candidates(talk, state)) <= flow.MOST_CANDIDATES
        if line.end:
            return


@pytest.mark.parametrize("name", [name for name in FLOWS if name != "test"])
def test_no_shipped_line_says_a_variable(name: str) -> None:
    """Each answer of each step, with every field known."""
    talk = FLOWS[name]
    known = {field: _sample(talk, field) for field in talk.fields}
    for step in talk.steps:
        for key, answer in talk.candidates(step).items():
            heard = {name: _sample(talk, name) for name, value in answer.fills.items() if value.startswith(HEARD)}
            line = meant(key, State(step, fields=known, said=OPENING), talk, **heard)
            assert "{{" not in line.text, (step, key)
            assert line.end == (answer.next == END and not answer.confirm), (step, key)
