"""The HTTP responder against a real server on a real socket: streams, refusals, silence, nonsense."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from lab.engines.openai import OpenAIChat
from lab.errors import ConfigError, InfrastructureError
from lab.ports import ToolCall, Turn

KEY = "sk-very-secret"
GOING = threading.Event()  # never set
TURNS = [Turn("bot", "Hello?"), Turn("customer", "Who is there?")]
SCHEMA = {"type": "object", "properties": {"ok": {"type": "boolean"}}}


class Request:
    """One request, and the means to answer it."""

    def __init__(self, handler: BaseHTTPRequestHandler, gone: threading.Event) -> None:
        self._handler, self.gone = handler, gone
        self.path, self.headers = handler.path, handler.headers
        self.body: dict[str, Any] = json.loads(handler.rfile.read(int(handler.headers["Content-Length"])))

    def refuse(self, status: int, body: str) -> None:
        self._handler.send_response(status)
        self._handler.end_headers()
        self._handler.wfile.write(body.encode())

    def begin(self) -> None:
        self._handler.send_response(200)
        self._handler.send_header("Content-Type", "text/event-stream")
        self._handler.end_headers()

    def send(self, raw: bytes) -> None:
        self._handler.wfile.write(raw)
        self._handler.wfile.flush()

    def event(self, data: Any) -> None:
        self.send(b"data: " + json.dumps(data, ensure_ascii=False).encode() + b"\n\n")

    def delta(self, finish: str | None = None, **delta: Any) -> None:
        self.event({"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})

    def text(self, *pieces: str) -> None:
        for piece in pieces:
            self.delta(content=piece)
        self.send(b"data: [DONE]\n\n")


@contextmanager
def serving(answer: Callable[[Request], None]) -> Iterator[str]:
    """The base URL of a server that gives every request to `answer`."""
    gone = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            answer(Request(self, gone))

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1"
    finally:
        gone.set()
        server.shutdown()
        server.server_close()
        thread.join()


def line(url: str, **options: Any) -> list[str | ToolCall]:
    tools = options.pop("tools", ())
    return list(OpenAIChat(url, "small", **options).respond("Be kind.", TURNS, GOING, tools=tools))


def refused(answer: Callable[[Request], None], **options: Any) -> InfrastructureError:
    with serving(answer) as url, pytest.raises(InfrastructureError) as caught:
        line(url, **options)
    return caught.value


def test_a_line_is_streamed_and_asked_for_as_openai_wants_it() -> None:
    asked: list[Request] = []

    def answer(request: Request) -> None:
        asked.append(request)
        request.begin()
        request.send(b": a comment\n\n")
        request.text("It's ", "Zoë", ".")

    with serving(answer) as url:
        assert line(url, api_key=KEY, max_tokens=9) == ["It's", " Zoë."]
    assert asked[0].path == "/v1/chat/completions"
    assert asked[0].headers["Authorization"] == f"Bearer {KEY}"
    assert asked[0].body == {
        "model": "small",
        "stream": True,
        "max_tokens": 9,
        "temperature": 0.0,
        "messages": [
            {"role": "system", "content": "Be kind."},
            {"role": "assistant", "content": "Hello?"},
            {"role": "user", "content": "Who is there?"},
        ],
    }


def test_a_piece_comes_as_soon_as_it_is_sent_and_may_be_cut_anywhere() -> None:
    seen = threading.Event()

    def answer(request: Request) -> None:
        request.begin()
        request.delta(content="First. ")
        assert seen.wait(5)
        whole = b"data: " + json.dumps({"choices": [{"delta": {"content": "Zoë"}}]}, ensure_ascii=False).encode()
        middle = whole.index("ë".encode()) + 1
        request.send(whole[:middle])
        request.send(whole[middle:] + b"\r\n\r\n")
        request.delta(finish="stop")

    with serving(answer) as url:
        pieces = OpenAIChat(url, "small").respond("Be kind.", TURNS, GOING)
        assert next(pieces) == "First."
        seen.set()
        assert list(pieces) == [" Zoë"]


def test_tool_calls_come_in_parts_and_after_the_words() -> None:
    def answer(request: Request) -> None:
        assert request.body["tools"] == [{"type": "function", "function": {"name": "end_call"}}]
        request.begin()
        request.delta(content="Goodbye.")
        request.delta(tool_calls=[{"index": 0, "function": {"name": "end_call", "arguments": '{"why": '}}])
        request.delta(tool_calls=[{"index": 0, "function": {"arguments": '"done"}'}}])
        request.delta(tool_calls=[{"index": 1, "function": {"name": "note", "arguments": ""}}])
        request.delta(finish="tool_calls")

    with serving(answer) as url:
        said = line(url, tools=[{"type": "function", "function": {"name": "end_call"}}])
    assert said == ["Goodbye.", ToolCall("end_call", {"why": "done"}), ToolCall("note", {})]


def test_extract_asks_by_schema_and_where_that_is_unknown_by_object_from_then_on() -> None:
    formats: list[str] = []

    def answer(request: Request) -> None:
        kind = request.body["response_format"]["type"]
        formats.append(kind)
        if kind == "json_schema":
            return request.refuse(400, '{"error": {"message": "unknown response_format"}}')
        assert json.dumps(SCHEMA) in request.body["messages"][0]["content"]
        request.begin()
        return request.text('{"ok": ', "true}")

    with serving(answer) as url:
        chat = OpenAIChat(url, "small")
        for _ in range(2):
            assert json.loads("".join(chat.extract("Read.", "The call", SCHEMA, GOING))) == {"ok": True}
    assert formats == ["json_schema", "json_object", "json_object"]


def test_extract_hands_the_schema_over() -> None:
    def answer(request: Request) -> None:
        assert request.body["response_format"]["json_schema"]["schema"] == SCHEMA
        request.begin()
        request.text('{"ok": false}')

    with serving(answer) as url:
        assert "".join(OpenAIChat(url, "small").extract("Read.", "The call", SCHEMA, GOING)) == '{"ok": false}'


def test_warm_asks_for_one_token() -> None:
    tokens: list[int] = []

    def answer(request: Request) -> None:
        tokens.append(request.body["max_tokens"])
        request.begin()
        request.text("Hi")

    with serving(answer) as url:
        OpenAIChat(url, "small").warm("Be kind.", GOING)
    assert tokens == [1]


@pytest.mark.parametrize(("status", "hint"), [(401, "API key"), (404, "'small'"), (500, None)])
def test_a_refusal_says_status_reason_and_hint_and_never_the_key(status: int, hint: str | None) -> None:
    error = refused(lambda r: r.refuse(status, f'{{"error": {{"message": "no use for {KEY}"}}}}'), api_key=KEY)
    assert f"HTTP {status}: no use for ***" in error.what
    assert "127.0.0.1" in str(error.where)
    assert hint is None or hint in str(error.hint)


def test_the_key_and_a_password_in_the_url_show_nowhere() -> None:
    chat = OpenAIChat("http://me:hush@127.0.0.1:1/v1?key=hush", "small", api_key=KEY)
    with pytest.raises(InfrastructureError) as caught:
        list(chat.respond("Be kind.", TURNS, GOING))
    shown = f"{chat!r} {chat.facts!r} {caught.value} {caught.value.__cause__}"
    assert KEY not in shown
    assert "hush" not in shown


def test_nobody_listens() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
        with pytest.raises(InfrastructureError, match="cannot connect"):
            line(url)


@pytest.mark.parametrize("address", ["http://", "no address", "ftp://127.0.0.1/v1", "http://127.0.0.1:99999/v1"])
def test_an_address_that_is_none_is_refused_at_once(address: str) -> None:
    with pytest.raises(ConfigError, match="http://host:port"):
        OpenAIChat(address, "small")


def test_a_server_that_stays_silent_is_given_up() -> None:
    def answer(request: Request) -> None:
        request.gone.wait(10)

    error = refused(answer, timeout=0.3)
    assert "silent for 0.3 s" in error.what


@pytest.mark.parametrize("begun", [False, True])
def test_stop_leaves_a_silent_server_at_once_and_the_next_line_works(begun: bool) -> None:
    waiting = threading.Event()

    def answer(request: Request) -> None:
        if waiting.is_set():
            request.begin()
            return request.text("Back.")
        if begun:
            request.begin()
            request.delta(content="Well")
        waiting.set()
        request.gone.wait(10)
        return None

    with serving(answer) as url:
        chat, stop, stopped_at = OpenAIChat(url, "small"), threading.Event(), [0.0]

        def stopper() -> None:
            waiting.wait(10)
            stopped_at[0] = time.monotonic()
            stop.set()

        threading.Thread(target=stopper).start()
        said = list(chat.respond("Be kind.", TURNS, stop))
        assert time.monotonic() - stopped_at[0] < 0.5  # 0.1 s and a busy machine
        assert said == (["Well"] if begun else [])
        assert list(chat.respond("Be kind.", TURNS, GOING)) == ["Back."]


def test_a_consumer_may_walk_away() -> None:
    def answer(request: Request) -> None:
        request.begin()
        request.text("One ", "two ", "three")

    with serving(answer) as url:
        pieces = OpenAIChat(url, "small").respond("Be kind.", TURNS, GOING)
        assert next(pieces) == "One"
        pieces.close()  # type: ignore[attr-defined]  # a generator, as every engine's answer is
        assert line(url) == ["One", " two", " three"]


@pytest.mark.parametrize(
    ("raw", "what"),
    [
        (b"data: {nonsense\n\n", "not an event"),
        (b'data: {"choices": 3}\n\n', "not an event"),
        (b"data: []\n\n", "not an event"),
        (b'data: {"error": {"message": "out of memory"}}\n\n', "out of memory"),
        (b"", "broke off"),
        (b"<html>Welcome</html>", "broke off"),
        (b'data: {"choices": [{"delta": {"content": "Half a"}}]}\n\n', "broke off"),
    ],
)
def test_nonsense_is_an_error_that_quotes_it(raw: bytes, what: str) -> None:
    def answer(request: Request) -> None:
        request.begin()
        request.send(raw)

    assert what in refused(answer).what


def test_a_tool_called_with_nonsense_is_an_error() -> None:
    def answer(request: Request) -> None:
        request.begin()
        request.delta(
            tool_calls=[{"index": 0, "function": {"name": "end_call", "arguments": "[1"}}], finish="tool_calls"
        )

    assert "end_call" in refused(answer).what
