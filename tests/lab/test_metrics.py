"""Figures folded from a log."""

from __future__ import annotations

from lab import events
from lab.metrics import MIN_FOR_PERCENTILES, metrics, summary
from lab.ports import Who


def test_nothing_measured_is_null() -> None:
    assert metrics([]) == {
        "turns": {"bot": 0, "customer": 0},
        "reply_gap": {"n": 0, "median": None, "worst": None, "p95": None},
        "greeting": None,
        "stages": {},
        "interruptions": 0,
        "re_engagements": 0,
        "line": None,
        "measurement": {"reliable": None, "why": []},
    }


def test_a_percentile_needs_enough_values() -> None:
    few = [float(i) for i in range(MIN_FOR_PERCENTILES - 1)]
    assert summary(few)["p95"] is None
    assert summary([*few, 100.0, 50.0])["p95"] == 50.0


def test_summary_is_in_no_need_of_order() -> None:
    assert summary([3.0, 1.0, 2.0]) == {"n": 3, "median": 2.0, "worst": 3.0, "p95": None}
    assert summary([1.0, 2.0])["median"] == 1.5


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
        events.ReplyGap(at=3.0, turn=3, answers=2, seconds=0.9),
        events.ReplyGap(at=6.0, turn=5, answers=4, seconds=1.5),
        events.Stage(at=2.0, turn=2, stage="stt", took=0.2),
        events.Stage(at=2.5, turn=2, stage="llm_first", took=0.5),
        events.Stage(at=5.0, turn=4, stage="stt", took=0.4),
        events.Interrupted(at=6.5, turn=5, by=6),
        events.ReEngaged(at=20.0, attempt=1, silence=6.0),
        events.LineFacts(at=30.0, facts={"lost": 3}),
    ]
    folded = metrics(log)
    assert folded["reply_gap"] == {"n": 2, "median": 1.2, "worst": 1.5, "p95": None}
    assert list(folded["stages"]) == ["llm_first", "stt"]
    assert folded["stages"]["stt"]["worst"] == 0.4
    assert (folded["interruptions"], folded["re_engagements"], folded["line"]) == (1, 1, {"lost": 3})
