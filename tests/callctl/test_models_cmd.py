"""`callctl models` on a tiny catalogue: what it prints where, and what it refuses."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from callctl.commands.models import app, pull_with_progress
from lab import catalogue, models
from lab.catalogue import Entry, File
from lab.errors import ConfigError, ModelError

CONTENT = b"GGUF and more"
SHA256 = hashlib.sha256(CONTENT).hexdigest()
MIND = Entry("tiny-mind", "llm", "MIT", "org/mind", (File("mind.gguf", len(CONTENT), SHA256, None, ()),))
LARGE = Entry("large-voice", "voice", "CC0", "org/voice", (File("voice.onnx", 63_000_000, SHA256, None, ()),))


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(catalogue, "CATALOGUE", {entry.name: entry for entry in (MIND, LARGE)})
    monkeypatch.setattr(catalogue, "DEFAULTS", ("tiny-mind",))
    monkeypatch.setenv("CALLCTL_MODELS", str(tmp_path / "cache"))
    monkeypatch.setenv("CALLCTL_OFFLINE", "1")
    return tmp_path / "cache"


@pytest.fixture
def given(tmp_path: Path) -> Path:
    """A folder that holds the tiny mind."""
    folder = tmp_path / "given"
    folder.mkdir()
    (folder / "mind.gguf").write_bytes(CONTENT)
    return folder


def run(*arguments: str) -> tuple[str, str]:
    """stdout and stderr of a command that succeeds; its LabError otherwise."""
    result = CliRunner().invoke(app, list(arguments))
    if result.exception:
        raise result.exception
    return result.stdout, result.stderr


def test_list_shows_size_licence_and_state(given: Path) -> None:
    run("pull", "--from", str(given))
    lines = run("list")[0].splitlines()
    assert lines[0].split() == ["model", "kind", "MB", "licence", "state"]
    assert lines[1].split() == ["tiny-mind", "llm", "0", "MIT", "present"]
    assert lines[2].split() == ["large-voice", "voice", "63", "CC0", "missing"]


def test_list_json(cache: Path) -> None:
    document = json.loads(run("list", "--json")[0])
    assert document[0] == {
        "name": "tiny-mind",
        "kind": "llm",
        "bytes": len(CONTENT),
        "licence": "MIT",
        "state": "missing",
        "default": True,
        "path": str(cache / "tiny-mind" / "mind.gguf"),
    }


def test_pull_without_names_pulls_the_defaults_and_says_what(given: Path, cache: Path) -> None:
    out, err = run("pull", "--from", str(given))
    assert out == f"tiny-mind  {cache / 'tiny-mind' / 'mind.gguf'}\n"
    assert err.splitlines() == [
        "Fetching tiny-mind (0 MB, MIT)",
        f"into {cache}",
        "tiny-mind: putting together",
        "tiny-mind: checking the hash",
    ]


def test_pull_of_what_is_there_says_nothing_on_stderr(given: Path) -> None:
    run("pull", "--from", str(given))
    out, err = run("pull", "tiny-mind", "--json")
    assert json.loads(out)[0]["sha256"] == SHA256
    assert err == ""


def test_pull_on_a_terminal_draws_bars(given: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    _, err = run("pull", "--from", str(given))
    assert "tiny-mind" in err
    assert "13/13 bytes" in err
    assert "ready" in err


def test_pull_offline_says_how(cache: Path) -> None:
    with pytest.raises(ModelError, match="callctl models pull tiny-mind --from DIR"):
        run("pull")


def test_offline_forbids_before_anything_is_announced_and_names_all(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ModelError, match="models tiny-mind, large-voice are not in the cache") as offline:
        pull_with_progress(["tiny-mind", "large-voice"])
    assert "`callctl models pull tiny-mind large-voice --from DIR`" in (offline.value.hint or "")
    assert capsys.readouterr().err == ""


def test_pull_of_an_unknown_name() -> None:
    with pytest.raises(ConfigError, match="did you mean tiny-mind"):
        run("pull", "tiny-mint")


def test_from_takes_models_of_the_catalogue_only(given: Path) -> None:
    with pytest.raises(ConfigError, match="the catalogue has no model 'org/repo'"):
        run("pull", "org/repo", "--from", str(given))


def test_local_files_need_no_fetching(given: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mind = given / "mind.gguf"
    assert pull_with_progress([str(mind), str(mind)]) == [models.Model(str(mind), "llm", mind, None)]
    assert capsys.readouterr().err == ""


def test_verify(given: Path, cache: Path) -> None:
    run("pull", "--from", str(given))
    assert run("verify")[0] == "tiny-mind  sound\n"
    assert json.loads(run("verify", "tiny-mind", "--json")[0]) == [{"name": "tiny-mind", "sound": True, "fault": None}]

    (cache / "tiny-mind" / "mind.gguf").write_bytes(CONTENT[:-1])
    result = CliRunner().invoke(app, ["verify", "--json"])
    assert isinstance(result.exception, ModelError)
    assert result.exception.hint == "callctl models pull tiny-mind"
    [found] = json.loads(result.stdout)
    assert found["fault"] == f"{cache / 'tiny-mind' / 'mind.gguf'}: mind.gguf of tiny-mind has 12 bytes, expected 13"


def test_verify_of_an_empty_cache(cache: Path) -> None:
    assert run("verify") == ("", f"No models of the catalogue in {cache}: callctl models pull\n")
    assert json.loads(run("verify", "--json")[0]) == []


def test_path(given: Path, cache: Path) -> None:
    with pytest.raises(ModelError, match="tiny-mind is not in the cache"):
        run("path", "tiny-mind")
    run("pull", "--from", str(given))
    mind = cache / "tiny-mind" / "mind.gguf"
    assert run("path", "tiny-mind")[0] == f"{mind}\n"
    assert json.loads(run("path", "tiny-mind", "--json")[0]) == {
        "name": "tiny-mind",
        "kind": "llm",
        "path": str(mind),
        "sha256": SHA256,
    }


def test_importing_the_commands_loads_nothing_heavy() -> None:
    code = (
        "import sys, callctl.commands.models; print({'httpx', 'huggingface_hub', 'rich.progress'} & set(sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"
