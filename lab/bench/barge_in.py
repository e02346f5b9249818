"""How the bot gives way: the same line with somebody speaking into it and without, compared at the customer's ear.

Decides: who speaks into which line and when, and what counts as softer, stopped, at full level again, or lost. Refuses to know: how
the bot decides, and how a figure is shown.

What is counted, all from what the customer's end said and received
    duck        the customer's first voiced sample to the moment from which the bot is at least `DOWN_DB` softer than in the same
                line without anybody speaking
    yield       ... to the bot's last voiced sample before it is silent for `SILENT` seconds in which the line alone sounds; missed
                when that takes more than `WINDOW` seconds
    restore     the customer's last voiced sample to the moment from which the bot is at most `BACK_DB` softer
    lost        the line is shorter than without anybody speaking, or was cut
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from lab import events, strict, voiced
from lab.caller import Ways
from lab.metrics import summary
from lab.persona import PersonaVoice
from lab.profile import Profile, Resolved
from lab.runner import Finished, Lab, Order
from lab.scenario import After, Step
from lab.strict import Strict
from lab.voiced import BLOCK_SECONDS

SHIPPED = Path(__file__).with_name("barge_in.yaml")
TO, FROM = "+12025550199", "+12025550190"
DOWN_DB, BACK_DB, SILENT, WINDOW = 12.0, 3.0, 0.25, 2.0
_HEARD_DB, _SILENT_DB = -45.0, -65.0
"""Above the one a line at full level is heard, below the other even a softer one is silent."""
_STEADY = round(0.15 / BLOCK_SECONDS)
"""Blocks for which a level must hold to count."""

Moment = Annotated[float, Field(ge=0)]


class Item(Strict):
    """Something said into a line of the bot's."""

    line: Annotated[int, Field(ge=0)]
    text: str
    rate: float = 1.0
    pitch: float = 1.0
    moment: Moment
    """Seconds after the line's first voiced frame."""


class Items(Strict):
    """What is tried."""

    lines: tuple[str, ...]
    interruptions: tuple[Item, ...] = ()
    backchannels: tuple[Item, ...] = ()

    def first(self, count: int) -> Items:
        """Only so many of each kind."""
        return self.model_copy(
            update={"interruptions": self.interruptions[:count], "backchannels": self.backchannels[:count]}
        )


@dataclass(frozen=True, slots=True)
class Tried:
    """One item and what became of it. Seconds."""

    kind: Literal["interruption", "backchannel"]
    item: Item
    duck: float | None
    yielded: float | None
    restore: float | None
    lost: bool
    heard: str
    """What the bot made of it."""

    @property
    def held(self) -> bool:
        """An interruption was given way to in time; a word thrown in was not, and nothing was lost."""
        if self.kind == "interruption":
            return self.yielded is not None and self.yielded <= WINDOW
        return self.yielded is None and not self.lost


def load(path: Path = SHIPPED) -> Items:
    """Raises ConfigErrors."""
    return strict.load(path, Items)


def bot(line: str, overrides: Sequence[str] = ()) -> Profile:
    """A bot that says `line` and then answers whatever it is told with two words."""
    return strict.parse(_BOT, "the bench's bot", Profile, overrides=[f"opening_message={line}", *overrides])


_BOT = """
name: bench-barge-in
opening_message: "-"
prompt: "-"
llm: {model: scripted, options: {reactions: [{name: never, when: xyzzy, say: "-"}], otherwise: Go ahead., gives_up_after: 9}}
"""


async def run(
    lab: Lab, items: Items, *, overrides: Sequence[str] = (), told: Callable[[Tried], None] = lambda tried: None
) -> list[Tried]:
    """A call for each item, and one for each line without anybody speaking. Raises LabError when one could not be carried."""
    alone: dict[int, Finished] = {}
    found = []
    wanted: list[tuple[Literal["interruption", "backchannel"], Item]] = [
        *(("interruption", item) for item in items.interruptions),
        *(("backchannel", item) for item in items.backchannels),
    ]
    for kind, item in wanted:
        profile = bot(items.lines[item.line], overrides)
        if item.line not in alone:
            alone[item.line] = await _call(lab, profile, None)
        tried = compare(kind, item, alone[item.line], await _call(lab, profile, item))
        found.append(tried)
        told(tried)
    return found


async def _call(lab: Lab, profile: Profile, item: Item | None) -> Finished:
    said = [Step(user=item.text, after=After(event="bot_speaking", delay=item.moment))] if item else []
    voice = PersonaVoice(rate=item.rate, pitch=item.pitch) if item else PersonaVoice()
    steps = (*said, Step(hang_up=True))
    order = Order(Resolved(profile, ()), TO, FROM, steps=steps, voice=voice, ways=Ways(1.2, None, by_energy=True))
    await lab.prepare(order)
    return await lab.hold(order)


def compare(kind: Literal["interruption", "backchannel"], item: Item, alone: Finished, call: Finished) -> Tried:
    """What speaking into the line did to it."""
    assert alone.ear is not None, "the customer is ours"
    assert call.ear is not None, "the customer is ours"
    before, now = alone.ear.bot.levels, call.ear.bot.levels
    before, now = _together(before, now)
    customer = np.flatnonzero(voiced.voiced(call.ear.customer.levels))
    log = call.log
    said = [
        e for e in log if isinstance(e, events.Said | events.Ignored) and getattr(e, "who", "customer") == "customer"
    ]
    heard = said[0].text if said else ""
    if not customer.size:
        return Tried(kind, item, None, None, None, True, heard)
    first = int(customer[0])
    breaks = np.flatnonzero(np.diff(customer) > round(1.0 / BLOCK_SECONDS))
    last = int(customer[breaks[0]] if breaks.size else customer[-1])
    sounding = before > _HEARD_DB
    softer = before - now
    end = int(np.flatnonzero(sounding)[-1])
    duck = _from(first, ~(sounding & (softer < DOWN_DB)), last + _STEADY)
    restore = _from(last + 1, ~(sounding & (softer > BACK_DB)), end)
    stopped = _silence(now, sounding, first, end)
    line = next((e for e in log if isinstance(e, events.Said) and e.who == "bot"), None)
    whole = line is not None and not line.cut and abs(_length(before, end) - _length(now, len(now))) <= 4
    return Tried(
        kind,
        item,
        _seconds(duck, first),
        _seconds(stopped, first),
        _seconds(restore, last + 1),
        not whole,
        heard,
    )


def _together(before: voiced.Levels, now: voiced.Levels) -> tuple[voiced.Levels, voiced.Levels]:
    """Both with the line beginning in the same block, `before` filled up or cut to the length of `now`, smoothed over a frame."""
    start_a, start_b = int(np.flatnonzero(before > _HEARD_DB)[0]), int(np.flatnonzero(now > _HEARD_DB)[0])
    shifted = np.full(len(now), -120.0, np.float32)
    part = before[max(0, start_a - start_b) :]
    lead = max(0, start_b - start_a)
    shifted[lead : lead + len(part)] = part[: len(now) - lead]
    return _smooth(shifted), _smooth(now)


def _smooth(levels: voiced.Levels) -> voiced.Levels:
    power = np.convolve(10 ** (levels / 10), np.full(4, 0.25), "same")
    return (10 * np.log10(np.maximum(power, 1e-12))).astype(np.float32)


def _from(first: int, holds: NDArray[np.bool_], until: int) -> int | None:
    """The first block from `first` to `until` from which on it holds steadily."""
    for block in range(first, min(until, len(holds) - _STEADY)):
        if holds[block : block + _STEADY].all():
            return block
    return None


def _silence(now: voiced.Levels, alone: NDArray[np.bool_], first: int, end: int) -> int | None:
    """Where, from block `first` on, the bot is silent and the line alone would have sounded for most of it."""
    size = round(SILENT / BLOCK_SECONDS)
    silent = now <= _SILENT_DB
    for block in range(first, min(len(now), end) - size):
        if silent[block : block + size].all() and np.count_nonzero(alone[block : block + size]) >= size // 2:
            return block
    return None


def _length(levels: voiced.Levels, until: int) -> int:
    sounding = np.flatnonzero(levels[:until] > _HEARD_DB)
    return int(sounding[-1]) if sounding.size else 0


def _seconds(block: int | None, since: int) -> float | None:
    return voiced.seconds(block - since) if block is not None else None


def figures(tried: Sequence[Tried]) -> dict[str, Any]:
    """Seconds; see the module."""
    interrupted = [one for one in tried if one.kind == "interruption"]
    thrown_in = [one for one in tried if one.kind == "backchannel"]
    return {
        "duck": summary([one.duck for one in tried if one.duck is not None]),
        "yield": summary([one.yielded for one in interrupted if one.yielded is not None]),
        "restore": summary([one.restore for one in thrown_in if one.restore is not None]),
        "interruptions": len(interrupted),
        "missed_yields": sum(not one.held for one in interrupted),
        "backchannels": len(thrown_in),
        "false_yields": sum(one.yielded is not None for one in thrown_in),
        "lines_lost": sum(one.lost for one in thrown_in),
        "not_ducked": sum(one.duck is None for one in tried),
    }
