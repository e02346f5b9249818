"""The calls on disk: finding them, reading them, repairing what a killed process left.

Decides: which folders are calls and what state each is in. Refuses to know: how one is shown.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab import events, record, result
from lab.audio import SAMPLE_BYTES
from lab.errors import ConfigError


@dataclass(frozen=True, slots=True)
class StoredCall:
    """One call's folder.

    state: `finished` has a result, `running` is being written, `broken` was left by a process that died.
    """

    folder: Path
    state: str

    @property
    def session_id(self) -> str:
        return self.folder.name

    def log(self) -> list[events.Event]:
        """Its events; a last line that was cut short is left out."""
        return read_log(self.folder / record.EVENTS)

    def result(self) -> dict[str, Any]:
        """result.json as it stands. Raises ConfigError when there is none."""
        path = self.folder / record.RESULT
        if not path.exists():
            hint = "callctl calls repair" if self.state == "broken" else "it is still running"
            raise ConfigError("this call has no result yet", where=str(self.folder), hint=hint)
        try:
            document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            hint = f"remove it, then `callctl calls repair` makes it anew from {record.EVENTS}"
            raise ConfigError(f"not readable as JSON: {error}", where=str(path), hint=hint) from error
        return document


def recordings_root() -> Path:
    """`recordings/` in the working folder if it is there; else under $CALLCTL_HOME if that is set; else made here."""
    here = Path("recordings")
    home = os.environ.get("CALLCTL_HOME")
    return Path(home) / "recordings" if home and not here.is_dir() else here


def calls(root: Path) -> list[StoredCall]:
    """All calls under `root`, oldest first."""
    if not root.is_dir():
        return []
    return [StoredCall(f, _state(f)) for f in sorted(root.iterdir()) if (f / record.EVENTS).is_file()]


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
    """Give a broken call its end, sound audio headers and a result. None when there is nothing to repair."""
    if _state(call.folder) != "broken":  # now, not when it was listed
        return None
    log = call.log()
    if not log or not isinstance(log[0], events.Started):
        return None
    for name in (record.CALL_WAV, record.EARLY_WAV):
        _mend_wav(call.folder / name, log[0].rate)
    if not any(isinstance(e, events.Ended) for e in log):
        end = events.Ended(at=log[-1].at, cause="killed", detail="the process that held the call ended without a word")
        _append(call.folder / record.EVENTS, log, end)
    return write_result(call.folder, log)


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


def _state(folder: Path) -> str:
    if (folder / record.RESULT).exists():
        return "finished"
    with (folder / record.EVENTS).open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return "running"
    return "broken"


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
