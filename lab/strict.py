"""YAML text becomes one frozen value, or all its mistakes at once, each with the line it stands on.

Decides: which YAML is accepted, how text becomes typed values, how a mistake is worded and placed. Refuses to know: what
any file is for; it gets the model to fill.

How this works
1. The text is composed to nodes, never constructed: no tag is obeyed, aliases and repeated keys are refused.
2. Every scalar stays the text that was written, so `+1202…`, `0123`, `12:30` and `no` survive; pydantic makes numbers of
   it only where a field asks for one. `null`, `~` and nothing at all are null, unless quoted.
3. Each place in the data remembers where it came from: a line of the file, or a `--set` flag.
4. What pydantic finds wrong is looked up there and said in plain words.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, NamedTuple, TypeVar, get_args

import yaml
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, PlainSerializer, ValidationError
from pydantic_core import ErrorDetails

from lab.errors import ConfigError, ConfigErrors

Loc = tuple[str | int, ...]


class Strict(BaseModel):
    """Base of everything read from YAML: frozen, and unknown keys are mistakes."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


M = TypeVar("M", bound=Strict)
T = TypeVar("T")


class FieldError(ValueError):
    """Raised by a validator: `what` is wrong `at` the keys below the value it was given."""

    def __init__(self, what: str, *, hint: str | None = None, at: Loc = ()) -> None:
        super().__init__(what)
        self.what, self.hint, self.at = what, hint, at


class Plain(str):
    """A scalar written without quotes: the only text that `Options` may read as a number."""

    __slots__ = ()


def load(path: Path, model: type[M], *, overrides: Sequence[str] = ()) -> M:
    """The file at `path` as a `model`; see `parse`."""
    return parse(_read(path), str(path), model, overrides=overrides)


def parse(text: str, name: str, model: type[M], *, overrides: Sequence[str] = ()) -> M:
    """YAML `text`, known to the user as `name`, as a `model`.

    overrides: `dotted.key=value` each, as given to `--set`; applied before validation. A value that begins with `[` or
    `{` (but not with `{{`) is YAML, any other is text.
    Raises ConfigErrors with every mistake, those of `--set` first, then in the order of the lines.
    """
    document = _compose(text, name)
    for override in overrides:
        _override(document, override)
    mistakes = list(document.mistakes)
    try:
        value = model.model_validate(document.data)
    except ValidationError as error:
        mistakes += [_mistake(details, model, document) for details in error.errors()]
    if mistakes:
        raise ConfigErrors([m.error for m in sorted(mistakes, key=lambda m: m.line)])
    return value


def places(path: Path) -> Callable[[Loc], tuple[int, str]]:
    """Tells where a value of the file at `path` stands, or the nearest thing around it: its line, and `file:line`.

    Raises ConfigErrors for a file that is no YAML.
    """
    return _compose(_read(path), str(path)).place


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The one of `known` that `word` was probably meant to be."""
    close = difflib.get_close_matches(word.casefold(), list(known), n=1, cutoff=0.6)
    return close[0] if close else None


def did_you_mean(word: str, known: Sequence[str]) -> str | None:
    """A hint for an unknown `word`: the nearest known one, else all of them; None when nothing is known."""
    if near := nearest(word, known):
        return f"did you mean `{near}`?"
    return f"known: {', '.join(known)}" if known else None


# -- types of fields ---------------------------------------------------------------------------------------------------

_DURATION = re.compile(
    r"(?:(?P<h>\d+(?:\.\d+)?)h)?(?:(?P<m>\d+(?:\.\d+)?)m)?(?:(?P<s>\d+(?:\.\d+)?)s)?(?:(?P<ms>\d+(?:\.\d+)?)ms)?",
    re.ASCII,
)
_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}


def duration(text: str) -> float:
    """Seconds in `0.5s`, `500ms`, `2m`, `1m30s` or `1h`. Raises ConfigError, also for a number without a unit."""
    found = _DURATION.fullmatch(text.strip())
    if found is not None and found.group():
        return round(sum(float(number) * _SECONDS[unit] for unit, number in found.groupdict(default="0").items()), 6)
    if re.fullmatch(r"\d+(\.\d+)?", text.strip()):
        raise ConfigError(f"`{text}` has no unit", hint=f"write `{text}s`, `{text}ms` or `{text}m`")
    raise ConfigError(f"{_shown(text)} is no duration", hint="write it like `0.5s`, `500ms`, `2m` or `1m30s`")


def duration_text(seconds: float) -> str:
    """The way a duration is written in YAML: 0.6 -> `0.6s`."""
    return f"{seconds:.6f}".rstrip("0").rstrip(".") + "s"


def check(function: Callable[[str], T]) -> Callable[[str], T]:
    """`function`, which raises ConfigError, as a pydantic validator."""

    def validator(value: str) -> T:
        try:
            return function(value)
        except ConfigError as error:
            raise FieldError(error.what, hint=error.hint) from error

    return validator


def _seconds(value: object) -> object:
    if value is None:
        raise FieldError("no duration is given", hint="write it like `0.5s`, `500ms`, `2m` or `1m30s`")
    return check(duration)(value) if isinstance(value, str) else value


def _typed(value: Any) -> Any:
    """Unquoted scalars as JSON would read them; nothing else is touched (`no`, `0123` and `12:30` are text)."""
    if isinstance(value, dict):
        return {key: _typed(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_typed(inner) for inner in value]
    if not isinstance(value, Plain):
        return value
    if value in ("true", "false"):
        return value == "true"
    if re.fullmatch(r"-?(0|[1-9][0-9]{0,17})", value):
        return int(value)
    if re.fullmatch(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]{1,2})?", value):
        return float(value)
    return str(value)


def _as_list(value: object) -> object:
    return [value] if isinstance(value, str) else value


Duration = Annotated[float, BeforeValidator(_seconds), PlainSerializer(duration_text)]
"""Seconds, written with a unit."""

Options = Annotated[dict[str, Any], AfterValidator(_typed)]
"""Keys and values that are handed on to a library as they are."""

OneOrMore = BeforeValidator(_as_list)
"""Put on a sequence: one text alone is a sequence of one."""


# -- reading -----------------------------------------------------------------------------------------------------------


class _Mistake(NamedTuple):
    line: int
    error: ConfigError


@dataclass
class _Document:
    """What a file says, and where it says it."""

    name: str
    data: Any = None
    places: dict[Loc, tuple[int, str]] = field(default_factory=dict)
    """Where each value stands: its line (0 for a flag), and how to call that place."""
    mistakes: list[_Mistake] = field(default_factory=list)

    def mark(self, loc: Loc, line: int) -> None:
        self.places[loc] = line, f"{self.name}:{line}"

    def place(self, loc: Loc) -> tuple[int, str]:
        """Where `loc` stands, or the nearest thing around it."""
        while loc not in self.places:
            loc = loc[:-1]
        return self.places[loc]


def _read(path: Path) -> str:
    try:
        raw = path.read_bytes()
    except IsADirectoryError:
        raise _alone("is a directory, not a YAML file", str(path), "name a file in it") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise _alone(f"cannot be read: {reason}", str(path), "check the path") from None
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise _alone("is not UTF-8 text", f"{path}:{line}", "save the file as UTF-8") from None


def _alone(what: str, where: str, hint: str | None = None) -> ConfigErrors:
    return ConfigErrors([ConfigError(what, where=where, hint=hint)])


class _Refused(yaml.MarkedYAMLError):
    """YAML, but of a kind that is not used here."""


class _Loader(yaml.SafeLoader):
    """Composes nodes; refuses aliases and tags, so that the text says by itself what it means."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.AliasEvent):
            raise _Refused(None, None, f"the alias `*{event.anchor}` is not used here", event.start_mark)  # type: ignore[arg-type]
        if isinstance(event, yaml.NodeEvent) and getattr(event, "tag", None) is not None:
            raise _Refused(None, None, "a tag (`!…`) is not used here", event.start_mark)  # type: ignore[arg-type]
        return super().compose_node(parent, index)


_YAML_HINTS = {
    "mapping values are not allowed": "text that contains `: ` needs quotes; also check the indentation",
    "cannot start any token": "text that begins with a special character needs quotes; indent with spaces, not tabs",
    "expected <block end>": "check the indentation and quotes here and just above",
    "found another document": "one document a file: remove the `---` in the middle",
    "could not find expected ':'": "a line `key: value` is expected here; longer text needs quotes or `|`",
    "the alias": "write the value out",
    "a tag": "leave the tag out; quote what has to stay text",
}


def _compose(text: str, name: str) -> _Document:
    """`text` as plain data with places. Raises ConfigErrors for what is no YAML mapping."""
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is None or node.value == "":
            raise _alone("is empty", name, "begin with a line `key: value`")
        if not isinstance(node, yaml.MappingNode):
            raise _alone(
                "has no keys at the top", f"{name}:{node.start_mark.line + 1}", "begin with a line `key: value`"
            )
        document = _Document(name)
        document.mark((), node.start_mark.line + 1)
        document.data = _data(node, (), document)
    except yaml.MarkedYAMLError as error:
        raise _not_yaml(error, name) from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise _alone(f"character U+{ord(text[error.position]):04X} is not allowed in YAML", f"{name}:{line}") from None
    except (ValueError, OverflowError):  # PyYAML lets chr() fail
        raise _alone("a `\\U…` escape names no character", name, "use single quotes to keep backslashes") from None
    except RecursionError:
        raise _alone("is nested too deeply", name) from None
    return document


def _not_yaml(error: yaml.MarkedYAMLError, name: str) -> ConfigErrors:
    problem = error.problem or error.context or "unreadable"
    mark = error.problem_mark or error.context_mark
    hint = next((hint for part, hint in _YAML_HINTS.items() if part in problem), None)
    what = problem if isinstance(error, _Refused) else f"not YAML: {problem}"
    return _alone(what, f"{name}:{mark.line + 1}:{mark.column + 1}" if mark else name, hint)


def _data(node: yaml.Node, loc: Loc, document: _Document) -> Any:
    if isinstance(node, yaml.ScalarNode):
        if node.style is not None:
            return node.value
        return None if node.value in ("", "null", "~") else Plain(node.value)
    if isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            document.mark((*loc, index), item.start_mark.line + 1)
        return [_data(item, (*loc, index), document) for index, item in enumerate(node.value)]
    mapping: dict[str, Any] = {}
    for key_node, value_node in node.value:
        if not isinstance(key_node, yaml.ScalarNode):
            raise _Refused(None, None, "a key must be a single word", key_node.start_mark)
        key, line = key_node.value, key_node.start_mark.line + 1
        inner = (*loc, key)
        if key in mapping:
            what = f"key `{_dotted(inner)}` is given twice, first on line {document.places[inner][0]}"
            error = ConfigError(what, where=f"{document.name}:{line}", hint="keep one of the two")
            document.mistakes.append(_Mistake(line, error))
            continue
        document.mark(inner, line)
        mapping[key] = _data(value_node, inner, document)
    return mapping


# -- overriding --------------------------------------------------------------------------------------------------------


def _override(document: _Document, override: str) -> None:
    """Put one `dotted.key=value` into the data; keys that do not exist yet are made, for the validation to judge."""
    dotted, equals, text = override.partition("=")
    if not equals or not dotted or "" in dotted.split("."):
        raise _alone(f"`{override}` is not `dotted.key=value`", "--set", "for example `--set limits.max_duration=2m`")
    place = 0, f"--set {dotted}"
    *parents, last = dotted.split(".")
    holder: Any = document.data
    loc: Loc = ()
    for part in parents:
        key = _step(holder, part, loc, place[1])
        loc = (*loc, key)
        if isinstance(holder, dict) and holder.get(part) is None:
            holder[part] = {}
            document.places[loc] = place
        holder = holder[key]
    key = _step(holder, last, loc, place[1])
    loc = (*loc, key)
    document.places = {at: p for at, p in document.places.items() if at[: len(loc)] != loc}
    document.places[loc] = place
    holder[key] = _override_value(text, place[1])


def _step(holder: Any, part: str, loc: Loc, where: str) -> str | int:
    """The key or index that `part` means in `holder`."""
    if isinstance(holder, dict):
        return part
    if not isinstance(holder, list):
        raise _alone(f"`{_dotted(loc)}` has no keys below it", where)
    if part.isascii() and part.isdigit() and int(part[:9]) < len(holder):
        return int(part)
    raise _alone(f"`{_dotted(loc)}` has no item `{part}`", where, f"it has {len(holder)}, counted from 0")


def _override_value(text: str, where: str) -> Any:
    if text.startswith("[") or (text.startswith("{") and not text.startswith("{{")):
        return _compose(f"value: {text}", where).data["value"]
    return None if text in ("null", "~") else Plain(text)


# -- saying what is wrong ----------------------------------------------------------------------------------------------

_WORDS = {
    "missing": "is missing",
    "string_type": "must be text",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "finite_number": "must be a finite number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "dict_type": "must be a group of keys",
    "model_type": "must be a group of keys",
    "list_type": "must be a list",
    "tuple_type": "must be a list",
    "literal_error": "must be {expected}",
    "greater_than": "must be more than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "string_too_short": "must not be empty",
    "too_short": "needs at least {min_length}",
    "string_too_long": "must have at most {max_length} characters",
    "string_unicode": "must be text without stray surrogates",
}
_QUIET = {"missing", "string_too_short", "too_short", "string_too_long", "string_unicode"}
"""Mistakes for which the value itself says nothing more."""


def _mistake(details: ErrorDetails, model: type[BaseModel], document: _Document) -> _Mistake:
    context = details.get("ctx", {})
    wrong = context.get("error")
    loc: Loc = tuple(part for part in details["loc"] if part != "[key]")
    if isinstance(wrong, FieldError):
        loc += wrong.at
    what, hint = _words(details, loc, model)
    line, place = document.place(loc)
    return _Mistake(line, ConfigError(what, where=place, hint=hint))


def _words(details: ErrorDetails, loc: Loc, model: type[BaseModel]) -> tuple[str, str | None]:
    kind, context, value = details["type"], details.get("ctx", {}), details["input"]
    wrong = context.get("error")
    dotted = f"`{_dotted(loc)}`"
    if isinstance(wrong, FieldError):
        return (f"{dotted}: {wrong.what}" if loc else wrong.what), wrong.hint
    if kind == "extra_forbidden":
        return f"unknown key {dotted}", _unknown_hint(loc, model)
    words = _WORDS.get(kind)
    if words is None:
        return f"{dotted}: {details['msg'][0].lower()}{details['msg'][1:]}", None
    what = f"{dotted} {words.format_map(context)}"
    if kind not in _QUIET:
        what += f", not {_shown(value)}"
    if kind == "literal_error" and isinstance(value, str):
        near = nearest(value, re.findall(r"'([^']*)'", str(context["expected"])))
        return what, f"did you mean `{near}`?" if near else None
    return what, None


def _unknown_hint(loc: Loc, model: type[BaseModel]) -> str | None:
    """The key that was meant at this level; else the level that has this key; else the keys of this level."""
    key = str(loc[-1])
    known = _names(_models_at(loc[:-1], model))
    if nearest(key, known) is None:
        for dotted in _paths(model):
            group, _, name = dotted.rpartition(".")
            if name == key and group:
                return f"`{key}` belongs under `{group}`"
    return did_you_mean(key, known)


def _dotted(loc: Loc) -> str:
    return ".".join(map(str, loc))


def _shown(value: object) -> str:
    match value:
        case None:
            return "empty"
        case str():
            text = " ".join(value.split())
            return f"`{text[:40]}…`" if len(text) > 40 else f"`{text}`"
        case list():
            return "a list"
        case dict():
            return "a group of keys"
    return repr(value)


def _names(models: Iterable[type[BaseModel]]) -> list[str]:
    return [f.alias or name for model in models for name, f in model.model_fields.items()]


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    """The models a field may hold, also inside lists, mappings and optional ones."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for inner in get_args(annotation) for model in _models_in(inner)]


def _models_at(loc: Loc, model: type[BaseModel]) -> list[type[BaseModel]]:
    models = [model]
    for part in loc:
        below = [
            inner
            for owner in models
            for name, f in owner.model_fields.items()
            if (f.alias or name) == part
            for inner in _models_in(f.annotation)
        ]
        models = below or models  # an index or a free key: the models in it are known already
    return models


def _paths(model: type[BaseModel], prefix: str = "") -> list[str]:
    paths = []
    for name, f in model.model_fields.items():
        paths.append(prefix + (f.alias or name))
        for inner in _models_in(f.annotation):
            paths += _paths(inner, f"{paths[-1]}.")
    return paths
