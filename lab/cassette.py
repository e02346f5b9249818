"""Everything the engines of recorded calls gave, in one file beside a suite.

Decides: what is kept of an engine's work, when two questions are the same one, and a cassette's bytes on disk. Refuses to know:
engines, calls, and what to do when something is not there.

A cassette is a zip that any tool opens: `cassette.json` (the takes, in words) and one member for each piece of audio and each
detector's track, named by its content and there once however often it was given. The same content gives the same bytes.
"""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from lab.errors import ConfigError, InfrastructureError
from lab.ports import EngineFacts, ToolCall

VERSION = 1
INDEX = "cassette.json"
_EPOCH = (1980, 1, 1, 0, 0, 0)
"""The date of every member: the earliest a zip can say."""
_DIGITS = 16
"""Hexadecimal digits kept of a part's SHA-256."""

EngineStage = Literal["stt", "llm", "pick", "embed", "extract", "tts", "turn"]


@dataclass(frozen=True, slots=True)
class Rows:
    """Vectors: whole 127ths, a signed byte each."""

    width: int
    data: bytes


Item = str | bytes | ToolCall | tuple[float, ...] | Rows
"""A text, a piece of audio as G.711 µ-law codes at the line's rate, something asked for, scores, or vectors."""


@dataclass(frozen=True, slots=True)
class Question:
    """What an engine was asked. Two with the same key are the same question."""

    stage: EngineStage
    parts: Mapping[str, str]
    """Name -> SHA-256, shortened; `engine` is the engine itself with its model and options."""
    asked: str
    """The gist of it, for people."""

    @classmethod
    def to(cls, facts: EngineFacts, stage: EngineStage, asked: str, **parts: Any) -> Question:
        """parts: bytes, or anything that JSON can say."""
        engine = [facts.engine, facts.model, facts.sha256, facts.options]
        return cls(stage, {name: _digest(part) for name, part in {"engine": engine, **parts}.items()}, asked)

    @property
    def key(self) -> str:
        return _digest([self.stage, dict(self.parts)])


@dataclass(slots=True)
class Answer:
    """What came, in order, as far as somebody listened. costs: seconds that each item took to make."""

    question: Question
    items: list[Item] = field(default_factory=list)
    costs: list[float] = field(default_factory=list)
    complete: bool = False


@dataclass(slots=True)
class Track:
    """What a detector said about each frame of one stream: hundredths, and a byte of a rolling hash of the frames so far."""

    hundredths: bytearray = field(default_factory=bytearray)
    checks: bytearray = field(default_factory=bytearray)


@dataclass(slots=True)
class Take:
    """One call: which engines it had (by what was asked for), their answers in the order of the questions, its detectors by side."""

    engines: dict[str, EngineFacts] = field(default_factory=dict)
    answers: list[Answer] = field(default_factory=list)
    tracks: dict[str, Track] = field(default_factory=dict)


@dataclass(slots=True)
class Cassette:
    """Takes by the name of their call. Merging is `cassette.takes.update(part.takes)`: a call's newer take replaces the older whole."""

    takes: dict[str, Take] = field(default_factory=dict)

    @classmethod
    def load(cls, path: Path) -> Cassette:
        """Raises ConfigError when there is no cassette, or it is damaged, or of another version."""
        try:
            with zipfile.ZipFile(path) as file:
                members = {name: file.read(name) for name in file.namelist()}
            index = json.loads(members[INDEX])
            if index["version"] != VERSION:
                what = f"this is a cassette of version {index['version']}; this callctl reads version {VERSION}"
                raise ConfigError(what, where=str(path), hint=_ANEW)
            return cls({name: _take(take, members) for name, take in index["takes"].items()})
        except FileNotFoundError as error:
            raise ConfigError(
                "there is no cassette", where=str(path), hint="`callctl test PATH --record` makes it"
            ) from error
        except OSError as error:
            raise ConfigError(f"cannot be read: {error.strerror}", where=str(path)) from error
        except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, *_MALFORMED) as error:
            raise ConfigError("this is no cassette, or it is damaged", where=str(path), hint=_ANEW) from error

    def save(self, path: Path) -> None:
        """Atomically: the file is either the old one or the whole new one. Raises InfrastructureError."""
        blobs: dict[str, bytes] = {}
        takes = {name: _take_record(take, blobs) for name, take in sorted(self.takes.items())}
        index = json.dumps({"version": VERSION, "takes": takes}, ensure_ascii=False, sort_keys=True, indent=1)
        draft = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with zipfile.ZipFile(draft, "w") as file:
                for name, content in [(INDEX, index.encode()), *sorted(blobs.items())]:
                    member = zipfile.ZipInfo(name, _EPOCH)
                    file.writestr(member, content, zipfile.ZIP_DEFLATED, compresslevel=9)
            draft.replace(path)
        except OSError as error:
            draft.unlink(missing_ok=True)
            hint = "record into a folder you may write to, on a disk with space left"
            raise InfrastructureError(
                f"cannot write the cassette: {error.strerror}", where=str(path), hint=hint
            ) from error


_ANEW = "`callctl test PATH --record` records it anew"
_MALFORMED = (KeyError, IndexError, TypeError, ValueError, AttributeError)
"""What reading an index comes to that is not what `save` wrote."""


def _digest(part: Any) -> str:
    data = part if isinstance(part, bytes) else _canonical(part).encode()
    return hashlib.sha256(data).hexdigest()[:_DIGITS]


def _canonical(part: Any) -> str:
    return json.dumps(part, ensure_ascii=False, sort_keys=True, separators=(",", ":"), default=str)


def _keep(blobs: dict[str, bytes], kind: str, content: bytes) -> str:
    name = f"{kind}/{_digest(content)}"
    blobs[name] = content
    return name


def _take_record(take: Take, blobs: dict[str, bytes]) -> dict[str, Any]:
    def of_item(item: Item) -> dict[str, Any]:
        match item:
            case str():
                return {"text": item}
            case bytes():
                return {"audio": _keep(blobs, "audio", item)}
            case ToolCall():
                return {"tool": item.name, "arguments": dict(item.arguments)}
            case tuple():
                return {"scores": list(item)}
            case Rows(width, data):
                return {"vectors": _keep(blobs, "vectors", data), "width": width}

    def of_answer(answer: Answer) -> dict[str, Any]:
        question = answer.question
        return {
            "stage": question.stage,
            "asked": question.asked,
            "parts": dict(question.parts),
            "items": [of_item(item) for item in answer.items],
            "costs": answer.costs,
            "complete": answer.complete,
        }

    return {
        "engines": {asked: asdict(facts) for asked, facts in take.engines.items()},
        "answers": [of_answer(answer) for answer in take.answers],
        "tracks": {
            side: [_keep(blobs, "track", bytes(half)) for half in (track.hundredths, track.checks)]
            for side, track in take.tracks.items()
        },
    }


def _take(record: dict[str, Any], members: Mapping[str, bytes]) -> Take:
    def item(found: dict[str, Any]) -> Item:
        if "audio" in found:
            return members[found["audio"]]
        if "vectors" in found:
            return Rows(int(found["width"]), members[found["vectors"]])
        if "scores" in found:
            return tuple(float(score) for score in found["scores"])
        return ToolCall(found["tool"], found["arguments"]) if "tool" in found else str(found["text"])

    def answer(found: dict[str, Any]) -> Answer:
        items, costs = [item(i) for i in found["items"]], [float(cost) for cost in found["costs"]]
        if len(items) != len(costs):
            raise ValueError("each item has a cost")
        question = Question(found["stage"], dict(found["parts"]), found["asked"])
        return Answer(question, items, costs, bool(found["complete"]))

    return Take(
        {asked: EngineFacts(**facts) for asked, facts in record["engines"].items()},
        [answer(found) for found in record["answers"]],
        {side: Track(*(bytearray(members[half]) for half in halves)) for side, halves in record["tracks"].items()},
    )
