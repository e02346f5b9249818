"""How long `callctl dial` takes from the command to the INVITE.

Decides: how often, and how a cold start is made. Refuses to know: what the command does meanwhile.

The call's own log tells when the INVITE left: its file is watched from outside. A cold start comes after the system has forgotten what
it had read from disk, which only root can ask for; else there is no cold figure.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lab.errors import InfrastructureError
from lab.metrics import summary

PATIENCE = 60.0
_LOOK = 0.002
_DROP = Path("/proc/sys/vm/drop_caches")


def run(runs: int, profile: str, *, told: Callable[[str, float], None] = lambda kind, took: None) -> dict[str, Any]:
    """Seconds to the INVITE, cold and warm. Raises InfrastructureError when no INVITE comes."""
    cold: list[float] = []
    if os.access(_DROP, os.W_OK):
        for _ in range(max(1, runs // 3)):
            subprocess.run(["sync"], check=True)
            _DROP.write_text("3")
            cold.append(once(profile))
            told("cold", cold[-1])
    else:
        once(profile)
    warm = []
    for _ in range(runs):
        warm.append(once(profile))
        told("warm", warm[-1])
    return {"warm": summary(warm), "cold": summary(cold)}


def once(profile: str) -> float:
    """Dial, wait for the INVITE, end the call. Seconds."""
    folder = Path(tempfile.mkdtemp(prefix="callctl-start-"))
    (folder / "recordings").mkdir()
    began = time.monotonic()
    command = [sys.executable, "-m", "callctl", "dial", profile, "--json"]
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        while time.monotonic() - began < PATIENCE and process.poll() is None:
            if any(b'"state":"calling"' in log.read_bytes() for log in folder.rglob("events.jsonl")):
                return round(time.monotonic() - began, 3)
            time.sleep(_LOOK)
        said = (
            process.stderr.read().decode(errors="replace").strip()
            if process.poll() is not None and process.stderr
            else ""
        )
        raise InfrastructureError(
            f"no INVITE within {PATIENCE:.0f} s", where=profile, hint=said or "run `callctl doctor`"
        )
    finally:
        process.send_signal(signal.SIGINT)
        time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        process.wait()
        if process.stderr:
            process.stderr.close()
        shutil.rmtree(folder, ignore_errors=True)
