"""A call as QA writes it down: what the customer does, step by step or by reaction, and what has to come of it.

Decides: which keys a scenario has, what its steps mean, which names there are to be expected. Refuses to know: how a step
is carried out, and whether an expectation came true (lab.checks does).

How steps follow each other
1. A step with an action begins when its `after` has come true; without one, when the bot has finished its turn.
2. A step without an action waits: it begins when the action before it is over (the first one: at the answer), and is over
   when the bot has next finished speaking.
3. What the bot does counts for a step from the step's beginning until the next action begins. A step that waits ends
   nobody's time.
4. After the last step the customer says nothing more; the bot or a limit ends the call.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar, get_args, get_origin

import yaml
from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, PrivateAttr, model_validator

from lab import metrics, strict, template
from lab import persona as personas
from lab import profile as bots
from lab.errors import ConfigError, ConfigErrors
from lab.persona import Persona, PersonaVoice, Reaction, Script, Text, Texts, normalise
from lab.ports import DisconnectedBy
from lab.profile import Profile, VariableName
from lab.result import CallResult
from lab.strict import Duration, FieldError, Loc, OneOrMore, Strict

# -- figures -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Figure:
    """A metric: its dotted path in the result document, and whether it is a time."""

    path: str
    seconds: bool = True


def _spread(name: str, key: str) -> dict[str, Figure]:
    path = f"callctl.metrics.{key}"
    return {
        f"{name}.p50": Figure(f"{path}.p50"),
        f"{name}.p95": Figure(f"{path}.p95"),
        f"{name}.max": Figure(f"{path}.max"),
        f"{name}.n": Figure(f"{path}.n", seconds=False),
    }


METRICS: Mapping[str, Figure] = {
    **_spread("v2v", "v2v"),
    **_spread("v2v_inside", "v2v_inside"),
    **_spread("duck_latency", "duck_latency"),
    **_spread("yield_latency", "yield_latency"),
    **_spread("endpointing_delay", "stages.endpointing"),
    **_spread("stt_delay", "stages.stt"),
    **_spread("llm_ttft", "stages.llm_first"),
    **_spread("tts_ttfb", "stages.tts_first"),
    "greeting_latency": Figure("callctl.metrics.greeting"),
    "duration": Figure("call_duration_seconds"),
    "turns.bot": Figure("callctl.metrics.turns.bot", seconds=False),
    "turns.customer": Figure("callctl.metrics.turns.customer", seconds=False),
    "interruptions": Figure("callctl.metrics.interruptions", seconds=False),
    "re_engagements": Figure("callctl.metrics.re_engagements", seconds=False),
    "thrown_in": Figure("callctl.metrics.thrown_in", seconds=False),
    "dead_air": Figure("callctl.metrics.dead_air"),
    "overlap": Figure("callctl.metrics.overlap"),
}
"""The names people use -> where the result document has the figure."""

_NUMBER = re.compile(r"-?\d{1,15}(\.\d{1,15})?", re.ASCII)


def is_number(text: str) -> bool:
    """Is this a plain number, without a unit?"""
    return _NUMBER.fullmatch(text) is not None


def amount(text: str) -> float:
    """The number in `3`, the seconds in `900ms`. Raises ConfigError."""
    return float(text) if is_number(text) else strict.duration(text)


def _check_bounds(bounds: dict[str, str | None], *, seconds: bool) -> None:
    """Times need their unit, counts have none."""
    for key, text in bounds.items():
        if text is None:
            continue
        if not seconds and not is_number(text):
            raise FieldError(f"`{text[:40]}` is no plain number", hint="this has no unit; write `3`", at=(key,))
        try:
            strict.duration(text) if seconds else float(text)
        except ConfigError as error:
            raise FieldError(error.what, hint=error.hint, at=(key,)) from None


def _metric(name: str) -> str:
    if name in METRICS:
        return name
    raise FieldError(f"there is no metric `{name}`", hint=strict.did_you_mean(name, list(METRICS)))


# -- places in the result ----------------------------------------------------------------------------------------------

_ITEM = "*"
_TIMES = ("call_duration_seconds", "timestamp", "transfer_at")


def _shape(annotation: Any) -> dict[str, Any] | None:
    """The keys below a field of the result, nested; None when anything may stand there."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return {f.alias or name: _shape(f.annotation) for name, f in annotation.model_fields.items()}
    inner = get_args(annotation)
    if get_origin(annotation) is dict or any(get_origin(a) is dict for a in inner):
        return None
    return {_ITEM: _shape(inner[0])} if get_origin(annotation) is list else {}


_RESULT = _shape(CallResult) or {}
_RESULT["callctl"]["metrics"] = {
    key: {inner: {} for inner in value} or None if isinstance(value, dict) else {}
    for key, value in metrics.metrics(()).items()
} | {"line": None}


def _result_path(path: str) -> str:
    known: dict[str, Any] | None = _RESULT
    parts = path.split(".")
    for index, part in enumerate(parts):
        if known is None:
            return path
        above = ".".join(parts[:index])
        if _ITEM in known:
            if not (part.isascii() and part.isdigit()):
                raise FieldError(f"`{above}` is a list", hint=f"number its items from 0, as in `{above}.0`")
            known = known[_ITEM]
        elif part in known:
            known = known[part]
        elif known:
            near = strict.did_you_mean(part, list(known))
            raise FieldError(f"{f'`{above}`' if above else 'the result'} has no field `{part}`", hint=near)
        else:
            raise FieldError(f"`{above}` has no fields below it", hint=f"write `{above}`")
    return path


# -- fields ------------------------------------------------------------------------------------------------------------


def _measured(unit: str, low: float, high: float, example: int) -> BeforeValidator:
    """A number that is written with `unit`."""

    def read(text: str) -> float:
        found = re.fullmatch(rf"(-?\d{{1,9}}(?:\.\d{{1,9}})?) ?{unit}", text.strip(), re.ASCII)
        if found and low <= float(found[1]) <= high:
            return float(found[1])
        if _NUMBER.fullmatch(text.strip()):
            raise ConfigError(f"`{text}` has no unit", hint=f"write `{text.strip()}{unit}`")
        raise ConfigError(
            f"`{text[:40]}` is not {low:g}{unit} to {high:g}{unit}", hint=f"for example `{example}{unit}`"
        )

    return BeforeValidator(lambda value: strict.check(read)(value) if isinstance(value, str) else value)


def _some_words(text: str) -> str:
    if normalise(text):
        return text
    raise FieldError(f"`{text[:40]}` has no words", hint="case and punctuation are not compared; write a word")


def _regex(text: str) -> str:
    try:
        re.compile(text)
    except (re.error, OverflowError, RecursionError) as error:
        raise FieldError(f"no regular expression: {error}", hint="`contains` looks for plain words") from None
    return text


def _alone(model: type[Strict]) -> BeforeValidator:
    """Put on a sequence of `model`: one alone is a sequence of one, and its mistakes keep their place."""
    return BeforeValidator(lambda value: [model.model_validate(value)] if isinstance(value, dict) else value)


Words = Annotated[tuple[Annotated[str, AfterValidator(_some_words)], ...], OneOrMore, Field(min_length=1)]
Regex = Annotated[Text, AfterValidator(_regex)]
Level = Annotated[float, _measured("dB", -90, 0, -30)]
Share = Annotated[float, _measured("%", 0, 100, 5)]
Seconds = Annotated[Duration, Field(gt=0, le=3600)]
EventName = Literal["greeting", "reply", "re_engagement", "interrupted", "ended", "tool_call"]


class _Written(Strict):
    """A group of keys of which none may be left empty: nothing is not a value."""

    @model_validator(mode="before")
    @classmethod
    def _nothing_empty(cls, data: Any) -> Any:
        for key, value in data.items() if isinstance(data, dict) else ():
            if value is None:
                raise FieldError("is empty", hint="write a value, or remove the key", at=(key,))
        return data


# -- actions -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Say:
    """Speak; `noise` dB of full scale lies under it, None for a quiet room."""

    text: str
    noise: float | None = None


@dataclass(frozen=True, slots=True)
class Silence:
    seconds: float


@dataclass(frozen=True, slots=True)
class Noise:
    """Noise without words. level: dB of full scale."""

    level: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Loss:
    """From now on this share (0 to 1) of the packets is lost, both ways."""

    share: float


@dataclass(frozen=True, slots=True)
class HangUp:
    pass


Action = Say | Silence | Noise | Loss | HangUp


class NoiseOf(_Written):
    """Noise as it is written."""

    level: Level
    seconds: Seconds | None = Field(default=None, alias="for")


def _only_true(value: bool) -> bool:
    if value:
        return value
    raise FieldError("this is written as `true` only", hint="remove it where nobody hangs up")


class _Act(_Written):
    """What the customer does: one thing of these, or speech over noise."""

    silence: Seconds | None = None
    noise: Annotated[NoiseOf, BeforeValidator(lambda v: {"level": v} if isinstance(v, str) else v)] | None = None
    hang_up: Annotated[bool, AfterValidator(_only_true)] = False

    @model_validator(mode="after")
    def _one_action(self) -> Self:
        given = [key for key in ("user", "silence", "noise", "loss", "hang_up") if key in self.model_fields_set]
        spoken_over = given == ["user", "noise"]
        if len(given) > 1 and not spoken_over:
            what = f"`{given[0]}` and `{given[1]}` are two actions"
            raise FieldError(what, hint="write an item for each", at=(given[1],))
        if self.noise is not None and (self.noise.seconds is None) != spoken_over:
            what = "noise under speech lasts as long as the speech" if spoken_over else "noise needs an end"
            hint = "remove `for`" if spoken_over else "write `noise: {level: -30dB, for: 4s}`"
            raise FieldError(what, hint=hint, at=("noise",))
        return self

    @property
    def action(self) -> Action | None:
        """None waits for the bot."""
        if self.silence is not None:
            return Silence(self.silence)
        if self.noise is not None and self.noise.seconds is not None:
            return Noise(self.noise.level, self.noise.seconds)
        return HangUp() if self.hang_up else None


class After(_Written):
    """When a step's action begins: `delay` seconds after an event."""

    event: Literal["bot_speaking", "bot_finished", "customer_finished", "answered"]
    """The bot's next beginning, the end of its turn, the end of the action before this one, the answer."""
    delay: Annotated[Duration, Field(ge=0, le=3600)] = 0.0


# -- expectations ------------------------------------------------------------------------------------------------------


W = TypeVar("W", bound=_Written)


def _no_text(expect: W, event: EventName, keys: Iterable[str]) -> W:
    """`expect`, unless it asks for the text of an event that has none. Raises FieldError."""
    for key in keys:
        if key in expect.model_fields_set and event in ("interrupted", "ended"):
            raise FieldError(f"`{event}` has no text", hint="remove this", at=(key,))
    return expect


class StepExpect(_Written):
    """Something the bot must do in a step's time: one event that is all of this."""

    event: EventName = "reply"
    within: Seconds | None = None
    """Of the customer's last voiced frame to the bot's first audible one; of the answer, for a greeting; of the first
    voiced frame until the bot is silent, for an interruption; of the action's beginning where nothing was said."""
    contains: Words = ()
    """All of these."""
    one_of: Words = ()
    """At least one of these."""
    absent: Words = ()
    """None of these, in any event of the kind in this step's time."""
    matches: Regex | None = None
    """Searched in the text as it is."""

    @model_validator(mode="after")
    def _has_text(self) -> Self:
        return _no_text(self, self.event, ("contains", "one_of", "absent", "matches"))


class ResultExpect(_Written):
    """What a field of the call-result document must be."""

    result: Annotated[str, AfterValidator(_result_path)]
    """Dotted path."""
    equals: Text | None = None
    one_of: Texts = ()
    contains: Words = ()
    absent: Words = ()
    matches: Regex | None = None
    min: Text | None = None
    max: Text | None = None

    @model_validator(mode="after")
    def _something(self) -> Self:
        if not self.model_fields_set - {"result"}:
            hint = "add equals, one_of, contains, absent, matches, min or max"
            raise FieldError("nothing is asked of this field", hint=hint, at=("result",))
        name = self.result.rpartition(".")[2]
        timed = name in _TIMES or any(f.path == self.result and f.seconds for f in METRICS.values())
        _check_bounds({"min": self.min, "max": self.max}, seconds=timed)
        if self.result == "disconnected_by":
            check_values(self, list(get_args(DisconnectedBy)))
        return self

    @property
    def wanted(self) -> tuple[str, ...]:
        """Values of which the field must have one; empty when any will do."""
        return self.one_of if self.equals is None else (self.equals, *self.one_of)


def check_values(expect: ResultExpect, known: list[str]) -> None:
    """Refuse a wanted value that the field can never have. Raises FieldError."""
    folded = [name.casefold() for name in known]
    for value in expect.wanted:
        if value.casefold() not in folded:
            at = "equals" if value == expect.equals else "one_of"
            raise FieldError(f"`{expect.result}` is never `{value[:40]}`", hint=_meant(value, known), at=(at,))


def _meant(word: str, known: Sequence[str]) -> str | None:
    """A hint for a `word` that is none of `known`, which may have capitals."""
    by_fold = {name.casefold(): name for name in known}
    near = strict.nearest(word, by_fold)
    return f"did you mean `{by_fold[near]}`?" if near else strict.did_you_mean("", known)


class MetricExpect(_Written):
    """What a figure must be; short: `v2v.p50: "<= 900ms"`."""

    metric: Annotated[str, AfterValidator(_metric)]
    min: Text | None = None
    max: Text | None = None

    @model_validator(mode="after")
    def _something(self) -> Self:
        if self.min is None and self.max is None:
            raise FieldError("nothing is asked of this figure", hint="add `max: 900ms` or `min: …`", at=("metric",))
        _check_bounds({"min": self.min, "max": self.max}, seconds=METRICS[self.metric].seconds)
        return self


class CountExpect(_Written):
    """How often something happened in the whole call."""

    event: EventName
    contains: Words = ()
    """Only those with all of these."""
    count: Annotated[int, Field(ge=0)]

    @model_validator(mode="after")
    def _has_text(self) -> Self:
        return _no_text(self, self.event, ("contains",))


CallExpect = ResultExpect | MetricExpect | CountExpect
_LIMIT = re.compile(r"(<=|>=)\s*(\S+)")


def _call_expect(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    for key, model in (("result", ResultExpect), ("metric", MetricExpect), ("event", CountExpect)):
        if key in value:
            return model.model_validate(value)
    if len(value) == 1:
        (name, limit), *_ = value.items()
        if isinstance(limit, str) and (found := _LIMIT.fullmatch(limit.strip())):
            return MetricExpect.model_validate({"metric": name, "max" if found[1] == "<=" else "min": found[2]})
        if name in METRICS:
            raise FieldError("this is no limit", hint=f"write `{name}: <= 900ms` or `>= …`", at=(name,))
    meant = next(
        (near for key in value if (near := strict.nearest(key, ["result", "metric", "event", *METRICS]))), None
    )
    hint = (
        f"did you mean `{meant}`?"
        if meant
        else "begin with `result`, `metric` or `event`, or write `v2v.p50: <= 900ms`"
    )
    raise FieldError("does not say what it looks at", hint=hint)


# -- the scenario ------------------------------------------------------------------------------------------------------


class Step(_Act):
    """One step of a script: at most one action, and what the bot must do then."""

    user: Text | None = None
    loss: Share | None = None
    after: After | None = None
    expect: Annotated[tuple[StepExpect, ...], _alone(StepExpect), Field(min_length=1)] = ()

    @property
    def action(self) -> Action | None:
        if self.user is not None:
            return Say(self.user, self.noise.level if self.noise else None)
        return Loss(self.loss / 100) if self.loss is not None else super().action

    @model_validator(mode="after")
    def _does_something(self) -> Self:
        if self.action is None:
            if not self.expect:
                raise FieldError("this step does nothing", hint="add an action, or what to `expect` of the bot")
            if self.after is not None:
                raise FieldError("there is no action to wait with", hint="remove this, or add `user:`", at=("after",))
        elif self.after is None or self.after.event != "answered":
            for index, expect in enumerate(self.expect):
                if expect.event == "greeting":
                    hint = "expect it in a first step without action: `- expect: {event: greeting}`"
                    raise FieldError("the greeting is over when this step begins", hint=hint, at=("expect", index))
        return self


class Do(_Act):
    """One more thing a reaction does."""

    @model_validator(mode="after")
    def _does_something(self) -> Self:
        if self.action is None:
            raise FieldError("nothing is to be done", hint="write `silence`, `noise` or `hang_up`")
        return self


class DoingReaction(Reaction):
    """A reaction that can do more than speak; `do` comes after `say`."""

    say: Texts = ("",)
    do: tuple[Do, ...] = ()

    @model_validator(mode="after")
    def _does_something(self) -> Self:
        if "say" not in self.model_fields_set and not self.do and self.then is None:
            raise FieldError("this reaction does nothing", hint="add `say`, `do` or `then: hang_up`")
        if self.do and self.then:
            raise FieldError("this comes before `do`", hint="write `hang_up: true` as the last of `do`", at=("then",))
        return self


class Scenario(_Written):
    """A call to be tested. Exactly one of `turns`, `reactions` and `persona` is given."""

    name: Text
    description: str = ""
    profile: Text
    """Name of a shipped profile, or a path from this file's folder."""
    variables: dict[VariableName, str] = Field(default_factory=dict)
    tags: Annotated[tuple[Text, ...], OneOrMore] = ()
    seed: Annotated[int, Field(ge=0, le=2**31)] = 0
    runs: Annotated[int, Field(ge=1, le=1000)] = 1
    """All of them must pass."""
    voice: PersonaVoice = PersonaVoice()
    """Of a customer who is written down here; a persona has one of its own."""
    max_duration: Seconds | None = None
    """From the answer; None leaves it to the profile."""
    turns: Annotated[tuple[Step, ...], Field(min_length=1)] = ()
    persona: Text | None = None
    """Name of a shipped persona, or a path from this file's folder."""
    facts: dict[Text, str] = Field(default_factory=dict)
    reactions: Annotated[tuple[DoingReaction, ...], Field(min_length=1)] = ()
    otherwise: Texts = ("Sorry, could you say that again?",)
    gives_up_after: Annotated[int, Field(ge=1)] = 3
    gives_up: Text = "I am sorry, I cannot follow you. Goodbye."
    expect: Annotated[
        tuple[Annotated[CallExpect, BeforeValidator(_call_expect)], ...],
        BeforeValidator(lambda value: [_call_expect(value)] if isinstance(value, dict) else value),
        Field(min_length=1),
    ] = ()
    """Of the whole call."""

    _name: str = PrivateAttr(default="")
    _lines: Mapping[Loc, int] = PrivateAttr(default_factory=dict)

    @property
    def steps(self) -> tuple[Step, ...]:
        """The scripted form; empty for the reactive one."""
        return self.turns

    @property
    def script(self) -> Script | None:
        """The reactive form as lab.persona.Mind takes it; None without `reactions`."""
        keys = ("facts", "reactions", "otherwise", "gives_up_after", "gives_up")
        return Script.model_validate({key: getattr(self, key) for key in keys}) if self.reactions else None

    def doing(self, reaction: str) -> tuple[Action, ...]:
        """What a reaction does after it has spoken."""
        return tuple(do.action for r in self.reactions if r.name == reaction for do in r.do if do.action)

    def where(self, *loc: str | int) -> str | None:
        """`file:line` of a key, or of the nearest thing around it; None for a scenario that came from no file."""
        while loc and loc not in self._lines:
            loc = loc[:-1]
        return f"{self._name}:{self._lines[loc]}" if loc in self._lines else None

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        given = [key for key in ("turns", "reactions", "persona") if key in self.model_fields_set]
        if not given:
            raise FieldError("there is no customer", hint="add `turns`, `reactions` or `persona`")
        if len(given) > 1:
            raise FieldError(f"there is `{given[0]}` already", hint="keep one of the two", at=(given[1],))
        if self.reactions:
            self.script  # noqa: B018 - raises what is wrong between reactions
        else:
            for key in ("facts", "otherwise", "gives_up_after", "gives_up"):
                if key in self.model_fields_set:
                    raise FieldError("this is used with `reactions` only", hint="remove it", at=(key,))
        if self.persona and "voice" in self.model_fields_set:
            raise FieldError("the persona has a voice", hint="remove this, or change the persona's", at=("voice",))
        return self

    @model_validator(mode="after")
    def _nothing_after_the_end(self) -> Self:
        for index, step in enumerate(self.turns[:-1]):
            if step.hang_up:
                hint = "make it the last step; what you expect of the end goes into its `expect`"
                raise FieldError("a step follows although the customer has hung up", hint=hint, at=("turns", index + 1))
        return self

    @model_validator(mode="after")
    def _expects_something(self) -> Self:
        if not self.expect and not any(step.expect for step in self.turns):
            hint = "add `expect:` to a step or at the end, as in `expect: [{result: callctl.goal, equals: true}]`"
            raise FieldError("nothing is expected, so nothing could fail", hint=hint)
        return self


@dataclass(frozen=True, slots=True)
class Cast:
    """Who plays in a scenario."""

    profile: Profile
    persona: Persona | None


def load(path: Path) -> Scenario:
    """The scenario in the file at `path`, its references not followed. Raises ConfigErrors."""
    scenario = strict.load(path, Scenario)
    return _located(scenario, path.read_text(encoding="utf-8"), str(path))


def parse(text: str, name: str) -> Scenario:
    """The scenario in `text`, known to the user as `name`. Raises ConfigErrors."""
    return _located(strict.parse(text, name, Scenario), text, name)


def cast(scenario: Scenario, folder: Path, profiles: Mapping[str, Path]) -> Cast:
    """The profile and persona that `scenario` names, and whether they fit together.

    folder: of the scenario's file; its paths begin there. profiles: shipped ones by name. Raises ConfigErrors.
    """
    bot = bots.load(_find(scenario, "profile", scenario.profile, folder, profiles))
    who = None
    if scenario.persona:
        who = personas.load(_find(scenario, "persona", scenario.persona, folder, personas.shipped()))
    problems = [*_misfits_of_variables(scenario, bot), *_misfits_of_results(scenario, bot)]
    if problems:
        raise ConfigErrors(problems)
    return Cast(bot, who)


# -- references --------------------------------------------------------------------------------------------------------


def _find(scenario: Scenario, key: str, name: str, folder: Path, shipped: Mapping[str, Path]) -> Path:
    path = folder / name
    if "\0" not in name and path.is_file():
        return path
    if name in shipped:
        return shipped[name]
    looks_like_path = "/" in name or name.endswith((".yaml", ".yml"))
    if looks_like_path:
        beside = sorted(p.name for p in path.parent.glob("*.y*ml")) if "\0" not in name else []
        what, hint = f"there is no file `{name}` from {folder}", strict.did_you_mean(path.name, beside[:12])
    else:
        what, hint = f"no {key} is named `{name}`", strict.did_you_mean(name, list(shipped))
    raise ConfigErrors([ConfigError(f"`{key}`: {what}", where=scenario.where(key), hint=hint)])


def _misfits_of_variables(scenario: Scenario, bot: Profile) -> list[ConfigError]:
    used = [name.rpartition(".")[2] for name in bot.referenced_variables()]
    problems = []
    for name in scenario.variables:
        if name.rpartition(".")[2] not in used:
            what = f"`variables.{name}` is not used by `{bot.name}`"
            where, hint = scenario.where("variables", name), _meant(name, used)
            problems.append(ConfigError(what, where=where, hint=hint))
    some_time = template.system(datetime(2000, 1, 1, tzinfo=UTC), bot.timezone)
    for name in bot.resolve(scenario.variables, some_time).unresolved:
        what, hint = f"`{{{{{name}}}}}` of `{bot.name}` has no value", f"give `{name}` under `variables`"
        problems.append(ConfigError(what, where=scenario.where("profile"), hint=hint))
    return problems


def _misfits_of_results(scenario: Scenario, bot: Profile) -> list[ConfigError]:
    fields = bot.analysis.fields if bot.analysis else {}
    problems = []
    for index, expect in enumerate(scenario.expect):
        if not isinstance(expect, ResultExpect) or not expect.result.startswith("post_call_analysis."):
            continue
        name = expect.result.split(".")[1]
        if name not in fields:
            what = f"the analysis of `{bot.name}` has no field `{name}`"
            where, hint = scenario.where("expect", index, "result"), _meant(name, list(fields))
            problems.append(ConfigError(what, where=where, hint=hint))
        elif values := fields[name].enum:
            try:
                check_values(expect, list(values))
            except FieldError as error:
                where = scenario.where("expect", index, *error.at)
                problems.append(ConfigError(error.what, where=where, hint=error.hint))
    return problems


# -- lines -------------------------------------------------------------------------------------------------------------


def _located(scenario: Scenario, text: str, name: str) -> Scenario:
    """`scenario`, which was read from `text`, knowing where everything stands."""
    lines: dict[Loc, int] = {}

    def walk(node: yaml.Node | None, loc: Loc) -> None:
        if isinstance(node, yaml.SequenceNode):
            for index, item in enumerate(node.value):
                lines[*loc, index] = item.start_mark.line + 1
                walk(item, (*loc, index))
        elif isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                lines[*loc, key.value] = key.start_mark.line + 1
                walk(value, (*loc, key.value))

    walk(yaml.compose(text, Loader=yaml.SafeLoader), ())
    scenario._name, scenario._lines = name, lines
    return scenario
