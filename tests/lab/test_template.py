from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab import template
from lab.errors import ConfigError


def test_the_platforms_own_example() -> None:
    values = template.namespaced({"customer_name": "Rahul Sharma"})
    rendered = template.render("Hello, am I speaking with {{crm.customer_name}}?", values)
    assert rendered == template.Rendered("Hello, am I speaking with Rahul Sharma?", ())


@pytest.mark.parametrize("token", ["{{crm.x}}", "{{ crm.x }}", "{{call.x}}", "{{x}}", "{{\tx }}"])
def test_a_plain_variable_is_found_in_every_way(token: str) -> None:
    assert template.render(f"<{token}>", template.namespaced({"x": "1"})).text == "<1>"


def test_a_variable_with_a_namespace_is_only_there() -> None:
    rendered = template.render("{{crm.x}} {{call.x}} {{x}}", template.namespaced({"crm.x": "1"}))
    assert rendered == template.Rendered("1 {{call.x}} 1", ("call.x",))


def test_a_bare_name_is_looked_up_as_written_then_system_crm_call() -> None:
    values = {"x": "bare", "system.x": "system", "crm.x": "crm", "call.x": "call"}
    for expected in ("bare", "system", "crm", "call"):
        assert template.render("{{x}}", values).text == expected
        del values[next(iter(values))]
    assert template.render("{{x}}", {"result.x": "1", "analysis.x": "1", "qc.x": "1"}).unresolved == ("x",)


def test_a_namespace_is_never_searched_below_another() -> None:
    assert template.render("{{system.x}}", {"crm.system.x": "no"}).unresolved == ("system.x",)


def test_unresolved_stays_as_written_and_is_reported_once() -> None:
    text = "{{ b }} {{a}} {{b}} {{}} {{ }} { {c} } {{d"
    assert template.render(text, {}) == template.Rendered(text, ("b", "a"))
    assert template.names(text) == ("b", "a")


def test_values_are_never_read_again() -> None:
    values = template.namespaced({"a": "{{b}}", "b": "secret", "open": "{{", "rest": "b}}"})
    rendered = template.render("{{a}} {{open}}{{rest}} {{open}}b}}", values)
    assert rendered == template.Rendered("{{b}} {{b}} {{b}}", ())


def test_values_become_text() -> None:
    values = template.namespaced({"n": 5, "f": 1.5, "t": True, "o": {"é": [1]}, "none": None, "s": "0123"})
    assert template.render("{{n}} {{f}} {{t}} {{o}} <{{none}}> {{s}}", values).text == '5 1.5 true {"é": [1]} <> 0123'


def test_system_values_as_a_clock_in_the_time_zone_shows_them() -> None:
    now = datetime(2026, 6, 5, 10, 15, tzinfo=UTC)
    assert template.system(now, "Asia/Kolkata") == {
        "system.current_date": "05 June 2026",
        "system.current_time": "03:45 PM IST",
        "system.current_datetime": "05 June 2026 03:45 PM IST",
        "system.timezone": "Asia/Kolkata",
    }


@pytest.mark.parametrize("name", ["first_name", "crm.first_name", "call.x", "First Name"])
def test_names_a_user_may_set(name: str) -> None:
    assert template.variable_name(name) == name


@pytest.mark.parametrize("name", ["", " ", " a", "a}", "a\nb", "system.timezone", "result.x", "qc.x"])
def test_names_a_user_may_not_set(name: str) -> None:
    with pytest.raises(ConfigError):
        template.variable_name(name)


@given(st.text())
def test_without_values_every_text_stays_as_it_is(text: str) -> None:
    assert template.render(text, {}).text == text


@given(st.text(alphabet="{}ab .", max_size=40), st.text(alphabet="{}ab.", max_size=10))
def test_a_value_never_brings_a_variable_with_it(text: str, value: str) -> None:
    assert template.render(text, dict.fromkeys(template.names(text), value)).unresolved == ()
