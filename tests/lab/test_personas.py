"""The shipped customers: they speak in their own words, not in the bots' examples."""

from __future__ import annotations

import difflib
from datetime import date
from pathlib import Path

import pytest

from lab import flow, persona, profile, runner
from lab.persona import Persona, normalise

ALIKE = 0.85
PROFILES = Path(__file__).parents[2] / "profiles"
MET = {"dental": "dental-reminder", "debt": "debt-reminder", "delivery": "delivery-slot"}
"""Personas by the beginning of their name -> the bot they talk to."""


def examples(bot: profile.Profile) -> set[str]:
    assert bot.flow is not None
    texts = (e for step in bot.flow.steps for answer in bot.flow.candidates(step).values() for e in answer.examples)
    return {normalise(text) for text in texts}


def lines(customer: Persona) -> list[str]:
    said = [text for reaction in customer.reactions for text in reaction.say]
    return [*said, *customer.otherwise, customer.gives_up, *([customer.greeting] if customer.greeting else [])]


@pytest.mark.parametrize("name", [n for n in persona.shipped() if n.partition("-")[0] in MET])
def test_no_line_is_an_example_in_disguise(name: str) -> None:
    known = examples(profile.load(PROFILES / f"{MET[name.partition('-')[0]]}.yaml"))
    for line in map(normalise, lines(persona.load(persona.shipped()[name]))):
        matcher = difflib.SequenceMatcher(b=line, autojunk=False)
        for example in known:
            matcher.set_seq1(example)
            if matcher.real_quick_ratio() >= ALIKE and matcher.quick_ratio() >= ALIKE:
                assert matcher.ratio() < ALIKE, f"{line!r} is the example {example!r}"


@pytest.mark.parametrize("name", [n for n in persona.shipped() if n.partition("-")[0] in MET])
def test_what_is_expected_can_be_filled(name: str) -> None:
    bot = profile.load(PROFILES / f"{MET[name.partition('-')[0]]}.yaml")
    customer = persona.load(persona.shipped()[name])
    expected = runner.expected(customer, bot, date(2026, 11, 21))
    assert set(expected.get("fields", {})) <= set(bot.flow.fields if bot.flow else {})
    wanted = expected.get("analysis", {}).get("DISPOSITION")
    assert bot.analysis is not None
    assert wanted in (bot.analysis.fields["DISPOSITION"].enum or {})


def test_numbers_differ() -> None:
    numbers = [persona.load(path).number for path in persona.shipped().values()]
    assert len(set(numbers)) == len(numbers)


def test_shipped_meanings_have_examples() -> None:
    assert all(answer.means and len(answer.examples) >= 10 for answer in flow.shipped().values())
