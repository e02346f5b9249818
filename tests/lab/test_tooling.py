"""Tools as they are written: what is understood, and what is refused and why."""

from __future__ import annotations

import textwrap

import pytest

from lab import strict
from lab.errors import ConfigErrors
from lab.strict import Strict
from lab.tooling import Tool, Tools

BOOK = """
description: Books the delivery slot.
parameters:
  day: {type: string, description: the day}
  count: {type: integer, optional: true}
arguments: {day: "{{fields.day}}", count: 2}
http: {url: "http://127.0.0.1:9000/book/{{arguments.day}}"}
saves: {code: booking.codes.0}
filler: One moment, please.
on_failure: I could not do that just now, {{crm.first_name}}.
"""


class Bot(Strict):
    tools: Tools


def read(text: str, *overrides: str) -> Tool:
    return strict.parse(textwrap.dedent(text), "tool.yaml", Tool, overrides=overrides)


def refused(*overrides: str) -> str:
    with pytest.raises(ConfigErrors) as caught:
        read(BOOK, *overrides)
    return str(caught.value)


def test_a_tool_with_its_defaults() -> None:
    tool = read(BOOK)
    assert tool.http is not None
    assert (tool.http.method, tool.http.timeout, tool.http.body) == ("POST", 10.0, None)
    assert tool.filler == ("One moment, please.",)
    assert tool.parameters["count"].optional
    assert tool.texts() == [
        "{{fields.day}}",
        "2",
        "http://127.0.0.1:9000/book/{{arguments.day}}",
        "One moment, please.",
        "I could not do that just now, {{crm.first_name}}.",
    ]


def test_a_mock_takes_the_place_of_a_server_by_a_flag() -> None:
    tool = read(BOOK, "http=null", "mock={answer: {code: A 12, left: 3}, delay: 2s}")
    assert tool.mock is not None
    assert (tool.mock.answer, tool.mock.delay) == ({"code": "A 12", "left": 3}, 2.0)


@pytest.mark.parametrize(
    ("override", "what"),
    [
        ("http=null", "nothing says how this is done"),
        ("mock={fails: no such slot}", "two ways to do one thing"),
        ("mock={delay: 2s}", "either answers or fails"),
        ("mock={code: A 12}", "one level too high"),
        ("http.timeout=31s", "must be at most 30"),
        ("http.method=GET", None),
        ('http={url: "http://h/x", method: GET, body: json}', "a GET has no body"),
        ("parameters.count.enum=[a]", "with strings only"),
        ("parameters.a-b={type: string}", "no parameter's name"),
        ("arguments.dya=Friday", "did you mean `day`"),
        ("arguments.count=few", "must be a whole number, not `few`"),
        ("arguments={count: 1}", "`day` is missing"),
        ('http={url: "http://h/{{arguments.dya}}"}', "did you mean `day`"),
        ("saves.code=a..b", "leads nowhere"),
        ('http={url: "http://h/x", headers: {"Bad Name": x}}', "no header's name"),
        ('http={url: "http://h/x", headers: {X-Y: a}, headers_env: {x-y: XY}}', "given twice"),
    ],
)
def test_what_cannot_work_is_said(override: str, what: str | None) -> None:
    if what is None:
        read(BOOK, override)
    else:
        assert what in refused(override)


@pytest.mark.parametrize(
    ("url", "what"),
    [
        ("ftp://127.0.0.1/x", "no address"),
        ("127.0.0.1:9000/x", "no address"),
        ("http:///x", "no address"),
        ("http://h:99999/x", "no address"),
        ("http://h/a b", "no address"),
        ("http://h/a#b", "no address"),
        ("http://h\\@evil/x", "no address"),
        ("{{crm.url}}", "which server"),
        ("{{crm.scheme}}://h/x", "which server"),
        ("http://{{crm.host}}/x", "which server"),
        ("http://h{{crm.more}}", "which server"),
        ("http://h:{{crm.port}}/x", "which server"),
        ("http://h/a/../b", "climbs"),
        ("http://h/a/%2e%2E/b", "climbs"),
        ("http://me:hush@h/x", "password or a key"),
        ("http://h/x?api_key=hush", "password or a key"),
        ("http://h/x?accessToken={{crm.it}}", "password or a key"),
    ],
)
def test_an_address_names_its_server_and_no_secret(url: str, what: str) -> None:
    said = refused(f"http.url={url}")
    assert what in said
    assert "hush" not in said


@pytest.mark.parametrize("url", ["https://h/x?author={{crm.a}}&monkey=1", "http://[::1]:9000/x", "http://h"])
def test_addresses_that_are_fine(url: str) -> None:
    assert read(BOOK, f"http.url={url}").http


@pytest.mark.parametrize("name", ["Authorization", "X-Api-Key", "apikey", "Cookie", "X-Auth-Token", "x-secret"])
def test_secrets_stand_in_the_environment_and_are_not_shown(name: str) -> None:
    said = refused(f'http={{url: "http://h/x", headers: {{{name}: "Bearer hush"}}}}')
    assert "headers_env" in said
    said += refused(f'http={{url: "http://h/x", headers_env: {{{name}: "Bearer hush"}}}}')
    assert "hush" not in said


def test_a_key_that_is_no_secret() -> None:
    tool = read(BOOK, 'http={url: "http://h/x", headers: {Idempotency-Key: "{{call.id}}"}}')
    assert tool.http is not None
    assert tool.http.headers == {"Idempotency-Key": "{{call.id}}"}


def test_hanging_up_is_every_bots_already() -> None:
    with pytest.raises(ConfigErrors, match="every bot has this one"):
        strict.parse("tools: {end_call: {description: Ends., mock: {answer: {}}}}", "bot.yaml", Bot)
    assert strict.parse("tools: {book: {description: Books., mock: {answer: {}}}}", "bot.yaml", Bot).tools["book"]
