"""`callctl doctor` on checks that are given: what it prints, what it advises, how it exits."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from callctl.commands.doctor import doctor
from lab.doctor import Check

GOOD = Check("ports", "ok", "UDP on 127.0.0.1")
NOTE = Check("audio devices", "note", "none", "sudo apt-get install libportaudio2")
SLOW = Check("CPU", "warn", "busy", "see top")
LACKS = Check("voice", "fail", "not [installed]", "pip install voice")
LACKS_TOO = Check("run joe", "fail", "No module named 'voice'", "pip install voice")


def run(monkeypatch: pytest.MonkeyPatch, checks: list[Check], *arguments: str) -> Result:
    def examine(recordings: Path, *, full: bool) -> Iterator[Check]:
        yield from checks

    monkeypatch.setattr("lab.doctor.examine", examine)
    app = typer.Typer()
    app.command()(doctor)
    return CliRunner().invoke(app, list(arguments))


def test_all_is_well(monkeypatch: pytest.MonkeyPatch) -> None:
    result = run(monkeypatch, [GOOD, NOTE])
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        "ok    ports                     UDP on 127.0.0.1",
        "note  audio devices             none",
        "",
        "Calls can be made here: callctl dial dental-reminder",
    ]
    assert result.stderr == ""


def test_it_ends_with_what_to_do_failures_first_each_cure_once(monkeypatch: pytest.MonkeyPatch) -> None:
    result = run(monkeypatch, [SLOW, LACKS, GOOD, LACKS_TOO])
    assert result.exit_code == 3
    assert "fail  voice                     not [installed]" in result.stdout.splitlines()
    _, advice = result.stdout.split("What to do:\n")
    assert advice.splitlines() == ["  voice, run joe:", "    pip install voice", "  CPU:", "    see top"]


def test_a_warning_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(monkeypatch, [SLOW]).exit_code == 0


def test_json_is_one_document(monkeypatch: pytest.MonkeyPatch) -> None:
    result = run(monkeypatch, [GOOD, LACKS], "--json")
    document = json.loads(result.stdout)
    assert result.exit_code == 3
    assert document["ok"] is False
    assert document["checks"][1] == {
        "name": "voice",
        "status": "fail",
        "says": "not [installed]",
        "do": "pip install voice",
    }
    assert document["machine"]["cores"] >= 1


def test_full_is_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool] = []

    def examine(recordings: Path, *, full: bool) -> Iterator[Check]:
        asked.append(full)
        yield GOOD

    app = typer.Typer()
    app.command()(doctor)
    monkeypatch.setattr("lab.doctor.examine", examine)
    CliRunner().invoke(app, ["--full"])
    assert asked == [True]
