"""`callctl result`, and the published schema."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from typer.testing import CliRunner

from callctl.commands.result import app
from lab import events, result
from lab.errors import ConfigError, ExpectationFailed
from tests.callctl.conftest import Store


@pytest.fixture
def file(log: list[events.Event], keep: Store) -> Path:
    return keep(log) / "result.json"


def change(file: Path, **fields: Any) -> None:
    document = json.loads(file.read_text())
    file.write_text(json.dumps(document | fields))


def test_a_result_is_valid(file: Path) -> None:
    done = CliRunner().invoke(app, ["validate", str(file)])
    assert (done.exit_code, done.stdout) == (0, f"{file}: valid\n")


def test_standard_input(file: Path) -> None:
    assert CliRunner().invoke(app, ["validate", "-"], input=file.read_text()).stdout == "-: valid\n"


def test_every_problem_on_its_own_line(file: Path) -> None:
    transcript = [{"speaker": "robot", "text": "Hi", "timestamp": "soon"}]
    change(file, transcript=transcript, session_id=7, colour="red")
    document = json.loads(file.read_text())
    del document["caller_id"]
    file.write_text(json.dumps(document))
    done = CliRunner().invoke(app, ["validate", str(file)])
    assert done.stdout.splitlines() == [
        "$.session_id: should be a valid string",
        "$.caller_id: is missing",
        "$.transcript[0].speaker: should be 'bot' or 'customer'",
        "$.transcript[0].timestamp: should be a valid number",
        "$.colour: is not part of a call result",
    ]
    assert isinstance(done.exception, ExpectationFailed)
    assert done.exception.what == "not a call result: 5 problems"


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe\x00"])
def test_what_is_no_json_is_a_usage_mistake(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "x.json"
    file.write_bytes(content)
    assert isinstance(CliRunner().invoke(app, ["validate", str(file)]).exception, ConfigError)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    found = CliRunner().invoke(app, ["validate", str(tmp_path / "x.json")]).exception
    assert isinstance(found, ConfigError)
    assert found.what == "cannot be read: No such file or directory"


def test_schema_is_printed_and_accepts_a_result(file: Path) -> None:
    schema = json.loads(CliRunner().invoke(app, ["schema"]).stdout)
    jsonschema.validate(json.loads(file.read_text()), schema)


def test_the_published_schema_is_the_current_one() -> None:
    published = files("lab").joinpath("schema/call-result.schema.json").read_text(encoding="utf-8")
    assert json.loads(published) == result.json_schema(), "callctl result schema > lab/schema/call-result.schema.json"
