"""What in a prepared conversation cannot work, though every line of it is well written.

Decides: which steps, fields, texts, tools and examples are of no use or in each other's way. Refuses to know: files and their
lines, and how anything is shown. Variables count with the profile's own values; the day is a fixed one.

How it is found out
1.  All ways through the flow are walked at once. For each step: the fields that may be known in it, and those that must be.
    Answers that cannot be reached count for nothing.
2.  A call in which the bot gives up is no way: every step would end.
"""

from __future__ import annotations

import itertools
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Literal, NamedTuple

from rapidfuzz import fuzz

from lab import strict, template, values
from lab.answers import normal
from lab.errors import ConfigError
from lab.flow import END, HEARD, IF_HEARD, Answer, Flow, known, shipped
from lab.profile import Profile
from lab.strict import Loc

FEWEST_EXAMPLES = 5
"""With fewer an answer is hardly understood."""
ALIKE = 92
"""Percent of likeness by the letter from which two examples are one."""
_DAY = date(2026, 1, 5)
_FAREWELL = re.compile(
    r"\b(?:good ?)?bye\b|\bgood (?:night|day)\b|\bfarewell\b|\btake care\b|\bhave an? \w+ \w+", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that cannot work (error), or hardly can (warning)."""

    kind: Literal["error", "warning"]
    what: str
    at: Loc
    """The keys that lead to it in the profile."""
    hint: str | None = None
    also: Loc | None = None
    """The other of two places that are in each other's way."""


def findings(profile: Profile) -> list[Finding]:
    """What cannot work in `profile`; nothing for one that is without a flow and without tools. Raises nothing."""
    filled = profile.resolve({}, {}).profile
    flow = filled.flow
    if flow is None:
        return list(_names(filled, None))
    walk = _Walk(flow)
    return [
        *_steps(flow, walk),
        *_fields(flow, walk),
        *_constants(flow),
        *_names(filled, walk),
        *_tools(filled, walk),
        *_endings(filled, walk),
        *_examples(flow),
    ]


def problem(finding: Finding, place: Callable[[Loc], tuple[int, str]]) -> ConfigError:
    """`finding` as it is told to whoever wrote the file. place: from `strict.places`."""
    what = finding.what
    if finding.also is not None:
        what += f" (the other stands on line {place(finding.also)[0]})"
    return ConfigError(what, where=place(finding.at)[1], hint=finding.hint)


def size(flow: Flow) -> dict[str, int]:
    """How much is written down: steps, answers and their examples."""
    answers = [answer for loc, answer in flow.answers() if loc != ("gives_up",)]
    more = sum(len(texts) for group in flow.more_examples.values() for texts in group.values())
    return {"steps": len(flow.steps), "answers": len(answers), "examples": sum(len(a.examples) for a in answers) + more}


# -- walking -----------------------------------------------------------------------------------------------------------


class _Known(NamedTuple):
    """Fields that may be known at some point, and those that are whatever way led there."""

    may: frozenset[str] = frozenset()
    must: frozenset[str] = frozenset()

    def joined(self, other: _Known | None) -> _Known:
        return self if other is None else _Known(self.may | other.may, self.must & other.must)

    def after(self, answer: Answer, *, done: bool) -> _Known:
        """done: its tool, if it has one, did not fail."""
        sure = {name for name, value in answer.fills.items() if value != IF_HEARD}
        if answer.calls and not done:
            sure = set()
        return _Known(self.may - set(answer.clears) | set(answer.fills), self.must - set(answer.clears) | sure)


@dataclass
class _Walk:
    """All ways through a flow."""

    flow: Flow
    known: dict[str, _Known] = field(default_factory=dict)
    """In each step that can be reached."""
    leads: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    """Step -> the steps, and `end`, that its answers lead to."""
    others_lead: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    """The same without the answers understood always."""
    passed: set[str] = field(default_factory=set)
    """Steps that are passed over at times."""
    before: dict[Loc, _Known] = field(default_factory=dict)
    """When an answer that can be reached is given."""
    ends: set[Loc] = field(default_factory=set)
    """Answers after which the bot hangs up, at times at least."""
    stays: set[Loc] = field(default_factory=set)
    """Answers after which it does not, at times at least."""

    def __post_init__(self) -> None:
        self.known[self.flow.start] = _Known()
        reached = None
        while reached != (now := (dict(self.known), dict(self.before))):
            reached = now
            for step in list(self.known):
                for loc, answer in given(self.flow, step).values():
                    self._given(step, loc, answer)

    def _given(self, step: str, loc: Loc, answer: Answer) -> None:
        here = self.known[step]
        self.before[loc] = here.joined(self.before.get(loc))
        for target, there in self._arrivals(step, answer, here.after(answer, done=False)):
            self.leads[step].add(target)
            if loc[1] != "always":
                self.others_lead[step].add(target)
            if target == END:
                self.ends.add(loc)
            else:
                self.stays.add(loc)
                self.known[target] = there.joined(self.known.get(target))

    def _arrivals(self, step: str, answer: Answer, after: _Known) -> Iterator[tuple[str, _Known]]:
        here = self.flow.steps[step]
        asked = here.asks_for if here.asks_for in answer.fills else None
        if not answer.repeats and answer.next:
            yield from self._entered(answer.next, after)
            return
        if answer.repeats or asked is None or answer.fills[asked] == IF_HEARD or answer.calls:
            yield step, after
        if not answer.repeats and asked is not None and here.next:
            yield from self._entered(here.next, after._replace(must=after.must | {asked}))

    def _entered(self, target: str, there: _Known) -> Iterator[tuple[str, _Known]]:
        seen: set[str] = set()
        while target != END and target not in seen:
            seen.add(target)
            asked = self.flow.steps[target].asks_for
            if asked is None or asked not in there.must:
                yield target, _Known(there.may - {asked or ""}, there.must)
            if asked is None or asked not in there.may:
                return
            self.passed.add(target)
            there = there._replace(must=there.must | {asked})
            target = self.flow.steps[target].next or END
        yield target, there


def given(flow: Flow, step: str) -> dict[str, tuple[Loc, Answer]]:
    """The candidates of `step`, by id, each with the keys that lead to it in the profile."""
    here = flow.steps[step]
    places: dict[str, Loc] = {key: ("flow", "steps", step, "answers", key) for key in here.answers}
    for name in here.also:
        for key in flow.sets[name]:
            places.setdefault(key, ("flow", "sets", name, key))
    return {key: (places.get(key, ("flow", "always", key)), answer) for key, answer in flow.candidates(step).items()}


# -- steps and fields --------------------------------------------------------------------------------------------------


def _steps(flow: Flow, walk: _Walk) -> Iterator[Finding]:
    ending = _leading_to_end(walk.leads)
    for name, step in flow.steps.items():
        loc: Loc = ("flow", "steps", name)
        if name not in walk.known:
            what = f"no way from `{flow.start}` leads to the step `{name}`"
            hint = f"name it as the `next` of a step or an answer, or remove it; {_steps_named(flow.steps)}"
            if name in walk.passed:
                what = f"the step `{name}` is always passed over: `{step.asks_for}` is known by then"
                hint = f"remove it, or let an answer clear `{step.asks_for}` first"
            yield Finding("error", what, loc, hint)
        elif not walk.leads[name] - {name}:
            yield Finding("error", f"the step `{name}` cannot be left", loc, "give one of its answers a `next`")
        elif name not in ending:
            what = f"no way from the step `{name}` leads to the end of the call"
            yield Finding("error", what, loc, "give an answer there, or one understood always, `next: end`")
        asked = step.asks_for
        if asked and not any(asked in answer.fills for _, answer in given(flow, name).values()):
            what = f"`{name}` asks for `{asked}`, and none of its answers fills that"
            yield Finding("error", what, (*loc, "asks_for"), f"write `fills: {{{asked}: heard}}` in one of them")
        elif walk.leads[name] - {name} and not walk.others_lead[name] - {name}:
            what = f"only what is understood always leads on from the step `{name}`"
            yield Finding("warning", what, loc, "give one of its own answers a `next`")
    yield from _loops(flow)
    named = {name for step in flow.steps.values() for name in step.also}
    for name in flow.sets:
        if name not in named:
            yield Finding(
                "warning", f"no step uses the set `{name}`", ("flow", "sets", name), f"write `also: [{name}]`"
            )


def _steps_named(steps: Iterable[str]) -> str:
    return f"the steps are {', '.join(steps)}"


def _leading_to_end(leads: Mapping[str, set[str]]) -> set[str]:
    found = {END}
    while more := {step for step, targets in leads.items() if step not in found and targets & found}:
        found |= more
    return found


def _loops(flow: Flow) -> Iterator[Finding]:
    """Steps that lead to each other once all their fields are known."""
    told: set[str] = set()
    for name in flow.steps:
        way = [name]
        while (step := flow.steps.get(way[-1])) and step.asks_for and step.next and way.count(way[-1]) == 1:
            way.append(step.next)
        if way[-1] == name and len(way) > 1 and name not in told:
            told |= set(way)
            what = f"the steps {' -> '.join(f'`{part}`' for part in way)} go round in a circle once all is known"
            yield Finding(
                "error", what, ("flow", "steps", name, "next"), "let one of them lead to another step, or to `end`"
            )


def _fields(flow: Flow, walk: _Walk) -> Iterator[Finding]:
    filled = {name for loc, answer in _written(flow) if loc in walk.before or loc == _GIVES_UP for name in answer.fills}
    asked = {step.asks_for for step in flow.steps.values()}
    for name in flow.fields:
        if name not in filled | asked:
            what = f"no answer that can be given fills `{name}`"
            yield Finding("error", what, ("flow", "fields", name), "fill it somewhere, or remove it")


_GIVES_UP: Loc = ("flow", "gives_up")


def _written(flow: Flow) -> Iterator[tuple[Loc, Answer]]:
    for loc, answer in flow.answers():
        yield ("flow", *loc), answer


def _constants(flow: Flow) -> Iterator[Finding]:
    for loc, answer in _written(flow):
        for name, written in answer.fills.items():
            if written in (HEARD, IF_HEARD) or template.names(written):
                continue
            spec = flow.fields[name]
            if values.literal(spec, written, _DAY) is None:
                hint = (
                    f"one of: {', '.join(spec.choices)}"
                    if spec.choices
                    else "or `heard`, to read what the customer said"
                )
                what = f"`{written}` cannot be read as a {spec.type.replace('_', '/')}"
                yield Finding("error", what, (*loc, "fills", name), hint)


# -- texts and tools ---------------------------------------------------------------------------------------------------


class _Text(NamedTuple):
    at: Loc
    text: str
    known: _Known | None = None
    """When it is said; None where nothing that the call finds out is filled in."""
    called: bool = False
    """It belongs to a tool: what is not known then is left out."""


def _texts(profile: Profile, walk: _Walk | None) -> Iterator[_Text]:
    """Every text that is written, and what is known when it is used. Those that cannot be reached are left out."""
    yield _Text(("prompt",), profile.prompt)
    yield _Text(("opening_message",), profile.opening_message)
    for index, text in enumerate(profile.turn_taking.re_engagement.lines):
        yield _Text(("turn_taking", "re_engagement", "lines", index), text)
    for name, tool in profile.tools.items():
        everything = frozenset(profile.flow.fields) if profile.flow else frozenset()
        for text in tool.texts():
            yield _Text(("tools", name), text, _Known(everything, everything), called=True)
    if walk is None:
        return
    flow, anywhere = walk.flow, _Known()
    for number, there in enumerate(walk.known.values()):
        anywhere = there.joined(anywhere if number else None)
    for name, there in walk.known.items():
        step, loc = flow.steps[name], ("flow", "steps", name)
        yield from (_Text((*loc, "says", i), text, there) for i, text in enumerate(step.says))
        if step.again:
            yield _Text((*loc, "again"), step.again, there)
    for at, answer in _written(flow):
        before = anywhere if at == _GIVES_UP else walk.before.get(at)
        if before is None:
            continue
        after = before.after(answer, done=True)
        yield from (_Text((*at, "says", i), text, after) for i, text in enumerate(answer.says))
        if answer.confirm:
            yield _Text((*at, "confirm"), answer.confirm, after)
        if answer.means:
            yield _Text((*at, "means"), answer.means)
        yield from (_Text((*at, "examples", i), text) for i, text in enumerate(answer.examples))
        yield from (_Text((*at, "fills", name), text) for name, text in answer.fills.items())
    for group, answers in flow.more_examples.items():
        for key, more in answers.items():
            yield from (_Text(("flow", "more_examples", group, key, i), text) for i, text in enumerate(more))
    yield from (_Text(("flow", "off_topic", i), text) for i, text in enumerate(flow.off_topic))
    yield from (_Text(("flow", "ask_back", i), text, anywhere) for i, text in enumerate(flow.ask_back))
    yield from (_Text(("flow", "unknown", i), text, anywhere) for i, text in enumerate(flow.unknown))
    yield from (_Text(("flow", "remarked", i), text, anywhere) for i, text in enumerate(flow.remarked))


def _names(profile: Profile, walk: _Walk | None) -> Iterator[Finding]:
    """`{{fields.…}}` and `{{tool.…}}` that will have no value."""
    fields = list(profile.flow.fields) if profile.flow else []
    saved = [name for tool in profile.tools.values() for name in tool.saves]
    for at, text, there, _ in _texts(profile, walk):
        for name in template.names(text):
            space, _, key = name.partition(".")
            token = f"`{{{{{name}}}}}`"
            if space not in ("fields", "tool"):
                continue
            if space == "fields" and key not in fields:
                hint = strict.did_you_mean(key, fields) or "write it under `flow.fields`"
                yield Finding("error", f"there is no field `{key}`", at, hint)
            elif space == "tool" and key not in saved:
                hint = strict.did_you_mean(key, saved) or f"write `saves: {{{key}: …}}` in a tool"
                yield Finding("error", f"no tool saves `{key}`", at, hint)
            elif there is None:
                yield Finding("error", f"{token} is not filled in here", at, "say it in `says`, `again` or `confirm`")
            elif space == "fields" and key not in there.may:
                yield Finding("error", f"{token} is said before anything can have filled it", at, "ask for it first")
            elif space == "fields" and key not in there.must:
                what = f"{token} is not known yet in every call that comes here"
                yield Finding("warning", what, at, "lead every way here through a step that asks for it")


def _tools(profile: Profile, walk: _Walk) -> Iterator[Finding]:
    called = {answer.calls for loc, answer in _written(walk.flow) if loc in walk.before}
    for name in profile.tools:
        if name not in called:
            what = f"no answer that can be given calls the tool `{name}`"
            yield Finding("warning", what, ("tools", name), f"write `calls: {name}` in one, or remove it")


def _endings(profile: Profile, walk: _Walk) -> Iterator[Finding]:
    flow = walk.flow
    for loc, answer in _written(flow):
        if loc in walk.ends or loc == _GIVES_UP:
            if not answer.says:
                yield Finding("warning", "the bot hangs up without a word after it", loc, "write a goodbye as `says`")
            for index, text in enumerate(answer.says):
                farewell = profile.language.startswith("en") and _FAREWELL.search(text)
                if not farewell and not _closing(profile, text):
                    what = f"the bot hangs up after `{text}`, which is no goodbye"
                    yield Finding("warning", what, (*loc, "says", index), "end it with a word of goodbye")
        elif loc in walk.stays:
            yield from _hangs_up(profile, loc, answer.says)
    for name in walk.known:
        yield from _hangs_up(profile, ("flow", "steps", name), flow.steps[name].says)


def _hangs_up(profile: Profile, loc: Loc, says: Iterable[str]) -> Iterator[Finding]:
    for index, text in enumerate(says):
        if phrase := _closing(profile, text):
            what = f"the bot hangs up here: `{phrase}` is one of the `closure_phrases`"
            yield Finding("warning", what, (*loc, "says", index), "say it otherwise, or write `next: end`")


def _closing(profile: Profile, text: str) -> str | None:
    said = f" {_plain(text)} "
    return next((phrase for phrase in profile.closure_phrases if f" {_plain(phrase)} " in said), None)


def _plain(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.casefold()))


# -- examples ----------------------------------------------------------------------------------------------------------


class _Example(NamedTuple):
    key: str
    text: str
    at: Loc
    """The answer itself for an example that callctl knows."""


def _examples(flow: Flow) -> Iterator[Finding]:
    told: set[tuple[Loc, Loc, str, str]] = set()
    for where, group in _together(flow):
        by_text: dict[str, list[_Example]] = defaultdict(list)
        for example in group:
            by_text[normal(example.text)].append(example)
        for text, same in by_text.items():
            for one, other in _pairs(same, told):
                what = f"{where} `{text}` is an example of `{one.key}` and of `{other.key}`"
                yield Finding("error", what, one.at, "keep it in one of the two", also=other.at)
        for a, b in _alike(list(by_text)):
            for one, other in _pairs([by_text[a][0], by_text[b][0]], told):
                what = (
                    f"{where} `{one.text}`, an example of `{one.key}`, is almost `{other.text}`, one of `{other.key}`"
                )
                yield Finding("warning", what, one.at, "change one of the two", also=other.at)
    means = {normal(example.text): example for _, group in _together(flow) for example in group}
    for i, text in enumerate(flow.off_topic):
        if twin := means.get(normal(text)):
            what = f"`{text}` is off topic and an example of `{twin.key}`"
            yield Finding("error", what, ("flow", "off_topic", i), "keep it in one of the two", also=twin.at)
    for loc, answer in _written(flow):
        count = len(known(str(loc[-1]), answer).examples) + len(_more(flow, loc))
        if loc != _GIVES_UP and count < FEWEST_EXAMPLES:
            what = f"`{loc[-1]}` has {count} example{'s' if count > 1 else ''}"
            yield Finding("warning", what, loc, f"give at least {FEWEST_EXAMPLES}, the more different the better")


def _together(flow: Flow) -> Iterator[tuple[str, list[_Example]]]:
    """Examples of answers that can be given at the same time, and what to call that time."""
    for step in flow.steps:
        yield f"in `{step}`", [e for key, (loc, a) in given(flow, step).items() for e in _of(flow, key, loc, a)]
    asking = next((loc for loc, answer in _written(flow) if answer.confirm), None)
    if asking:
        yes_no = [
            _Example(key, text, (*asking, "confirm")) for key in ("yes", "no") for text in shipped()[key].examples
        ]
        everywhere = flow.with_more("always", flow.always)
        always = {key: known(key, answer) for key, answer in everywhere.items() if key not in ("yes", "no")}
        rest = [e for key, answer in always.items() for e in _of(flow, key, ("flow", "always", key), answer)]
        yield "where something is confirmed,", [*yes_no, *rest]


def _of(flow: Flow, key: str, loc: Loc, answer: Answer) -> list[_Example]:
    """The examples of `answer`, which stands at `loc`; its own come first, then those written apart."""
    places = [(*loc, "examples", i) for i in range(len(_at(flow, loc).examples))]
    places += [("flow", "more_examples", _group(loc), key, i) for i in range(len(_more(flow, loc)))]
    places += [loc] * (len(answer.examples) - len(places))
    return [_Example(key, text, at) for text, at in zip(answer.examples, places, strict=True)]


def _group(loc: Loc) -> str:
    """The step or set of the answer at `loc`, or `always`."""
    return "always" if loc[1] == "always" else str(loc[2])


def _more(flow: Flow, loc: Loc) -> tuple[str, ...]:
    """What `more_examples` holds for the answer at `loc`."""
    return () if loc == _GIVES_UP else flow.more_examples.get(_group(loc), {}).get(str(loc[-1]), ())


def _at(flow: Flow, loc: Loc) -> Answer:
    group = flow.always if loc[1] == "always" else flow.sets[str(loc[2])] if loc[1] == "sets" else None
    return flow.steps[str(loc[2])].answers[str(loc[-1])] if group is None else group[str(loc[-1])]


def _pairs(examples: Iterable[_Example], told: set[tuple[Loc, Loc, str, str]]) -> Iterator[tuple[_Example, _Example]]:
    """Each two of different answers that were not told yet; what the file itself says comes first."""
    for pair in itertools.combinations(examples, 2):
        one, other = sorted(pair, key=lambda example: not {"examples", "more_examples"} & set(example.at))
        key = (one.at, other.at, one.text, other.text)
        if one.key != other.key and key not in told:
            told.add(key)
            yield one, other


def _alike(texts: list[str]) -> Iterator[tuple[str, str]]:
    """Each two that are nearly the same, by the letter."""
    ordered = sorted(texts, key=len)
    for place, text in enumerate(ordered):
        longest = len(text) * (200 - ALIKE) / ALIKE
        for other in itertools.takewhile(lambda t: len(t) <= longest, ordered[place + 1 :]):  # noqa: B023 - used at once
            if fuzz.ratio(text, other, score_cutoff=ALIKE):
                yield text, other
