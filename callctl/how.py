"""How each line of the bot came about, from a call's log.

Decides: which tool calls belong to which line, and in which words a line's origin is told. Refuses to know: how lines are made
(lab.dialogue does), and where on the screen this stands.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from lab import events

MOST_SHOWN = 200
"""Characters of a tool's answer; the log has all of it that was kept."""

_HEADS = {
    "picked": "picked {pick} in {step}",
    "confirming": "asks to confirm {pick} in {step}",
    "asked_back": "asked back in {step}, likeliest {pick}",
    "generated": "generated in {step}, as nothing prepared fits, likeliest {pick}",
    "unknown": "unknown in {step}, as nothing prepared fits, likeliest {pick}",
    "gave_up": "gave up in {step}, likeliest {pick}",
    "free": "free, the model's own words",
}
_READERS = {"words": "read from the words", "model": "read by the model", "profile": "by the profile"}


def replies(log: Sequence[events.Event]) -> list[dict[str, Any]]:
    """The data of `reply`, `tool_call` and `tool_result`, together for each line of the bot, in the log's order.

    Each is {"turn", "answers", "reply", "tool_call": […], "tool_result": […]}: the bot's turn, the customer's turn that it replies to
    (both as numbered in the log), and the events without their kind. Tools called for a line that nobody heard, because the customer
    spoke on, stand with the line that came instead; where none came, `turn`, `answers` and `reply` are null.
    """
    found: list[dict[str, Any]] = []
    calls: list[dict[str, Any]] = []
    results: list[dict[str, Any]] = []
    open_ = False
    """The customer has not spoken since the newest line: what is called belongs to it."""
    for event in log:
        match event:
            case events.Replied(turn=turn, answers=answers):
                found.append(_entry(turn, answers, _data(event, "turn", "answers"), calls, results))
                calls, results, open_ = [], [], True
            case events.ToolCalled():
                (found[-1]["tool_call"] if open_ else calls).append(_data(event))
            case events.ToolAnswered():
                (found[-1]["tool_result"] if open_ else results).append(_data(event))
            case events.Said(who="customer"):
                open_ = False
    return found + ([_entry(None, None, None, calls, results)] if calls or results else [])


def told(reply: events.Replied) -> str:
    """How a line came about, on one line. Where nothing is said of the model's opinion, it was not asked."""
    pick = reply.pick or "nothing"
    parts = [_HEADS.get(reply.how, reply.how).format(pick=pick, step=reply.step)]
    if reply.confidence is not None:
        parts[0] += f", confidence {reply.confidence:.2f}"
    if reply.second is not None:
        parts.append(f"the model thought {'yes' if reply.second > 0 else 'no'} ({reply.second:+.1f})")
    if reply.filled:
        filled = [f"{name} = {value(got)} ({_reader(reply.by, name)})" for name, got in reply.filled.items()]
        parts.append(("on a yes: " if reply.how == "confirming" else "") + ", ".join(filled))
    if reply.dropped:
        parts.append(f"dropped: {reply.dropped}")
    if reply.next and reply.next != reply.step:
        parts.append(f"then {reply.next}")
    return "; ".join(parts)


def called(event: events.ToolCalled) -> str:
    """What a tool was asked."""
    given = ", ".join(f"{name}: {value(argument)}" for name, argument in event.arguments.items())
    return f"the bot called {event.name}" + (f" ({given})" if given else "")


def answered(event: events.ToolAnswered) -> str:
    """What came of it, and after how long."""
    if not event.ok:
        return f"{event.name} failed after {event.took:.1f} s: {event.error or 'the log does not say why'}"
    data = value(event.data)
    return f"{event.name} answered after {event.took:.1f} s: {data if len(data) <= MOST_SHOWN else data[:MOST_SHOWN] + '…'}"


def known(fields: Mapping[str, Any]) -> str:
    """Fields and their values: `visit coming, person right`."""
    return ", ".join(f"{name} {value(got)}" for name, got in fields.items())


def value(data: Any) -> str:
    """Text as it is, anything else as JSON."""
    return data if isinstance(data, str) else json.dumps(data, ensure_ascii=False)


def _reader(by: Mapping[str, str], name: str) -> str:
    return _READERS.get(by.get(name, ""), by.get(name) or "the log does not say by whom")


def _entry(
    turn: int | None,
    answers: int | None,
    reply: dict[str, Any] | None,
    calls: list[dict[str, Any]],
    results: list[dict[str, Any]],
) -> dict[str, Any]:
    return {"turn": turn, "answers": answers, "reply": reply, "tool_call": calls, "tool_result": results}


def _data(event: events.Event, *without: str) -> dict[str, Any]:
    return {name: got for name, got in asdict(event).items() if name not in without}
