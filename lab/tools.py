"""What a bot does beside talking: asks a server, or pretends to, and says what came of it.

Decides: what is sent, what counts as an answer, how each failure is told. Refuses to know: calls, who wants it done, and what is
said meanwhile.

How a server is asked
1.  In an event loop of its own, in a thread of `lab.offload`: under pace `fixed` the call stands still meanwhile and is charged
    the cost `tool`; whoever stops waiting stops the request, too, within `LOOK`.
2.  Values in the address are quoted. After that the server must be the one that was written down.
3.  Secrets come from the environment. What a server sends back of them is replaced by `***`; its own words are in no error.
4.  Nothing that a server does raises: it is a `ToolAnswer` that is not ok.
"""

from __future__ import annotations

import asyncio
import functools
import json
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode, urlsplit

from lab import offload, template
from lab.pace import Pace
from lab.ports import Stop

if TYPE_CHECKING:  # only their shape is needed, and they take a while to import
    import httpx

    from lab.tooling import Http, Mock, Tool

MOST_BYTES = 64 * 1024
"""Of an answer."""
MOST_SHOWN = 2048
"""Characters of an answer that the log keeps."""
LOOK = 0.05
"""Seconds between two looks at `stop`."""
GRACE = 0.5
"""Seconds after the timeout when waiting ends whatever hangs: a name server that is silent cannot be stopped."""

_END_CALL = {
    "type": "function",
    "function": {
        "name": "end_call",
        "description": "Hang up. Only after saying goodbye.",
        "parameters": {"type": "object", "properties": {}},
    },
}


@dataclass(frozen=True, slots=True)
class ToolAnswer:
    """What came of a call."""

    ok: bool
    data: Any = None
    """What JSON said. Also of a server that refused, where it gave reasons."""
    error: str | None = None
    """Why it is not ok, one sentence; never a secret, never the server's own words."""
    took: float = 0.0
    """Seconds of call time."""
    name: str = ""
    """Of the tool."""
    again: bool = False
    """It was given before in this call and is only looked up."""


async def call(
    tool: Tool,
    name: str,
    arguments: Mapping[str, Any],
    values: Mapping[str, str],
    *,
    env: Mapping[str, str],
    pace: Pace,
) -> ToolAnswer:
    """Do it.

    name: of the tool; values: for the variables in address and headers, by full name; env: where secrets are looked up.
    Never raises for what arguments, environment and server are like. Can be cancelled at any time.
    """
    began = pace.now()
    given = {key: value for key, value in arguments.items() if value is not None or not _optional(tool, key)}
    wrong = _wrong(tool, name, given)
    if wrong is not None:
        answer = _failed(wrong)
    elif tool.mock is not None:
        answer = await _pretend(tool.mock)
    else:
        assert tool.http is not None, "a tool has one or the other"
        answer = await _over_http(tool.http, tool, given, values, env, pace)
    return replace(answer, name=name, took=round(pace.now() - began, 3))


def prepared(tool: Tool, values: Mapping[str, str]) -> dict[str, Any]:
    """The arguments that a prepared answer calls `tool` with. One whose variables have no value is left out."""
    rendered = {key: template.render(text, values) for key, text in tool.arguments.items()}
    return {key: tool.parameters[key].read(text.text) for key, text in rendered.items() if not text.unresolved}


def definitions(tools: Mapping[str, Tool]) -> list[dict[str, Any]]:
    """All that a model may call, in OpenAI's form: `tools`, and `end_call`."""

    def definition(name: str, tool: Tool) -> dict[str, Any]:
        parameters = {
            "type": "object",
            "properties": {key: parameter.json_schema() for key, parameter in tool.parameters.items()},
            "required": [key for key, parameter in tool.parameters.items() if not parameter.optional],
            "additionalProperties": False,
        }
        function = {"name": name, "description": tool.description, "parameters": parameters}
        return {"type": "function", "function": function}

    return [*(definition(name, tool) for name, tool in tools.items()), _END_CALL]


def schema(tool: Tool) -> dict[str, Any]:
    """JSON Schema of the arguments, for filling them in: all must be there, and optional ones may be null."""
    properties = {}
    for key, parameter in tool.parameters.items():
        properties[key] = parameter.json_schema()
        if parameter.optional:
            properties[key]["type"] = [parameter.type, "null"]
            if parameter.enum:
                properties[key]["enum"] = [*parameter.enum, None]
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def saved(tool: Tool, data: Any) -> dict[str, str]:
    """What `tool` keeps of an answer: `tool.<name>` -> text. What is not there, or null, is left out."""
    found = {f"tool.{name}": _at(data, path) for name, path in tool.saves.items()}
    return {name: template.as_text(value) for name, value in found.items() if value is not None}


def shown(data: Any) -> Any:
    """`data` as the log keeps it: where it is long, the beginning of its JSON as text."""
    text = json.dumps(data, ensure_ascii=False)
    return data if len(text) <= MOST_SHOWN else f"{text[: MOST_SHOWN - 1]}…"


def _at(data: Any, path: str) -> Any:
    for part in path.split("."):
        if isinstance(data, Mapping):
            data = data.get(part)
        elif isinstance(data, list) and part.isascii() and part.isdigit() and len(part) < 6 and int(part) < len(data):
            data = data[int(part)]
        else:
            return None
    return data


def _failed(error: str, data: Any = None) -> ToolAnswer:
    return ToolAnswer(False, data=data, error=error)


# -- arguments ---------------------------------------------------------------------------------------------------------


def _optional(tool: Tool, name: str) -> bool:
    return name in tool.parameters and tool.parameters[name].optional


def _wrong(tool: Tool, name: str, arguments: Mapping[str, Any]) -> str | None:
    """What is wrong with `arguments`, as a sentence."""
    for key, parameter in tool.parameters.items():
        if key not in arguments:
            if not parameter.optional:
                return f"`{name}` was called without `{key}`"
        elif should := parameter.wrong(arguments[key]):
            return f"`{name}` was called with a `{key}` that is not {should}"
    unknown = [key for key in arguments if key not in tool.parameters]
    return f"`{name}` was called with `{unknown[0][:40]}`, which it does not know" if unknown else None


# -- without a server --------------------------------------------------------------------------------------------------


async def _pretend(mock: Mock) -> ToolAnswer:
    await asyncio.sleep(mock.delay)
    return ToolAnswer(True, mock.answer) if mock.fails is None else _failed(mock.fails)


# -- over HTTP ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Request:
    """All that is sent."""

    method: str
    url: str
    headers: tuple[tuple[str, str], ...] = field(repr=False)
    content: bytes | None
    secrets: tuple[str, ...] = field(repr=False)
    server: str
    """As it may be shown: scheme, host and port."""
    timeout: float


class _UnsendableError(Exception):
    """What would be sent cannot be; the text says why."""


async def _over_http(
    http: Http,
    tool: Tool,
    arguments: Mapping[str, Any],
    values: Mapping[str, str],
    env: Mapping[str, str],
    pace: Pace,
) -> ToolAnswer:
    server = _server(http)

    def ask(stop: Stop) -> ToolAnswer:
        _tls()  # takes a while, and the timeout is the server's
        try:
            request = _request(http, tool, arguments, values, env)
        except _UnsendableError as error:
            return _failed(str(error))
        return asyncio.run(_watched(request, stop))

    try:
        async with asyncio.timeout(http.timeout + GRACE):
            return await offload.call(ask, pace, "tool")
    except TimeoutError:
        return _silent(server, http.timeout)


def _request(
    http: Http, tool: Tool, arguments: Mapping[str, Any], values: Mapping[str, str], env: Mapping[str, str]
) -> _Request:
    texts = {f"arguments.{key}": template.as_text(arguments.get(key)) for key in tool.parameters}
    known = {**values, **texts}
    named = {name.removeprefix("arguments.") for name in template.names(http.url) if name.startswith("arguments.")}
    rest = {key: value for key, value in arguments.items() if key not in named}
    url = _url(http, known)
    headers = {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "callctl"}
    content = None
    if http.has_body and http.body == "form":
        headers["Content-Type"] = "application/x-www-form-urlencoded"
        content = _form(rest).encode()
    elif http.has_body:
        headers["Content-Type"] = "application/json"
        content = json.dumps(rest).encode()
    elif rest:
        url += ("&" if "?" in url else "?") + _form(rest)
    for name, text in http.headers.items():
        rendered = template.render(text, known)
        if rendered.unresolved:
            raise _UnsendableError(f"the header {name} needs `{rendered.unresolved[0]}`, which has no value")
        headers = _with(headers, name, rendered.text, f"the value of the header {name}")
    secrets: list[str] = []
    for name, variable in http.headers_env.items():
        secret = env.get(variable, "").strip()
        if not secret:
            raise _UnsendableError(f"the environment variable {variable} is not set")
        headers = _with(headers, name, secret, f"what stands in the environment variable {variable}")
        secrets += [secret, secret.split()[-1]]  # a server may give back `Bearer x`, or `x` alone
    return _Request(http.method, url, tuple(headers.items()), content, tuple(secrets), _server(http), http.timeout)


def _server(http: Http) -> str:
    written = urlsplit(http.url)
    return f"{written.scheme}://{written.netloc}"


def _url(http: Http, values: Mapping[str, str]) -> str:
    """The address with its variables filled in. Raises _UnsendableError when that makes it another server's, or another path."""
    import httpx

    from lab.tooling import dots, without_variables

    quoted = {name: quote(value, safe="", errors="replace") for name, value in values.items()}
    rendered = template.render(http.url, quoted)
    if rendered.unresolved:
        raise _UnsendableError(f"the address needs `{rendered.unresolved[0]}`, which has no value")
    try:
        written, meant = httpx.URL(without_variables(http.url)), httpx.URL(rendered.text)
    except httpx.InvalidURL:
        raise _UnsendableError("a value does not fit into the address") from None
    same = (written.scheme, written.host, written.port) == (meant.scheme, meant.host, meant.port)
    if not same or dots(rendered.text):
        raise _UnsendableError("a value would change where the address leads")
    return rendered.text


def _with(headers: Mapping[str, str], name: str, value: str, what: str) -> dict[str, str]:
    if not (value.isascii() and value.isprintable()):
        raise _UnsendableError(f"{what} cannot stand in a header")
    return {**{key: text for key, text in headers.items() if key.casefold() != name.casefold()}, name: value}


def _form(arguments: Mapping[str, Any]) -> str:
    return urlencode({key: template.as_text(value) for key, value in arguments.items()}, errors="replace")


@functools.cache
def _tls() -> ssl.SSLContext:
    import httpx

    return httpx.create_ssl_context()


async def _watched(request: _Request, stop: Stop) -> ToolAnswer:
    """The answer, unless `stop` is set first."""
    asking = asyncio.create_task(_asked(request))
    while not asking.done():
        if stop.is_set():
            asking.cancel()
        await asyncio.wait({asking}, timeout=LOOK)
    return _failed("it was stopped") if asking.cancelled() else asking.result()


async def _asked(request: _Request) -> ToolAnswer:
    import httpx

    try:
        async with (
            asyncio.timeout(request.timeout),
            httpx.AsyncClient(timeout=None, verify=_tls(), follow_redirects=False) as client,
            client.stream(request.method, request.url, headers=request.headers, content=request.content) as response,
        ):
            return await _read(request, response)
    except TimeoutError:
        return _silent(request.server, request.timeout)
    except httpx.ConnectError:
        return _failed(f"cannot connect to {request.server}")
    except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, OSError, ValueError):
        return _failed(f"the connection to {request.server} broke off")


async def _read(request: _Request, response: httpx.Response) -> ToolAnswer:
    server, status = request.server, response.status_code
    if response.headers.get("Content-Encoding", "identity") != "identity":
        return _failed(f"{server} sent a compressed answer, which is not read here")
    body = bytearray()
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) > MOST_BYTES:
            return _failed(f"{server} sent more than {MOST_BYTES // 1024} kB")
    kind = response.headers.get("Content-Type", "").partition(";")[0].strip().casefold()
    data, readable = _data(bytes(body), kind, request.secrets)
    if 300 <= status < 400:
        return _failed(f"{server} answered {_status(status)} and points elsewhere; redirects are not followed")
    if not 200 <= status < 300:
        return _failed(f"{server} answered {_status(status)}", data if readable else None)
    return ToolAnswer(True, data) if readable else _failed(f"{server} answered with what is no JSON")


def _data(body: bytes, kind: str, secrets: tuple[str, ...]) -> tuple[Any, bool]:
    """What `body` says, without secrets, and whether it is fit to be read at all. Nothing is an empty object."""
    plain = kind in ("", "text/plain")
    try:
        text = body.decode("utf-8").strip()
    except UnicodeDecodeError:
        return None, False
    try:
        data = json.loads(text) if text else {}
        json.dumps(data, ensure_ascii=False, allow_nan=False).encode()  # whoever keeps it must be able to write it
    except (ValueError, RecursionError):
        data = None
        if not plain:
            return None, False
    if plain and not isinstance(data, dict | list):
        data = {"text": text}
    return _without(data, secrets), True


def _without(data: Any, secrets: tuple[str, ...]) -> Any:
    match data:
        case str():
            for secret in secrets:
                data = data.replace(secret, "***")
            return data
        case list():
            return [_without(inner, secrets) for inner in data]
        case dict():
            return {_without(key, secrets): _without(value, secrets) for key, value in data.items()}
    return data


def _status(status: int) -> str:
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


def _silent(server: str, timeout: float) -> ToolAnswer:
    return _failed(f"{server} did not answer within {timeout:g} s")
