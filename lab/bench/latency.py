"""How long the bot takes to answer: real calls with a customer whose lines are sound before the call begins.

Decides: what that customer says, which turn was good, and what every figure counts. Refuses to know: how a figure is shown.

A turn is *good* when the whole of it was answered within `PATIENCE` seconds, nobody was talked over, and the answer had no hole in it.
    half        a reply was heard that was made from a part of what was said
    over        the bot sounded for more than `OVERLAP` seconds while the customer spoke
    holed       after its first phrase the reply was silent for more than `HOLE` seconds
    unanswered  nothing was heard in time
Latency is counted over good turns only, at the customer's ear. The customer moves on by energy alone, `QUIET` seconds after the bot has
fallen silent, and runs no model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import psutil
from numpy.typing import NDArray
from pydantic import Field

from lab import events, profile, strict, template, voiced
from lab.caller import Ways
from lab.carrier import Carrier
from lab.metrics import PARTS, summary
from lab.profile import Profile, Resolved
from lab.runner import OTHER_CALLS, Finished, Lab, Order
from lab.scenario import After, Step
from lab.strict import OneOrMore, Strict
from lab.voiced import BLOCK_SECONDS

CLINIC = Path(__file__).with_name("clinic.yaml")
TURNS = Path(__file__).with_name("turns.yaml")
TO, FROM = "+12025550199", "+12025550190"
PATIENCE, QUIET = 8.0, 1.0
OVERLAP, HOLE, MISSED = 0.06, 0.3, 0.3
"""Seconds. MISSED: a reply made from words that end so much before the turn's end is made from half of it."""
GENERATED = ("generated", "unknown", "free")
"""Ways in which a reply can come about that ask the model for words."""

_APART = round(0.3 / BLOCK_SECONDS)
"""Blocks by which the clocks of the two ends may lie apart."""

Kind = Literal["question", "word", "correction", "number", "spelling", "pause"]


class Turn(Strict):
    """Something the customer says."""

    kind: Kind
    say: Annotated[tuple[str, ...], OneOrMore, Field(min_length=1)]
    pause: Annotated[tuple[float, ...], OneOrMore] = (0.0,)
    """Seconds between the parts of `say`, in turn."""


class _Turns(Strict):
    turns: tuple[Turn, ...]


@dataclass(frozen=True, slots=True)
class Judged:
    """One turn of the customer's and what became of it."""

    turn: Turn
    verdict: Literal["good", "half", "over", "holed", "unanswered"]
    how: str | None
    """How the reply came about."""
    v2v: float | None
    inside: float | None
    parts: dict[str, float]
    filler: bool
    """What was heard first was no answer yet."""
    reply: str
    heard: str
    """What the bot made of it."""


def turns() -> tuple[Turn, ...]:
    """What the shipped customer says."""
    text = TURNS.read_text(encoding="utf-8")
    indented = "".join(f"  {line}" for line in text.splitlines(keepends=True))
    return strict.parse(f"turns:\n{indented}", str(TURNS), _Turns).turns


def bot(path: Path = CLINIC, *, overrides: Sequence[str] = (), free: bool = False) -> Profile:
    """The bot that is measured. free: without its prepared answers."""
    found = profile.load(path, overrides=overrides)
    return found.model_copy(update={"flow": None}) if free else found


def steps(said: Sequence[Turn]) -> tuple[Step, ...]:
    """The turns as a scripted customer's steps, and a hang-up after the last answer."""
    made: list[Step] = []
    for turn in said:
        for index, part in enumerate(turn.say):
            if index:
                made.append(
                    Step(
                        user=part,
                        after=After(event="customer_finished", delay=turn.pause[(index - 1) % len(turn.pause)]),
                    )
                )
            else:
                made.append(Step(user=part))
    return (*made, Step(hang_up=True))


async def run(
    lab: Lab, bot: Profile, said: Sequence[Turn], *, told: Callable[[Judged], None] = lambda judged: None
) -> tuple[list[Judged], dict[str, Any]]:
    """One call: each turn judged, and what the call cost. Raises LabError when it could not be carried."""
    resolved = bot.resolve({}, template.system(datetime.now(UTC), bot.timezone))
    bot = resolved.profile.model_copy(update={"limits": resolved.profile.limits.model_copy(update=_LONG)})
    order = Order(Resolved(bot, ()), TO, FROM, steps=steps(said), ways=Ways(QUIET, PATIENCE, by_energy=True))
    await lab.prepare(order)
    customer = _Customer(lab)
    call = await lab.hold(order)
    judged = list(judge(said, call))
    for one in judged:
        told(one)
    measured = next(e for e in call.log if isinstance(e, events.Measured))
    minutes = (call.log[-1].at - _answered(call.log)) / 60
    used = measured.cpu - customer.used() if measured.cpu is not None else None
    facts = next((e.facts for e in call.log if isinstance(e, events.LineFacts)), {})
    return judged, {
        "session": call.result.session_id,
        "seconds": round(minutes * 60, 2),
        "cpu_per_minute": round(used / minutes, 2) if used is not None else None,
        "greeting": call.result.callctl.metrics["greeting"],
        "worst_tick": round(facts.get("clock", {}).get("worst_tick_ms", 0.0) / 1000, 4),
        "work": call.result.callctl.metrics["work"],
        "doubts": [doubt for doubt in measured.doubts if doubt != OTHER_CALLS],  # whoever asks for several knows it
    }


_LONG = {"max_duration": 3600.0}


def carrier() -> Carrier:
    return Carrier([])


class _Customer:
    """CPU of the customer's softphone, from its making on."""

    def __init__(self, lab: Lab) -> None:
        self._processes = [psutil.Process(pid) for pid in lab.network_pids()]
        self._began = self._now()

    def used(self) -> float:
        return self._now() - self._began

    def _now(self) -> float:
        return sum(sum(process.cpu_times()[:2]) for process in self._processes)


# -- judging -----------------------------------------------------------------------------------------------------------


def judge(said: Sequence[Turn], call: Finished) -> Iterator[Judged]:
    """Each turn of a call that is over, by what was at the customer's ear and what the bot's log says."""
    assert call.ear is not None, "the customer is ours"
    log, ear = call.log, call.ear
    done = {e.step: e for e in log if isinstance(e, events.StepDone)}
    answered = _answered(log)
    customer, ours = voiced.voiced(ear.customer.levels), voiced.voiced(ear.bot.levels)
    spoken = _spans(customer, said, [done.get(n) for n in range(sum(len(t.say) for t in said))], answered)
    for number, (turn, span) in enumerate(zip(said, spoken, strict=True)):
        if span is None:
            yield Judged(turn, "unanswered", None, None, None, {}, False, "", "")
            continue
        first, last = span
        following = next((other[0] for other in spoken[number + 1 :] if other is not None), len(ours))
        yield _judge(turn, first, last, following, ours, customer, log)


def _judge(
    turn: Turn,
    first: int,
    last: int,
    following: int,
    ours: NDArray[np.bool_],
    customer: NDArray[np.bool_],
    log: Sequence[events.Event],
) -> Judged:
    """first, last: blocks of the customer's own voice. following: where the next turn begins."""
    over = int(np.count_nonzero(ours[first:last] & customer[first:last])) * BLOCK_SECONDS > OVERLAP
    after = np.flatnonzero(ours[last:following])
    answered = _answered(log)
    begin, end = answered + first * BLOCK_SECONDS, answered + last * BLOCK_SECONDS
    theirs = [
        e for e in log if isinstance(e, events.Said) and e.who == "customer" and begin - 0.3 < e.ended < end + 0.5
    ]
    whole = theirs[-1] if theirs else None
    numbers = {e.turn for e in theirs}
    gaps = [e for e in log if isinstance(e, events.ReplyGap) and e.answers in numbers]
    half = len(numbers) > 1 or (whole is not None and whole.ended < end - MISSED)
    gap = gaps[-1] if gaps else None
    replied = [e for e in log if isinstance(e, events.Replied) and e.answers in numbers]
    said = [e for e in log if isinstance(e, events.Said) and e.who == "bot" and e.answers in numbers]
    how = replied[-1].how if replied else None
    text = said[-1].heard if said else ""
    v2v = round(int(after[0]) * BLOCK_SECONDS, 3) if after.size else None
    facts = (
        how,
        v2v,
        gap.seconds if gap else None,
        dict(gap.parts) if gap else {},
        gap is not None and gap.filler,
        text,
        whole.text if whole else "",
    )
    if v2v is None or v2v > PATIENCE:
        return Judged(turn, "unanswered", *facts)
    if half:
        return Judged(turn, "half", *facts)
    if over:
        return Judged(turn, "over", *facts)
    if after.size and int(np.diff(after).max(initial=1)) * BLOCK_SECONDS > HOLE:
        return Judged(turn, "holed", *facts)
    return Judged(turn, "good", *facts)


def _spans(
    customer: NDArray[np.bool_], said: Sequence[Turn], done: Sequence[events.StepDone | None], answered: float
) -> list[tuple[int, int] | None]:
    """First and last voiced block of each turn, the last one excluded; None for a turn that was never said."""
    found: list[tuple[int, int] | None] = []
    step = 0
    for turn in said:
        parts, step = done[step : step + len(turn.say)], step + len(turn.say)
        if any(part is None for part in parts):
            found.append(None)
            continue
        begin, end = (round((moment - answered) / BLOCK_SECONDS) for moment in (parts[0].began, parts[-1].ended))  # type: ignore[union-attr]
        at = max(0, begin - _APART)
        sounding = np.flatnonzero(customer[at : end + _APART])
        found.append((at + int(sounding[0]), at + int(sounding[-1]) + 1) if sounding.size else None)
    return found


def _answered(log: Sequence[events.Event]) -> float:
    return next(e.at for e in log if isinstance(e, events.Answered))


# -- adding up ---------------------------------------------------------------------------------------------------------


def figures(judged: Sequence[Judged]) -> dict[str, Any]:
    """Seconds. v2v, picked, generated, kinds: over good turns; turns: how many of each verdict."""
    good = [one for one in judged if one.verdict == "good" and not one.filler]
    counts = {"asked": len(judged), **dict.fromkeys(("good", "half", "over", "holed", "unanswered"), 0)}
    for one in judged:
        counts[one.verdict] += 1

    def of(chosen: Sequence[Judged]) -> dict[str, Any]:
        return summary([one.v2v for one in chosen if one.v2v is not None])

    generated = [one for one in good if one.how in GENERATED]
    picked = [one for one in good if one.how not in GENERATED]
    parts = {
        name: {"picked": summary(_part(picked, name)), "generated": summary(_part(generated, name))} for name in PARTS
    }
    return {
        "v2v": of(good),
        "v2v_inside": summary([one.inside for one in good if one.inside is not None]),
        "picked": of(picked),
        "generated": of(generated),
        "filler": of([one for one in judged if one.filler]),
        "kinds": {
            kind: of([o for o in good if o.turn.kind == kind]) for kind in dict.fromkeys(o.turn.kind for o in judged)
        },
        "parts": parts,
        "turns": counts,
    }


def _part(chosen: Sequence[Judged], name: str) -> list[float]:
    return [one.parts[name] for one in chosen if name in one.parts]
