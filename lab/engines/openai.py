"""Any OpenAI-compatible chat server as a Responder.

Decides: the request, how its event stream is read, what each failure is called. Refuses to know: calls, and which server it is.

Each request runs in an event loop of its own, inside the thread that asks. That makes a silent server cancellable at any
point (looking up, connecting, waiting, reading), and needs no second thread.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Any

import httpx

from lab.errors import ConfigError, InfrastructureError
from lab.ports import EngineFacts, Past, Stop, ToolCall, Turn, Use
from lab.speakable import speakable

LOOK = 0.1
"""Seconds between two looks at `stop`."""
TOP_LOGPROBS = 20
"""The most that servers give."""
UNLIKELY = -20.0
"""Log-probability of a choice that the server did not name."""
ANSWER_TOKENS = 1024
"""Tokens that one analysis may take."""


class OpenAIChat:
    """`POST {base_url}/chat/completions`, streamed.

    base_url: as OpenAI's clients take it, so usually ending in `/v1`; api_key: sent as a bearer token and shown nowhere
    max_tokens: of one line; timeout: seconds to connect, to the first byte, and between two
    Raises ConfigError when base_url is no address; InfrastructureError when the server cannot be reached, refuses, is silent, or sends what is no event stream.
    """

    def __init__(
        self,
        base_url: str,
        model: str,
        *,
        api_key: str | None = None,
        max_tokens: int = 60,
        temperature: float = 0.0,
        timeout: float = 10.0,
    ) -> None:
        self._url = f"{base_url.rstrip('/')}/chat/completions"
        self._where = _shown(base_url)
        self._api_key, self._timeout = api_key, timeout
        self._options: dict[str, Any] = {"max_tokens": max_tokens, "temperature": temperature}
        self._model = model
        self._takes_schema = True
        self._tls: ssl.SSLContext | None = None
        self.facts = EngineFacts(
            engine="openai",
            model=model,
            version=httpx.__version__,
            options={**self._options, "server": self._where},
            calls_tools=True,
            ahead=False,
        )

    def warm(self, system: str, stop: Stop, turns: Sequence[Past] = (), *, use: Use = "talk") -> None:
        """Ask for one token, so that the server loads the model and keeps the prompt; wrong keys and names show here."""
        if turns:  # the server keeps what it has seen
            return
        for _ in self._deltas(_messages(system, [Turn("customer", "Hello?")]), {"max_tokens": 1}, stop):
            pass

    def respond(
        self, system: str, turns: Sequence[Past], stop: Stop, *, tools: Sequence[Mapping[str, Any]] = ()
    ) -> Iterator[str | ToolCall]:
        """The next line as the server sends it, made fit to be said, then the tools it calls."""
        offered = {"tools": list(tools)} if tools else {}
        calls: dict[int, dict[str, str]] = {}

        def written() -> Iterator[str]:
            for delta in self._deltas(_messages(system, turns), offered, stop):
                if text := delta.get("content"):
                    yield str(text)
                for part in delta.get("tool_calls") or ():
                    call = calls.setdefault(int(part.get("index", 0)), {"name": "", "arguments": ""})
                    for key, value in (part.get("function") or {}).items():
                        if key in call and value:
                            call[key] += str(value)

        yield from speakable(written(), self._options["max_tokens"])
        if not stop.is_set():
            for _, call in sorted(calls.items()):
                yield self._tool_call(call)

    def weigh(
        self, system: str, turns: Sequence[Past], choices: Sequence[str], stop: Stop
    ) -> Iterator[Sequence[float]]:
        """From the server's log-probabilities; one that sends none has its one word taken for certain."""
        options = {"max_tokens": 1, "temperature": 0.0, "logprobs": True, "top_logprobs": TOP_LOGPROBS}
        found: dict[str, float] = {}
        for delta in self._choices(_messages(system, turns), options, stop):
            word = str((delta.get("delta") or {}).get("content") or "").strip()
            if word:
                found.setdefault(word, 0.0)
            for token in (delta.get("logprobs") or {}).get("content") or ():
                for entry in token.get("top_logprobs") or ():
                    found[str(entry["token"]).strip()] = float(entry["logprob"])
        if not stop.is_set():
            yield [found.get(choice, UNLIKELY) for choice in choices]

    def extract(
        self, system: str, text: str, schema: Mapping[str, Any], stop: Stop, *, use: Use = "analysis"
    ) -> Iterator[str]:
        """Pieces of the JSON document as the server sends them. Whether it follows the schema is the server's doing."""
        options: dict[str, Any] = {"max_tokens": ANSWER_TOKENS, "temperature": 0.0}
        turns = [Turn("customer", text)]
        if self._takes_schema:
            by_schema = {"type": "json_schema", "json_schema": {"name": "result", "schema": schema}}
            try:
                yield from self._texts(_messages(system, turns), {**options, "response_format": by_schema}, stop)
            except _RefusedError as error:
                if error.status not in (400, 422):
                    raise
                self._takes_schema = False  # an older server, and it said so before it sent anything
        if not self._takes_schema:
            told = f"{system}\n\nThe JSON object follows this JSON Schema:\n{json.dumps(schema)}"
            yield from self._texts(
                _messages(told, turns), {**options, "response_format": {"type": "json_object"}}, stop
            )

    def _texts(self, messages: list[dict[str, Any]], options: Mapping[str, Any], stop: Stop) -> Iterator[str]:
        for delta in self._deltas(messages, options, stop):
            if text := delta.get("content"):
                yield str(text)

    def _deltas(
        self, messages: list[dict[str, Any]], options: Mapping[str, Any], stop: Stop
    ) -> Iterator[Mapping[str, Any]]:
        for choice in self._choices(messages, options, stop):
            yield choice.get("delta") or {}

    def _choices(
        self, messages: list[dict[str, Any]], options: Mapping[str, Any], stop: Stop
    ) -> Iterator[Mapping[str, Any]]:
        """The first choice of each event. Returns early, and leaves the server, once `stop` is set."""
        body = {"model": self._model, "messages": messages, "stream": True, **self._options, **options}
        with asyncio.Runner() as runner:  # on leaving it, whatever is still under way is cancelled and closed
            events = self._events(body)
            while not stop.is_set():
                event = runner.get_loop().create_task(_next(events))
                while not runner.run(_settled(event)):
                    if stop.is_set():
                        return
                data = event.result()
                if data is None:
                    return
                yield self._choice(data)

    async def _events(self, body: Mapping[str, Any]) -> AsyncIterator[str]:
        """What stands behind `data:` in each line, up to and without the closing `[DONE]`."""
        headers = {"Authorization": f"Bearer {self._api_key}"} if self._api_key else {}
        finished = False
        try:
            if self._tls is None:
                self._tls = httpx.create_ssl_context()
            async with (
                httpx.AsyncClient(timeout=self._timeout, verify=self._tls) as client,
                client.stream("POST", self._url, json=body, headers=headers) as response,
            ):
                if response.status_code != 200:
                    raise self._refusal(response.status_code, (await response.aread()).decode("utf-8", "replace"))
                async for line in response.aiter_lines():
                    data = line.removeprefix("data:").strip() if line.startswith("data:") else ""
                    finished = finished or data == "[DONE]" or ('"finish_reason"' in data and _finished(data))
                    if data == "[DONE]":
                        return
                    if data:
                        yield data
        except httpx.TimeoutException:
            raise self._error(
                f"the server was silent for {self._timeout:g} s", "see whether it is busy loading the model"
            ) from None
        except httpx.ConnectError as error:
            raise self._error(f"cannot connect: {error}", "start the server, or correct the address") from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise self._error(f"the connection failed: {error}", "see the server's log") from None
        if not finished:
            raise self._error("the answer broke off", "see the server's log; it may not stream, or have died")

    def _choice(self, data: str) -> Mapping[str, Any]:
        try:
            event = json.loads(data)
            if "error" in event:
                raise self._error(f"the server failed: {_reason(data)}", "see the server's log")
            return dict(event["choices"][0]) if event["choices"] else {}
        except (ValueError, KeyError, TypeError, IndexError):
            raise self._error(
                f"not an event of a chat completion: {data[:80]}", "point the profile at an OpenAI-compatible server"
            ) from None

    def _tool_call(self, call: Mapping[str, str]) -> ToolCall:
        try:
            return ToolCall(call["name"], dict(json.loads(call["arguments"] or "{}")))
        except (ValueError, TypeError):
            raise self._error(
                f"tool {call['name']!r} was called with what is no JSON object: {call['arguments'][:80]}",
                "take a model that knows tool calls",
            ) from None

    def _refusal(self, status: int, body: str) -> _RefusedError:
        hints = {
            401: "check the API key",
            403: "check what the API key may do",
            404: f"check the address and that the server has the model {self._model!r}",
            429: "wait, or check the account's limits",
        }
        error = self._error(f"the server refused with HTTP {status}: {_reason(body)}", hints.get(status))
        return _RefusedError(status, error)

    def _error(self, what: str, hint: str | None) -> InfrastructureError:
        if self._api_key:  # some servers repeat the key they refuse
            what = what.replace(self._api_key, "***")
        return InfrastructureError(what, where=self._where, hint=hint)


class _RefusedError(InfrastructureError):
    """The server answered with a status other than 200."""

    def __init__(self, status: int, error: InfrastructureError) -> None:
        super().__init__(error.what, where=error.where, hint=error.hint)
        self.status = status


def _shown(base_url: str) -> str:
    """`base_url` as it may be shown: without a user, a password or a query. Raises ConfigError when it is no address."""
    try:
        url = httpx.URL(base_url)
    except httpx.InvalidURL:
        url = httpx.URL("")
    shown = str(url.copy_with(userinfo=b"", query=None))
    if url.scheme not in ("http", "https") or not url.host or (url.port or 0) > 65535:
        raise ConfigError("not the address of a server", where=shown or None, hint="write it as http://host:port/v1")
    return shown


def _messages(system: str, turns: Sequence[Past]) -> list[dict[str, Any]]:
    """A tool's result stands behind the message that called it: the bot's line just before, or an empty one."""
    roles = {"customer": "user", "bot": "assistant"}
    messages: list[dict[str, Any]] = [{"role": "system", "content": system}]
    for number, turn in enumerate(turns):
        if isinstance(turn, Turn):
            messages.append({"role": roles[turn.who], "content": turn.text})
            continue
        if messages[-1]["role"] != "assistant":
            messages.append({"role": "assistant", "content": ""})
        function = {"name": turn.call.name, "arguments": json.dumps(dict(turn.call.arguments))}
        name = f"call_{number}"
        messages[-1]["tool_calls"] = [{"id": name, "type": "function", "function": function}]
        messages.append({"role": "tool", "tool_call_id": name, "content": json.dumps(turn.data)})
    return messages


async def _next(events: AsyncIterator[str]) -> str | None:
    return await anext(events, None)


async def _settled(task: asyncio.Task[str | None]) -> bool:
    """Whether `task` is done, after waiting for it for a moment."""
    done, _ = await asyncio.wait({task}, timeout=LOOK)
    return bool(done)


def _finished(data: str) -> bool:
    """Whether this event says that the answer is whole."""
    try:
        return any(choice.get("finish_reason") for choice in json.loads(data).get("choices", []))
    except (ValueError, AttributeError):
        return False


def _reason(body: str) -> str:
    """What an error document says, in at most 200 characters."""
    try:
        error = json.loads(body)["error"]
        reason = error["message"] if isinstance(error, dict) else error
    except (ValueError, KeyError, TypeError):
        reason = body
    return " ".join(str(reason).split())[:200] or "nothing said"
