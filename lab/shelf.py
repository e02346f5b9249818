"""From what a profile or persona names to an engine, each made once and kept.

Decides: which class serves a stage and with which options. Refuses to know: calls.

`scripted` as a model name is the engine without a model (lab.engines.scripted). Its tones are understood by its own ears only,
so a scripted voice on one side needs a scripted ear on the other.
"""

from __future__ import annotations

import asyncio
import inspect
import os
from collections.abc import Callable, Hashable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar, cast, get_type_hints

import yaml

from lab import catalogue, models, offload, strict
from lab.engines import scripted
from lab.errors import ConfigError, ConfigErrors
from lab.pace import Pace
from lab.persona import Mind, PersonaVoice, Script
from lab.ports import Detector, Recognizer, Responder, Voice
from lab.profile import Llm, Profile

if TYPE_CHECKING:
    from lab.engines.llama import Llama
    from lab.engines.openai import OpenAIChat
    from lab.engines.piper import Piper
    from lab.engines.whisper import Whisper

T = TypeVar("T")
SCRIPTED = "scripted"
AT_ONCE = 2
"""Engines that load at the same time: more only make the first one late, and it is the voice that has to speak first."""


class Shelf:
    """Engines by what they are made from. Loading runs in threads, in the order in which it was asked for; what is asked for
    twice is loaded once."""

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._made: dict[Hashable, asyncio.Future[Any]] = {}
        self._turn = asyncio.Semaphore(AT_ONCE)

    def recognizer(
        self, model: str, language: str = "en", options: Mapping[str, Any] = MappingProxyType({})
    ) -> asyncio.Future[Recognizer]:
        """Speech to text. Raises, when awaited, ModelError or ConfigError."""

        def make() -> Recognizer:
            if model == SCRIPTED:
                return scripted.ScriptedEars()
            found = models.locate(model, "stt")
            return _whisper()(found.path, name=model, sha256=found.sha256, language=language, **options)

        return self._keep(("stt", model, language, repr(options)), make)

    def voice(self, voice: PersonaVoice, options: Mapping[str, Any] = MappingProxyType({})) -> asyncio.Future[Voice]:
        """Text to speech."""

        def make() -> Voice:
            if voice.voice == SCRIPTED:
                return scripted.ScriptedVoice()
            found = models.locate(voice.voice, "voice")
            chosen = {"rate": voice.rate, "pitch": voice.pitch, **options}
            return _piper()(found.path, name=voice.voice, sha256=found.sha256, **chosen)

        return self._keep(("tts", voice, repr(options)), make)

    def responder(self, llm: Llm) -> asyncio.Future[Responder]:
        """What answers. A script is made anew for each call, since it remembers what it has said."""
        if llm.model == SCRIPTED:
            return self._load(lambda: script(llm.options))

        def make() -> Responder:
            common: dict[str, Any] = {"max_tokens": llm.max_tokens, "temperature": llm.temperature, **llm.options}
            if llm.base_url:
                key = os.environ.get(llm.api_key_env) if llm.api_key_env else None
                return _openai()(llm.base_url, llm.model, api_key=key, **common)
            found = models.locate(llm.model, "llm")
            return _llama()(found.path, name=llm.model, sha256=found.sha256, **common)

        return self._keep(("llm", llm.model_dump_json()), make)

    def detector(self, *, tones: bool) -> Detector:
        """Voice activity, new for each call. tones: the other side speaks in tones."""
        if tones:
            return scripted.ScriptedDetector()
        from lab.engines.silero import Silero

        return Silero()

    def _keep(self, key: Hashable, make: Callable[[], T]) -> asyncio.Future[T]:
        known = self._made.get(key)
        if known is None or (known.done() and (known.cancelled() or known.exception() is not None)):
            known = self._made[key] = self._load(make)
        return cast("asyncio.Future[T]", known)

    def _load(self, make: Callable[[], T]) -> asyncio.Future[T]:
        async def load() -> T:
            async with self._turn:
                return await offload.call(lambda stop: make(), self._pace, "load")

        return asyncio.ensure_future(load())


def script(options: Mapping[str, Any]) -> scripted.ScriptedResponder:
    """A bot without a model: `llm.options` holds reactions as in a persona, and `analysis`, the document it finds."""
    rules = {k: v for k, v in options.items() if k != "analysis"}
    mind = Mind(strict.parse(yaml.safe_dump(rules), "llm.options", Script))

    def answer(heard: str) -> tuple[str, bool]:
        found = mind.answer(heard)
        return found.text, found.hang_up

    return scripted.ScriptedResponder(answer, options.get("analysis"))


def facts(profile: Profile) -> dict[str, Any]:
    """What the result says about the engines of `profile`: stage -> model and SHA-256, before anything is loaded."""

    def of(name: str, kind: catalogue.Kind) -> dict[str, Any]:
        sha256 = None if name == SCRIPTED else models.locate(name, kind).sha256
        return {"model": name, "sha256": sha256}

    llm = profile.llm
    return {
        "stt": of(profile.stt.model, "stt"),
        "llm": {"model": llm.model, "sha256": None, "base_url": llm.base_url} if llm.base_url else of(llm.model, "llm"),
        "tts": of(profile.tts.voice, "voice"),
    }


def check(profile: Profile) -> None:
    """Raises ConfigErrors for what only the engines know: options they do not have, a script that is none, a key that is not set."""
    llm = profile.llm
    problems: list[ConfigError] = []
    chosen: list[tuple[str, type | None, Mapping[str, Any]]] = [
        ("stt.options", None if profile.stt.model == SCRIPTED else _whisper(), profile.stt.options),
        ("tts.options", None if profile.tts.voice == SCRIPTED else _piper(), profile.tts.options),
    ]
    if llm.model == SCRIPTED:
        try:
            script(llm.options)
        except ConfigErrors as error:
            problems += error.problems
    else:
        chosen.append(("llm.options", _openai() if llm.base_url else _llama(), llm.options))
    for where, engine, options in chosen:
        problems += _unfit(where, engine, options)
    if llm.api_key_env and not os.environ.get(llm.api_key_env):
        what = f"the environment variable {llm.api_key_env} is not set"
        problems.append(ConfigError(what, where="llm.api_key_env", hint=f"export {llm.api_key_env}=…"))
    if problems:
        raise ConfigErrors(problems)


_GIVEN = {"name", "sha256", "language", "max_tokens", "temperature", "api_key"}
"""Parameters of engines that do not come from `options`."""


_KINDS: Mapping[Any, tuple[str, tuple[type, ...]]] = {
    float: ("a number", (int, float)),
    int: ("a whole number", (int,)),
    str: ("a text", (str,)),
    bool: ("yes or no", (bool,)),
}


def _unfit(where: str, engine: type | None, options: Mapping[str, Any]) -> list[ConfigError]:
    if engine is None:
        return []
    types = get_type_hints(engine.__dict__["__init__"])
    keywords = [p.name for p in inspect.signature(engine).parameters.values() if p.kind is p.KEYWORD_ONLY]
    known = [name for name in keywords if name not in _GIVEN]
    problems = []
    for name, value in options.items():
        words, accepted = _KINDS.get(types.get(name), ("", (object,)))
        if name not in known:
            hint = strict.did_you_mean(name, known) or f"there are {', '.join(known)}"
            problems.append(ConfigError(f"the engine has no option `{name}`", where=where, hint=hint))
        elif not isinstance(value, accepted):
            problems.append(ConfigError(f"`{name}: {value}` is not {words}", where=where))
    return problems


# Each engine's library is imported when its first object is made; naming the class costs nothing.


def _whisper() -> type[Whisper]:
    from lab.engines.whisper import Whisper

    return Whisper


def _piper() -> type[Piper]:
    from lab.engines.piper import Piper

    return Piper


def _llama() -> type[Llama]:
    from lab.engines.llama import Llama

    return Llama


def _openai() -> type[OpenAIChat]:
    from lab.engines.openai import OpenAIChat

    return OpenAIChat
