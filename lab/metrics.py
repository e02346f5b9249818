"""Figures of one call, folded from its log. Seconds everywhere; null means not measured.

Decides: what each figure counts. Refuses to know: how it is shown or compared.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from statistics import median
from typing import Any

from lab import events

MIN_FOR_PERCENTILES = 20


def summary(values: list[float]) -> dict[str, Any]:
    """n, median and worst of `values`, and p95 once there are enough of them to mean something."""
    if not values:
        return {"n": 0, "median": None, "worst": None, "p95": None}
    ordered = sorted(values)
    enough = len(ordered) >= MIN_FOR_PERCENTILES
    return {
        "n": len(ordered),
        "median": round(median(ordered), 3),
        "worst": round(ordered[-1], 3),
        "p95": round(ordered[round(0.95 * (len(ordered) - 1))], 3) if enough else None,
    }


def metrics(log: Iterable[events.Event]) -> dict[str, Any]:
    """Turns, reply gaps as seen on the bot's side, stages, interruptions, and what the line measured.

    reply_gap: the customer's last voiced frame to the bot's first audible one. greeting: answer to the bot's first audible frame.
    """
    turns: dict[tuple[str, int], bool] = {}
    gaps: dict[int, float] = {}
    stages: dict[str, list[float]] = defaultdict(list)
    interruptions = re_engagements = 0
    answered: float | None = None
    greeting: float | None = None
    line: dict[str, Any] | None = None
    doubts: list[str] | None = None
    for event in log:
        match event:
            case events.Answered(at=at):
                answered = at
            case events.SpeechBegan(who="bot", began=began) if greeting is None and answered is not None:
                greeting = round(began - answered, 3)
            case events.Said(who=who, turn=turn):
                turns[who, turn] = True
            case events.ReplyGap(turn=turn, seconds=seconds):
                gaps[turn] = seconds
            case events.Stage(stage=stage, took=took):
                stages[stage].append(took)
            case events.Interrupted():
                interruptions += 1
            case events.ReEngaged():
                re_engagements += 1
            case events.LineFacts(facts=facts):
                line = facts
            case events.Measured(doubts=found):
                doubts = found
    return {
        "turns": {who: sum(1 for w, _ in turns if w == who) for who in ("bot", "customer")},
        "reply_gap": summary(list(gaps.values())),
        "greeting": greeting,
        "stages": {name: summary(values) for name, values in sorted(stages.items())},
        "interruptions": interruptions,
        "re_engagements": re_engagements,
        "line": line,
        "measurement": {"reliable": None if doubts is None else not doubts, "why": doubts or []},
    }
