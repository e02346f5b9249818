"""Whether to ask, what to ask, and which answers count."""

from __future__ import annotations

import pytest

from lab import analysis, events

SCHEMA = {
    "type": "object",
    "properties": {
        "coming": {"type": "boolean", "description": "Whether they will come."},
        "mood": {"enum": ["good", "bad"]},
        "note": {"type": "string", "maxLength": 20},
    },
    "required": ["coming"],
    "additionalProperties": False,
}
ANSWERED = events.Answered(at=2.0)
BOT = events.Said(at=4.0, who="bot", turn=1, text="Hello. Is it you?", heard="Hello.", began=2.5, ended=4.0, cut=True)
CUSTOMER = events.Said(at=6.0, who="customer", turn=2, text="Yes.", heard="Yes.", began=5.0, ended=5.5)


def ended(at: float, cause: str = "hung_up") -> events.Ended:
    return events.Ended(at=at, cause=cause)


@pytest.mark.parametrize(
    ("log", "why"),
    [
        ([ANSWERED, BOT, CUSTOMER, ended(20)], None),
        ([ANSWERED, BOT, CUSTOMER, ended(20, "max_duration")], None),
        ([ANSWERED, BOT, CUSTOMER, ended(20, "error")], "error"),
        ([ANSWERED, BOT, CUSTOMER], "error"),
        ([ended(20, "rejected")], "nobody answered"),
        ([ANSWERED, BOT, ended(20)], "never spoke"),
        ([ANSWERED, BOT, CUSTOMER, ended(6.9)], "shorter than 5 s"),
        ([ANSWERED, BOT, CUSTOMER, ended(7.0)], None),
    ],
)
def test_why_a_call_is_not_analysed(log: list[events.Event], why: str | None) -> None:
    reason = analysis.why_not(log)
    assert reason is None if why is None else why in (reason or "")


def test_the_question_names_every_field_and_what_each_value_means() -> None:
    system = analysis.system("  Judge the call.\n", SCHEMA, {"mood": {"good": "friendly", "bad": "angry"}})
    assert system.splitlines() == [
        "Judge the call.",
        "",
        "Answer with one JSON object with these fields:",
        "- coming: Whether they will come.",
        "- mood: one of these values",
        "    good: friendly",
        "    bad: angry",
        "- note: string",
    ]


def test_the_model_reads_what_was_heard() -> None:
    assert analysis.text([ANSWERED, BOT, CUSTOMER]) == "The call:\nBot: Hello.\nCustomer: Yes."


def test_a_second_question_says_what_was_wrong_with_the_first_answer() -> None:
    assert analysis.text([BOT], "$.coming: 1 is not of type 'boolean'").endswith(
        "Your last answer was not usable: $.coming: 1 is not of type 'boolean'"
    )


def test_an_answer_that_counts() -> None:
    assert analysis.read(' {"coming": true, "mood": "good"}\n', SCHEMA) == {"coming": True, "mood": "good"}


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ("", "not JSON"),
        ('{"coming": tr', "not JSON"),
        ("true", "is not of type 'object'"),
        ("{}", "'coming' is a required property"),
        ('{"coming": 1}', r"\$\.coming: 1 is not of type 'boolean'"),
        ('{"coming": true, "mood": "odd"}', r"\$\.mood: 'odd' is not one of"),
        ('{"coming": true, "note": "123456789012345678901"}', r"\$\.note: .* too long"),
        ('{"coming": true, "more": 1}', "more"),
    ],
)
def test_an_answer_that_does_not_count_says_why(answer: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        analysis.read(answer, SCHEMA)
