"""What a bot can do beside talking, as somebody wrote it down.

Decides: which keys a tool has, what it may be called with, and which tools cannot work. Refuses to know: how a server is asked,
and who calls.

How secrets are kept
A tool names the environment variables that hold its secrets, in `headers_env`; their values stand in no file. A header or a part of
an address whose name looks like a secret's is refused anywhere else.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self
from urllib.parse import parse_qsl, urlsplit

from pydantic import AfterValidator, Field, model_validator

from lab import strict, template
from lab.flow import Name, Text, Texts
from lab.strict import Duration, FieldError, Options, Strict

END_CALL = "end_call"
"""The tool that every bot has."""
FILLER_AFTER = 1.0
"""Seconds a tool may take before its filler is said."""
LONGEST_TIMEOUT = 30.0
"""Seconds: nobody waits longer on the phone."""

_SECRET = re.compile(r"auth(?!or(?!iz))|cookie|token|secret|passw|(^|[^a-z])(api|access)?key", re.IGNORECASE)
_HARMLESS = re.compile(r"idempotency", re.IGNORECASE)
_BOOLEANS = {"true": True, "yes": True, "false": False, "no": False}


def _parameter_name(value: str) -> str:
    if value.isascii() and value.isidentifier():
        return value
    raise FieldError(f"`{value}` is no parameter's name", hint="letters, digits and `_`, as in `day` or `orderId`")


def _header_name(value: str) -> str:
    if re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", value):
        return value
    raise FieldError(f"`{value}` is no header's name", hint="for example `X-Customer`")


def _environment_name(value: str) -> str:
    if value.isascii() and value.isidentifier():
        return value
    # never shown: this is where people paste the secret itself
    raise FieldError(
        "this is no environment variable's name", hint="write the name, as in `BOOKING_AUTH`, never the secret"
    )


def _address(value: str) -> str:
    server, bare = re.match(r"https?://([^/?]*)", value), without_variables(value)
    if "{{" in (server[1] if server else value.partition("/")[0]):
        raise FieldError("a variable may not decide which server is asked", hint="write the server's name out")
    try:
        url = urlsplit(bare)
        usable = bool(url.hostname) and url.port != 0
    except ValueError:
        usable = False
    if not server or not usable or re.search(r"[\s\\#\x00-\x1f]", bare):
        raise FieldError("this is no address", hint="for example `http://127.0.0.1:9000/book`")
    if url.username is not None or any(secret(name) for name, _ in parse_qsl(url.query, keep_blank_values=True)):
        hint = "send it as a header whose value stands in the environment: `headers_env: {X-Api-Key: BOOKING_KEY}`"
        raise FieldError("the address carries a password or a key", hint=hint)
    if dots(bare):
        raise FieldError("this address climbs with `.` or `..`", hint="write the path it leads to")
    return value


ParameterName = Annotated[str, AfterValidator(_parameter_name)]
HeaderName = Annotated[str, AfterValidator(_header_name)]
EnvironmentName = Annotated[str, AfterValidator(_environment_name)]


class Parameter(Strict):
    """One thing a tool is told."""

    type: Literal["string", "number", "integer", "boolean"]
    description: Text | None = None
    enum: Texts | None = Field(default=None, min_length=1)
    """Of a string: the values it may have."""
    optional: bool = False

    @model_validator(mode="after")
    def _enum_of_strings(self) -> Self:
        if self.enum and self.type != "string":
            raise FieldError(f"this is used with strings only, not with `{self.type}`", hint="remove it", at=("enum",))
        return self

    def json_schema(self) -> dict[str, Any]:
        """This parameter as JSON Schema."""
        schema: dict[str, Any] = {"type": self.type}
        if self.description:
            schema["description"] = self.description
        if self.enum:
            schema["enum"] = list(self.enum)
        return schema

    def read(self, text: str) -> Any:
        """The value that `text` writes; `text` itself where it writes none of this type."""
        word = text.strip()
        if self.type == "boolean":
            return _BOOLEANS.get(word.casefold(), text)
        if self.type == "integer" and re.fullmatch(r"[+-]?[0-9]{1,18}", word):
            return int(word)
        if self.type == "number" and re.fullmatch(r"[+-]?[0-9]{1,18}(\.[0-9]{1,18})?", word):
            return float(word) if "." in word else int(word)
        return text

    def wrong(self, value: Any) -> str | None:
        """What `value` should be, as in `must be a whole number`; None when it is right."""
        right: Mapping[str, tuple[bool, str]] = {
            "string": (isinstance(value, str), "text"),
            "boolean": (isinstance(value, bool), "true or false"),
            "integer": (isinstance(value, int) and not isinstance(value, bool), "a whole number"),
            "number": (
                isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300,
                "a number",
            ),
        }
        fits, word = right[self.type]
        if not fits:
            return word
        return f"one of {', '.join(self.enum)}" if self.enum and value not in self.enum else None


class Http(Strict):
    """A server that does it. Answers in JSON, or in plain text, which becomes `{"text": …}`; redirects are not followed.

    Arguments that the address names go there, as `{{arguments.day}}`; all others go into the body, or into the query of a GET or
    DELETE.
    """

    url: Annotated[Text, AfterValidator(_address)]
    """May have variables behind the server's name; their values are quoted."""
    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"] = "POST"
    headers: dict[HeaderName, Text] = Field(default_factory=dict)
    """May have variables. Never secrets."""
    headers_env: dict[HeaderName, EnvironmentName] = Field(default_factory=dict)
    """Header -> the environment variable that holds its whole value, as in `Bearer …`."""
    body: Literal["json", "form"] | None = None
    """How arguments are sent; nothing is `json`. A GET or DELETE has none."""
    timeout: Annotated[Duration, Field(gt=0, le=LONGEST_TIMEOUT)] = 10.0
    """Seconds for everything."""

    @property
    def has_body(self) -> bool:
        return self.method in ("POST", "PUT", "PATCH")

    @model_validator(mode="after")
    def _body_with_method(self) -> Self:
        if self.body and not self.has_body:
            hint = "remove it: the arguments go into the address"
            raise FieldError(f"a {self.method} has no body", hint=hint, at=("body",))
        return self

    @model_validator(mode="after")
    def _headers_without_secrets(self) -> Self:
        named = {name.casefold() for name in self.headers_env}
        for name in self.headers:
            if name.casefold() in named:
                raise FieldError("this header is given twice", hint="keep one of the two", at=("headers", name))
            if secret(name):
                hint = f"name the environment variable that holds it: `headers_env: {{{name}: BOOKING_AUTH}}`"
                raise FieldError("a secret does not belong into a file", hint=hint, at=("headers", name))
        return self


class Mock(Strict):
    """An answer without any server."""

    answer: Options | None = None
    fails: Text | None = None
    """Why it fails, one sentence."""
    delay: Annotated[Duration, Field(ge=0, le=60)] = 0.0
    """Seconds until then."""

    @model_validator(mode="before")
    @classmethod
    def _answer_directly(cls, data: Any) -> Any:
        if isinstance(data, dict) and data and not data.keys() & {"answer", "fails", "delay"}:
            raise FieldError("what it answers is one level too high", hint='write `mock: {answer: {code: "A 12"}}`')
        return data

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if (self.answer is None) == (self.fails is None):
            raise FieldError("a mock either answers or fails", hint="give `answer` or `fails`")
        return self


class Tool(Strict):
    """Something a bot can do."""

    description: Text
    """What it does; a model that may call it is shown this."""
    parameters: dict[ParameterName, Parameter] = Field(default_factory=dict)
    arguments: dict[ParameterName, Text] = Field(default_factory=dict)
    """What a prepared answer calls it with. An optional one whose variable has no value is left out."""
    http: Http | None = None
    mock: Mock | None = None
    saves: dict[Name, Text] = Field(default_factory=dict)
    """Variable -> where its value stands in the answer: `{code: booking.codes.0}` makes `{{tool.code}}`."""
    filler: Texts = ()
    """One of these is said, in turn, when it takes longer than `FILLER_AFTER`."""
    on_failure: Text | None = None
    """Said when it fails, instead of the words of the answer that called it."""

    def texts(self) -> list[str]:
        """Everything that may hold variables."""
        http = [self.http.url, *self.http.headers.values()] if self.http else []
        return [*self.arguments.values(), *http, *self.filler, *([self.on_failure] if self.on_failure else [])]

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.http is None) == (self.mock is None):
            what = (
                "nothing says how this is done"
                if self.http is None
                else "a server and a mock are two ways to do one thing"
            )
            raise FieldError(what, hint="give `http` or `mock`")
        return self

    @model_validator(mode="after")
    def _arguments_fit(self) -> Self:
        for name, text in self.arguments.items():
            loc = ("arguments", name)
            if name not in self.parameters:
                hint = strict.did_you_mean(name, list(self.parameters)) or "write it under `parameters`"
                raise FieldError(f"there is no parameter `{name}`", hint=hint, at=loc)
            parameter = self.parameters[name]
            should = None if template.names(text) else parameter.wrong(parameter.read(text))
            if should:
                raise FieldError(f"must be {should}, not `{text}`", at=loc)
        for name, parameter in self.parameters.items():
            if self.arguments and name not in self.arguments and not parameter.optional:
                hint = f"write `{name}` too, or make the parameter `optional: true`"
                raise FieldError(f"`{name}` is missing", hint=hint, at=("arguments",))
        return self

    @model_validator(mode="after")
    def _names_in_address(self) -> Self:
        for name in template.names(self.http.url) if self.http else ():
            key = name.removeprefix("arguments.")
            if key != name and key not in self.parameters:
                hint = strict.did_you_mean(key, list(self.parameters)) or "write it under `parameters`"
                raise FieldError(f"there is no parameter `{key}`", hint=hint, at=("http", "url"))
        return self

    @model_validator(mode="after")
    def _paths_lead_somewhere(self) -> Self:
        for name, path in self.saves.items():
            if not all(part.strip() for part in path.split(".")):
                raise FieldError(f"`{path}` leads nowhere", hint="for example `booking.code`", at=("saves", name))
        return self


def _no_end_call(tools: dict[str, Tool]) -> dict[str, Tool]:
    if END_CALL in tools:
        raise FieldError("every bot has this one already", hint="take another name", at=(END_CALL,))
    return tools


Tools = Annotated[dict[Name, Tool], AfterValidator(_no_end_call)]
"""The tools of a bot, by name."""


def secret(name: str) -> bool:
    """Whether `name`, of a header or in a query, looks like a secret's."""
    return bool(_SECRET.search(name)) and not _HARMLESS.search(name)


def without_variables(url: str) -> str:
    """`url` with an `x` for each variable: the same server, as it can be read."""
    return template.render(url, dict.fromkeys(template.names(url), "x")).text


def dots(url: str) -> bool:
    """Whether the path of `url` has a part `.` or `..`: it leads elsewhere than it says."""
    path = re.sub("%2e", ".", url.partition("?")[0], flags=re.IGNORECASE)
    return any(part in (".", "..") for part in path.split("/"))
