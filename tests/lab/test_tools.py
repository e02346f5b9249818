"""Tools at work against a real server on a real socket, at every pace."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab import tools
from lab.pace import Pace
from lab.tooling import Tool
from lab.tools import MOST_BYTES, MOST_SHOWN, ToolAnswer

KEY = "Bearer sk-very-secret"
JSON = "application/json"
VALUES = {"fields.day": "Friday", "crm.first_name": "Zoë", "crm.path": "../a/b?c=d#e"}
PARAMETERS = {
    "day": {"type": "string"},
    "count": {"type": "integer", "optional": True},
}


class Request:
    """One request, and the means to answer it."""

    def __init__(self, handler: BaseHTTPRequestHandler, gone: threading.Event) -> None:
        self._handler, self.gone = handler, gone
        self.method, self.path, self.headers = handler.command, handler.path, handler.headers
        self.body = handler.rfile.read(int(handler.headers.get("Content-Length", 0)))

    def answer(self, body: bytes | str, kind: str = JSON, status: int = 200, **headers: str) -> None:
        data = body if isinstance(body, bytes) else body.encode()
        self._handler.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(data)), **headers}.items():
            self._handler.send_header(name.replace("_", "-"), value)
        self._handler.end_headers()
        with suppress(ConnectionError):  # who asked may have had enough
            self._handler.wfile.write(data)

    def left(self) -> bool:
        """Whether the other side has gone away, after waiting for it."""
        self._handler.connection.settimeout(5)
        try:
            return bool(self._handler.connection.recv(1) == b"")
        except ConnectionError:
            return True
        except TimeoutError:
            return False


@contextmanager
def serving(answer: Callable[[Request], None]) -> Iterator[str]:
    """The address of a server that gives every request to `answer`."""
    gone = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            answer(Request(self, gone))

        do_GET = do_PUT = do_PATCH = do_DELETE = do_POST

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        gone.set()
        server.shutdown()
        server.server_close()
        thread.join()


def tool(url: str = "", *, parameters: Any = PARAMETERS, more: Mapping[str, Any] | None = None, **http: Any) -> Tool:
    how = {"http": {"url": url, **http}} if url else {}
    return Tool.model_validate({"description": "Books.", "parameters": parameters, **how, **(more or {})})


def mock(**mock: Any) -> Tool:
    return tool(more={"mock": mock})


def call(what: Tool, pace: Pace | None = None, env: Mapping[str, str] | None = None, **arguments: Any) -> ToolAnswer:
    pace = pace or Pace("fast")
    return pace.run(lambda: tools.call(what, "book_slot", arguments, VALUES, env=env or {}, pace=pace))


def given_back(body: bytes | str, kind: str = JSON, status: int = 200, **headers: str) -> ToolAnswer:
    with serving(lambda request: request.answer(body, kind, status, **headers)) as url:
        return call(tool(f"{url}/book"), day="Friday")


# -- what is sent ------------------------------------------------------------------------------------------------------


def sent(path: str = "/book", env: Mapping[str, str] | None = None, **http: Any) -> Request:
    asked: list[Request] = []

    def answer(request: Request) -> None:
        asked.append(request)
        request.answer("{}")

    with serving(answer) as url:
        got = call(tool(url + path, **http), env=env, day="Frei & Tag", count=2)
    assert got.ok, got.error
    return asked[0]


def test_arguments_go_as_json() -> None:
    request = sent()
    assert (request.method, request.path) == ("POST", "/book")
    assert request.headers["Content-Type"] == JSON
    assert json.loads(request.body) == {"day": "Frei & Tag", "count": 2}


def test_or_as_a_form() -> None:
    request = sent(method="PUT", body="form")
    assert request.method == "PUT"
    assert parse_qs(request.body.decode()) == {"day": ["Frei & Tag"], "count": ["2"]}


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_or_in_the_query(method: str) -> None:
    request = sent("/book?a=1", method=method)
    assert parse_qs(urlsplit(request.path).query) == {"a": ["1"], "day": ["Frei & Tag"], "count": ["2"]}
    assert (request.method, request.body) == (method, b"")


def test_what_the_address_names_is_sent_there_alone() -> None:
    request = sent("/{{arguments.day}}/{{crm.first_name}}?p={{crm.path}}")
    assert request.path == "/Frei%20%26%20Tag/Zo%C3%AB?p=..%2Fa%2Fb%3Fc%3Dd%23e"
    assert json.loads(request.body) == {"count": 2}


def test_headers_hold_variables_and_secrets_by_name() -> None:
    env = {"BOOKING_AUTH": f"{KEY}\n"}
    request = sent(headers={"X-Day": "on {{fields.day}}"}, headers_env={"Authorization": "BOOKING_AUTH"}, env=env)
    assert request.headers["X-Day"] == "on Friday"
    assert request.headers["Authorization"] == KEY


@pytest.mark.parametrize(
    ("path", "http", "env", "what"),
    [
        ("/{{crm.nothing}}", {}, {}, "`crm.nothing`, which has no value"),
        ("/x", {"headers": {"X-Y": "{{nothing}}"}}, {}, "header X-Y needs `nothing`"),
        ("/x", {"headers": {"X-Y": "{{crm.first_name}}"}}, {}, "cannot stand in a header"),
        ("/x", {"headers_env": {"Authorization": "AUTH"}}, {}, "AUTH is not set"),
        ("/x", {"headers_env": {"Authorization": "AUTH"}}, {"AUTH": "hu\r\nsh"}, "AUTH cannot stand in a header"),
        ("/a/{{arguments.day}}/b", {}, {}, "where the address leads"),
    ],
)
def test_what_cannot_be_sent_is_not(path: str, http: dict[str, Any], env: dict[str, str], what: str) -> None:
    answer = call(tool(f"http://127.0.0.1:1{path}", **http), env=env, day="..")
    assert not answer.ok
    assert what in str(answer.error)
    assert "hu" not in str(answer.error)


@given(st.text(max_size=20))
def test_no_value_leads_anywhere_else(value: str) -> None:
    import httpx

    what = tool("http://shop.test:9000/a/{{crm.x}}/b?c={{crm.x}}&d")
    assert what.http is not None
    try:
        url = httpx.URL(tools._url(what.http, {"crm.x": value}))
    except tools._UnsendableError:
        assert value in (".", "..")
        return
    assert (url.scheme, url.host, url.port, url.userinfo, url.fragment) == ("http", "shop.test", 9000, b"", "")
    path, _, query = url.raw_path.decode().partition("?")
    written = value.encode(errors="replace").decode()
    assert [unquote(part) for part in path.split("/")] == ["", "a", written, "b"]
    assert [unquote(part) for part in query.split("&")] == [f"c={written}", "d"]


# -- arguments ---------------------------------------------------------------------------------------------------------

STRICT = {
    "day": {"type": "string", "enum": ["Friday", "Monday"]},
    "count": {"type": "integer", "optional": True},
    "price": {"type": "number", "optional": True},
    "gift": {"type": "boolean", "optional": True},
}


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        ({}, "without `day`"),
        ({"day": None}, "`day` that is not text"),
        ({"day": "Sunday"}, "not one of Friday, Monday"),
        ({"day": ["Friday"]}, "not text"),
        ({"day": "Friday", "count": "2"}, "not a whole number"),
        ({"day": "Friday", "count": True}, "not a whole number"),
        ({"day": "Friday", "price": float("nan")}, "not a number"),
        ({"day": "Friday", "gift": 1}, "not true or false"),
        ({"day": "Friday", "hour": 8}, "`hour`, which it does not know"),
    ],
)
def test_wrong_arguments_are_told_and_nobody_is_asked(arguments: dict[str, Any], what: str) -> None:
    answer = call(tool(parameters=STRICT, more={"mock": {"answer": {}}}), **arguments)
    assert (answer.ok, answer.data) == (False, None)
    assert what in str(answer.error)
    assert "`book_slot`" in str(answer.error)


def test_right_arguments_and_what_is_null_is_not_given() -> None:
    what = tool(parameters=STRICT, more={"mock": {"answer": {}}})
    assert call(what, day="Friday", count=2, price=1.5, gift=False).ok
    assert call(what, day="Monday", count=None, price=3).ok


def test_a_prepared_answer_calls_with_values_of_the_parameters_types() -> None:
    written = {"day": "{{fields.day}}", "count": "{{fields.count}}", "price": "-1.50", "gift": "{{crm.gift}}"}
    what = tool(parameters={**STRICT, "day": {"type": "string"}}, more={"arguments": written, "mock": {"answer": {}}})
    values = {"fields.day": "Friday", "fields.count": "2", "crm.gift": "Yes"}
    assert tools.prepared(what, values) == {"day": "Friday", "count": 2, "price": -1.5, "gift": True}
    assert tools.prepared(what, {"fields.count": "a few"}) == {"count": "a few", "price": -1.5}


# -- what comes back ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "kind", "data"),
    [
        ('{"code": "A 12"}', JSON, {"code": "A 12"}),
        ("[1, null]", "application/problem+json; charset=utf-8", [1, None]),
        ("7", JSON, 7),
        ("", JSON, {}),
        ("Booked: Zoë\n", "text/plain; charset=utf-8", {"text": "Booked: Zoë"}),
        ("12", "text/plain", {"text": "12"}),
        ('{"code": 1}', "text/plain", {"code": 1}),
    ],
)
def test_an_answer(body: str, kind: str, data: Any) -> None:
    answer = given_back(body, kind)
    assert (answer.ok, answer.data, answer.error) == (True, data, None)
    assert answer.took > 0


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ("<html>Welcome</html>", "text/html"),
        ('{"half": ', JSON),
        ('{"a": NaN}', JSON),
        ('{"a": 1e999}', JSON),
        ('"\\ud800"', JSON),
        ("[" * 30_000, JSON),
        (b"\xff\xfe", "text/plain"),
    ],
)
def test_what_is_no_json_is_a_failure(body: bytes | str, kind: str) -> None:
    answer = given_back(body, kind)
    assert (answer.ok, answer.data) == (False, None)
    assert "no JSON" in str(answer.error)


def test_a_long_answer_is_not_read() -> None:
    assert given_back(json.dumps("x" * (MOST_BYTES - 2))).ok
    assert "more than 64 kB" in str(given_back(json.dumps("x" * (MOST_BYTES - 1))).error)
    assert "compressed" in str(given_back(b"x", Content_Encoding="gzip").error)


@pytest.mark.parametrize(("status", "phrase"), [(404, "404 Not Found"), (500, "500 Internal"), (599, "599")])
def test_a_refusal_keeps_its_reasons_as_data(status: int, phrase: str) -> None:
    answer = given_back('{"error": "no such slot"}', JSON, status)
    assert (answer.ok, answer.data) == (False, {"error": "no such slot"})
    assert phrase in str(answer.error)
    assert "slot" not in str(answer.error)


def test_a_redirect_is_not_followed() -> None:
    asked: list[str] = []

    def answer(request: Request) -> None:
        asked.append(request.path)
        request.answer("{}", JSON, 302, Location="/elsewhere")

    with serving(answer) as url:
        got = call(tool(f"{url}/book"), day="Friday")
    assert asked == ["/book"]
    assert not got.ok
    assert "redirects are not followed" in str(got.error)


@pytest.mark.parametrize("status", [200, 403])
def test_a_secret_that_the_server_sends_back_shows_nowhere(status: int) -> None:
    def answer(request: Request) -> None:
        key = request.headers["Authorization"]
        request.answer(json.dumps({"you sent": [key, key.split()[1]], key: 1}), JSON, status)

    with serving(answer) as url:
        what = tool(f"{url}/book", headers_env={"Authorization": "BOOKING_AUTH"})
        got = call(what, env={"BOOKING_AUTH": KEY}, day="Friday")
    assert got.data == {"you sent": ["***", "***"], "***": 1}
    assert "sk-very" not in repr(got) + repr(what)


def test_nobody_listens() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        answer = call(tool(f"{url}/book"), day="Friday")
    assert answer.error == f"cannot connect to {url}"


def test_the_answer_breaks_off() -> None:
    answer = given_back('{"a": 1}', Content_Length="100")
    assert not answer.ok
    assert "broke off" in str(answer.error)


@pytest.mark.parametrize("pace", ["real", "fast", "fixed"])
def test_a_silent_server_is_given_up_after_the_timeout(pace: Any) -> None:
    with serving(lambda request: void(request.gone.wait(10))) as url:
        answer = call(tool(f"{url}/book", timeout=0.3), Pace(pace), day="Friday")
    assert answer.error == f"{url} did not answer within 0.3 s"
    assert answer.took == 0 if pace == "fixed" else 0.3 <= answer.took < 1


def void(_: object) -> None:
    pass


# -- time --------------------------------------------------------------------------------------------------------------


def test_call_time_passes_with_the_clock_while_a_server_works_and_at_fixed_as_the_table_says() -> None:
    def answer(request: Request) -> None:
        request.gone.wait(0.2)
        request.answer("{}")

    with serving(answer) as url:
        assert 0.2 <= call(tool(f"{url}/book"), Pace("fast"), day="Friday").took < 2
        fixed = [call(tool(f"{url}/book"), Pace("fixed", {"tool": 1.25}), day="Friday").took for _ in range(2)]
    assert fixed == [1.25, 1.25]


@pytest.mark.parametrize("pace", ["fast", "fixed"])
def test_a_mock_takes_the_time_it_says_and_no_more_of_ours(pace: Any) -> None:
    wall = time.monotonic()
    answer = call(mock(answer={"code": "A 12"}, delay=20), Pace(pace, {"tool": 5.0}), day="Friday")
    assert answer == ToolAnswer(True, {"code": "A 12"}, None, 20.0, "book_slot")
    assert time.monotonic() - wall < 2


def test_a_mock_that_fails() -> None:
    assert call(mock(fails="no such slot"), day="Friday") == ToolAnswer(False, None, "no such slot", 0.0, "book_slot")


@pytest.mark.parametrize("pace", ["real", "fast"])
def test_whoever_stops_waiting_stops_the_request(pace: Any) -> None:
    asked, left = threading.Event(), threading.Event()

    def answer(request: Request) -> None:
        asked.set()
        if request.left():
            left.set()

    async def main() -> float:
        task = asyncio.create_task(
            tools.call(tool(f"{url}/book"), "book_slot", {"day": "Friday"}, VALUES, env={}, pace=chosen)
        )
        with chosen.work():
            await asyncio.to_thread(asked.wait, 5)
        began = time.monotonic()
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        assert task.cancelled()
        return time.monotonic() - began

    chosen = Pace(pace)
    with serving(answer) as url:
        assert chosen.run(main) < 0.5  # at once, and a busy machine
        assert left.wait(2)


# -- for models and texts ----------------------------------------------------------------------------------------------


def test_definitions_are_openais_and_hanging_up_is_always_among_them() -> None:
    first, last = tools.definitions({"book_slot": tool(parameters=STRICT, more={"mock": {"answer": {}}})})
    assert first["type"] == "function"
    assert first["function"]["name"] == "book_slot"
    assert first["function"]["description"] == "Books."
    assert first["function"]["parameters"]["required"] == ["day"]
    assert first["function"]["parameters"]["properties"]["day"] == {"type": "string", "enum": ["Friday", "Monday"]}
    assert last["function"]["name"] == "end_call"
    assert tools.definitions({}) == [last]


def test_what_is_filled_in_by_schema_can_be_called_with() -> None:
    optional = {"type": "string", "enum": ["am", "pm"], "optional": True}
    what = tool(parameters={**STRICT, "part": optional}, more={"mock": {"answer": {}}})
    schema = tools.schema(what)
    assert schema["required"] == ["day", "count", "price", "gift", "part"]
    filled: dict[str, Any] = {"day": "Friday", "count": None, "price": 2, "gift": None, "part": None}
    jsonschema.validate(filled, schema)
    assert call(what, **filled).ok


def test_what_is_saved_is_found_by_its_path() -> None:
    saves = {"code": "booking.codes.1", "all": "booking", "none": "booking.nothing", "null": "null", "far": "codes.9"}
    what = tool(more={"saves": saves, "mock": {"answer": {}}})
    data = {"booking": {"codes": ["A", 12]}, "null": None, "codes": [1]}
    assert tools.saved(what, data) == {"tool.code": "12", "tool.all": '{"codes": ["A", 12]}'}
    assert tools.saved(what, None) == tools.saved(what, "text") == tools.saved(what, []) == {}


def test_the_log_keeps_short_answers_whole_and_of_long_ones_the_beginning() -> None:
    assert tools.shown({"a": ["ë"]}) == {"a": ["ë"]}
    long = tools.shown({"a": "x" * MOST_SHOWN})
    assert len(long) == MOST_SHOWN
    assert long.startswith('{"a": "xxx')
    assert long.endswith("…")
