"""Where a prepared conversation stands, and where an answer takes it.

Decides: what is said and what is known after each thing the customer may mean. Refuses to know: how it was picked, who says
it, and what a tool did. Pure: a state goes in, a line with the state after it comes out, and nothing happens until somebody
says that line.

How a conversation moves
1.  An answer fills and clears its fields. Its `next`, or the `next` of a step whose field is now known, is entered; a step
    whose field is known already is passed over.
2.  What is said: the answer's `says`, then `says` of the step that is entered, or the question of the step that is not left.
3.  An answer with `confirm` first asks that; a yes lets it happen, a no asks the step's question again.
4.  Not understood, the bot asks back once; after `MOST_MISSES` in a row it gives up.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from types import MappingProxyType

from lab import template, values
from lab.flow import END, HEARD, IF_HEARD, Answer, Flow, known, question
from lab.values import Value

MOST_MISSES = 4
"""Customer turns in a row that may fit nothing; then the bot gives up."""
YES, NO = "yes", "no"


@dataclass(frozen=True, slots=True)
class State:
    """Where a conversation stands."""

    step: str
    fields: Mapping[str, Value] = field(default_factory=lambda: MappingProxyType({}))
    """What is known."""
    confirming: str | None = None
    """The answer that waits for a yes."""
    pending: Mapping[str, Value] = field(default_factory=lambda: MappingProxyType({}))
    """What it would fill."""
    misses: int = 0
    """Customer turns in a row that fitted nothing."""
    unclear: bool = False
    """The bot has just asked back."""
    said: str = ""
    """The bot's last line."""
    times: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    """How often each text was chosen from, so that variants take turns."""


@dataclass(frozen=True, slots=True)
class Line:
    """What is said next, and how the conversation stands then."""

    text: str
    state: State
    end: bool = False
    """The bot hangs up once it was said."""


def begin(flow: Flow, opening: str) -> State:
    """A conversation whose opening was said."""
    return State(flow.start, said=opening)


def candidates(flow: Flow, state: State) -> dict[str, Answer]:
    """What the customer may mean now, by id."""
    if state.confirming is None:
        return flow.candidates(state.step)
    here = flow.candidates(state.step)
    return {**yes_no(), **{key: here[key] for key in flow.always if key in here and key not in (YES, NO)}}


def yes_no() -> dict[str, Answer]:
    """What may be meant, beside what is understood always, when something is to be confirmed."""
    return {key: known(key, Answer()) for key in (YES, NO)}


def acts(answer: Answer) -> bool:
    """Something comes of `answer` that cannot be taken back by talking on."""
    return not answer.confirm and (answer.next == END or bool(answer.fills) or bool(answer.calls))


def wanted(flow: Flow, answer: Answer) -> dict[str, bool]:
    """Fields that `answer` reads from the customer's words, and whether each must be there."""
    return {name: value == HEARD for name, value in answer.fills.items() if value in (HEARD, IF_HEARD)}


def constants(flow: Flow, answer: Answer, today: date) -> dict[str, Value]:
    """Fields that `answer` fills with what its author wrote. What cannot be read as the field's type is left out."""
    found: dict[str, Value] = {}
    for name, written in answer.fills.items():
        value = None if written in (HEARD, IF_HEARD) else values.literal(flow.fields[name], written, today)
        if value is not None:
            found[name] = value
    return found


def acting(flow: Flow, state: State, key: str) -> Answer | None:
    """The answer that happens when `key` is meant; None when it has to be confirmed first, or was not."""
    if state.confirming is not None and key in (YES, NO):
        return flow.candidates(state.step)[state.confirming] if key == YES else None
    answer = candidates(flow, state)[key]
    return None if answer.confirm else answer


def follow(
    flow: Flow, state: State, key: str, filled: Mapping[str, Value], today: date, *, failure: str | None = None
) -> Line:
    """The customer means `key`, one of `candidates`.

    filled: what it fills, constants included. failure: what is said because its tool failed; then nothing is filled
    """
    if state.confirming is not None and key in (YES, NO):
        calm = replace(state, confirming=None, pending=MappingProxyType({}), misses=0, unclear=False)
        if key == YES:
            return _take(flow, calm, state.confirming, state.pending, today, failure)
        return _line([_again(flow, calm, today)], calm)
    answer = candidates(flow, state)[key]
    if answer.confirm:
        asking = replace(state, confirming=key, pending=MappingProxyType(dict(filled)), misses=0, unclear=False)
        return _line([_again(flow, asking, today)], asking)
    return _take(flow, state, key, filled, today, failure)


def ask_back(flow: Flow, state: State, today: date) -> Line:
    """It is not clear which of several things the customer means."""
    after = replace(state, misses=state.misses + 1, unclear=True)
    if after.misses >= MOST_MISSES:
        return give_up(flow, state, today)
    text, after = _variant(flow, "ask_back", flow.ask_back, after, today)
    return _line([text, _again(flow, after, today)], after)


def digress(flow: Flow, state: State, generated: str | None, today: date, *, asked: bool = True) -> Line:
    """Nothing prepared fits. generated: a sentence that answers; None when there is none that could be said. asked: a question"""
    after = replace(state, misses=state.misses + 1, unclear=False)
    if after.misses >= MOST_MISSES:
        return give_up(flow, state, today)
    text = generated
    if text is None:
        name, texts = ("unknown", flow.unknown) if asked else ("remarked", flow.remarked)
        text, after = _variant(flow, name, texts, after, today)
    return _line([text, _again(flow, after, today)], after)


def give_up(flow: Flow, state: State, today: date) -> Line:
    """The customer could not be understood too often."""
    after = replace(state, fields=_after(state, flow.gives_up, constants(flow, flow.gives_up, today)))
    text, after = _variant(flow, "gives_up", flow.gives_up.says, after, today)
    return _line([text], after, end=True)


def _take(flow: Flow, state: State, key: str, filled: Mapping[str, Value], today: date, failure: str | None) -> Line:
    """`key` happens."""
    answer = flow.candidates(state.step)[key]
    filled = {} if failure else filled
    after = replace(state, fields=_after(state, answer, filled), misses=0, unclear=False)
    if answer.repeats:
        return Line(state.said, after)
    text, after = _variant(flow, f"{state.step}.{key}", (failure,) if failure else answer.says, after, today)
    target = _target(flow, after, answer, filled)
    if target == END:
        return _line([text], after, end=True)
    if target is not None:
        after = replace(after, step=target, confirming=None, pending=MappingProxyType({}))
        if not flow.steps[target].says:  # the first step: its question was the opening
            return _line([text, _again(flow, after, today)], after)
        entered, after = _variant(flow, target, flow.steps[target].says, after, today)
        return _line([text, entered], after)
    if answer.waits:
        return _line([text], after)
    again = _again(flow, after, today)
    return _line([text, again if again not in text else ""], after)


def _after(state: State, answer: Answer, filled: Mapping[str, Value]) -> Mapping[str, Value]:
    kept = {name: value for name, value in state.fields.items() if name not in answer.clears}
    return MappingProxyType({**kept, **filled})


def _target(flow: Flow, state: State, answer: Answer, filled: Mapping[str, Value]) -> str | None:
    """The step that is entered, `end`, or None to stay."""
    here = flow.steps[state.step]
    target = answer.next
    if target is None and here.asks_for in filled:
        target = here.next
    passed: set[str] = set()
    while target not in (None, END) and target not in passed:
        passed.add(str(target))
        step = flow.steps[str(target)]
        if step.asks_for not in state.fields:
            return target
        target = step.next
    return target


def _again(flow: Flow, state: State, today: date) -> str:
    """The question that is open."""
    if state.confirming is not None:
        known = replace(state, fields=MappingProxyType({**state.fields, **state.pending}))
        return _render(flow, flow.candidates(state.step)[state.confirming].confirm or "", known, today)
    step = flow.steps[state.step]
    return _render(flow, step.again or question(step.says[0] if step.says else state.said), state, today)


def _variant(flow: Flow, name: str, texts: tuple[str, ...], state: State, today: date) -> tuple[str, State]:
    """The text of `name` whose turn it is, and the state in which it was taken."""
    if not texts:
        return "", state
    times = state.times.get(name, 0)
    text = _render(flow, texts[times % len(texts)], state, today)
    return text, replace(state, times=MappingProxyType({**state.times, name: times + 1}))


def _render(flow: Flow, text: str, state: State, today: date) -> str:
    spoken = {f"fields.{name}": values.spoken(flow.fields[name], v, today) for name, v in state.fields.items()}
    return template.render(text, spoken).text


def _line(parts: list[str], state: State, *, end: bool = False) -> Line:
    text = " ".join(part for part in parts if part)
    return Line(text, replace(state, said=text or state.said), end)
