"""Acceptance of calls in memory, scenarios and cassettes. About twenty-five minutes with the default models; see harness.py."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.accept.harness import ROOT, main

CALLCTL = str(Path(sys.executable).parent / "callctl")
SUITE = ROOT / "tests" / "scenarios" / "dental"
CASES = sorted(file.stem for file in SUITE.glob("*.yaml"))


def suite(home: Path, *arguments: str, environment: dict[str, str] | None = None) -> tuple[dict[str, Any], Path, float]:
    """One `callctl test --json` in a process of its own: its document, the run's folder, the wall seconds of the process."""
    began = time.monotonic()
    done = subprocess.run(
        [CALLCTL, "test", "--json", *arguments],
        cwd=home, capture_output=True, text=True, timeout=1800, env={**os.environ, **(environment or {})},
    )  # fmt: skip
    took = time.monotonic() - began
    if not done.stdout:
        raise RuntimeError(done.stderr)
    document: dict[str, Any] = json.loads(done.stdout)
    return document, home / "recordings" / "runs" / document["run"], took


def logs(run: Path) -> dict[str, str]:
    """Scenario -> hash of its event log."""
    found = {}
    for case in CASES:
        (log,) = (run / case).rglob("events.jsonl")
        found[case] = hashlib.sha256(log.read_bytes()).hexdigest()
    return found


def verdicts(document: dict[str, Any]) -> dict[str, str]:
    return {case["name"]: case["verdict"] for case in document["scenarios"]}


def frozen() -> dict[str, Any]:
    """Frozen: >= 40 x faster than the calls' duration, everything included; 100 repetitions byte-identical in fresh processes, with
    the other core busy; no models needed."""
    repetitions = int(os.environ.get("CALLCTL_REPETITIONS", "100"))
    none = {"CALLCTL_MODELS": "/nonexistent", "CALLCTL_OFFLINE": "1"}
    speeds, seen = [], set()
    busy = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        for number in range(repetitions):
            with tempfile.TemporaryDirectory() as home:
                document, run, took = suite(Path(home), str(SUITE), "--frozen", environment=none)
                assert document["passed"] == len(CASES), document
                seen.add(json.dumps(logs(run), sort_keys=True))
                speeds.append(document["call_seconds"] / took)
            if number == repetitions // 2:  # the second half on a quiet machine
                busy.kill()
    finally:
        busy.kill()
    speeds.sort()
    held = len(seen) == 1 and speeds[0] >= 40
    return {"held": held, "repetitions": repetitions, "different_logs": len(seen), "slowest": round(speeds[0], 1),
            "median": round(speeds[len(speeds) // 2], 1)}  # fmt: skip


def live_fixed() -> dict[str, Any]:
    """Live engines at `fixed`: 3 repetitions identical in fresh processes and in another scenario order."""
    seen: list[dict[str, str]] = []
    for order in (CASES, CASES[::-1], CASES[3:] + CASES[:3]):
        with tempfile.TemporaryDirectory() as home:
            files = [str(SUITE / f"{case}.yaml") for case in order]
            _, run, _ = suite(Path(home), *files, "--pace", "fixed")
            seen.append(logs(run))
    differ = [case for case in CASES if len({log[case] for log in seen}) > 1]
    return {"held": not differ, "repetitions": len(seen), "differ": differ}


def live_fast() -> dict[str, Any]:
    """At `fast` with default models: <= 1/2.5 of the calls' own duration, loading and analysis apart; 5 runs, no flaky verdict."""
    rows, seen = [], set()
    for _ in range(5):
        with tempfile.TemporaryDirectory() as home:
            document, _, _ = suite(Path(home), str(SUITE))
            talking = document["seconds"] - document["load_seconds"] - document["analysis_seconds"]
            rows.append({"speed": round(document["call_seconds"] / talking, 2), "load": document["load_seconds"],
                         "analysis": document["analysis_seconds"], "passed": document["passed"],
                         "not": [f for c in document["scenarios"] for f in c["failures"]]})  # fmt: skip
            seen.add(json.dumps(verdicts(document), sort_keys=True))
    held = len(seen) == 1 and all(row["speed"] >= 2.5 for row in rows)
    return {"held": held, "different_verdicts": len(seen), "rows": rows}


def parity() -> dict[str, Any]:
    """Every verdict of the shipped scenarios the same in memory and over SIP."""
    with tempfile.TemporaryDirectory() as home:
        document, _, _ = suite(Path(home), str(SUITE), "--parity")
        return {"held": not document["parity"], "scenarios": len(CASES), "differ": document["parity"]}


def size() -> dict[str, Any]:
    """The cassette: <= 0.5 MB a call minute."""
    with tempfile.TemporaryDirectory() as home:
        document, _, _ = suite(Path(home), str(SUITE), "--frozen")
    megabytes = SUITE.with_suffix(".cassette").stat().st_size / 1e6
    rate = megabytes / (document["call_seconds"] / 60)
    return {"held": rate <= 0.5, "megabytes": round(megabytes, 3), "per_call_minute": round(rate, 3)}


STEPS = {"size": size, "frozen": frozen, "live_fixed": live_fixed, "live_fast": live_fast, "parity": parity}

if __name__ == "__main__":
    raise SystemExit(main("b", STEPS))
