"""How lines came about: in words, and as data with the tools that belong to them."""

from __future__ import annotations

from typing import Any

import pytest

from callctl import how
from lab import events

STEP: dict[str, Any] = {"step": "day", "pick": "names_day", "confidence": 0.876, "next": "day"}


def reply(turn: int = 3, **facts: Any) -> events.Replied:
    return events.Replied(**{"at": float(turn), "turn": turn, "answers": turn - 1, "how": "picked", **facts})


def heard(turn: int) -> events.Said:
    return events.Said(at=float(turn), who="customer", turn=turn, text="Hm.", heard="Hm.", began=0.0, ended=1.0)


def called(name: str = "book") -> events.ToolCalled:
    return events.ToolCalled(at=1.0, name=name)


def answered(name: str = "book", **facts: Any) -> events.ToolAnswered:
    return events.ToolAnswered(**{"at": 1.0, "name": name, "ok": True, "took": 0.04, **facts})


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"how": "free"}, "free, the model's own words"),
        (STEP, "picked names_day in day, confidence 0.88"),
        (
            {**STEP, "second": 2.04, "filled": {"pay_day": "2026-11-27", "n": 2}, "by": {"pay_day": "words", "n": "model"}, "next": "amount"},
            "picked names_day in day, confidence 0.88; the model thought yes (+2.0); "
            "pay_day = 2026-11-27 (read from the words), n = 2 (read by the model); then amount",
        ),
        (
            {**STEP, "how": "confirming", "filled": {"x": "y"}, "by": {"x": "profile"}},
            "asks to confirm names_day in day, confidence 0.88; on a yes: x = y (by the profile)",
        ),
        (
            {**STEP, "how": "asked_back", "confidence": 0.4, "second": -0.5, "dropped": "no pay_day in it"},
            "asked back in day, likeliest names_day, confidence 0.40; the model thought no (-0.5); dropped: no pay_day in it",
        ),
        ({**STEP, "how": "generated"}, "generated in day, as nothing prepared fits, likeliest names_day, confidence 0.88"),
        (
            {"how": "unknown", "step": "day", "dropped": "an order to the bot"},
            "unknown in day, as nothing prepared fits, likeliest nothing; dropped: an order to the bot",
        ),
        ({**STEP, "how": "gave_up"}, "gave up in day, likeliest names_day, confidence 0.88"),
        ({"how": "a later version's"}, "a later version's"),
        ({"how": "free", "filled": {"x": 1}}, "free, the model's own words; x = 1 (the log does not say by whom)"),
    ],
)  # fmt: skip
def test_in_words(facts: dict[str, Any], words: str) -> None:
    assert how.told(reply(**facts)) == words


def test_tools_in_words() -> None:
    asked = events.ToolCalled(at=1.0, name="book", arguments={"day": "Friday", "seats": 2})
    assert how.called(asked) == "the bot called book (day: Friday, seats: 2)"
    assert how.called(called()) == "the bot called book"
    assert how.answered(answered(data={"code": "A 12"})) == 'book answered after 0.0 s: {"code": "A 12"}'
    assert (
        how.answered(answered(ok=False, error="it refused: 409", took=1.26))
        == "book failed after 1.3 s: it refused: 409"
    )
    assert len(how.answered(answered(data="x" * 2000))) < 250


def test_tools_belong_to_the_line_they_were_called_for() -> None:
    log = [heard(2), called(), answered(), reply(3), heard(4), reply(5, how="free"), called("look"), answered("look")]
    first, second = how.replies([*log, called("end_call"), heard(6)])
    assert (first["turn"], first["answers"], first["reply"]["how"]) == (3, 2, "picked")
    assert [call["name"] for call in first["tool_call"]] == ["book"]
    assert first["tool_result"] == [{"at": 1.0, "name": "book", "ok": True, "data": None, "error": None, "took": 0.04}]
    assert [call["name"] for call in second["tool_call"]] == ["look", "end_call"]
    assert "turn" not in second["reply"]


def test_a_tool_whose_line_nobody_heard_stands_with_the_next() -> None:
    (only,) = how.replies([heard(2), called(), heard(2), answered(), reply(3)])
    assert (len(only["tool_call"]), len(only["tool_result"])) == (1, 1)
    (lost,) = how.replies([heard(2), called()])
    assert (lost["turn"], lost["reply"], len(lost["tool_call"])) == (None, None, 1)


def test_nothing_prepared_nothing_to_tell() -> None:
    assert how.replies([heard(2)]) == []
    assert how.known({"visit": "coming", "seats": 2}) == "visit coming, seats 2"
