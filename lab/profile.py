"""A bot, as somebody wrote it down: frozen, strict, with its texts ready to be filled in.

Decides: which keys a profile has, their defaults, and which combinations make no sense. Refuses to know: models, lines and
how a call runs. Field docs carry the units; durations are seconds here and have a unit in the file.
"""

from __future__ import annotations

import re
import zoneinfo
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import yaml
from pydantic import (
    AfterValidator,
    Field,
    SerializerFunctionWrapHandler,
    StringConstraints,
    model_serializer,
    model_validator,
)

from lab import numbers, strict, template
from lab.flow import Flow, Name
from lab.strict import Duration, FieldError, OneOrMore, Options, Strict
from lab.tooling import Tool

Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


def _slug(value: str) -> str:
    parts = value.split("-")
    if all(p.isascii() and p.isalnum() and p == p.lower() for p in parts):
        return value
    raise FieldError(f"`{value}` is no short name", hint="small letters, digits and dashes, as in `dental-reminder`")


def _language(value: str) -> str:
    if re.fullmatch(r"[a-z]{2,3}(-[A-Za-z0-9]{2,8})*", value):
        return value
    raise FieldError(f"`{value}` is no language code", hint="for example `en` or `en-IN`")


def _timezone(value: str) -> str:
    known = zoneinfo.available_timezones()
    if value in known:
        return value
    near = strict.nearest(value, [zone.casefold() for zone in known])
    meant = next((zone for zone in known if zone.casefold() == near), None)
    raise FieldError(
        f"no time zone `{value}`", hint=f"did you mean `{meant}`?" if meant else "for example `Asia/Kolkata`"
    )


def _field_name(value: str) -> str:
    if value.isascii() and value.isidentifier():
        return value
    raise FieldError(f"`{value}` is no field name", hint="letters, digits and `_`, as in `DISPOSITION`")


def _server(value: str) -> str:
    try:
        url = urlsplit(value)
    except ValueError:
        url = urlsplit("")
    if url.scheme not in ("http", "https") or not url.hostname:
        raise FieldError("this is no server's address", hint="for example `http://127.0.0.1:8080/v1`")
    if url.username is not None or url.query:
        raise FieldError(
            "the address carries a password or a key", hint="name an environment variable in `api_key_env` instead"
        )
    return value


def _environment_name(value: str) -> str:
    if value.isascii() and value.isidentifier():
        return value
    # never shown: this is where people paste the key itself
    raise FieldError(
        "this is no environment variable's name", hint="write the name, as in `OPENAI_API_KEY`, never the key"
    )


_LATER = ("fields.", "tool.", "arguments.")
"""Namespaces of what is known in the course of the call only."""

Slug = Annotated[str, AfterValidator(_slug)]
E164 = Annotated[str, AfterValidator(strict.check(numbers.e164))]
LabNumber = Annotated[str, AfterValidator(strict.check(numbers.lab_number))]
VariableName = Annotated[str, AfterValidator(strict.check(template.variable_name))]
FieldName = Annotated[str, AfterValidator(_field_name)]
Texts = Annotated[tuple[Text, ...], OneOrMore]
Wait = Annotated[Duration, Field(gt=0, le=10)]


class Stt(Strict):
    """Speech to text."""

    model: Text = "whisper-base"
    hints: Texts = ()
    """Words likely to be said: names, products, codes. Those in `variables` are known anyway."""
    options: Options = Field(default_factory=dict)


class Llm(Strict):
    """What decides the bot's words: a model on this machine, or an OpenAI-compatible server."""

    model: Text = "qwen2.5-coder-1.5b"
    max_tokens: Annotated[int, Field(ge=1, le=4096)] = 60
    temperature: Annotated[float, Field(ge=0, le=2)] = 0.0
    base_url: Annotated[str, AfterValidator(_server)] | None = None
    """Of the server, `/v1` included; None runs `model` here."""
    api_key_env: Annotated[str, AfterValidator(_environment_name)] | None = None
    """The environment variable that holds the server's key."""
    options: Options = Field(default_factory=dict)

    @model_validator(mode="after")
    def _key_needs_server(self) -> Llm:
        if self.api_key_env and not self.base_url:
            raise FieldError("this is used with a server only", hint="give `base_url` too", at=("api_key_env",))
        return self


class Tts(Strict):
    """Text to speech."""

    voice: Text = "en_US-joe-medium"
    options: Options = Field(default_factory=dict)


class LineChoice(Strict):
    """How the call is carried."""

    codec: Literal["pcmu", "pcma", "g722"] = "pcmu"


class BargeIn(Strict):
    """The customer speaking while the bot does."""

    enabled: bool = True
    min_speech: Annotated[Duration, Field(ge=0, le=10)] = 0.2
    """Seconds of voice after which the bot looks whether to stop."""
    words: bool = True
    """Words that ask for the floor stop the bot, `mm-hmm` and its like do not; without, any voice of that length stops it."""


class Endpointing(Strict):
    """Seconds of silence that end the customer's turn. One duration in its place is `always`."""

    finished: Wait = 0.3
    """After a whole sentence."""
    unsure: Wait = 0.7
    """Where words and sound leave it open."""
    number: Wait = 1.08
    """Inside a telephone number, a code, an address, or a word that is spelled."""
    unfinished: Wait = 1.6
    """After a sentence that breaks off."""
    always: Wait | None = None
    """The same, whatever is said."""
    sound: bool = True
    """A model judges by the sound, too, whether the customer has finished."""

    @model_validator(mode="before")
    @classmethod
    def _one_for_all(cls, data: Any) -> Any:
        return data if isinstance(data, dict | Endpointing) else {"always": data}

    @model_serializer(mode="wrap")
    def _as_written(self, dump: SerializerFunctionWrapHandler) -> Any:
        return dump(self) if self.always is None else strict.duration_text(self.always)


class ReEngagement(Strict):
    """What the bot says when nobody speaks."""

    after: Annotated[Duration, Field(gt=0)] = 8.0
    """Seconds of silence before each line."""
    lines: Texts = ("Hello, are you still there?", "I cannot hear you. Are you there?")
    """Said one after the other, each once; then comes `limits.dead_air`."""


class TurnTaking(Strict):
    """When a turn ends and when it may be cut."""

    endpointing: Endpointing = Endpointing()
    barge_in: BargeIn = BargeIn()
    re_engagement: ReEngagement = ReEngagement()


class Limits(Strict):
    """When a call ends whatever is being said."""

    max_duration: Annotated[Duration, Field(gt=0)] = 180.0
    """Seconds from the answer."""
    dead_air: Annotated[Duration, Field(gt=0)] = 30.0
    """Seconds without a word, the re-engagement lines not counted, after which the bot hangs up."""
    ring_timeout: Annotated[Duration, Field(gt=0)] = 30.0
    """Seconds of ringing before the bot gives up."""


class AnalysisField(Strict):
    """One thing to find out after the call."""

    type: Literal["string", "boolean", "integer", "number"]
    description: Text | None = None
    enum: Annotated[dict[Text, Text], Field(min_length=1)] | None = None
    """Allowed values and what each means, one line each."""
    max_length: Annotated[int, Field(ge=1, le=2000)] | None = Field(default=None, alias="maxLength")

    @model_validator(mode="before")
    @classmethod
    def _enum_has_meanings(cls, data: Any) -> Any:
        if isinstance(data, dict) and isinstance(data.get("enum"), list):
            hint = "write `Confirmed: the customer will come` for each, so that the model knows what to choose"
            raise FieldError("each value needs its meaning", hint=hint, at=("enum",))
        return data

    @model_validator(mode="after")
    def _bounded(self) -> AnalysisField:
        if self.type == "string":
            if self.enum is None and self.max_length is None:
                raise FieldError("a string needs a bound", hint="add `maxLength: 120`, or an `enum` of values")
            if self.enum is not None and self.max_length is not None:
                raise FieldError("this is not used beside `enum`", hint="remove it", at=("maxLength",))
        elif self.enum is not None or self.max_length is not None:
            key = "enum" if self.enum is not None else "maxLength"
            raise FieldError(f"this is used with strings only, not with `{self.type}`", hint="remove it", at=(key,))
        return self

    def texts(self) -> list[str]:
        """What may hold variables: the description and what each value means, not the values."""
        return [text for text in (self.description, *(self.enum or {}).values()) if text is not None]

    def filled(self, by: Mapping[str, str]) -> AnalysisField:
        """This field with `texts` replaced, each by what `by` has for it."""
        enum = self.enum and {value: by[meaning] for value, meaning in self.enum.items()}
        return self.model_copy(update={"description": self.description and by[self.description], "enum": enum})

    def json_schema(self) -> dict[str, Any]:
        """This field as JSON Schema."""
        schema: dict[str, Any] = {"type": self.type}
        if self.description:
            schema["description"] = self.description
        if self.enum:
            schema["enum"] = list(self.enum)
        if self.max_length:
            schema["maxLength"] = self.max_length
        return schema


class Analysis(Strict):
    """What is found out once the call is over."""

    instructions: Text
    fields: Annotated[dict[FieldName, AnalysisField], Field(min_length=1)] = Field(alias="schema")

    @model_validator(mode="before")
    @classmethod
    def _fields_directly(cls, data: Any) -> Any:
        schema = data.get("schema") if isinstance(data, dict) else None
        if isinstance(schema, dict) and isinstance(schema.get("properties"), dict):
            hint = "write them directly under `schema`; object, required and additionalProperties are understood"
            raise FieldError("the fields are one level too deep", hint=hint, at=("schema", "properties"))
        return data

    def texts(self) -> list[str]:
        """What may hold variables."""
        return [self.instructions, *(text for field in self.fields.values() for text in field.texts())]

    def filled(self, by: Mapping[str, str]) -> Analysis:
        """This analysis with `texts` replaced, each by what `by` has for it."""
        fields = {name: field.filled(by) for name, field in self.fields.items()}
        return self.model_copy(update={"instructions": by[self.instructions], "fields": fields})

    def json_schema(self) -> dict[str, Any]:
        """The standard JSON Schema of the answer: an object with every field, and no other."""
        return {
            "type": "object",
            "properties": {name: field.json_schema() for name, field in self.fields.items()},
            "required": list(self.fields),
            "additionalProperties": False,
        }

    def meanings(self) -> dict[str, dict[str, str]]:
        """What each value means, for each field that has an `enum`: {field: {value: meaning}}."""
        return {name: dict(field.enum) for name, field in self.fields.items() if field.enum}


class Profile(Strict):
    """A bot."""

    name: Slug
    version: Text = "1"
    description: str = ""
    language: Annotated[str, AfterValidator(_language)] = "en"
    timezone: Annotated[str, AfterValidator(_timezone)] = "UTC"
    """IANA name; `{{system.current_time}}` is told there."""
    from_number: E164 | None = None
    """Shown to the customer; None leaves it to the line."""
    lab_number: LabNumber | None = None
    """The lab customer who is called when no number is given."""

    prompt: Text
    opening_message: Text
    variables: dict[VariableName, str] = Field(default_factory=dict)
    """Values for `{{…}}` when the call brings none."""

    stt: Stt = Stt()
    llm: Llm = Llm()
    tts: Tts = Tts()
    line: LineChoice = LineChoice()
    turn_taking: TurnTaking = TurnTaking()
    limits: Limits = Limits()
    closure_phrases: Texts = ("goodbye", "bye bye", "have a great day")
    """When the bot has said one of these, it hangs up once it was played."""
    flow: Flow | None = None
    """Prepared answers; None lets the model write every line."""
    tools: dict[Name, Tool] = Field(default_factory=dict)
    """What the bot can have done during the call."""
    analysis: Analysis | None = None

    @model_validator(mode="after")
    def _tools_known(self) -> Profile:
        for loc, answer in self.flow.answers() if self.flow else ():
            if answer.calls and answer.calls not in self.tools:
                hint = strict.did_you_mean(answer.calls, list(self.tools)) or "write it under `tools`"
                raise FieldError(f"there is no tool `{answer.calls}`", hint=hint, at=("flow", *loc, "calls"))
        return self

    @model_validator(mode="after")
    def _time_for_every_line(self) -> Profile:
        again = self.turn_taking.re_engagement
        needed = again.after * len(again.lines)
        if again.lines and self.limits.dead_air <= needed:
            given, after = strict.duration_text(self.limits.dead_air), strict.duration_text(again.after)
            raise FieldError(
                f"{given} hangs up before the {len(again.lines)} re-engagement lines, one every {after}, are said",
                hint=f"make it longer than {strict.duration_text(needed)}, or `turn_taking.re_engagement.after` shorter",
                at=("limits", "dead_air"),
            )
        return self

    def referenced_variables(self) -> tuple[str, ...]:
        """Names in `{{…}}` of every text that is filled in, as written, each once."""
        names = (name for text in self._texts() for name in template.names(text) if not name.startswith(_LATER))
        return tuple(dict.fromkeys(names))

    def resolve(self, values: Mapping[str, object], system: Mapping[str, str]) -> Resolved:
        """This profile with all its texts filled in, and in `variables` what they were filled in with.

        values: of this call, by variable name; they win over `variables`. system: from `template.system`.
        """
        defaults = {name: value for name, value in self.variables.items() if name not in values}
        variables = {**defaults, **{name: template.as_text(value) for name, value in values.items()}}
        known = {**template.namespaced(variables), **system}
        rendered = {text: template.render(text, known) for text in self._texts()}
        filled = {text: result.text for text, result in rendered.items()}
        again = self.turn_taking.re_engagement
        lines = tuple(filled[line] for line in again.lines)
        taking = self.turn_taking.model_copy(update={"re_engagement": again.model_copy(update={"lines": lines})})
        update: dict[str, Any] = {
            "prompt": filled[self.prompt],
            "opening_message": filled[self.opening_message],
            "variables": variables,
            "turn_taking": taking,
            "closure_phrases": tuple(filled[phrase] for phrase in self.closure_phrases),
            "flow": self.flow and self.flow.filled(filled),
            "analysis": self.analysis and self.analysis.filled(filled),
        }
        unresolved = dict.fromkeys(
            name for result in rendered.values() for name in result.unresolved if not name.startswith(_LATER)
        )
        return Resolved(self.model_copy(update=update), tuple(unresolved))

    def redacted(self) -> dict[str, Any]:
        """Plain data in the file's own keys and units, with the values of secret-looking names replaced by `***`."""
        data = self.model_dump(mode="json", by_alias=True, exclude_none=True)
        for stage, options in (("stt", self.stt.options), ("llm", self.llm.options), ("tts", self.tts.options)):
            data[stage]["options"] = without_secrets(options)
        data["variables"] = without_secrets(self.variables)
        return data

    def to_yaml(self) -> str:
        """`redacted` as YAML that loads again."""
        return yaml.dump(self.redacted(), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)

    def _texts(self) -> list[str]:
        """Every text in which variables are filled in."""
        spoken = [self.prompt, self.opening_message, *self.turn_taking.re_engagement.lines, *self.closure_phrases]
        prepared = self.flow.texts() if self.flow else []
        prepared += [text for tool in self.tools.values() for text in tool.texts()]
        return [*spoken, *prepared, *(self.analysis.texts() if self.analysis else [])]


@dataclass(frozen=True, slots=True)
class Resolved:
    """A profile for one call."""

    profile: Profile
    """Its texts are filled in."""
    unresolved: tuple[str, ...]
    """Variables without a value, as written; they stand literally in the texts."""


def load(path: Path, *, overrides: Sequence[str] = ()) -> Profile:
    """The profile in the file at `path`, `overrides` (`dotted.key=value`) applied. Raises ConfigErrors."""
    return strict.load(path, Profile, overrides=overrides)


_SECRET = ("key", "token", "secret", "password")


def without_secrets(values: Mapping[str, Any]) -> dict[str, Any]:
    """`values`, plain data, with `***` for whatever stands under a name that looks like a secret's, at any depth."""
    return {
        name: "***" if any(word in name.casefold() for word in _SECRET) else _below(value)
        for name, value in values.items()
    }


def _below(value: Any) -> Any:
    if isinstance(value, list):
        return [_below(inner) for inner in value]
    return without_secrets(value) if isinstance(value, Mapping) else value


class _Dumper(yaml.SafeDumper):
    """Long texts stay readable, odd characters survive."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = None
    if not text.replace("\n", "").isprintable():
        style = '"'  # PyYAML folds U+0085 and its like away in every other style
    elif "\n" in text:
        style = "|"
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)
