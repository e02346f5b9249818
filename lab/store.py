"""The calls on disk: finding them, reading them, repairing what a killed process left.

Decides: which folders are calls and what state each is in. Refuses to know: how one is shown.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from lab import events, record, result
from lab.audio import SAMPLE_BYTES
from lab.errors import ConfigError, InfrastructureError

State = Literal["finished", "running", "broken", "damaged", "empty"]


@dataclass(frozen=True, slots=True)
class StoredCall:
    """One call's folder.

    state: `finished` has a result, `running` is being written, `broken` was left by a process that died, `damaged` has
    something else where its result should be, `empty` has neither a result nor a log to make one from.
    """

    folder: Path
    state: State

    @property
    def session_id(self) -> str:
        return self.folder.name

    def log(self) -> list[events.Event]:
        """Its events; a last line that was cut short is left out."""
        return read_log(self.folder / record.EVENTS)

    def result(self) -> dict[str, Any]:
        """What result.json holds. Raises ConfigError when there is none, or it is damaged."""
        path = self.folder / record.RESULT
        if not path.exists():
            hints = {"running": "it is still running", "broken": "callctl calls repair"}
            raise ConfigError("this call has no result yet", where=str(self.folder), hint=hints.get(self.state))
        try:
            return _read_result(path).model_dump(by_alias=True)
        except (OSError, ValueError):
            hint = f"`callctl calls repair` makes it anew from {record.EVENTS}"
            raise ConfigError("not the result of a call", where=str(path), hint=hint) from None


def recordings_root() -> Path:
    """`recordings/` in the working folder if it is there; else under $CALLCTL_HOME if that is set; else made here."""
    here = Path("recordings")
    home = os.environ.get("CALLCTL_HOME")
    return Path(home) / "recordings" if home and not here.is_dir() else here


def calls(root: Path) -> list[StoredCall]:
    """All calls under `root`, oldest first. Raises ConfigError when they cannot be read."""
    try:
        if not root.exists():
            return []
        return [StoredCall(f, _state(f)) for f in sorted(root.iterdir()) if (f / record.EVENTS).is_file()]
    except OSError as error:
        hint = "calls are kept there: make it a folder you may read, or run callctl in another one"
        raise ConfigError(f"cannot be read: {error.strerror}", where=str(error.filename), hint=hint) from error


def find(root: Path, name: str) -> StoredCall:
    """The call with this id, or whose id begins or ends with it; `last` is the newest. Raises ConfigError."""
    known = calls(root)
    if not known:
        raise ConfigError("there are no calls here", where=str(root.resolve()), hint="callctl dial dental-reminder")
    if name == "last":
        return known[-1]
    found = [c for c in known if c.session_id == name] or [
        c for c in known if c.session_id.startswith(name) or c.session_id.endswith(name)
    ]
    if len(found) == 1:
        return found[0]
    what = f"{len(found)} calls match `{name}`" if found else f"no call `{name}`"
    raise ConfigError(what, where=str(root.resolve()), hint="callctl calls list shows them; `last` is the newest")


def read_log(path: Path) -> list[events.Event]:
    """Every whole event in the file, in order."""
    log = []
    for line in path.read_bytes().split(b"\n")[:-1]:  # what follows the last line feed was cut short
        try:
            log.append(events.from_line(line.decode()))
        except (ValueError, UnicodeDecodeError):
            continue
    return log


def repair(call: StoredCall) -> result.CallResult | None:
    """Give a broken or damaged call its end, sound audio headers and a result. None when there is nothing to repair.

    Raises InfrastructureError when the disk refuses.
    """
    if _state(call.folder) == "running":
        return None
    try:
        with (call.folder / record.EVENTS).open("r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)  # waits for another repair
            return _mend(call) if _at_rest(call.folder) in ("broken", "damaged") else None
    except OSError as error:
        raise InfrastructureError(f"cannot be repaired: {error.strerror}", where=str(call.folder)) from error


def write_result(folder: Path, log: Sequence[events.Event]) -> result.CallResult:
    """Fold `log` and write result.json."""
    wav = folder / record.CALL_WAV
    document = result.fold(
        log,
        recording_url=wav.resolve().as_uri() if wav.exists() else None,
        recording_key=f"{folder.name}/{record.CALL_WAV}" if wav.exists() else None,
    )
    record.write_text(folder / record.RESULT, record.to_json(document.model_dump(by_alias=True)))
    return document


def _state(folder: Path) -> State:
    with (folder / record.EVENTS).open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return "running"
    return _at_rest(folder)


def _at_rest(folder: Path) -> State:
    """The state of a call that nobody is writing."""
    path = folder / record.RESULT
    try:
        _read_result(path)
    except (OSError, ValueError):
        if not isinstance(next(iter(read_log(folder / record.EVENTS)), None), events.Started):
            return "empty"
        return "damaged" if path.exists() else "broken"
    return "finished"


def _read_result(path: Path) -> result.CallResult:
    """Raises OSError, or ValueError when the file holds anything else."""
    return result.CallResult.model_validate_json(path.read_bytes())


def _mend(call: StoredCall) -> result.CallResult:
    log = call.log()
    rate = next(e.rate for e in log if isinstance(e, events.Started))
    for name in (record.CALL_WAV, record.EARLY_WAV):
        _mend_wav(call.folder / name, rate)
    if not any(isinstance(e, events.Ended) for e in log):
        end = events.Ended(at=log[-1].at, cause="killed", detail="the process that held the call ended without a word")
        _append(call.folder / record.EVENTS, log, end)
    path = call.folder / record.RESULT
    if path.is_dir():
        path.rename(path.with_name(f"{path.name}.was-a-folder"))
    return write_result(call.folder, log)


def _append(path: Path, log: list[events.Event], event: events.Event) -> None:
    """Add an event, first ending a line that was cut short."""
    with path.open("r+b") as file:
        content = file.read()
        file.truncate(content.rfind(b"\n") + 1)
        file.seek(0, os.SEEK_END)
        file.write((events.to_line(event) + "\n").encode())
    log.append(event)


def _mend_wav(path: Path, rate: int) -> None:
    """Make the header agree with the bytes that are there, in whole stereo samples."""
    if not path.exists():
        return
    with path.open("r+b") as file:
        size = max(0, file.seek(0, os.SEEK_END) - 44)
        whole = size - size % (2 * SAMPLE_BYTES)
        file.truncate(44 + whole)
        file.seek(0)
        file.write(record.wav_header(whole, rate))
