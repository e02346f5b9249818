"""Prepared conversations as they are written: what is understood, and what is refused, with its line."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lab import flow, strict
from lab.errors import ConfigErrors
from lab.flow import Flow

FLOW = """\
fields:
  slot: {type: choice, choices: {morning: [morning], evening: [evening, tonight]}}
  day: {type: day}
steps:
  start:
    answers:
      yes: {next: when}
      wrong_person: {says: Sorry. Goodbye., next: end}
  when:
    says: When may we come?
    asks_for: slot
    next: close
    also: [questions]
    answers:
      names_slot:
        means: the customer names a part of the day
        examples: [in the morning, tonight please]
        fills: {slot: heard, day: "heard?"}
      forget_it:
        means: the customer wants it no more
        examples: [forget it]
        clears: [slot, day]
        confirm: Shall I cancel it?
        next: end
  close:
    says: ["It is {{fields.slot}}. Anything else?", "Anything else then?"]
    never: [goodbye]
    answers:
      no_more: {next: end}
sets:
  questions:
    asks_price:
      means: the customer asks what it costs
      examples: [how much is it]
      says: It is free.
always:
  repeat: {}
  wait: {says: Sure.}
  goodbye: {says: Goodbye., next: end}
"""


def read(text: str, *overrides: str) -> Flow:
    return strict.parse(text, "flow.yaml", Flow, overrides=overrides)


def problems(text: str) -> list[str]:
    with pytest.raises(ConfigErrors) as caught:
        read(text)
    return [str(problem) for problem in caught.value.problems]


def changed(old: str, new: str) -> str:
    assert FLOW.count(old) == 1, old
    return FLOW.replace(old, new)


def line(text: str, part: str) -> int:
    return text[: text.index(part)].count("\n") + 1


def test_what_stands_there_is_understood() -> None:
    found = read(FLOW)
    assert found.start == "start"
    assert found.steps["close"].says[1] == "Anything else then?"
    assert found.steps["when"].answers["forget_it"].clears == ("slot", "day")
    assert list(found.candidates("when")) == ["names_slot", "forget_it", "asks_price", "repeat", "wait", "goodbye"]
    assert list(found.candidates("close")) == ["no_more", "repeat", "wait"]
    assert [loc for loc, _ in found.answers()][-4:] == [
        ("always", "repeat"),
        ("always", "wait"),
        ("always", "goodbye"),
        ("gives_up",),
    ]


def test_what_callctl_knows_is_added_and_nothing_of_the_authors_is_lost() -> None:
    found = read(changed("repeat: {}", "repeat: {means: they are deaf, examples: [louder]}")).candidates("start")
    assert found["repeat"].means == "they are deaf"
    assert found["repeat"].examples[0] == "louder"
    assert set(flow.shipped()["repeat"].examples) < set(found["repeat"].examples)
    assert found["repeat"].repeats
    assert found["wait"].waits
    assert not found["goodbye"].waits


def test_an_answer_of_the_step_hides_the_one_understood_always() -> None:
    found = read(
        changed("no_more: {next: end}", "goodbye: {says: Bye., next: end}").replace("    never: [goodbye]\n", "")
    )
    assert found.candidates("close")["goodbye"].says == ("Bye.",)
    assert found.candidates("when")["goodbye"].says == ("Goodbye.",)


@pytest.mark.parametrize(
    ("old", "new", "at", "message"),
    [
        ("next: when", "next: wen", "wen", "there is no step `wen` (did you mean `when`?)"),
        ("next: close", "next: clos", "next: clos", "`steps.when.next`: there is no step `clos`"),
        ("asks_for: slot", "asks_for: slott", "slott", "there is no field `slott` (did you mean `slot`?)"),
        ("{slot: heard,", "{slots: heard,", "fills: {slots", "there is no field `slots`"),
        (
            "clears: [slot, day]",
            "clears: [slot, dey]",
            "clears",
            "`steps.when.answers.forget_it.clears.1`: there is no",
        ),
        ("also: [questions]", "also: [question]", "also", "there is no set `question` (did you mean `questions`?)"),
        ("never: [goodbye]", "never: [goodby]", "never", "`goodby` is not among those understood `always`"),
        ("never: [goodbye]", "never: [no_more]", "never", "`no_more` is not among those understood `always`"),
        (
            "    asks_for: slot\n    next: close\n",
            "    asks_for: slot\n",
            "  when:",
            "nothing follows when `slot` is known",
        ),
        ("    says: When may we come?\n", "", "  when:", "`steps.when`: this step says nothing"),
        ("  start:\n", "  start:\n    says: Hello.\n", "  start:", "the first step says nothing itself"),
        ("        examples: [forget it]\n", "", "forget_it:", "this answer has no `examples`"),
        ("      means: the customer asks what it costs\n", "", "asks_price:", "this answer has no `means`"),
        ("repeat: {}", "repaet: {}", "repaet", "this answer has no `means`"),
        ("  day: {type: day}", "  day: {type: date}", "day: {type: date", "`fields.day.type` must be 'yes_no', 'day'"),
        (
            "  day: {type: day}",
            "  day: {type: choice}",
            "day: {type: c",
            "`fields.day.choices`: a choice needs its values",
        ),
        ("  day: {type: day}", "  day: {type: day, choices: {a: b}}", "day: {type: day, c", "a `day` has no choices"),
        ("  day: {type: day}", "  The-Day: {type: day}", "The-Day", "`The-Day` is no name here"),
        ("      no_more: {next: end}", "      No More: {next: end}", "No More", "`No More` is no name here"),
        (
            "says: It is free.",
            "say: It is free.",
            "say: It",
            "unknown key `sets.questions.asks_price.say` (did you mean",
        ),
        ("wait: {says: Sure.}", "wait: {says: ''}", "wait:", "`always.wait.says.0` must not be empty"),
        ("wait: {says: Sure.}", "wait: {says: Sure., waits: 1x}", "wait:", "`always.wait.waits` must be true or false"),
        ("    says: When may we come?", "    says: {en: When}", "says: {en", "`steps.when.says` must be a list"),
    ],
)
def test_a_mistake_is_told_with_its_line(old: str, new: str, at: str, message: str) -> None:
    text = changed(old, new)
    told = problems(text)
    assert len(told) == 1 or told[0] == told[-1], told
    assert told[0].startswith(f"flow.yaml:{line(text, at)}: "), told
    assert message in told[0]


def test_no_steps_are_no_flow() -> None:
    assert problems("steps: {}\n") == ["flow.yaml:1: `steps` needs at least 1"]


def test_too_much_understood_always() -> None:
    text = FLOW + "".join(f"  {key}: {{says: x}}\n" for key in ("busy", "human", "who_is_this", "are_you_robot"))
    told = problems(text)[0]
    assert told.startswith(f"flow.yaml:{line(text, '  start:')}: ")
    assert "7 of the answers understood always can be given here, at most 6 should (leave some out with `never`" in told


def test_too_much_in_one_step() -> None:
    more = "".join(f"      a{i}: {{means: m, examples: e{i}}}\n" for i in range(18))
    text = changed("      no_more: {next: end}\n", f"      no_more: {{next: end}}\n{more}")
    told = problems(text)[0]
    assert told.startswith(f"flow.yaml:{line(text, '  close:')}: ")
    assert "20 should" in told


def test_filling_in_reaches_every_text() -> None:
    found = read(FLOW, "gives_up.says=I give up.", "steps.when.again=When?")
    marked = found.filled({text: f"<{text}>" for text in found.texts()})
    assert all(text.startswith("<") for text in marked.texts())
    assert len(marked.texts()) == len(found.texts())
    assert marked.candidates("when")["names_slot"].fills == {"slot": "<heard>", "day": "<heard?>"}
    assert (marked.start, marked.fields) == (found.start, found.fields)
    assert flow.references(found) == {"slot"}


@pytest.mark.parametrize("key", list(flow.shipped()))
def test_what_is_known_of_an_id_is_enough(key: str) -> None:
    answer = flow.known(key, flow.Answer())
    assert answer.means
    assert len(answer.examples) >= 20
    assert (answer.repeats, answer.waits) == (key == "repeat", key == "wait")


@pytest.mark.parametrize(
    ("text", "last"),
    [
        ("Hello.", "Hello."),
        ("You owe 240.50 dollars. Can you pay?", "Can you pay?"),
        ("Great! Shall we? ", "Shall we?"),
        ("no end", "no end"),
    ],
)
def test_the_question_at_the_end(text: str, last: str) -> None:
    assert flow.question(text) == last


@settings(deadline=None)
@given(st.text(min_size=1))
def test_the_question_is_the_end_of_any_text(text: str) -> None:
    assert text.strip().endswith(flow.question(text))


ROWS = st.lists(st.integers(0, FLOW.count("\n") - 1), max_size=6, unique=True)


@settings(deadline=None, max_examples=25)
@given(ROWS)
def test_a_flow_that_lacks_lines_is_read_or_refused_with_a_place(gone: list[int]) -> None:
    text = "".join(row for i, row in enumerate(FLOW.splitlines(keepends=True)) if i not in gone)
    try:
        found = read(text)
    except ConfigErrors as error:
        places = [problem.where or "" for problem in error.problems]
    else:
        places = []
        assert all(key in found.steps for key in [found.start])
    assert all(place.startswith("flow.yaml") for place in places)


def test_a_step_says_what_its_answer_is_given_time_for() -> None:
    assert read(FLOW).expects("when") is None
    assert read(FLOW, "steps.when.expects=email").expects("when") == "email"
    asked = FLOW.replace("day: {type: day}", "day: {type: day}\n  number: {type: phone}", 1)
    assert read(asked, "steps.when.asks_for=number").expects("when") == "phone_number"
