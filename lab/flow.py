"""What a bot has prepared: steps, what the customer may mean in each, what is said and done then.

Decides: how prepared answers are written down, and which of them cannot work. Refuses to know: how an answer is picked, how a
field's value is read from words, and how anything is said.

How a flow runs
1.  The call is always in one step. Entering it the bot says `says`; the first step's is the opening message.
2.  What the customer says is one of the step's `answers`, of the sets it names in `also`, or of those understood `always`, or none.
3.  A picked answer fills its fields, calls its tool and is said; then comes the step in `next`, or the call's `end`, or nothing:
    then the call stays where it is, and the step's question is asked `again`.
4.  A step that `asks_for` a field is passed over, to its `next`, once that field is known.
5.  Meanings and examples of the ids in `lab/answers.yaml` (yes, no, goodbye, …) are known and need not be written.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from lab import strict, template
from lab.cues import Expects
from lab.strict import FieldError, OneOrMore, Strict

Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
Texts = Annotated[tuple[Text, ...], OneOrMore]

END = "end"
"""The `next` after which the bot hangs up."""
HEARD, IF_HEARD = "heard", "heard?"
"""The value of a field that is what the customer said: it must be there, or it is taken if it is there."""
MOST_ALWAYS = 6
"""Answers understood everywhere that one step may have: more of them make picking worse."""
MOST_CANDIDATES = 20
"""Answers one step may have in all: each has a letter in the question to the model."""


def _identifier(value: str) -> str:
    if value.isascii() and value.isidentifier() and value == value.lower():
        return value
    raise FieldError(f"`{value}` is no name here", hint="small letters, digits and `_`, as in `asks_price`")


Name = Annotated[str, AfterValidator(_identifier)]

Kind = Literal["yes_no", "day", "time", "amount", "number", "phone", "name", "choice", "text"]


class FlowField(Strict):
    """Something the call is to find out."""

    type: Kind
    description: Text | None = None
    choices: dict[Text, Texts] = Field(default_factory=dict)
    """Of a `choice`: each value and the words that mean it."""
    unit: Text = "dollars"
    """Of an `amount`: how it is said."""

    @model_validator(mode="after")
    def _choices_for_choice(self) -> Self:
        if (self.type == "choice") != bool(self.choices):
            what = "a choice needs its values" if self.type == "choice" else f"a `{self.type}` has no choices"
            raise FieldError(what, hint="write `choices: {morning: [morning, before noon]}`", at=("choices",))
        return self


class Answer(Strict):
    """One thing the customer may mean, and what follows."""

    means: Text | None = None
    """One line, as you would tell a new colleague. May be left out for ids that callctl knows."""
    examples: Texts = ()
    """Ways customers say it; the more different, the better they are understood."""
    says: Texts = ()
    """One of these is said, in turn."""
    fills: dict[Name, Text] = Field(default_factory=dict)
    """Field -> its value; `heard` reads it from what the customer said, `heard?` does so if it is there."""
    clears: Annotated[tuple[Name, ...], OneOrMore] = ()
    """Fields that are not known any more."""
    calls: Text | None = None
    """A tool that is called before anything is said."""
    confirm: Text | None = None
    """Asked first, where a mistake would hurt; only a yes lets the rest happen."""
    next: Text | None = None
    """The step that follows, or `end`; nothing to stay."""
    repeats: bool = False
    """Instead of `says`, the bot's last line is said again."""
    waits: bool = False
    """The question is not asked again after it: the customer speaks next."""


Answers = dict[Name, Answer]


class Step(Strict):
    """A place in the conversation: mostly a question of the bot."""

    says: Texts = ()
    """On entering. The first step has none: the opening message is said."""
    again: Text | None = None
    """The question alone, after something else came between; nothing to take the last sentence of `says`."""
    asks_for: Name | None = None
    """The field this step is about."""
    expects: Expects | None = None
    """What is asked for has pauses inside, and the customer is given time: a phone_number, an email, a number (or code), a spelling.
    Nothing to tell it from the field and from the question's words."""
    next: Text | None = None
    """Where its answers lead when they name nothing else and the field is known."""
    also: Annotated[tuple[Name, ...], OneOrMore] = ()
    """Sets of answers that can be given here too."""
    never: Annotated[tuple[Name, ...], OneOrMore] = ()
    """Of those understood always, the ones that cannot be meant here."""
    answers: Answers = Field(default_factory=dict)


class Flow(Strict):
    """A prepared conversation."""

    fields: dict[Name, FlowField] = Field(default_factory=dict)
    steps: Annotated[dict[Name, Step], Field(min_length=1)]
    """The first one is where the call begins."""
    sets: dict[Name, Answers] = Field(default_factory=dict)
    always: Answers = Field(default_factory=dict)
    more_examples: dict[Name, dict[Name, Texts]] = Field(default_factory=dict)
    """Step, set or `always` -> answer -> further examples: where they would hide the conversation if they stood beside it."""
    off_topic: Texts = ()
    """What customers say that none of the answers answers: what is near it in meaning is not mistaken for one of them."""
    ask_back: Texts = ("Sorry, I did not quite get that.",)
    """Said before the question when it is not clear which answer was meant."""
    unknown: Texts = ("I am afraid I do not know that.",)
    """Said when nothing is prepared for a question and nothing safe could be made up."""
    remarked: Texts = ("I see.", "All right.")
    """The same when the customer asked nothing."""
    gives_up: Answer = Answer(says=("I am sorry, I could not understand you. Goodbye.",), next=END)
    """What follows when the customer could not be understood four times in a row."""

    @property
    def start(self) -> str:
        """The step in which a call begins."""
        return next(iter(self.steps))

    def expects(self, step: str) -> Expects | None:
        """What an answer in `step` is given time for, as far as the flow says."""
        here = self.steps[step]
        field = self.fields.get(here.asks_for) if here.asks_for else None
        return here.expects or ("phone_number" if field and field.type == "phone" else None)

    def candidates(self, step: str) -> dict[str, Answer]:
        """What the customer may mean in `step`, by id: its own answers, those of its sets, those understood always."""
        here = self.steps[step]
        found = self.with_more(step, here.answers)
        for name in here.also:
            found.update({key: a for key, a in self.with_more(name, self.sets[name]).items() if key not in found})
        always = self.with_more("always", self.always)
        found.update({key: a for key, a in always.items() if key not in found and key not in here.never})
        return {key: known(key, answer) for key, answer in found.items()}

    def with_more(self, group: str, answers: Answers) -> Answers:
        """`answers` of a step, a set or `always`, each with its `more_examples`."""
        more = self.more_examples.get(group, {})
        return {
            key: a.model_copy(update={"examples": (*a.examples, *more[key])}) if key in more else a
            for key, a in answers.items()
        }

    def texts(self) -> list[str]:
        """Everything that may hold variables, in the file's order."""
        found: list[str] = []
        for step in self.steps.values():
            found += [*step.says, *([step.again] if step.again else [])]
        for _, answer in self.answers():
            found += [*answer.says, *([answer.confirm] if answer.confirm else []), *answer.fills.values()]
            found += [*answer.examples, *([answer.means] if answer.means else [])]
        found += [text for group in self.more_examples.values() for more in group.values() for text in more]
        return [*found, *self.off_topic, *self.ask_back, *self.unknown, *self.remarked]

    def filled(self, by: Mapping[str, str]) -> Flow:
        """This flow with `texts` replaced, each by what `by` has for it."""

        def all_of(texts: tuple[str, ...]) -> tuple[str, ...]:
            return tuple(by[text] for text in texts)

        def of(answer: Answer) -> Answer:
            update: dict[str, Any] = {
                "says": all_of(answer.says),
                "examples": all_of(answer.examples),
                "means": answer.means and by[answer.means],
                "confirm": answer.confirm and by[answer.confirm],
                "fills": {name: by[value] for name, value in answer.fills.items()},
            }
            return answer.model_copy(update=update)

        def answers(group: Answers) -> Answers:
            return {key: of(answer) for key, answer in group.items()}

        steps = {
            name: step.model_copy(
                update={
                    "says": all_of(step.says),
                    "again": step.again and by[step.again],
                    "answers": answers(step.answers),
                }
            )
            for name, step in self.steps.items()
        }
        update = {
            "steps": steps,
            "sets": {name: answers(group) for name, group in self.sets.items()},
            "always": answers(self.always),
            "more_examples": {
                name: {key: all_of(more) for key, more in group.items()} for name, group in self.more_examples.items()
            },
            "off_topic": all_of(self.off_topic),
            "ask_back": all_of(self.ask_back),
            "unknown": all_of(self.unknown),
            "remarked": all_of(self.remarked),
            "gives_up": of(self.gives_up),
        }
        return self.model_copy(update=update)

    def answers(self) -> Iterator[tuple[strict.Loc, Answer]]:
        """Every answer, and the keys that lead to it."""
        for name, step in self.steps.items():
            for key, answer in step.answers.items():
                yield ("steps", name, "answers", key), answer
        for name, group in self.sets.items():
            for key, answer in group.items():
                yield ("sets", name, key), answer
        for key, answer in self.always.items():
            yield ("always", key), answer
        yield ("gives_up",), self.gives_up

    # -- what cannot work ----------------------------------------------------------------------------------------------

    @model_validator(mode="after")
    def _names_lead_somewhere(self) -> Self:
        steps = [*self.steps, END]
        for loc, target in self._nexts():
            if target not in steps:
                raise FieldError(f"there is no step `{target}`", hint=strict.did_you_mean(target, steps), at=loc)
        for loc, field in self._field_names():
            if field not in self.fields:
                near = strict.did_you_mean(field, list(self.fields)) or "write it under `fields`"
                raise FieldError(f"there is no field `{field}`", hint=near, at=loc)
        for name, step in self.steps.items():
            for index, group in enumerate(step.also):
                if group not in self.sets:
                    hint = strict.did_you_mean(group, list(self.sets))
                    raise FieldError(f"there is no set `{group}`", hint=hint, at=("steps", name, "also", index))
            for index, key in enumerate(step.never):
                if key not in self.always:
                    what = f"`{key}` is not among those understood `always`"
                    hint = strict.did_you_mean(key, list(self.always))
                    raise FieldError(what, hint=hint, at=("steps", name, "never", index))
        return self

    @model_validator(mode="after")
    def _answers_complete(self) -> Self:
        for loc, answer in self.answers():
            key = str(loc[-1])
            if loc[-1] != "gives_up" and not (answer.means and answer.examples) and key not in shipped():
                missing = "means" if not answer.means else "examples"
                hint = f"write it, or use an id that callctl knows: {', '.join(shipped())}"
                raise FieldError(f"this answer has no `{missing}`", hint=hint, at=loc)
        return self

    @model_validator(mode="after")
    def _steps_complete(self) -> Self:
        for name, step in self.steps.items():
            loc = ("steps", name)
            if name == self.start and step.says:
                raise FieldError("the first step says nothing itself", hint="write it as `opening_message`", at=loc)
            if name != self.start and not step.says:
                raise FieldError("this step says nothing", hint="write what the bot says on entering as `says`", at=loc)
            if step.asks_for and not step.next:
                what = f"nothing follows when `{step.asks_for}` is known"
                raise FieldError(what, hint="name a step, or `end`, as `next`", at=loc)
            candidates = self.candidates(name)
            always = [key for key in candidates if key in self.always and key not in step.answers]
            if len(always) > MOST_ALWAYS:
                what = f"{len(always)} of the answers understood always can be given here, at most {MOST_ALWAYS} should"
                hint = f"leave some out with `never`, for example `never: [{always[-1]}]`"
                raise FieldError(what, hint=hint, at=loc)
            if len(candidates) > MOST_CANDIDATES:
                what = f"{len(candidates)} answers can be given here, at most {MOST_CANDIDATES} should"
                raise FieldError(what, hint="split the step, or leave a set out", at=loc)
        return self

    @model_validator(mode="after")
    def _more_examples_belong_somewhere(self) -> Self:
        groups: dict[str, Answers] = {**self.sets, **{n: step.answers for n, step in self.steps.items()}}
        groups["always"] = self.always
        for name, more in self.more_examples.items():
            if name not in groups:
                hint = strict.did_you_mean(name, list(groups))
                raise FieldError(f"there is no step or set `{name}`", hint=hint, at=("more_examples", name))
            for key in more:
                if key not in groups[name]:
                    hint = strict.did_you_mean(key, list(groups[name]))
                    raise FieldError(f"`{name}` has no answer `{key}`", hint=hint, at=("more_examples", name, key))
        return self

    def _nexts(self) -> Iterator[tuple[strict.Loc, str]]:
        for name, step in self.steps.items():
            if step.next:
                yield ("steps", name, "next"), step.next
        for loc, answer in self.answers():
            if answer.next:
                yield (*loc, "next"), answer.next

    def _field_names(self) -> Iterator[tuple[strict.Loc, str]]:
        for step_name, step in self.steps.items():
            if step.asks_for:
                yield ("steps", step_name, "asks_for"), step.asks_for
        for loc, answer in self.answers():
            for name in answer.fills:
                yield (*loc, "fills", name), name
            for index, name in enumerate(answer.clears):
                yield (*loc, "clears", index), name


class _Shipped(Strict):
    answers: Answers


@functools.cache
def shipped() -> Mapping[str, Answer]:
    """The answers whose meaning callctl knows, by id: `means`, `examples`, and whether they wait or repeat."""
    return strict.load(Path(__file__).parent / "answers.yaml", _Shipped).answers


def known(key: str, answer: Answer) -> Answer:
    """`answer` with the meaning and the examples that callctl knows for its id, where it has none of its own."""
    base = shipped().get(key)
    if base is None:
        return answer
    examples = (*answer.examples, *(e for e in base.examples if e not in answer.examples))
    update = {"means": answer.means or base.means, "examples": examples}
    habits = {"repeats": answer.repeats or base.repeats, "waits": answer.waits or base.waits}
    return answer.model_copy(update={**update, **habits})


def question(text: str) -> str:
    """The question at the end of `text`: its last sentence."""
    import re

    return re.split(r"(?<=[.!?])\s+", text.strip())[-1]


def references(flow: Flow) -> set[str]:
    """Fields that some text of `flow` says."""
    return {
        name.removeprefix("fields.")
        for text in flow.texts()
        for name in template.names(text)
        if name.startswith("fields.")
    }
