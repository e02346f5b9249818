"""Figures of one call, folded from its log. Seconds everywhere; null means not measured.

Decides: what each figure counts. Refuses to know: how it is shown or compared.

v2v             the customer's last voiced sample to the first voiced sample of the reply, both in what the customer's end said and
                received; null where the customer is not ours
v2v_inside      the same in what the bot's end received and sent
filler          v2v_inside of replies that began with words that were no answer; they count in none of the others
transport       what lies between the two
parts           of v2v_inside, one after the other: endpointing, stt, think (the pick or the first token), phrase, tts, out
greeting        the answer to the bot's first voiced frame
stages          what each engine took, asked to answered
duck_latency    the customer's first voiced sample to the bot's softer voice, on the bot's side
yield_latency   the customer's first voiced sample to the bot's last one, at the customer's ear; talk_over: both sounding meanwhile
overlap, dead_air   at the customer's ear: both voiced for more than 0.3 s, both silent for 3 s and more
work            seconds of waiting for engines: for what was wanted, for what was begun too early and thrown away (and its share of both),
                and by the voice for lines that might come
cpu             used by this process and its softphones, a customer of ours included
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from statistics import median
from typing import Any

from lab import events

MIN_FOR_PERCENTILES = 20
PARTS = ("endpointing", "stt", "think", "phrase", "tts", "out")


def summary(values: list[float]) -> dict[str, Any]:
    """n, median and worst of `values`, and p95 once there are enough of them to mean something."""
    if not values:
        return {"n": 0, "p50": None, "p95": None, "max": None}
    ordered = sorted(values)
    enough = len(ordered) >= MIN_FOR_PERCENTILES
    return {
        "n": len(ordered),
        "p50": round(median(ordered), 3),
        "p95": round(ordered[round(0.95 * (len(ordered) - 1))], 3) if enough else None,
        "max": round(ordered[-1], 3),
    }


def metrics(log: Iterable[events.Event]) -> dict[str, Any]:
    """Every figure of the call, by the names above."""
    turns: dict[tuple[str, int], bool] = {}
    gaps: dict[int, events.ReplyGap] = {}
    heard: dict[int, float] = {}
    yields: list[events.YieldHeard] = []
    stages: dict[str, list[float]] = defaultdict(list)
    counts = dict.fromkeys(("interruptions", "ducks", "thrown_in", "spoke_on", "re_engagements"), 0)
    ducks: list[float] = []
    answered: float | None = None
    greeting: float | None = None
    line: dict[str, Any] | None = None
    ear: events.EarFacts | None = None
    measured: events.Measured | None = None
    effort: events.Effort | None = None
    for event in log:
        match event:
            case events.Answered(at=at):
                answered = at
            case events.SpeechBegan(who="bot", began=began) if greeting is None and answered is not None:
                greeting = round(began - answered, 3)
            case events.Said(who=who, turn=turn):
                turns[who, turn] = True
            case events.ReplyGap(turn=turn):
                gaps[turn] = event
            case events.ReplyHeard(turn=turn, seconds=seconds):
                heard[turn] = seconds
            case events.YieldHeard():
                yields.append(event)
            case events.Stage(stage=stage, took=took):
                stages[stage].append(took)
            case events.Ducked(latency=latency):
                counts["ducks"] += 1
                ducks += [latency] if latency is not None else []
            case events.Interrupted():
                counts["interruptions"] += 1
            case events.SpokeOn():
                counts["spoke_on"] += 1
            case events.Ignored(text=text) if text:
                counts["thrown_in"] += 1
            case events.ReEngaged():
                counts["re_engagements"] += 1
            case events.Effort():
                effort = event
            case events.LineFacts(facts=facts):
                line = facts
            case events.EarFacts():
                ear = event
            case events.Measured():
                measured = event
    parts = {name: [gap.parts[name] for gap in gaps.values() if name in gap.parts] for name in PARTS}
    fillers = [gap.seconds for gap in gaps.values() if gap.filler]
    gaps = {turn: gap for turn, gap in gaps.items() if not gap.filler}
    heard = {turn: seconds for turn, seconds in heard.items() if turn in gaps}
    return {
        "turns": {who: sum(1 for w, _ in turns if w == who) for who in ("bot", "customer")},
        "v2v": summary(list(heard.values())),
        "v2v_inside": summary([gap.seconds for gap in gaps.values()]),
        "filler": summary(fillers),
        "transport": summary([heard[turn] - gap.seconds for turn, gap in gaps.items() if turn in heard]),
        "parts": {name: summary(values) for name, values in parts.items()},
        "greeting": greeting,
        "stages": {name: summary(values) for name, values in sorted(stages.items())},
        **counts,
        "duck_latency": summary(ducks),
        "yield_latency": summary([e.yield_latency for e in yields]),
        "talk_over": summary([e.talk_over for e in yields]),
        "overlap": ear.overlap if ear else None,
        "dead_air": ear.dead_air if ear else None,
        "cpu": measured.cpu if measured else None,
        "work": _work(effort) if effort else None,
        "line": line,
        "measurement": {
            "reliable": None if measured is None else not measured.doubts,
            "why": measured.doubts if measured else [],
        },
    }


def _work(effort: events.Effort) -> dict[str, Any]:
    used, discarded = sum(effort.used.values()), sum(effort.discarded.values())
    share = round(discarded / (used + discarded), 3) if used + discarded else None
    return {
        "used": round(used, 3),
        "discarded": round(discarded, 3),
        "discarded_share": share,
        "prepared": effort.prepared,
    }
