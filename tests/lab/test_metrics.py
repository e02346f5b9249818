"""Figures folded from a log."""

from __future__ import annotations

from lab import events
from lab.metrics import MIN_FOR_PERCENTILES, metrics, summary
from lab.ports import Who


def test_nothing_measured_is_null() -> None:
    nothing = {"n": 0, "p50": None, "p95": None, "max": None}
    found = metrics([])
    assert found["turns"] == {"bot": 0, "customer": 0}
    assert found["measurement"] == {"reliable": None, "why": []}
    for name in ("v2v", "v2v_inside", "transport", "duck_latency", "yield_latency", "talk_over"):
        assert found[name] == nothing
    assert all(part == nothing for part in found["parts"].values())
    assert [found[name] for name in ("greeting", "overlap", "dead_air", "cpu", "line")] == [None] * 5
    assert [found[name] for name in ("interruptions", "ducks", "thrown_in", "spoke_on", "re_engagements")] == [0] * 5


def test_a_percentile_needs_enough_values() -> None:
    few = [float(i) for i in range(MIN_FOR_PERCENTILES - 1)]
    assert summary(few)["p95"] is None
    assert summary([*few, 100.0, 50.0])["p95"] == 50.0


def test_summary_is_in_no_need_of_order() -> None:
    assert summary([3.0, 1.0, 2.0]) == {"n": 3, "p50": 2.0, "p95": None, "max": 3.0}
    assert summary([1.0, 2.0])["p50"] == 1.5


def said(who: Who, turn: int, at: float) -> events.Said:
    return events.Said(at=at, who=who, turn=turn, text="x", heard="x", began=at - 1, ended=at)


def test_a_turn_said_again_counts_once() -> None:
    log = [said("bot", 1, 2.0), said("customer", 2, 4.0), said("customer", 2, 5.0), said("customer", 3, 7.0)]
    assert metrics(log)["turns"] == {"bot": 1, "customer": 2}


def test_greeting_runs_from_the_answer_to_the_bots_first_voice() -> None:
    log = [
        events.SpeechBegan(at=0.5, who="bot", turn=1, began=0.5),
        events.Answered(at=2.0),
        events.SpeechBegan(at=2.1, who="customer", turn=1, began=2.06),
        events.SpeechBegan(at=2.5, who="bot", turn=2, began=2.5),
        events.SpeechBegan(at=9.0, who="bot", turn=3, began=9.0),
    ]
    assert metrics(log)["greeting"] == 0.5


def test_counts_gaps_stages_and_the_lines_own_figures() -> None:
    log = [
        events.ReplyGap(at=3.0, turn=3, answers=2, seconds=0.9, parts={"endpointing": 0.5, "stt": 0.1, "out": 0.3}),
        events.ReplyGap(at=6.0, turn=5, answers=4, seconds=1.5),
        events.ReplyHeard(at=30.0, turn=5, answers=4, seconds=1.54),
        events.YieldHeard(at=30.0, turn=5, by=6, yield_latency=0.55, talk_over=0.4),
        events.Ducked(at=6.2, turn=5, latency=0.15),
        events.Ignored(at=6.4, turn=7, text="mm-hmm", why="thrown in"),
        events.Stage(at=2.0, turn=2, stage="stt", took=0.2),
        events.Stage(at=2.5, turn=2, stage="llm_first", took=0.5),
        events.Stage(at=5.0, turn=4, stage="stt", took=0.4),
        events.Interrupted(at=6.5, turn=5, by=6),
        events.ReEngaged(at=20.0, attempt=1, silence=6.0),
        events.LineFacts(at=30.0, facts={"lost": 3}),
    ]
    folded = metrics(log)
    assert folded["v2v_inside"] == {"n": 2, "p50": 1.2, "p95": None, "max": 1.5}
    assert folded["v2v"] == {"n": 1, "p50": 1.54, "p95": None, "max": 1.54}
    assert folded["transport"]["p50"] == 0.04
    assert {name: part["p50"] for name, part in folded["parts"].items() if part["n"]} == {
        "endpointing": 0.5,
        "stt": 0.1,
        "out": 0.3,
    }
    assert (folded["yield_latency"]["p50"], folded["talk_over"]["p50"], folded["duck_latency"]["p50"]) == (
        0.55,
        0.4,
        0.15,
    )
    assert (folded["ducks"], folded["thrown_in"]) == (1, 1)
    assert list(folded["stages"]) == ["llm_first", "stt"]
    assert folded["stages"]["stt"]["max"] == 0.4
    assert (folded["interruptions"], folded["re_engagements"], folded["line"]) == (1, 1, {"lost": 3})
