from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab import numbers
from lab.errors import ConfigError


@pytest.mark.parametrize(
    "written", ["+12025550100", "+1 202 555 0100", "+1 (202) 555-0100", " +1.202.555.0100 ", "+1-202-555-0100"]
)
def test_what_people_write_becomes_e164(written: str) -> None:
    assert numbers.e164(written) == "+12025550100"


def test_other_countries() -> None:
    assert numbers.e164("+91 98000 00001") == "+919800000001"


@pytest.mark.parametrize(
    ("written", "what"),
    [
        ("", "empty"),
        ("  ", "empty"),
        ("2025550100", "no country code"),
        ("0012025550100", "begins with 00"),
        ("+1202555o100", "contains `o`"),
        ("+٤٤20", "contains `٤`"),
        ("+9995550100", "no country code that exists"),
        ("+1202555", "too short"),
        ("+5550100", "too short"),
        ("+120255501000", "length"),
        ("+1" + "2" * 60, "telephone number|length"),
        ("++12025550100", r"contains `\+`"),
        ("+1+2025550100", r"contains `\+`"),
        ("+", "telephone number"),
        ("+1", "telephone number"),
    ],
)
def test_malformed_numbers_say_what_is_wrong_and_show_a_good_one(written: str, what: str) -> None:
    with pytest.raises(ConfigError, match=what) as caught:
        numbers.e164(written)
    assert numbers.LAB_FIRST in str(caught.value)


def test_the_lab_range() -> None:
    for n in range(100):
        assert numbers.lab_number(f"+1202555{100 + n:04}") == f"+1202555{100 + n:04}"
    for outside in ("+12025550099", "+12025550200", "+1202555010", "+120255501000", "+1202555010\u0660", ""):
        assert not numbers.is_lab_number(outside)
    with pytest.raises(ConfigError, match="outside the lab's range"):
        numbers.lab_number("+14155550100")


@given(st.text(max_size=30) | st.from_regex(r"\A\+?[0-9 ().+-]{0,20}\Z"))
def test_any_text_is_a_number_or_a_config_error(text: str) -> None:
    try:
        number = numbers.e164(text)
    except ConfigError:
        return
    assert number.startswith("+")
    assert number[1:].isdigit()
    assert numbers.e164(number) == number
