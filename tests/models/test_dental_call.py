"""The shipped call with the default models, over SIP in real time: a sample of what `make accept-a` measures."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import wave
from pathlib import Path

import jiwer
import pytest

from lab import events, store
from lab.result import CallResult
from tests.accept.normalise import normalise

pytestmark = [pytest.mark.models, pytest.mark.prove]


def dial(folder: Path, *extra: str) -> tuple[dict[str, object], Path]:
    command = [
        sys.executable,
        "-c",
        "from callctl.cli import main; main()",
        "dial",
        "dental-reminder",
        "--json",
        *extra,
    ]
    environment = {**os.environ, "CALLCTL_OFFLINE": "1"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    result: dict[str, object] = json.loads(done.stdout)
    return result, folder / "recordings" / str(result["session_id"])


def customers_words(folder: Path, log: str) -> str:
    said = {e.turn: e for e in store.read_log(folder / log) if isinstance(e, events.Said) and e.who == "customer"}
    return normalise(" ".join(e.heard for e in sorted(said.values(), key=lambda e: e.began)))


def test_the_dental_call(tmp_path: Path) -> None:
    document, folder = dial(tmp_path)
    result = CallResult.model_validate_json(json.dumps(document))
    assert result.callctl.goal is True
    assert result.disconnected_by in ("bot", "customer")
    assert result.post_call_analysis
    assert result.post_call_analysis["DISPOSITION"] == "Confirmed"
    assert {line.speaker for line in result.transcript} == {"bot", "customer"}

    sip = [e.line for e in store.read_log(folder / "events.jsonl") if isinstance(e, events.SipMessage)]
    assert sip[0].startswith("INVITE sip:+12025550101@")
    assert any(line.startswith("BYE ") for line in sip)

    spoken, understood = customers_words(folder, "customer.jsonl"), customers_words(folder, "events.jsonl")
    assert len(spoken.split()) >= 20
    assert jiwer.wer(spoken, understood) <= 0.25

    with wave.open(str(folder / "call.wav")) as wav:
        assert (wav.getnchannels(), wav.getsampwidth(), wav.getframerate()) == (2, 2, 8000)
        assert wav.getnframes() / 8000 == pytest.approx(result.call_duration_seconds, abs=0.05)


def test_the_dental_call_in_wideband(tmp_path: Path) -> None:
    document, folder = dial(tmp_path, "--set", "line.codec=g722")
    result = CallResult.model_validate_json(json.dumps(document))
    assert result.callctl.goal is True
    with wave.open(str(folder / "call.wav")) as wav:
        assert wav.getframerate() == 16000
