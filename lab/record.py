"""A call's folder: its log and its audio, written as the call goes.

Decides: file names, formats and when bytes reach the disk. Refuses to know: what the events mean.

recordings/<session_id>/
    events.jsonl   one event a line, flushed as it happens; locked while the call runs
    call.wav       stereo 16-bit, left customer, right bot, from the answer on; the header is right after every flush
    early.wav      the same for early media, when there was any
    ear.wav        the same as a customer of ours said and received it, from the answer on there (lab.ear)
    profile.yaml   the profile as it ran, without secrets
    result.json    written once, atomically
"""

from __future__ import annotations

import errno
import fcntl
import io
import json
import os
import struct
from collections.abc import Callable
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from lab import audio, events
from lab.errors import InfrastructureError
from lab.ports import Tick

EVENTS, CALL_WAV, EARLY_WAV, PROFILE, RESULT = "events.jsonl", "call.wav", "early.wav", "profile.yaml", "result.json"
EAR_WAV = "ear.wav"
FLUSH_FRAMES = 10
"""Frames between two writes of audio: at most 0.2 s are lost when the process is killed."""
MIN_FREE_BYTES = 50_000_000
_HEADER = 44


def session_id(now: datetime, token: Callable[[int], str]) -> str:
    """A name that sorts by time: 20260105-101500-3fa2c1."""
    return f"{now:%Y%m%d-%H%M%S}-{token(3)}"


def wav_header(data_bytes: int, rate: int, channels: int = 2) -> bytes:
    """44 bytes of RIFF/WAVE header for 16-bit PCM."""
    block = channels * audio.SAMPLE_BYTES
    return struct.pack(
        "<4sI4s4sIHHIIHH4sI",
        b"RIFF", 36 + data_bytes, b"WAVE", b"fmt ", 16, 1, channels, rate, rate * block, block, 16, b"data", data_bytes,
    )  # fmt: skip


class StereoWav:
    """A WAV that grows by whole frames of two channels and is valid after each flush."""

    def __init__(self, path: Path, rate: int) -> None:
        self._file = path.open("wb", buffering=0)
        self._rate = rate
        self._pending: list[bytes] = []
        self._written = 0
        self._file.write(wav_header(0, rate))

    def append(self, left: bytes, right: bytes) -> None:
        both = np.stack([audio.samples(left), audio.samples(right)], axis=1)
        self._pending.append(both.astype("<i2").tobytes())
        if len(self._pending) >= FLUSH_FRAMES:
            self.flush()

    def flush(self) -> None:
        data = b"".join(self._pending)
        self._pending.clear()
        _write(self._file, data)
        self._written += len(data)
        self._file.seek(0)
        self._file.write(wav_header(self._written, self._rate))
        self._file.seek(0, os.SEEK_END)

    def close(self) -> None:
        with self._file:
            self.flush()


class Recorder:
    """Keeps one call. Use as a context manager; `event` and `tick` are the call's sinks.

    folder: made here, must not exist yet. rate: Hz of the line. Raises InfrastructureError when the disk refuses.
    """

    def __init__(self, folder: Path, rate: int) -> None:
        self.folder, self.rate = folder, rate
        self.log: list[events.Event] = []
        self._call: StereoWav | None = None
        self._early: StereoWav | None = None
        self._answered = False

    def __enter__(self) -> Recorder:
        with disk(self.folder):
            self.folder.mkdir(parents=True)
            stats = os.statvfs(self.folder)
            if stats.f_bavail * stats.f_frsize < MIN_FREE_BYTES:
                self.folder.rmdir()
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            self._events = (self.folder / EVENTS).open("ab", buffering=0)
            fcntl.flock(self._events, fcntl.LOCK_EX)
        return self

    def __exit__(self, *_: object) -> None:
        with disk(self.folder), ExitStack() as closing:  # each is closed, whatever the others say
            closing.callback(self._events.close)
            for wav in (self._call, self._early):
                if wav is not None:
                    closing.callback(wav.close)

    def event(self, event: events.Event) -> None:
        self.log.append(event)
        with disk(self.folder):
            _write(self._events, (events.to_line(event) + "\n").encode())

    def tick(self, tick: Tick) -> None:
        """The bot's side of one frame: what it heard is the customer."""
        with disk(self.folder):
            if self._answered or any(s.kind == "answered" for s in tick.signals):
                self._answered = True
                self._call = self._call or StereoWav(self.folder / CALL_WAV, self.rate)
                self._call.append(tick.heard, tick.spoken)
            else:
                self._early = self._early or StereoWav(self.folder / EARLY_WAV, self.rate)
                self._early.append(tick.heard, tick.spoken)

    def text(self, name: str, content: str) -> Path:
        """Write a small text file of the call, atomically."""
        return write_text(self.folder / name, content)


def write_text(path: Path, content: str) -> Path:
    """Atomically: the file is either the old one or the whole new one."""
    with disk(path.parent):
        draft = path.with_name(f".{path.name}.{os.getpid()}")
        draft.write_text(content, encoding="utf-8")
        draft.replace(path)
    return path


def to_json(document: dict[str, Any]) -> str:
    return json.dumps(document, ensure_ascii=False, indent=2) + "\n"


def _write(file: io.FileIO, data: bytes) -> None:
    """All of `data`: a disk that is nearly full takes a part of it without a word, and refuses the rest."""
    rest = memoryview(data)
    while rest:
        rest = rest[file.write(rest) :]


class disk:  # noqa: N801 - reads as a block: with disk(folder)
    """Turns what the disk refuses into one clear error."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, OSError):
            if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                raise InfrastructureError(
                    "no space left for the recording",
                    where=str(self._folder),
                    hint="free some space, or run callctl in a folder on another disk",
                ) from error
            raise InfrastructureError(
                f"cannot write the recording: {error.strerror}",
                where=str(self._folder),
                hint="run callctl in a folder you may write to, or set CALLCTL_HOME",
            ) from error
