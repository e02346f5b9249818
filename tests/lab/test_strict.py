from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Annotated, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import Field

from lab import strict
from lab.errors import ConfigError, ConfigErrors


class Inner(strict.Strict):
    wait: strict.Duration = 1.0
    retries: Annotated[int, Field(ge=0)] = 0
    ratio: float = 0.5
    on: bool = False


class Outer(strict.Strict):
    name: str
    inner: Inner = Inner()
    kind: Literal["red", "green"] = "red"
    nick: str | None = None
    words: Annotated[tuple[str, ...], strict.OneOrMore] = ()
    options: strict.Options = Field(default_factory=dict)
    items: tuple[Inner, ...] = ()
    spare: dict[str, str] = Field(default_factory=dict, alias="extra")


def read(text: str, *overrides: str) -> Outer:
    return strict.parse(text, "bot.yaml", Outer, overrides=overrides)


def problems(text: str, *overrides: str) -> list[tuple[str | None, str, str | None]]:
    with pytest.raises(ConfigErrors) as caught:
        read(text, *overrides)
    return [(p.where, p.what, p.hint) for p in caught.value.problems]


@pytest.mark.parametrize(
    "text", ["+12025550101", "0123", "1e3", "12:30", "no", "on", "yes", "2026-06-05", "0x10", "Null"]
)
def test_what_yaml_would_mangle_stays_text(text: str) -> None:
    assert read(f"name: {text}").name == text


def test_text_is_plain_str_so_that_it_can_be_written_again() -> None:
    outer = read("name: x\nwords: [a]\nextra: {k: v}\noptions: {k: v}")
    assert {type(t) for t in (outer.name, *outer.words, *outer.spare.values(), *outer.options.values())} == {str}


def test_numbers_and_booleans_where_the_field_wants_them() -> None:
    inner = read("name: x\ninner: {wait: 500ms, retries: 3, ratio: 1e-1, on: yes}").inner
    assert inner == Inner(wait=0.5, retries=3, ratio=0.1, on=True)


@pytest.mark.parametrize("null", ["null", "~", ""])
def test_null_is_null(null: str) -> None:
    assert read(f"name: x\nnick: {null}").nick is None


def test_quoted_null_is_text() -> None:
    assert read("name: x\nnick: 'null'").nick == "null"


def test_options_read_unquoted_scalars_as_json_would() -> None:
    given_ = 'options: {a: 4, b: "4", c: 0.5, d: true, e: no, f: 012, g: null, h: [1, {i: 1e3}], j: -2, k: 12:30}'
    assert read(f"name: x\n{given_}").options == {
        "a": 4,
        "b": "4",
        "c": 0.5,
        "d": True,
        "e": "no",
        "f": "012",
        "g": None,
        "h": [1, {"i": 1000.0}],
        "j": -2,
        "k": "12:30",
    }


def test_one_text_is_a_list_of_one() -> None:
    assert read("name: x\nwords: a b").words == ("a b",)


def test_every_mistake_at_once_in_the_order_of_the_lines() -> None:
    text = "nam: x\ninner:\n  wait: 5\n  retries: many\n  wiat: 1s\nkind: gren\n"
    assert problems(text) == [
        ("bot.yaml:1", "`name` is missing", None),
        ("bot.yaml:1", "unknown key `nam`", "did you mean `name`?"),
        ("bot.yaml:3", "`inner.wait`: `5` has no unit", "write `5s`, `5ms` or `5m`"),
        ("bot.yaml:4", "`inner.retries` must be a whole number, not `many`", None),
        ("bot.yaml:5", "unknown key `inner.wiat`", "did you mean `wait`?"),
        ("bot.yaml:6", "`kind` must be 'red' or 'green', not `gren`", "did you mean `green`?"),
    ]


def test_mistakes_inside_lists_have_their_line() -> None:
    assert problems("name: x\nitems:\n  - wait: 1s\n  - wait: 1s\n    retries: -1\n") == [
        ("bot.yaml:5", "`items.1.retries` must be at least 0, not `-1`", None)
    ]


def test_a_key_on_the_wrong_level_is_shown_its_place() -> None:
    assert problems("name: x\nretries: 3\n") == [
        ("bot.yaml:2", "unknown key `retries`", "`retries` belongs under `inner`")
    ]


def test_an_unknown_key_like_no_other_lists_what_there_is() -> None:
    assert problems("name: x\ninner: {zzz: 1}") == [
        ("bot.yaml:2", "unknown key `inner.zzz`", "known: wait, retries, ratio, on")
    ]


def test_keys_are_known_by_their_alias() -> None:
    assert problems("name: x\nextr: {}") == [("bot.yaml:2", "unknown key `extr`", "did you mean `extra`?")]


def test_repeated_key_and_other_mistakes_come_together() -> None:
    assert problems("name: x\ninner:\n  on: true\n  on: perhaps\nkind: blue") == [
        ("bot.yaml:4", "key `inner.on` is given twice, first on line 3", "keep one of the two"),
        ("bot.yaml:5", "`kind` must be 'red' or 'green', not `blue`", None),
    ]


@pytest.mark.parametrize(
    ("text", "where", "what"),
    [
        ("", "bot.yaml", "is empty"),
        ("# nothing\n", "bot.yaml", "is empty"),
        ("---\n", "bot.yaml", "is empty"),
        ("- a\n", "bot.yaml:1", "has no keys at the top"),
        ("\nwords", "bot.yaml:2", "has no keys at the top"),
        ("name: a: b", "bot.yaml:1:8", "mapping values are not allowed"),
        ("name: x\n\tkind: red", "bot.yaml:2:1", "cannot start any token"),
        ("name: x\nwords: [a", "bot.yaml:2:10", "not YAML"),
        ("name: x\n---\nname: y", "bot.yaml:2:1", "another document"),
        ("name: !!python/object/apply:os.system [ls]", "bot.yaml:1:7", "tag"),
        ("name: &a x\nnick: *a", "bot.yaml:2:7", "alias `*a`"),
        ("name: x\n? [a, b]\n: c", "bot.yaml:2:3", "a key must be a single word"),
        ("name: x\nnick: \x07", "bot.yaml:2", "U+0007"),
        ('name: "\\UFFFFFFFF"', "bot.yaml", "names no character"),
        ("[" * 4000, "bot.yaml", "nested too deeply"),
    ],
)
def test_what_is_no_usable_yaml_is_one_clear_error(text: str, where: str, what: str) -> None:
    (found,) = problems(text)
    assert found[0] == where
    assert what in found[1]


def test_no_alias_means_no_bomb_and_no_loop() -> None:
    (found,) = problems("name: x\nwords: &w [*w, *w]")
    assert "alias" in found[1]


def test_overrides_are_applied_before_validation() -> None:
    outer = read("name: x\nwords: [a, b]", "inner.wait=2m", "words.1=c", "kind=green", "options.a.b=1", "nick={{x}}: y")
    assert (outer.inner.wait, outer.words, outer.kind) == (120.0, ("a", "c"), "green")
    assert outer.options == {"a": {"b": 1}}
    assert outer.nick == "{{x}}: y"


def test_an_override_may_mend_the_file_and_be_a_list_or_null() -> None:
    outer = read("name: x\nkind: blue\nnick: a", "kind=green", "words=[a, 'b, c']", "nick=null", "inner={wait: 1s}")
    assert (outer.kind, outer.words, outer.nick) == ("green", ("a", "b, c"), None)


@pytest.mark.parametrize(
    ("override", "where", "what", "hint"),
    [
        ("inner.wiat=1s", "--set inner.wiat", "unknown key `inner.wiat`", "did you mean `wait`?"),
        ("iner.wait=1s", "--set iner.wait", "unknown key `iner`", "did you mean `inner`?"),
        ("inner.wait=1", "--set inner.wait", "`inner.wait`: `1` has no unit", "write `1s`, `1ms` or `1m`"),
        ("name.first=x", "--set name.first", "`name` has no keys below it", None),
        ("words.7=x", "--set words.7", "`words` has no item `7`", "it has 1, counted from 0"),
        ("kind", "--set", "`kind` is not `dotted.key=value`", "for example `--set limits.max_duration=2m`"),
        ("a..b=1", "--set", "`a..b=1` is not `dotted.key=value`", "for example `--set limits.max_duration=2m`"),
    ],
)
def test_a_wrong_override_names_the_flag(override: str, where: str, what: str, hint: str | None) -> None:
    assert problems("name: x\nwords: [a]", override) == [(where, what, hint)]


def test_an_override_that_is_broken_yaml_names_the_flag() -> None:
    (found,) = problems("name: x", "words=[a")
    assert found[0] is not None
    assert found[0].startswith("--set words")


def test_unreadable_files(tmp_path: Path) -> None:
    latin = tmp_path / "latin.yaml"
    latin.write_bytes(b"name: x\nnick: caf\xe9\n")
    for path, where, what in (
        (tmp_path, str(tmp_path), "is a directory"),
        (tmp_path / "none.yaml", str(tmp_path / "none.yaml"), "No such file"),
        (latin, f"{latin}:2", "not UTF-8"),
        (Path("a\0b"), "a\0b", "null byte"),
    ):
        with pytest.raises(ConfigErrors, match=what) as caught:
            strict.load(path, Outer)
        assert caught.value.where == where


def test_load_and_frozen(tmp_path: Path) -> None:
    path = tmp_path / "bot.yaml"
    path.write_text("\ufeffname: Zoë\n", encoding="utf-8")
    outer = strict.load(path, Outer)
    assert outer.name == "Zoë"
    with pytest.raises(ValueError, match="frozen"):
        outer.name = "y"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0.5s", 0.5),
        ("500ms", 0.5),
        ("2m", 120),
        ("1m30s", 90),
        ("1h", 3600),
        ("1.5m", 90),
        ("1s5ms", 1.005),
        ("0s", 0),
    ],
)
def test_durations(text: str, seconds: float) -> None:
    assert strict.duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "s", "5", "0.5", "-5s", "5 s", "1s1m", "five", "1e3s", "\u0665s", "5S"])
def test_no_durations(text: str) -> None:
    with pytest.raises(ConfigError):
        strict.duration(text)


@given(st.integers(0, 10**8))
def test_a_duration_survives_writing_and_reading(milliseconds: int) -> None:
    assert strict.duration(strict.duration_text(milliseconds / 1000)) == pytest.approx(milliseconds / 1000)


@settings(deadline=None)
@given(st.text(max_size=200))
def test_any_text_is_a_value_or_a_config_error(text: str) -> None:
    for candidate in (text, f"name: {text}", f"options: {{a: {text}}}"):
        with suppress(ConfigErrors):
            read(candidate)


YAMLISH = st.text(alphabet="ab:-[]{}&*!|>'\"#%@`,?\n\t .01~\\xU", max_size=60)


@settings(deadline=None)
@given(YAMLISH, YAMLISH)
def test_any_yaml_like_text_and_override_is_a_value_or_a_config_error(text: str, override: str) -> None:
    with suppress(ConfigErrors):
        read(f"name: x\n{text}", f"options.a={override}", override)


@given(st.text(alphabet=st.characters(categories=("L", "N", "P", "S", "Zs")), max_size=40))
def test_quoted_text_arrives_as_written(text: str) -> None:
    quoted = text.replace("'", "''")
    assert read(f"name: '{quoted}'").name == text
