"""From what a profile or persona names to an engine, each made once and kept.

Decides: which class serves a stage and with which options, and what stands on a tape. Refuses to know: calls.

`scripted` as a model name is the engine without a model (lab.engines.scripted). Its tones are understood by its own ears only,
so a scripted voice on one side needs a scripted ear on the other. What needs no model is computed anew each time and on no tape.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import os
import threading
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar, cast, get_type_hints

import yaml

from lab import audio, catalogue, models, offload, strict
from lab.engines import scripted
from lab.engines.cassette import (
    Playback,
    Recording,
    Tape,
    TapedEmbedder,
    TapedJudge,
    TapedRecognizer,
    TapedResponder,
    TapedVoice,
)
from lab.errors import ConfigError, ConfigErrors
from lab.pace import Pace
from lab.persona import Mind, PersonaVoice, Script
from lab.ports import Detector, Embedder, EngineFacts, Judge, Recognizer, Responder, Voice
from lab.profile import Llm, Profile
from lab.rehearsed import Rehearsed

if TYPE_CHECKING:
    from lab.engines.llama import Llama
    from lab.engines.minilm import MiniLM
    from lab.engines.openai import OpenAIChat
    from lab.engines.piper import Piper
    from lab.engines.smartturn import SmartTurn
    from lab.engines.whisper import Whisper

T = TypeVar("T")
E = TypeVar("E", Recognizer, Responder, Voice, Embedder, Judge)
SCRIPTED = "scripted"
EMBEDDING = "all-minilm-l6-v2"
JUDGE = "smart-turn-v3.2"
_WARMING = audio.noise(0.5, 8000, -40.0, 0)
AT_ONCE = 2
"""Engines that load at the same time: more only make the first one late, and it is the voice that has to speak first."""


class Shelf:
    """Engines by what they are made from. Loading runs in threads, in the order in which it was asked for; what is asked for
    twice is loaded once, and stays when one event loop follows another.

    tape: of the call that is placed next; set it anew for each call. With a `Playback` no model is looked for or loaded. None
    for engines that are neither recorded nor played.
    """

    def __init__(self, pace: Pace, tape: Recording | Playback | None = None) -> None:
        self.tape = tape
        self._pace = pace
        self._made: dict[str, asyncio.Future[Any]] = {}
        self._turn = asyncio.Semaphore(AT_ONCE)
        self._loop: asyncio.AbstractEventLoop | None = None

    def recognizer(
        self, model: str, language: str = "en", options: Mapping[str, Any] = MappingProxyType({})
    ) -> asyncio.Future[Recognizer]:
        """Speech to text. Raises, when awaited, ModelError or ConfigError."""
        if model == SCRIPTED:
            return self._load(scripted.ScriptedEars)

        def make() -> Recognizer:
            found = models.locate(model, "stt")
            engine = _whisper()(found.path, name=model, sha256=found.sha256, language=language, **options)
            list(engine.hear(_WARMING, 8000, stop=threading.Event()))  # the first time takes three times as long
            return engine

        return self._taped(_stt(model, language, options), make, TapedRecognizer, model)

    def voice(self, voice: PersonaVoice, options: Mapping[str, Any] = MappingProxyType({})) -> asyncio.Future[Voice]:
        """Text to speech."""
        if voice.voice == SCRIPTED:
            return self._load(scripted.ScriptedVoice)

        def make() -> Voice:
            found = models.locate(voice.voice, "voice")
            chosen = {"rate": voice.rate, "pitch": voice.pitch, **options}
            return Rehearsed(_piper()(found.path, name=voice.voice, sha256=found.sha256, **chosen))

        return self._taped(_tts(voice, options), make, TapedVoice, voice.voice)

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

        return self._taped(_llm(llm), make, TapedResponder, None if llm.base_url else llm.model)

    def embedding(self, profile: Profile) -> str:
        """The model that holds customers' words against examples: none where there is no model for anything else either."""
        return SCRIPTED if profile.llm.model == SCRIPTED else EMBEDDING

    def embedder(self, model: str) -> asyncio.Future[Embedder]:
        """Sentences to vectors."""
        if model == SCRIPTED:
            return self._load(scripted.ScriptedEmbedder)

        def make() -> Embedder:
            found = models.locate(model, "embedding")
            kept = catalogue.cache_dir() / ".vectors" / f"{(found.sha256 or found.path.name)[:12]}.sqlite"
            return _minilm()(found.path, name=model, sha256=found.sha256, cache=kept)

        return self._taped(_asked("embedding", model), make, TapedEmbedder, model)

    def judges(self, profile: Profile) -> bool:
        """Whether the bot of `profile` judges ends of turns by their sound: not where it waits the same time for everything, and
        not where customers speak in tones."""
        waits = profile.turn_taking.endpointing
        return waits.sound and waits.always is None and profile.stt.model != SCRIPTED

    def judge(self) -> asyncio.Future[Judge]:
        """Ends of turns by their sound."""

        def make() -> Judge:
            found = models.locate(JUDGE, "turn")
            return _smartturn()(found.path, name=JUDGE, sha256=found.sha256)

        return self._taped(_asked("turn", JUDGE), make, TapedJudge, JUDGE)

    def detector(self, side: str, *, tones: bool) -> Detector:
        """Voice activity, new for each call. side: who hears with it. tones: the other side speaks in tones."""
        if tones:
            return scripted.ScriptedDetector()
        if isinstance(self.tape, Playback):
            return self.tape.detector(side)
        from lab.engines.silero import Silero

        return self.tape.detector(side, Silero()) if self.tape else Silero()

    def facts(self, profile: Profile) -> dict[str, Any]:
        """What the result says about the engines of `profile`: stage -> model and SHA-256, before anything is loaded.

        Raises ModelError when a model is missing; ConfigError when the tape to be played was recorded with others.
        """
        llm, stt, tts = profile.llm, profile.stt, profile.tts

        def of(name: str, kind: catalogue.Kind, asked: str) -> dict[str, Any]:
            if name == SCRIPTED:
                sha256 = None
            elif isinstance(self.tape, Playback):
                sha256 = self.tape.facts(asked, _pinned(name)).sha256
            else:
                sha256 = models.locate(name, kind).sha256
            return {"model": name, "sha256": sha256}

        server = {"model": llm.model, "sha256": None, "base_url": llm.base_url}
        name = self.embedding(profile)
        embedding = {"embedding": of(name, "embedding", _asked("embedding", name))} if profile.flow else {}
        return {
            "stt": of(stt.model, "stt", _stt(stt.model, profile.language, stt.options)),
            "llm": server if llm.base_url else of(llm.model, "llm", _llm(llm)),
            "tts": of(tts.voice, "voice", _tts(PersonaVoice(voice=tts.voice), tts.options)),
            **embedding,
            **({"turn": of(JUDGE, "turn", _asked("turn", JUDGE))} if self.judges(profile) else {}),
        }

    def check(self, profile: Profile) -> None:
        """See `check`; a tape that is played needs no keys."""
        check(profile, keys=not isinstance(self.tape, Playback))

    def _taped(
        self, asked: str, make: Callable[[], E], wrap: Callable[[Tape, EngineFacts, E | None], E], model: str | None
    ) -> asyncio.Future[E]:
        """The engine `asked` for on the tape, if there is one. model: its catalogue name, where it may have one."""
        tape = self.tape
        if tape is None:
            return self._keep(asked, make)

        async def played(tape: Playback) -> E:
            return wrap(tape, tape.facts(asked, _pinned(model)), None)

        async def recorded(tape: Recording) -> E:
            engine = await asyncio.shield(self._keep(asked, make))
            tape.take.engines[asked] = engine.facts
            return wrap(tape, engine.facts, engine)

        return asyncio.ensure_future(played(tape) if isinstance(tape, Playback) else recorded(tape))

    def _keep(self, key: str, make: Callable[[], T]) -> asyncio.Future[T]:
        self._move()
        known = self._made.get(key)
        if known is None or (known.done() and not _succeeded(known)):
            known = self._made[key] = self._load(make)
        return cast("asyncio.Future[T]", known)

    def _load(self, make: Callable[[], T]) -> asyncio.Future[T]:
        self._move()

        async def load() -> T:
            async with self._turn:
                return await offload.call(lambda stop: make(), self._pace, "load")

        return asyncio.ensure_future(load())

    def _move(self) -> None:
        """Futures and semaphores belong to one event loop; in another one, what is made is handed on."""
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            made = {key: f.result() for key, f in self._made.items() if _succeeded(f)}
            self._made = {key: loop.create_future() for key in made}
            for key, engine in made.items():
                self._made[key].set_result(engine)
            self._turn, self._loop = asyncio.Semaphore(AT_ONCE), loop


def script(options: Mapping[str, Any]) -> scripted.ScriptedResponder:
    """A bot without a model: `llm.options` holds reactions as in a persona, and `analysis`, the document it finds."""
    rules = {k: v for k, v in options.items() if k != "analysis"}
    mind = Mind(strict.parse(yaml.safe_dump(rules), "llm.options", Script))
    return scripted.ScriptedResponder(lambda heard: mind.answer(heard).pieces, options.get("analysis"))


def check(profile: Profile, *, keys: bool = True) -> None:
    """Raises ConfigErrors for what only the engines know: options they do not have, a script that is none, and, with `keys`, a
    key that is not set."""
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
    if keys and llm.api_key_env and not os.environ.get(llm.api_key_env):
        what = f"the environment variable {llm.api_key_env} is not set"
        problems.append(ConfigError(what, where="llm.api_key_env", hint=f"export {llm.api_key_env}=…"))
    if problems:
        raise ConfigErrors(problems)


def _stt(model: str, language: str, options: Mapping[str, Any]) -> str:
    return _asked("stt", model, language, dict(options))


def _llm(llm: Llm) -> str:
    return _asked("llm", llm.model_dump(mode="json", exclude={"api_key_env"}))


def _tts(voice: PersonaVoice, options: Mapping[str, Any]) -> str:
    return _asked("tts", voice.model_dump(mode="json"), dict(options))


def _asked(*what: Any) -> str:
    """What an engine is asked for as: by this it is kept, and found on a tape."""
    return json.dumps(what, sort_keys=True, default=str)


def _pinned(model: str | None) -> str | None:
    """SHA-256 of a catalogue model; None for one from elsewhere."""
    entry = catalogue.CATALOGUE.get(model or "")
    return entry.files[0].sha256 if entry else None


def _succeeded(future: asyncio.Future[Any]) -> bool:
    return future.done() and not future.cancelled() and future.exception() is None


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


def _minilm() -> type[MiniLM]:
    from lab.engines.minilm import MiniLM

    return MiniLM


def _smartturn() -> type[SmartTurn]:
    from lab.engines.smartturn import SmartTurn

    return SmartTurn


def _openai() -> type[OpenAIChat]:
    from lab.engines.openai import OpenAIChat

    return OpenAIChat
