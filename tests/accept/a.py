"""Acceptance of the first call: real SIP, real models, all on this machine. About fifteen minutes; see harness.py."""

from __future__ import annotations

import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import jiwer
import psutil

from lab import events, store
from tests.accept.harness import ROOT, main
from tests.accept.normalise import normalise

CALLCTL = str(Path(sys.executable).parent / "callctl")
PROFILE = "profiles/dental-reminder.yaml"
CALLS = 5
WORDS = 150


def dial(*extra: str) -> tuple[int, dict[str, Any], Path]:
    """One dental call in a process of its own: exit code, result, the call's folder."""
    done = subprocess.run(
        [CALLCTL, "dial", PROFILE, "--json", *extra], cwd=ROOT, capture_output=True, text=True, timeout=300
    )
    if done.returncode not in (0, 3):
        raise RuntimeError(done.stderr)
    result: dict[str, Any] = json.loads(done.stdout)
    return done.returncode, result, ROOT / "recordings" / result["session_id"]


def lines_of(folder: Path, name: str) -> list[str]:
    """What the customer said (its own log) or what the bot understood of it (the call's)."""
    said = {e.turn: e for e in store.read_log(folder / name) if isinstance(e, events.Said) and e.who == "customer"}
    return [e.heard for e in sorted(said.values(), key=lambda e: e.began)]


def goals_and_words() -> dict[str, Any]:
    """5 of 5 dental calls over SIP reach the goal; word error rate of the customer's lines <= 15 % over >= 150 words."""
    spoken: list[str] = []
    understood: list[str] = []
    rows: list[dict[str, Any]] = []
    reached = number = 0
    while number < CALLS or len(" ".join(spoken).split()) < WORDS:
        code, result, folder = dial()
        number += 1
        reached += code == 0 and result["callctl"]["goal"] is True
        spoken.append(normalise(" ".join(lines_of(folder, "customer.jsonl"))))
        understood.append(normalise(" ".join(lines_of(folder, "events.jsonl"))))
        gaps = result["callctl"]["metrics"]["v2v"]
        rows.append({"id": result["session_id"], "goal": result["callctl"]["goal"], "by": result["disconnected_by"],
                     "seconds": result["call_duration_seconds"], "gap_median": gaps["p50"], "gap_worst": gaps["max"],
                     "analysis": result["post_call_analysis"]})  # fmt: skip
    rate = jiwer.wer(spoken, understood)
    words = len(" ".join(spoken).split())
    held = reached == number and rate <= 0.15 and words >= WORDS
    return {"held": held, "calls": number, "reached": reached, "words": words, "wer": round(rate, 4), "rows": rows}


def killed() -> dict[str, Any]:
    """kill -9 mid-call: log whole, audio to the last 0.5 s, repair gives `error`, no process left after 2 s."""
    with tempfile.TemporaryDirectory() as home:
        process = subprocess.Popen([CALLCTL, "dial", str(ROOT / PROFILE)], cwd=home, stdout=subprocess.PIPE, text=True)
        assert process.stdout
        for line in process.stdout:  # until the customer has said something
            if "customer" in line.lower() and "?" not in line:
                break
        family = psutil.Process(process.pid).children(recursive=True)
        folder = next((Path(home) / "recordings").iterdir())
        before = _answered_for(folder)
        process.send_signal(signal.SIGKILL)
        process.wait()
        _, left = psutil.wait_procs(family, timeout=2)
        alive = [p for p in left if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]  # init reaps when it likes
        log = store.read_log(folder / "events.jsonl")
        whole = (folder / "events.jsonl").read_bytes().endswith(b"\n")
        audio = ((folder / "call.wav").stat().st_size - 44) / 32000
        repaired = subprocess.run([CALLCTL, "calls", "repair"], cwd=home, capture_output=True, text=True)
        result = json.loads((folder / "result.json").read_text())
        lost = before - audio
        held = whole and not alive and lost <= 0.5 and result["disconnected_by"] == "error" and repaired.returncode == 0
        return {"held": held, "events": len(log), "audio_seconds": round(audio, 2), "audio_lost_at_most": round(lost, 2),
                "left_after_2s": len(alive), "disconnected_by": result["disconnected_by"],
                "transcript_lines": len(result["transcript"])}  # fmt: skip


def _answered_for(folder: Path) -> float:
    """Seconds since the answer, by the wall clock that the log's header anchors."""
    from datetime import datetime

    log = store.read_log(folder / "events.jsonl")
    started = log[0]
    assert isinstance(started, events.Started)
    answered = next(e.at for e in log if isinstance(e, events.Answered))
    return time.time() - datetime.fromisoformat(started.wall).timestamp() - answered


def memory() -> dict[str, Any]:
    """20 ten-second SIP calls in one process: memory after call 20 <= after call 5 + 20 MB, same descriptors and processes."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.accept.twenty_calls"], cwd=ROOT, capture_output=True, text=True, timeout=900
    )
    if done.returncode:
        raise RuntimeError(done.stderr)
    rows = json.loads(done.stdout)
    fifth, last = rows[4], rows[19]
    grown = last["rss_mb"] - fifth["rss_mb"]
    held = grown <= 20 and fifth["descriptors"] == last["descriptors"] and fifth["processes"] == last["processes"]
    return {"held": held, "grown_mb": round(grown, 1), "fifth": fifth, "last": last}


def analysis() -> dict[str, Any]:
    """Analysis <= 8 s median for a one-minute call, on a stored one-minute transcript, in the process that held the call."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.accept.analyse"], cwd=ROOT, capture_output=True, text=True, timeout=600
    )
    if done.returncode:
        raise RuntimeError(done.stderr)
    took = json.loads(done.stdout)
    median = statistics.median(took)
    return {"held": median <= 8, "n": len(took), "median": round(median, 2), "worst": round(max(took), 2)}


def help_time() -> dict[str, Any]:
    """`callctl --help` < 0.3 s."""
    took = []
    for _ in range(15):
        began = time.monotonic()
        subprocess.run([CALLCTL, "--help"], capture_output=True, check=True)
        took.append(time.monotonic() - began)
    return {
        "held": statistics.median(took) < 0.3,
        "n": len(took),
        "median": round(statistics.median(took), 3),
        "worst": round(max(took), 3),
    }


STEPS = {
    "goals_and_words": goals_and_words,
    "killed": killed,
    "memory": memory,
    "analysis": analysis,
    "help": help_time,
}

if __name__ == "__main__":
    os.chdir(ROOT)
    raise SystemExit(main("a", STEPS))
