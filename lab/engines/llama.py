"""llama.cpp as a Responder: GGUF models on this machine's CPU.

Decides: how prompts are laid out, evaluated and cached, how a line is kept speakable, how JSON is filled in by schema.
Refuses to know: calls, audio, and where model files come from.

How it works:
1. Talk and analysis have a llama context each, so that neither throws the other's prompt away. One lock serves both: two
   evaluations at once on the same cores are slower than one after the other.
2. A prompt is evaluated in chunks that begin at multiples of CHUNK, and only whole chunks are reused by a later prompt.
   Logits depend on how a prompt was cut (by up to half a unit), so this is what makes the words a function of the prompt
   alone: cold, warm, and after any cancelled call before. `stop` is looked at before every chunk and every token.
3. JSON is not sampled but filled in: what the schema dictates (braces, keys, the rest of an enum value once it is
   certain) is evaluated as prompt, in chunks; the model is asked only where it has a choice. Whatever cannot be filled in
   so (numbers, arrays, patterns, unions) is sampled under llama.cpp's own grammar for that one value.
4. Small models like some enum values whatever they have read. What they like is found once for each question by asking
   without a transcript, and weighed against what they choose with one.
"""

from __future__ import annotations

import codecs
import ctypes
import functools
import json
import os
import re
import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from lab.errors import ModelError
from lab.ports import EngineFacts, Past, Stop, ToolCall, Turn, Use
from lab.speakable import speakable

CHUNK = 16
"""Tokens evaluated at once: 0.11 s with 1.5 billion parameters on two cores, which bounds stop-to-return."""
LONGEST_STRING = 200
"""Characters of a string whose schema gives no maxLength."""
MOST_ITEMS = 8
"""Items of an array whose schema gives no maxItems."""
FILL_IN = "(end of the call)\n\nFill in the JSON object. Choose each value by its meaning."
"""Said after the transcript; a small model that was told only before it forgets what it was to do."""
NO_TEXT = "(the transcript is missing)"
HABIT = 0.6
"""How much of what the model would choose without a transcript is taken off its choice. On eleven calls and five enum values
Qwen2.5-1.5B chose 5 rightly with 0 and 8 with anything from 0.5 to 0.7."""
GRAMMAR_TOKENS = 600
"""Tokens one value may take under a grammar."""

_SIZES: Mapping[Use, int] = {"pick": 2048, "fill": 1024}
"""Tokens of the contexts that need less than the others."""

CELLS = 256
"""Tokens: llama.cpp makes a context a multiple of it."""
_HALF = 2
"""Bytes of a number in a context."""

_TURN_OVERHEAD = 8
"""Tokens a chat template puts around one message; the largest of the usual ones."""

_log: deque[str] = deque(maxlen=20)
"""What llama.cpp said last, for the text of an error."""


@functools.cache
def _library() -> tuple[Any, Any]:
    """The low-level bindings, silenced; second the log callback, which must live as long as they do."""
    # libgomp's threads spin at every barrier by default. With any other process on the same cores (a recogniser, a voice)
    # that was measured 5 to 8 times slower than sleeping there. Read once, when the library is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    from llama_cpp import llama_cpp as library

    callback = library.llama_log_callback(lambda _level, text, _data: _log.append(text.decode("utf-8", "replace")))
    library.llama_log_set(callback, None)
    return library, callback


def _last_words() -> str:
    """The last error llama.cpp logged, as the tail of a sentence."""
    lines = [line.strip() for line in "".join(_log).splitlines()]
    said = [line for line in lines if "error" in line or "corrupt" in line or "failed" in line or "invalid" in line]
    return f": {said[0]}" if said else ""


_ABORTED = 2
"""What llama_decode returns when its abort callback said so."""


class _Abort:
    """What llama.cpp looks at between the steps of one evaluation.

    A callback written in Python would wait for the interpreter's lock some thousand times in each chunk. The C library's `strlen`
    says the same without it: 0, false, of an empty string, and 1, true, as soon as something is written there.
    """

    def __init__(self) -> None:
        self.cell = ctypes.create_string_buffer(2)
        self.looks = ctypes.CDLL(None).strlen

    @contextmanager
    def when(self, stop: Stop) -> Iterator[None]:
        """While this is entered, `stop` ends the evaluation that is under way."""
        done = threading.Event()

        def watch() -> None:
            while not done.wait(_LOOK):
                if stop.is_set():
                    self.cell[0] = b"x"
                    return

        watcher = threading.Thread(target=watch, name="llama-stop", daemon=True)
        watcher.start()
        try:
            yield
        finally:
            done.set()
            watcher.join()
            self.cell[0] = b"\0"


_LOOK = 0.02
"""Seconds between two looks at `stop` while llama.cpp evaluates."""

_Habits = dict[str, dict[int, float]]
"""Logits of the tokens a choice may begin with, by the choice's place in the document."""


class _Context:
    """One llama context and the tokens in it. Not for two threads at once."""

    def __init__(self, library: Any, model: Any, abort: _Abort, *, size: int, threads: int) -> None:
        params = library.llama_context_default_params()
        params.n_ctx = size
        params.n_batch = params.n_ubatch = CHUNK
        params.n_threads = params.n_threads_batch = threads
        params.no_perf = True
        params.abort_callback = ctypes.cast(abort.looks, library.ggml_abort_callback)
        params.abort_callback_data = ctypes.addressof(abort.cell)
        self.handle = library.llama_init_from_model(model, params)
        if not self.handle:
            raise ModelError(
                f"no room for a context of {size} tokens{_last_words()}", hint="free memory or take a smaller model"
            )
        self.size = size
        self._library = library
        self._memory = library.llama_get_memory(self.handle)
        self._vocabulary = int(library.llama_vocab_n_tokens(library.llama_model_get_vocab(model)))
        self._tokens: list[int] = []
        self._whole = 0  # tokens from the start that were evaluated in whole chunks

    def prompt(self, tokens: Sequence[int], stop: Stop) -> bool:
        """Make `tokens` the whole content. False when stopped on the way; what was evaluated is kept."""
        same = next((i for i, pair in enumerate(zip(self._tokens, tokens, strict=False)) if pair[0] != pair[1]), None)
        same = min(len(self._tokens), len(tokens)) if same is None else same
        keep = min(same, self._whole, len(tokens) - 1) // CHUNK * CHUNK
        # a model with recurrent layers cannot forget a part
        if not self._library.llama_memory_seq_rm(self._memory, 0, keep, -1):
            self._library.llama_memory_clear(self._memory, False)
            keep = 0
        del self._tokens[keep:]
        self._whole = keep
        for start in range(keep, len(tokens), CHUNK):
            if stop.is_set() or not self._decode(tokens[start : start + CHUNK]):
                return False
            if len(self._tokens) == start + CHUNK:
                self._whole = start + CHUNK
        return True

    def extend(self, tokens: Sequence[int], stop: Stop) -> bool:
        """Put `tokens` behind what is there. False when stopped on the way."""
        for start in range(0, len(tokens), CHUNK):
            if stop.is_set() or not self._decode(tokens[start : start + CHUNK]):
                return False
        return True

    def logits(self) -> NDArray[np.float32]:
        """Of the next token, one per vocabulary entry; valid until more is evaluated."""
        return np.ctypeslib.as_array(self._library.llama_get_logits_ith(self.handle, -1), (self._vocabulary,))

    def _decode(self, tokens: Sequence[int]) -> bool:
        """False when it was aborted in the middle: then nothing of `tokens` is there."""
        array = (self._library.llama_token * len(tokens))(*tokens)
        failed = self._library.llama_decode(self.handle, self._library.llama_batch_get_one(array, len(tokens)))
        if failed == _ABORTED:
            if not self._library.llama_memory_seq_rm(self._memory, 0, len(self._tokens), -1):
                self._library.llama_memory_clear(self._memory, False)
                self._tokens, self._whole = [], 0
            return False
        if failed:
            self._library.llama_memory_clear(self._memory, False)
            used, self._tokens, self._whole = len(self._tokens), [], 0
            raise ModelError(
                f"the model failed at token {used} of a context of {self.size}{_last_words()}",
                hint="shorten the prompt or the schema, or give the model a larger context",
            )
        self._tokens += tokens
        return True


def _release(library: Any, model: Any, contexts: dict[Use, _Context]) -> None:
    for context in contexts.values():
        library.llama_free(context.handle)
    library.llama_model_free(model)


class Llama:
    """A GGUF model.

    path: the file; name, sha256: as the facts shall show them
    max_tokens: of one line, which then ends at a word's end; temperature: 0 for the likeliest word each time, else `seed` decides
    threads: pinned, since other counts give other logits; context: tokens of each of the two contexts (28 kB a token
    with Qwen2.5-1.5B)
    Raises ModelError when the file is missing, truncated, no GGUF, or has no chat template.
    """

    def __init__(
        self,
        path: Path,
        *,
        name: str,
        sha256: str | None = None,
        max_tokens: int = 60,
        temperature: float = 0.0,
        seed: int = 1,
        threads: int = 2,
        context: int = 4096,
    ) -> None:
        self._library = _library()[0]
        self._model = _load(self._library, path)
        self._contexts: dict[Use, _Context] = {}
        self._free = weakref.finalize(self, _release, self._library, self._model, self._contexts)
        self._free.atexit = False  # a thread may still be evaluating when the interpreter ends
        self._vocab = self._library.llama_model_get_vocab(self._model)
        self._render = self._template(path)
        self._max_tokens, self._temperature, self._seed = max_tokens, temperature, seed
        self._threads, self._context_size = threads, context
        self._known_habits: dict[str, _Habits] = {}
        self._lock = threading.Lock()
        self._abort = _Abort()
        self.facts = EngineFacts(
            engine="llama.cpp",
            model=name,
            sha256=sha256,
            version=version("llama-cpp-python"),
            options={
                "max_tokens": max_tokens,
                "temperature": temperature,
                "seed": seed,
                "threads": threads,
                "context": context,
            },
        )

    def close(self) -> None:
        """Give the memory back. Nothing may be running; nothing works afterwards."""
        self._free()

    def memory(self) -> Mapping[str, int]:
        """Bytes of the `weights`, and of what each use remembers of its prompts once its context is full, by name.

        A context that does not exist yet counts with what it will take. What one evaluation needs besides is not in it.
        """
        token = self._token_bytes()
        contexts = {use: token * -(-self._size(use) // CELLS) * CELLS for use in get_args(Use)}
        return {"weights": int(self._library.llama_model_size(self._model)), **contexts}

    # -- talk ----------------------------------------------------------------------------------------------------------

    def warm(self, system: str, stop: Stop, turns: Sequence[Past] = (), *, use: Use = "talk") -> None:
        """Evaluate `system`, and `turns` where a conversation is under way: what `use` will not have to do again."""
        with self._alone(stop) as mine:
            if mine:
                self._context(use).prompt(self._conversation(system, turns, use), stop)

    def respond(
        self, system: str, turns: Sequence[Past], stop: Stop, *, tools: Sequence[Mapping[str, Any]] = ()
    ) -> Iterator[str | ToolCall]:
        """The bot's next line, in pieces that end at words' ends; never a tool call. One paragraph, nothing unspeakable.

        The oldest turns are left out when the context is too small. Raises ModelError when `system` alone is too long.
        """
        with self._alone(stop) as mine:
            if not mine:
                return
            context = self._context("talk")
            if context.prompt(self._conversation(system, turns, "talk"), stop):
                yield from speakable(self._sampled(context, stop), self._max_tokens)

    def weigh(
        self, system: str, turns: Sequence[Past], choices: Sequence[str], stop: Stop
    ) -> Iterator[Sequence[float]]:
        """Once, unless stopped first: how likely the bot's line begins with each of `choices`, as log-probabilities.

        A choice counts by its first token, so no two may begin alike. Raises ModelError when the prompt is too long.
        """
        with self._alone(stop) as mine:
            context = self._context("pick")
            if not mine or not context.prompt(self._conversation(system, turns, "pick"), stop):
                return
            logits = context.logits().astype(np.float64)
            logits -= np.max(logits)
            logits -= np.log(np.sum(np.exp(logits)))
            yield [float(logits[self._tokenize(choice)[0]]) for choice in choices]

    def _sampled(self, context: _Context, stop: Stop) -> Iterator[str]:
        """Text of one token after another until the model ends its message."""
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        with self._sampler(*self._talk_samplers()) as sample:
            while not stop.is_set():
                token = sample(context)
                if self._ends(token):
                    return
                yield decoder.decode(self._bytes(token))
                if not context.extend([token], stop):
                    return

    def _talk_samplers(self) -> list[Any]:
        if self._temperature <= 0:
            return [self._library.llama_sampler_init_greedy()]
        return [
            self._library.llama_sampler_init_top_k(40),
            self._library.llama_sampler_init_top_p(0.95, 1),
            self._library.llama_sampler_init_temp(self._temperature),
            self._library.llama_sampler_init_dist(self._seed),
        ]

    def _conversation(self, system: str, turns: Sequence[Past], use: Use) -> list[int]:
        room = self._size(use) - self._max_tokens - CHUNK
        kept = self._newest(turns, room - len(self._tokenize(system)) - 2 * _TURN_OVERHEAD)
        tokens = self._tokenize(self._render(_messages(system, kept)), special=True)
        if len(tokens) > room:
            raise ModelError(
                f"a prompt of {len(tokens)} tokens does not fit a context of {self._size(use)}",
                where=self.facts.model,
                hint="shorten the prompt or give the model a larger context",
            )
        return tokens

    def _newest(self, turns: Sequence[Past], room: int) -> Sequence[Past]:
        """What of `turns` fits. Half of them go at a time, so that the prompt's beginning stays the same for many turns."""
        start = used = 0
        sizes = [len(self._tokenize(turn.text)) + _TURN_OVERHEAD for turn in turns]
        for end, size in enumerate(sizes):
            used += size
            if used > room:
                while start < end and used > room // 2:
                    used -= sizes[start]
                    start += 1
        return turns[start:]

    # -- analysis ------------------------------------------------------------------------------------------------------

    def warm_extract(self, system: str, schema: Mapping[str, Any], stop: Stop, text: str = "") -> None:
        """Do what `extract` would have to do first; `text` is what is known of its text so far."""
        with self._alone(stop) as mine:
            if mine and self._habits(system, schema, stop, "analysis") is not None:
                self._context("analysis").prompt(self._question(system, text, "analysis"), stop)

    def extract(
        self, system: str, text: str, schema: Mapping[str, Any], stop: Stop, *, use: Use = "analysis"
    ) -> Iterator[str]:
        """One JSON object, a piece per key and value; always the likeliest, whatever the temperature.

        system: what to find out, with the meaning of every field and enum value: of `schema` itself the model sees nothing
        but keys. Every property is filled in, in the schema's order. The first lines of `text` are left out when the
        context is too small. Raises ModelError when the result does not follow `schema`.
        """
        with self._alone(stop) as mine:
            if not mine:
                return
            context = self._context(use)
            habits = self._habits(system, schema, stop, use)
            if habits is None or not context.prompt(self._question(system, text, use), stop):
                return
            written = ""
            try:
                for piece in _Form(self, context, schema, stop, habits).value(schema, "", lead=""):
                    written += piece
                    yield piece
            except _StoppedError:
                return
        self._check(written, schema)

    def _habits(self, system: str, schema: Mapping[str, Any], stop: Stop, use: Use) -> _Habits | None:
        """What the model chooses when it is asked without a transcript. None when stopped first."""
        key = system + json.dumps(schema)
        if key not in self._known_habits:
            context = self._context(use)
            if not context.prompt(self._question(system, NO_TEXT, use), stop):
                return None
            form = _Form(self, context, schema, stop, None)
            try:
                for _ in form.value(schema, "", lead=""):
                    pass
            except _StoppedError:
                return None
            self._known_habits[key] = form.scores
        return self._known_habits[key]

    def _question(self, system: str, text: str, use: Use) -> list[int]:
        room = self._size(use) * 3 // 4  # the rest is for the answer
        lines = text.splitlines()
        while True:
            asked = [Turn("customer", "\n".join([*lines, "", FILL_IN]))]
            tokens = self._tokenize(self._render(_messages(system, asked)), special=True)
            if len(tokens) <= room or not lines:
                return tokens
            del lines[: len(lines) // 8 + 1]

    def _check(self, written: str, schema: Mapping[str, Any]) -> None:
        import jsonschema

        try:
            jsonschema.validate(json.loads(written), schema)
        except (ValueError, jsonschema.ValidationError) as error:
            reason = error.message if isinstance(error, jsonschema.ValidationError) else "it is no JSON"
            raise ModelError(
                f"what the model filled in does not follow the schema: {reason}",
                where=self.facts.model,
                hint="loosen the schema, or take a larger model",
            ) from None

    # -- what both use -------------------------------------------------------------------------------------------------

    @contextmanager
    def _alone(self, stop: Stop) -> Iterator[bool]:
        """Wait for the model; False when stopped first."""
        mine = False
        while not mine and not stop.is_set():
            mine = self._lock.acquire(timeout=0.05)
        try:
            with self._abort.when(stop):
                yield mine
        finally:
            if mine:
                self._lock.release()

    def _token_bytes(self) -> int:
        """What a context keeps of one token: a key and a value in each layer, for each of the heads that have their own."""
        model, library = self._model, self._library
        head = library.llama_model_n_embd(model) // max(library.llama_model_n_head(model), 1)
        kind = self._meta("general.architecture")
        key, value = (int(self._meta(f"{kind}.attention.{part}_length") or head) for part in ("key", "value"))
        heads = library.llama_model_n_layer(model) * library.llama_model_n_head_kv(model)
        return int(heads) * (key + value) * _HALF

    def _meta(self, key: str) -> str:
        """A fact that the file states of itself; empty where it does not."""
        buffer = ctypes.create_string_buffer(256)
        size = self._library.llama_model_meta_val_str(self._model, key.encode(), buffer, len(buffer))
        return buffer.value.decode("utf-8", "replace") if size > 0 else ""

    def _size(self, use: Use) -> int:
        return min(self._context_size, _SIZES.get(use, self._context_size))

    def _context(self, use: Use) -> _Context:
        if use not in self._contexts:
            size = self._size(use)
            self._contexts[use] = _Context(self._library, self._model, self._abort, size=size, threads=self._threads)
        return self._contexts[use]

    def _template(self, path: Path) -> Callable[[list[dict[str, str]]], str]:
        """The model's own chat template: messages to the text of the prompt."""
        from jinja2 import TemplateError
        from llama_cpp.llama_chat_format import Jinja2ChatFormatter

        source = self._library.llama_model_chat_template(self._model, None)
        if not source:
            raise ModelError("has no chat template", where=str(path), hint="take an instruct or chat model")

        def special(token: int) -> str:
            return "" if token < 0 else str(self._library.llama_vocab_get_text(self._vocab, token).decode())

        bos = special(self._library.llama_vocab_bos(self._vocab))
        eos = special(self._library.llama_vocab_eos(self._vocab))
        try:
            formatter = Jinja2ChatFormatter(source.decode("utf-8"), eos_token=eos, bos_token=bos)
        except TemplateError as error:
            raise ModelError(f"its chat template is broken: {error}", where=str(path)) from None
        adds_bos = bool(self._library.llama_vocab_get_add_bos(self._vocab))

        def render(messages: list[dict[str, str]]) -> str:
            try:
                text = str(formatter(messages=messages).prompt)
            except (ValueError, TemplateError) as error:
                raise ModelError(
                    f"its chat template refuses this conversation: {error}",
                    where=str(path),
                    hint="take a model that knows system messages and may speak first",
                ) from None
            return bos + text if adds_bos and not text.startswith(bos) else text

        return render

    def _tokenize(self, text: str, *, special: bool = False) -> list[int]:
        """special: the text comes from a template, and its control words are meant."""
        data = text.encode("utf-8")
        array = (self._library.llama_token * (len(data) + 8))()
        count = self._library.llama_tokenize(self._vocab, data, len(data), array, len(array), False, special)
        return [int(token) for token in array[:count]]

    def _bytes(self, token: int) -> bytes:
        buffer = ctypes.create_string_buffer(256)
        count = self._library.llama_token_to_piece(self._vocab, token, buffer, len(buffer), 0, False)
        return buffer.raw[: max(count, 0)]

    def _ends(self, token: int) -> bool:
        return bool(self._library.llama_vocab_is_eog(self._vocab, token))

    @contextmanager
    def _sampler(self, *samplers: Any) -> Iterator[Callable[[_Context], int]]:
        chain = self._library.llama_sampler_chain_init(self._library.llama_sampler_chain_default_params())
        for sampler in samplers:
            self._library.llama_sampler_chain_add(chain, sampler)
        try:
            yield lambda context: int(self._library.llama_sampler_sample(chain, context.handle, -1))
        finally:
            self._library.llama_sampler_free(chain)


def _load(library: Any, path: Path) -> Any:
    hint = "fetch it again with `callctl models pull`, or name another file"
    try:
        with path.open("rb") as file:
            magic = file.read(4)
    except OSError as error:
        raise ModelError(f"cannot be read: {error.strerror}", where=str(path), hint=hint) from None
    if magic != b"GGUF":
        raise ModelError("is no GGUF file", where=str(path), hint=hint)
    _log.clear()
    params = library.llama_model_default_params()
    # The extra buffer type repacks weights for AMX, and on virtual machines with AMX the first prompt of more than one
    # token then dies with SIGSEGV, whatever the model (llama-cpp-python 0.3.36). Without it nothing is slower.
    params.use_extra_bufts = False
    model = library.llama_model_load_from_file(str(path).encode(), params)
    if not model:
        raise ModelError(f"is truncated, damaged or of an unknown kind{_last_words()}", where=str(path), hint=hint)
    return model


def probe(path: Path) -> str:
    """A few words from the model in `path`, to see that it runs here. Run it in a child process: a crash is a finding.

    Raises ModelError when the file cannot be used or the model stays silent.
    """
    model = Llama(path, name=path.name, max_tokens=8, context=256)
    try:
        words = model.respond(
            "You answer the phone at a shop and are brief.",
            [Turn("customer", "Hello, is anybody there?")],
            threading.Event(),
        )
        line = "".join(piece for piece in words if isinstance(piece, str))
    finally:
        model.close()
    if not line:
        raise ModelError("said nothing when it was greeted", where=str(path), hint="take another model")
    return line


def footprint(path: Path) -> Mapping[str, int]:
    """`Llama.memory` of the model in `path`, with contexts as calls make them. Raises ModelError when the file cannot be used."""
    model = Llama(path, name=path.name)
    try:
        return model.memory()
    finally:
        model.close()


def _messages(system: str, turns: Iterable[Past]) -> list[dict[str, str]]:
    """Turns as chat messages: neighbours of one side joined, since templates want the roles to alternate.

    A tool's result is a note in brackets on the customer's side.
    """
    messages = [{"role": "system", "content": system}]
    for turn in turns:
        role = "assistant" if isinstance(turn, Turn) and turn.who == "bot" else "user"
        text = turn.text.replace("<|", "< |")  # nobody on the phone may write control words
        if messages[-1]["role"] == role:
            messages[-1]["content"] += f" {text}"
        else:
            messages.append({"role": role, "content": text})
    return messages


# -- a form to fill in -------------------------------------------------------------------------------------------------


class _StoppedError(Exception):
    """`stop` was set in the middle of a form."""


def _longest(schema: Mapping[str, Any]) -> int:
    return int(schema.get("maxLength", LONGEST_STRING))


def _optional(schema: Mapping[str, Any]) -> tuple[Mapping[str, Any], bool]:
    """`schema` without null, and whether null was allowed beside one other thing."""
    kinds = schema.get("type")
    if isinstance(kinds, list) and len(kinds) == 2 and "null" in kinds:
        return {**schema, "type": next(kind for kind in kinds if kind != "null")}, True
    union = schema.get("anyOf")
    if isinstance(union, list) and len(union) == 2 and {"type": "null"} in union:
        other = next(part for part in union if part != {"type": "null"})
        return {**{k: v for k, v in schema.items() if k != "anyOf"}, **other}, True
    return schema, False


def _choices(schema: Mapping[str, Any]) -> list[Any] | None:
    """All the values `schema` allows, where they can be counted."""
    if "const" in schema:
        return [schema["const"]]
    if "enum" in schema:
        return list(schema["enum"])
    kinds: dict[Any, list[Any]] = {"boolean": [True, False], "null": [None]}
    kind = schema.get("type")
    return kinds.get(kind) if isinstance(kind, str) else None


def _bounded(schema: Any) -> Any:
    """`schema` with a bound on every string and array, so that nothing sampled under it runs away."""
    if isinstance(schema, list):
        return [_bounded(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    bounded = {key: _bounded(part) for key, part in schema.items()}
    if schema.get("type") == "string" and not {"enum", "const", "pattern", "format"} & schema.keys():
        bounded.setdefault("maxLength", LONGEST_STRING)
    if schema.get("type") == "array":
        bounded.setdefault("maxItems", MOST_ITEMS)
    return bounded


class _Form:
    """Writes one JSON document behind the prompt in `context`. Text that is certain waits until the model is asked next.

    habits: None to find them out: then only choices are made, and everything else is left empty
    """

    def __init__(
        self, llama: Llama, context: _Context, root: Mapping[str, Any], stop: Stop, habits: _Habits | None
    ) -> None:
        self._llama, self._context, self._stop, self._habits = llama, context, stop, habits
        self._definitions = {key: root[key] for key in ("$defs", "definitions") if key in root}
        self._certain: list[int] = []
        self.scores: _Habits = {}

    def value(self, schema: Mapping[str, Any], after: str, *, lead: str = " ", place: str = "") -> Iterator[str]:
        """One value and the text `after` it, as JSON; `lead` is what stands before it in the model's eyes."""
        schema, optional = _optional(schema)
        choices = _choices(schema)
        if choices is not None:
            texts = [_json(choice) for choice in choices]
            texts += ["null"] if optional and "null" not in texts else []
            yield texts[self._choose([lead + text + after for text in texts], place)] + after
        elif schema.get("type") == "object" and schema.get("properties"):
            if optional and self._habits is not None and self._choose([f"{lead}null{after}", lead + "{"]) == 0:
                yield "null" + after
            else:
                written = optional and self._habits is not None
                yield from self._object(schema["properties"], after, "" if written else lead + "{", place)
        elif self._habits is None:
            self._write(f'{lead}""{after}')
        elif schema.get("type") == "string" and not {"pattern", "format"} & schema.keys():
            if optional and self._choose([f"{lead}null{after}", lead + '"']) == 0:
                yield "null" + after
            else:
                self._write("" if optional else lead + '"')
                yield _json(self._string(int(schema.get("minLength", 0)), _longest(schema), after)) + after
        else:
            yield self._sampled(schema, optional, after) + after

    def _object(self, properties: Mapping[str, Any], after: str, opening: str, place: str) -> Iterator[str]:
        last = list(properties)[-1]
        for number, (key, schema) in enumerate(properties.items()):
            self._write((" " if number else opening) + _json(key) + ":")
            yield ("" if number else "{") + _json(key) + ": "
            yield from self.value(schema, "}" + after if key == last else ",", place=f"{place}/{key}")
            if key != last:
                yield " "

    def _write(self, text: str) -> None:
        self._certain += self._llama._tokenize(text)

    def _ask(self) -> NDArray[np.float32]:
        """Logits of what comes next."""
        waiting, self._certain = self._certain, []
        if not self._context.extend(waiting, self._stop):
            raise _StoppedError
        return self._context.logits()

    def _choose(self, texts: Sequence[str], place: str | None = None) -> int:
        """Write the likeliest of `texts`, token by token where they part; its index. None may begin with another.

        place: where habits are looked up and kept; None for a choice that has none
        """
        ways = [self._llama._tokenize(text) for text in texts]
        left = list(range(len(ways)))
        depth = 0
        while len(left) > 1:
            nexts = {ways[i][depth] for i in left}
            if len(nexts) > 1:
                logits = self._ask()
                scores = {token: float(logits[token]) for token in sorted(nexts)}
                if place is not None:
                    self.scores[place] = scores
                    habit = (self._habits or {}).get(place, {})
                    scores = {token: score - HABIT * habit.get(token, 0.0) for token, score in scores.items()}
                    place = None
                nexts = {max(scores, key=lambda token: scores[token])}
            self._certain += nexts
            left = [i for i in left if ways[i][depth] in nexts]
            depth += 1
        self._certain += ways[left[0]][depth:]
        return left[0]

    def _string(self, shortest: int, longest: int, after: str) -> str:
        """Sample a string whose opening quote is written, and write its end."""
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        text = ""
        while True:
            token = self._plain(self._ask()) if len(text) < shortest else int(np.argmax(self._ask()))
            piece = "" if self._llama._ends(token) else decoder.decode(self._llama._bytes(token))
            over = re.search(r'(?<!\\)"|[\x00-\x1f]', text + piece)
            if over or self._llama._ends(token):
                rest = (text + piece)[len(text) : over.start() if over else None]
                text += rest
                break
            if len(text + piece) > longest:
                rest, text = "", (text + piece)[: longest + 1].rpartition(" ")[0] or (text + piece)[:longest]
                break
            self._certain.append(token)
            text += piece
        self._write(f'{rest}"{after}')
        try:
            return str(json.loads(f'"{text}"')).strip()
        except ValueError:  # a broken escape
            return text.replace("\\", "").strip()

    def _plain(self, logits: NDArray[np.float32]) -> int:
        """The likeliest token that does not end a string."""
        for token in np.argsort(logits)[::-1]:
            if not self._llama._ends(int(token)) and re.fullmatch(rb'[^"\\\x00-\x1f]+', self._llama._bytes(int(token))):
                return int(token)
        raise ModelError("its vocabulary has no plain words", where=self._llama.facts.model)

    def _sampled(self, schema: Mapping[str, Any], optional: bool, after: str) -> str:
        """One value under llama.cpp's grammar for `schema`."""
        if optional:
            schema = {"anyOf": [schema, {"type": "null"}]}
        library = self._llama._library
        grammar = library.llama_sampler_init_grammar(
            self._llama._vocab, _grammar({**schema, **self._definitions}), b"start"
        )
        if not grammar:
            raise ModelError(f"llama.cpp refuses the grammar of a schema{_last_words()}", hint="write a simpler schema")
        text = ""
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        with self._llama._sampler(grammar, library.llama_sampler_init_greedy()) as sample:
            for _ in range(GRAMMAR_TOKENS):
                self._ask()
                token = sample(self._context)
                if self._llama._ends(token):
                    break
                text += decoder.decode(self._llama._bytes(token))
                self._certain.append(token)
        self._write(after)
        return _clamped(text.strip(), schema)


def _grammar(schema: Mapping[str, Any]) -> bytes:
    from llama_cpp.llama_grammar import json_schema_to_gbnf

    try:
        rules = json_schema_to_gbnf(json.dumps(_bounded(schema)))
    except (AssertionError, KeyError, ValueError) as error:
        raise ModelError(f"a schema has no grammar: {error}", hint="write a simpler schema") from None
    return f'{rules}\nstart ::= " "? root'.encode()


def _clamped(text: str, schema: Mapping[str, Any]) -> str:
    """A number brought within the bounds that a grammar cannot express; anything else as it is."""
    if schema.get("type") not in ("integer", "number"):
        return text
    number = json.loads(text)
    return _json(max(schema.get("minimum", number), min(schema.get("maximum", number), number)))


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
