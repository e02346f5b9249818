"""The shipped scenarios with live engines: a sample of what `make accept-b` measures."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.models, pytest.mark.prove]

SUITE = Path(__file__).parents[1] / "scenarios" / "dental"


def held(folder: Path, *arguments: str) -> dict[str, Any]:
    command = [sys.executable, "-c", "from callctl.cli import main; main()", "test", str(SUITE), "--json", *arguments]
    environment = {**os.environ, "CALLCTL_OFFLINE": "1"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def test_faster_than_life(tmp_path: Path) -> None:
    document = held(tmp_path, "-k", "interrupts")
    assert (document["passed"], document["failed"], document["errors"]) == (1, 0, 0)
    talking = document["seconds"] - document["load_seconds"] - document["analysis_seconds"]
    assert 0 < talking < document["call_seconds"]


def test_parity(tmp_path: Path) -> None:
    assert held(tmp_path, "-k", "speaks", "--parity")["parity"] == []


def test_recorded_live_and_played(tmp_path: Path) -> None:
    suite = tmp_path / "suite"
    suite.mkdir()
    (suite / "early.yaml").write_text((SUITE / "hangs-up-early.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    command = [sys.executable, "-c", "from callctl.cli import main; main()", "test", str(suite)]
    for flag in ("--record", "--frozen"):
        done = subprocess.run([*command, flag], cwd=tmp_path, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stdout + done.stderr
    one, other = sorted((tmp_path / "recordings" / "runs").glob("*/early/*/events.jsonl"))
    assert one.read_bytes() == other.read_bytes()
