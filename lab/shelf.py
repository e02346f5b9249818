"""From what a profile or persona names to an engine, each made once and kept.

Decides: which class serves a stage and with which options. Refuses to know: calls.

`scripted` as a model name is the engine without a model (lab.engines.scripted). Its tones are understood by its own ears only,
so a scripted voice on one side needs a scripted ear on the other.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Hashable, Mapping
from typing import Any, TypeVar, cast

import yaml

from lab import catalogue, models, offload, strict
from lab.engines import scripted
from lab.errors import ConfigError
from lab.pace import Pace
from lab.persona import Mind, PersonaVoice, Script
from lab.ports import Detector, EngineFacts, Recognizer, Responder, Voice
from lab.profile import Llm, Profile

T = TypeVar("T")
SCRIPTED = "scripted"


class Shelf:
    """Engines by what they are made from. Loading runs in threads; what is asked for twice is loaded once."""

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._made: dict[Hashable, asyncio.Future[Any]] = {}

    def recognizer(
        self, model: str, language: str = "en", options: Mapping[str, Any] | None = None
    ) -> asyncio.Future[Recognizer]:
        """Speech to text. Raises, when awaited, ModelError or ConfigError."""

        def make() -> Recognizer:
            if model == SCRIPTED:
                return scripted.ScriptedEars()
            from lab.engines.whisper import Whisper

            found = models.locate(model, "stt")
            return _made(
                lambda: Whisper(found.path, name=model, sha256=found.sha256, language=language, **(options or {})),
                "stt.options",
            )

        return self._keep(("stt", model, language, _key(options)), make)

    def voice(self, voice: PersonaVoice, options: Mapping[str, Any] | None = None) -> asyncio.Future[Voice]:
        """Text to speech."""

        def make() -> Voice:
            if voice.voice == SCRIPTED:
                return scripted.ScriptedVoice()
            from lab.engines.piper import Piper

            found = models.locate(voice.voice, "voice")
            chosen = {"rate": voice.rate, "pitch": voice.pitch, **(options or {})}
            return _made(lambda: Piper(found.path, name=voice.voice, sha256=found.sha256, **chosen), "tts.options")

        return self._keep(("tts", voice, _key(options)), make)

    def responder(self, llm: Llm) -> asyncio.Future[Responder]:
        """What answers. A script is made anew for each call, since it remembers what it has said."""
        if llm.model == SCRIPTED:
            return self._load(lambda: script(llm.options))

        def make() -> Responder:
            common: dict[str, Any] = {"max_tokens": llm.max_tokens, "temperature": llm.temperature, **llm.options}
            if llm.base_url:
                from lab.engines.openai import OpenAIChat

                key = os.environ.get(llm.api_key_env) if llm.api_key_env else None
                return _made(lambda: OpenAIChat(str(llm.base_url), llm.model, api_key=key, **common), "llm.options")
            from lab.engines.llama import Llama

            found = models.locate(llm.model, "llm")
            return _made(lambda: Llama(found.path, name=llm.model, sha256=found.sha256, **common), "llm.options")

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
        return asyncio.ensure_future(offload.call(lambda stop: make(), self._pace, "load"))


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


def describe(engine: EngineFacts) -> dict[str, Any]:
    """An engine's facts as plain data."""
    return {
        "engine": engine.engine,
        "model": engine.model,
        "sha256": engine.sha256,
        "version": engine.version,
        "options": dict(engine.options),
    }


def _made(make: Callable[[], T], where: str) -> T:
    try:
        return make()
    except TypeError as error:  # an option the engine's constructor does not have
        raise ConfigError(
            f"unknown option: {error}", where=where, hint="see the engine's options in the README"
        ) from error


def _key(options: Mapping[str, Any] | None) -> str:
    return repr(sorted((options or {}).items()))
