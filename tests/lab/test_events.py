"""One line is one event, there and back, for every kind there is and for those there will be."""

from __future__ import annotations

import json
from dataclasses import MISSING, fields
from typing import Any, get_type_hints

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lab import events
from lab.ports import Who

KINDS = [c for c in vars(events).values() if isinstance(c, type) and issubclass(c, events.Event) and c.kind]
moments = st.integers(0, 10_000_000).map(lambda ms: ms / 1000)
floats = st.floats(allow_nan=False, allow_infinity=False)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | floats | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=4,
)
objects = st.dictionaries(st.text(max_size=5), json_values, max_size=3)
VALUES: dict[Any, st.SearchStrategy[Any]] = {
    str: st.text(),
    int: st.integers(),
    float: floats,
    bool: st.booleans(),
    Who: st.sampled_from(["bot", "customer"]),
    int | None: st.none() | st.integers(),
    float | None: st.none() | st.floats(allow_nan=False, allow_infinity=False),
    dict[str, str]: st.dictionaries(st.text(), st.text(), max_size=3),
    dict[str, float]: st.dictionaries(st.text(), st.floats(allow_nan=False, allow_infinity=False), max_size=3),
    str | None: st.none() | st.text(),
    list[str]: st.lists(st.text(), max_size=3),
    Any: json_values,
    dict[str, Any]: objects,
    dict[str, Any] | None: st.none() | objects,
}


def instances(cls: type[events.Event]) -> st.SearchStrategy[events.Event]:
    hints = get_type_hints(cls)
    values = {f.name: VALUES[hints[f.name]] for f in fields(cls) if f.name != "at"}
    return st.builds(cls, at=moments, **values)


def test_kinds_have_names_of_their_own() -> None:
    names = [cls.kind for cls in KINDS]
    assert all(names)
    assert len(set(names)) == len(names) > 15


@pytest.mark.parametrize("cls", KINDS, ids=lambda cls: cls.kind)
def test_there_and_back(cls: type[events.Event]) -> None:
    @settings(max_examples=12, deadline=None)
    @given(instances(cls))
    def check(event: events.Event) -> None:
        line = events.to_line(event)
        assert "\n" not in line
        assert events.from_line(line) == event
        assert events.to_line(events.from_line(line)) == line

    check()


def test_a_line_begins_with_time_and_kind_and_says_every_field() -> None:
    line = events.to_line(events.Signalled(at=1.23456, state="ringing", code=180))
    assert line == '{"at":1.235,"kind":"call.signal","state":"ringing","code":180,"reason":""}'


def test_text_stays_readable() -> None:
    assert "né" in events.to_line(events.Partial(at=0, who="bot", turn=1, text="né"))


@given(moments, st.text().map("x.".__add__), objects)
def test_a_kind_of_another_version_is_kept_whole(at: float, kind: str, more: dict[str, Any]) -> None:
    record = {**more, "at": at, "kind": kind}
    event = events.from_line(json.dumps(record))
    assert event == events.Unknown(at=at, record=record)
    assert json.loads(events.to_line(event)) == record


def test_a_known_kind_that_lacks_a_field_is_kept_whole() -> None:
    record = {"at": 1.0, "kind": "turn.said", "text": "hello"}
    assert events.from_line(json.dumps(record)) == events.Unknown(at=1.0, record=record)


def test_fields_with_defaults_may_be_missing_and_new_ones_are_passed_over() -> None:
    assert events.from_line('{"at":1.0,"kind":"call.answered","news":1}') == events.Answered(at=1.0)
    assert all(f.default is not MISSING for f in fields(events.Answered) if f.name != "at")


@pytest.mark.parametrize(
    "line", ["", "x", "[]", "7", '"at"', "{}", '{"kind":"sip"}', '{"at":"1","kind":"sip"}', '{"at":1']
)
def test_not_an_event(line: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        events.from_line(line)
