"""Did the call do what its scenario expects? Answered from the log and the result document alone.

Decides: which event counts for which step, and whether an expectation came true. Refuses to know: how the call was held.

What counts
1. Only what begins after a step began, and before the next action began, counts for it.
2. A reply counts only if the customer's turn that it answers reached into the step: a late answer to something earlier never does.
3. An expectation is met when one event of its kind is all that is asked; `absent` words may stand in none of them.
4. A text is what reached the customer. Nothing heard, null or not measured: not met, whatever was asked.
5. A step that the call never came to is a failure by itself.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any

from lab import events, strict
from lab.persona import normalise
from lab.scenario import (
    METRICS,
    CallExpect,
    CountExpect,
    EventName,
    MetricExpect,
    ResultExpect,
    Say,
    Scenario,
    StepExpect,
    amount,
    is_number,
)

_ROUNDING = 1e-6


@dataclass(frozen=True, slots=True)
class StepRecord:
    """When a step's action really began and ended; seconds since the INVITE. None: the call never came to it."""

    index: int
    began: float | None
    ended: float | None


@dataclass(frozen=True, slots=True)
class Failure:
    """One expectation that did not come true."""

    step: int | None
    """From 0; None when it is of the whole call."""
    where: str | None
    """file:line of the expectation."""
    expected: str
    heard: str
    """What there was in its place."""
    at: float | None
    """Where to listen: seconds into call.wav."""


@dataclass(frozen=True, slots=True)
class Verdict:
    failures: tuple[Failure, ...]
    """Those of steps first, in their order."""

    @property
    def passed(self) -> bool:
        return not self.failures


def verdict(scenario: Scenario, log: Sequence[events.Event], document: Mapping[str, Any]) -> Verdict:
    """What of `scenario` did not come true in a finished call.

    log: the call's, with its `scenario.step` events. document: its result, as in result.json.
    """
    call = _Call(log)
    failures = [failure for index in range(len(scenario.steps)) for failure in _of_step(scenario, index, call)]
    for index, expect in enumerate(scenario.expect):
        if found := _of_call(expect, call, document):
            expected, heard = found
            failures.append(Failure(None, scenario.where("expect", index), expected, heard, None))
    return Verdict(tuple(failures))


def records(count: int, log: Sequence[events.Event]) -> tuple[StepRecord, ...]:
    """Of each of a scenario's `count` steps, when it was done."""
    done = {e.step: e for e in log if isinstance(e, events.StepDone)}
    return tuple(
        StepRecord(index, done[index].began, done[index].ended) if index in done else StepRecord(index, None, None)
        for index in range(count)
    )


# -- what happened -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Moment:
    """Something the bot did."""

    event: EventName
    began: float
    text: str | None = None
    """None where the kind has no text."""
    over: float | None = None
    """Interruption: the bot's last audible frame."""
    gap: float | None = None
    """Reply: seconds since the customer's last voiced frame."""
    answers_until: float | None = None
    """Reply: the last voiced frame of the turn it answers."""


class _Call:
    """A log, read once."""

    def __init__(self, log: Sequence[events.Event]) -> None:
        self.log = log
        self.answered = next((e.at for e in log if isinstance(e, events.Answered)), None)
        self.end = next((e for e in reversed(log) if isinstance(e, events.Ended)), None)
        said = {e.turn: e for e in log if isinstance(e, events.Said)}
        self._said = sorted(said.values(), key=lambda e: (e.began, e.turn))
        self._turns = said
        self.moments = sorted(self._moments(), key=lambda m: m.began)

    def into_wav(self, moment: float | None) -> float | None:
        """Seconds into call.wav, which begins at the answer."""
        if moment is None or self.answered is None:
            return None
        return round(max(0.0, moment - self.answered), 3)

    def _moments(self) -> Iterator[_Moment]:
        gaps = {e.turn: e.seconds for e in self.log if isinstance(e, events.ReplyGap)}
        gaps |= {e.turn: e.seconds for e in self.log if isinstance(e, events.ReplyHeard)}
        asked = [e.at for e in self.log if isinstance(e, events.ReEngaged)]
        greeted = False
        for turn in self._said:
            if turn.who != "bot" or not turn.heard:
                continue
            if turn.answers is not None:
                until = self._turns[turn.answers].ended if turn.answers in self._turns else None
                yield _Moment("reply", turn.began, turn.heard, gap=gaps.get(turn.turn), answers_until=until)
            elif asked and asked[0] <= turn.began:
                asked.pop(0)
                yield _Moment("re_engagement", turn.began, turn.heard)
            elif not greeted:
                greeted = True
                yield _Moment("greeting", turn.began, turn.heard)
        for event in self.log:
            match event:
                case events.Interrupted(at=at, turn=number):
                    cut = self._turns.get(number)
                    yield _Moment("interrupted", at, over=cut.ended if cut else None)
                case events.ToolCalled(at=at, name=name, arguments=arguments):
                    yield _Moment("tool_call", at, f"{name} {json.dumps(arguments, ensure_ascii=False)}")
        if self.end is not None:
            yield _Moment("ended", self.end.at)


# -- steps -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Span:
    """A step's time. Seconds since the INVITE."""

    began: float
    until: float
    spoken: float | None
    """The last voiced frame, when something was said."""
    turn_from: float
    """A reply counts when the turn it answers was still going on here."""


def _of_step(scenario: Scenario, index: int, call: _Call) -> Iterator[Failure]:
    step = scenario.steps[index]
    span = _span(scenario, index, call)
    if span is None:
        end = call.end.at if call.end else None
        heard = f"the call ended before it{f' ({call.end.cause})' if call.end else ''}"
        yield Failure(index, scenario.where("turns", index), f"step {index + 1} happens", heard, call.into_wav(end))
        return
    for number, expect in enumerate(step.expect):
        of_kind = [m for m in call.moments if m.event == expect.event and _counts(m, span)]
        forbidden = [m for m in of_kind if m.text and any(_has(m.text, words) for words in expect.absent)]
        fitting = [m for m in of_kind if _fits(expect, m)]
        if not forbidden and any(_in_time(expect, m, span, call) for m in fitting):
            continue
        shown = next(iter(forbidden or fitting or of_kind), None)
        where = scenario.where("turns", index, "expect", number)
        at = call.into_wav(shown.began if shown else span.spoken or span.began)
        yield Failure(index, where, _asked(expect), _heard(shown, span, call), at)


def _span(scenario: Scenario, index: int, call: _Call) -> _Span | None:
    """None when the call never came to this step."""
    done = records(len(scenario.steps), call.log)
    began, ended = done[index].began, done[index].ended
    if began is None:
        return None
    acting = [i for i, step in enumerate(scenario.steps) if step.action is not None]
    later = (done[i].began for i in acting if i > index)
    until = next((moment for moment in later if moment is not None), float("inf"))
    before = [done[i].began for i in acting if i <= index]
    spoken = ended if isinstance(scenario.steps[index].action, Say) else None
    return _Span(began, until, spoken, turn_from=(before[-1] if before else None) or 0.0)


def _counts(moment: _Moment, span: _Span) -> bool:
    if not span.began <= moment.began < span.until:
        return False
    return moment.event != "reply" or (moment.answers_until is not None and moment.answers_until >= span.turn_from)


def _fits(expect: StepExpect, moment: _Moment) -> bool:
    if moment.text is None:
        return True
    return _text_fits(expect.contains, expect.one_of, expect.absent, expect.matches, moment.text)


def _in_time(expect: StepExpect, moment: _Moment, span: _Span, call: _Call) -> bool:
    return expect.within is None or _waited(moment, span, call) <= expect.within + _ROUNDING


def _waited(moment: _Moment, span: _Span, call: _Call) -> float:
    """What `within` limits."""
    match moment.event:
        case "greeting":
            return moment.began - (call.answered or 0.0)
        case "interrupted":
            return (moment.began if moment.over is None else moment.over) - span.began
        case "reply" if moment.gap is not None:
            return moment.gap
    return moment.began - (span.began if span.spoken is None else span.spoken)


# -- the whole call ----------------------------------------------------------------------------------------------------


def _of_call(expect: CallExpect, call: _Call, document: Mapping[str, Any]) -> tuple[str, str] | None:
    """(expected, heard) when it did not come true."""
    match expect:
        case CountExpect():
            of_kind = [m for m in call.moments if m.event == expect.event]
            count = sum(_text_fits(expect.contains, (), (), None, m.text or "") for m in of_kind)
            what = " ".join([expect.event, *(f"with `{words}`" for words in expect.contains)])
            return None if count == expect.count else (f"{what} {expect.count} times", f"{count} times")
        case MetricExpect():
            figure = METRICS[expect.metric]
            value = _look_up(document, figure.path)
            if value is not None and _in_bounds(expect, value):
                return None
            heard = f"{_plain(value)}{' s' if figure.seconds else ''}" if value is not None else "not measured"
            return f"{expect.metric} {_bounds(expect)}", heard
        case ResultExpect():
            value = _look_up(document, expect.result)
            return None if _is(expect, value) else (_asked_of(expect), _plain(value))


def _look_up(document: Any, path: str) -> Any:
    """The value at a dotted path; None when there is none."""
    value = document
    for part in path.split("."):
        if isinstance(value, Mapping):
            value = value.get(part)
        elif isinstance(value, list) and part.isdigit() and int(part) < len(value):
            value = value[int(part)]
        else:
            return None
    return value


def _is(expect: ResultExpect, value: Any) -> bool:
    if value is None or not _in_bounds(expect, value):
        return False
    if expect.wanted and not any(_same(wanted, value) for wanted in expect.wanted):
        return False
    text = _plain(value)
    return _text_fits(expect.contains, (), expect.absent, expect.matches, text)


def _same(wanted: str, value: Any) -> bool:
    if isinstance(value, bool):
        return wanted.casefold() == _plain(value)
    if isinstance(value, int | float):
        return is_number(wanted) and amount(wanted) == value
    text = _plain(value)
    return wanted == text or normalise(wanted) == normalise(text) != ""


def _in_bounds(expect: MetricExpect | ResultExpect, value: Any) -> bool:
    if expect.min is None and expect.max is None:
        return True
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    low = amount(expect.min) if expect.min is not None else -inf
    high = amount(expect.max) if expect.max is not None else inf
    return low - _ROUNDING <= value <= high + _ROUNDING


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


# -- texts -------------------------------------------------------------------------------------------------------------


def _text_fits(
    contains: Sequence[str], one_of: Sequence[str], absent: Sequence[str], matches: str | None, text: str
) -> bool:
    if not all(_has(text, words) for words in contains) or any(_has(text, words) for words in absent):
        return False
    if one_of and not any(_has(text, words) for words in one_of):
        return False
    return matches is None or re.search(matches, text) is not None


def _has(text: str, words: str) -> bool:
    return f" {normalise(words)} " in f" {normalise(text)} "


# -- saying it ---------------------------------------------------------------------------------------------------------


def _asked(expect: StepExpect) -> str:
    within = f"within {strict.duration_text(expect.within)}" if expect.within is not None else ""
    return " ".join(filter(None, [_EVENTS[expect.event], within, _texts_asked(expect)]))


def _asked_of(expect: ResultExpect) -> str:
    wanted = " or ".join(f"`{value}`" for value in expect.wanted)
    return " ".join(
        filter(None, [expect.result, f"= {wanted}" if wanted else "", _bounds(expect), _texts_asked(expect)])
    )


def _texts_asked(expect: StepExpect | ResultExpect) -> str:
    listed = [("with", expect.contains, " and "), ("without", expect.absent, " or ")]
    if isinstance(expect, StepExpect):
        listed.append(("with", expect.one_of, " or "))
    asked = [f"{word} {join.join(f'`{text}`' for text in texts)}" for word, texts, join in listed if texts]
    return " ".join(asked + ([f"matching `{expect.matches}`"] if expect.matches else []))


def _bounds(expect: MetricExpect | ResultExpect) -> str:
    bounds = [("at least", expect.min), ("at most", expect.max)]
    return " and ".join(f"{word} {bound}" for word, bound in bounds if bound is not None)


def _heard(moment: _Moment | None, span: _Span, call: _Call) -> str:
    if moment is None:
        return "nothing of the kind"
    text = f"`{moment.text}`, " if moment.text else ""
    return f"{text}{_waited(moment, span, call):.2f} s"


_EVENTS: Mapping[EventName, str] = {
    "greeting": "the greeting",
    "reply": "a reply",
    "re_engagement": "the bot asks again",
    "interrupted": "the bot stops speaking",
    "ended": "the call ends",
    "tool_call": "a tool call",
}
