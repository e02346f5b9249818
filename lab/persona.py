"""A simulated customer, as somebody wrote it down, and the mind that chooses its next words.

Decides: what a customer answers to what it heard. Refuses to know: audio, time, and everything about the bot but the words
that reached the customer's ear.

How a pattern is read: words, matched in this order and next to each other on text without case and punctuation. `a|b` is
either word, `*` is up to six words of any kind: `can you * make it`, `parking|park * building`.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from lab import numbers, strict, template
from lab.errors import ConfigError
from lab.ports import DisconnectedBy, ToolCall
from lab.strict import Duration, FieldError, OneOrMore, Options, Strict


def normalise(text: str) -> str:
    """`text` as words with one space between: no case, no punctuation, digits kept (`It's 10:30!` -> `its 10 30`)."""
    return " ".join(re.findall(r"[^\W_]+", re.sub("['\u2019]", "", text.casefold())))


@lru_cache(maxsize=1024)
def compile_pattern(pattern: str) -> re.Pattern[str]:
    """`pattern` for normalised text. Raises ConfigError for what is none."""
    tokens = pattern.split()
    if "*" in (tokens[:1] + tokens[-1:]) or any(a == b == "*" for a, b in pairwise(tokens)):
        raise ConfigError(f"in `{pattern}` a `*` has no word on one side", hint="words go before and after it")
    expression = "".join(r"(?:\S+ ){0,6}?" if token == "*" else f"{_word(token, pattern)} " for token in tokens)
    if not expression:
        raise ConfigError("the pattern is empty", hint="for example `am i speaking with|to`")
    return re.compile(rf"(?<!\S){expression[:-1]}(?!\S)")


def matches(pattern: str, text: str) -> int:
    """How far into the normalised `text` the last match of `pattern` reaches, in characters; 0 when it is not there."""
    return _reach(pattern, normalise(text))


def _word(token: str, pattern: str) -> str:
    if stray := re.search(r"[][(){}^$+\\*]", token):
        hint = "patterns are words, `a|b` for either, and a `*` alone for a gap"
        raise ConfigError(f"`{stray.group()}` in `{pattern}` means nothing here", hint=hint)
    words = [normalise(word) for word in token.split("|")]
    if not all(words):
        raise ConfigError(f"`{token}` in `{pattern}` lacks a word", hint="write a word on both sides of each `|`")
    return f"(?:{'|'.join(map(re.escape, words))})"


def _reach(pattern: str, words: str) -> int:
    return max((found.end() for found in compile_pattern(pattern).finditer(words)), default=0)


def _pattern(value: str) -> str:
    compile_pattern(value)
    return value


Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
Texts = Annotated[tuple[Text, ...], OneOrMore, Field(min_length=1)]
Pattern = Annotated[str, AfterValidator(strict.check(_pattern))]
LabNumber = Annotated[str, AfterValidator(strict.check(numbers.lab_number))]
Factor = Annotated[float, Field(ge=0.5, le=2)]


class PersonaVoice(Strict):
    """How the customer sounds."""

    voice: Text = "en_US-joe-medium"
    rate: Factor = 1.0
    """1 is the voice's own pace, 2 twice as fast."""
    pitch: Factor = 1.0


class Ear(Strict):
    """What the customer hears with."""

    model: Text = "whisper-tiny.en"


class Varies(Strict):
    """How one call with this customer differs from the next; the seed decides."""

    rate: Annotated[float, Field(ge=0, le=0.3)] = 0.0
    """The voice is up to this share faster or slower."""
    pauses: Annotated[Duration, Field(ge=0, le=3)] = 0.0
    """Up to this many seconds pass before a line, and at a comma or a full stop within it."""


class Reaction(Strict):
    """What to answer when something was heard."""

    name: Text
    when: Annotated[tuple[Pattern, ...], OneOrMore, Field(min_length=1)]
    """Any of these patterns."""
    unless: Annotated[tuple[Pattern, ...], OneOrMore] = ()
    """None of these patterns, anywhere in what was heard."""
    say: Texts
    """One of these, chosen by the seed."""
    once: bool = False
    then: Literal["hang_up"] | None = None


class Expect(Strict):
    """What a call must have come to for the customer's goal to be reached. What is left out does not matter."""

    disconnected_by: Annotated[tuple[DisconnectedBy, ...], OneOrMore] = ()
    told: Annotated[tuple[Text, ...], OneOrMore] = ()
    """Reactions that must have been said."""
    fields: Options = Field(default_factory=dict)
    """Values of the bot's flow, as its author would write them: `pay_day: Friday`."""
    analysis: Options = Field(default_factory=dict)
    """Values that `post_call_analysis` should have. Judged apart: the goal does not depend on it."""


class Script(Strict):
    """What is said to what is heard."""

    facts: dict[Text, str] = Field(default_factory=dict)
    """Usable as `{{facts.name}}` or `{{name}}` in everything said."""
    reactions: Annotated[tuple[Reaction, ...], Field(min_length=1)]
    otherwise: Texts = ("Sorry, could you say that again?",)
    """Said when nothing matches."""
    gives_up_after: Annotated[int, Field(ge=1)] = 3
    """How many times in a row `otherwise` is said; then comes `gives_up`."""
    gives_up: Text = "I am sorry, I cannot follow you. Goodbye."
    """Said before hanging up."""

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        known = [reaction.name for reaction in self.reactions]
        for index, name in enumerate(known):
            if name in known[:index]:
                raise FieldError(
                    f"two reactions are named `{name}`", hint="rename one", at=("reactions", index, "name")
                )
        return self

    @model_validator(mode="after")
    def _facts_known(self) -> Self:
        values = self.values()
        for loc, text in self._lines():
            for name in template.render(text, values).unresolved:
                hint = strict.did_you_mean(name, list(self.facts))
                raise FieldError(f"there is no fact `{name}`", hint=hint, at=loc)
        return self

    def values(self) -> dict[str, str]:
        """The facts by every name they have in texts."""
        return {**self.facts, **{f"facts.{name}": value for name, value in self.facts.items()}}

    def _lines(self) -> list[tuple[strict.Loc, str]]:
        """Everything that may be said, and where it is written."""
        lines: list[tuple[strict.Loc, str]] = [(("gives_up",), self.gives_up)]
        lines += [(("otherwise", i), text) for i, text in enumerate(self.otherwise)]
        for r, reaction in enumerate(self.reactions):
            lines += [(("reactions", r, "say", i), text) for i, text in enumerate(reaction.say)]
        return lines


class Persona(Script):
    """A customer."""

    name: Text
    description: str = ""
    number: LabNumber
    voice: PersonaVoice = PersonaVoice()
    varies: Varies = Varies()
    ear: Ear = Ear()
    answers_after: Annotated[Duration, Field(ge=0)] = 2.0
    """Seconds of ringing."""
    greeting: Text | None = None
    """Said on picking up; None waits for the caller to begin."""
    patience: Annotated[Duration, Field(gt=0)] = 12.0
    """Seconds of silence before `impatient`."""
    impatient: Text = "Hello?"
    """Said twice; then the customer hangs up."""
    expect: Expect = Expect()

    @model_validator(mode="after")
    def _told_known(self) -> Self:
        known = [reaction.name for reaction in self.reactions]
        for index, name in enumerate(self.expect.told):
            if name not in known:
                hint = strict.did_you_mean(name, known)
                raise FieldError(f"no reaction is named `{name}`", hint=hint, at=("expect", "told", index))
        return self

    def _lines(self) -> list[tuple[strict.Loc, str]]:
        greeting: list[tuple[strict.Loc, str]] = [(("greeting",), self.greeting)] if self.greeting else []
        return [(("impatient",), self.impatient), *greeting, *super()._lines()]


@dataclass(frozen=True, slots=True)
class Answer:
    """What the customer does next."""

    text: str
    """To be said; empty for nothing."""
    reaction: str | None = None
    """The reaction it comes from; None when there was none."""
    hang_up: bool = False
    """After `text` was said."""

    @property
    def pieces(self) -> list[str | ToolCall]:
        """As a Responder gives it."""
        return [*([self.text] if self.text else []), *([ToolCall("end_call")] if self.hang_up else [])]


class Mind:
    """Chooses a script's words for one call. Same script, seed and words heard: same answers."""

    def __init__(self, script: Script, seed: int = 0) -> None:
        self._script = script
        self._random = random.Random(seed)
        self._facts = script.values()
        self._used: set[str] = set()
        self._lost = 0

    def answer(self, heard: str) -> Answer:
        """To the newest thing the other side said, as the ear understood it.

        Of the reactions that match, the one that matches furthest to the end: what was asked last. Of equals, the first.
        """
        words = normalise(heard)
        if not words:
            return Answer("")
        reach, reaction = 0, None
        for candidate in self._script.reactions:
            if candidate.name in self._used or any(_reach(pattern, words) for pattern in candidate.unless):
                continue
            candidate_reach = max(_reach(pattern, words) for pattern in candidate.when)
            if candidate_reach > reach:
                reach, reaction = candidate_reach, candidate
        if reaction is None:
            return self._no_answer()
        self._lost = 0
        if reaction.once:
            self._used.add(reaction.name)
        return self._said(self._random.choice(reaction.say), reaction.name, reaction.then == "hang_up")

    def _no_answer(self) -> Answer:
        self._lost += 1
        if self._lost > self._script.gives_up_after:
            return self._said(self._script.gives_up, hang_up=True)
        return self._said(self._random.choice(self._script.otherwise))

    def _said(self, text: str, reaction: str | None = None, hang_up: bool = False) -> Answer:
        return Answer(template.render(text, self._facts).text, reaction, hang_up)


def load(path: Path) -> Persona:
    """The persona in the file at `path`. Raises ConfigErrors."""
    return strict.load(path, Persona)


def shipped() -> dict[str, Path]:
    """The personas that come with the lab: file name without `.yaml` -> path."""
    return {path.stem: path for path in sorted((Path(__file__).parent / "personas").glob("*.yaml"))}
