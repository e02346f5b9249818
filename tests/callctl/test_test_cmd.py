"""`callctl test` as people and CI run it: a process, its output, its files, its exit code."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from junitparser import JUnitXml

SHIPPED = Path(__file__).parents[1] / "scenarios"

BOT = """
name: echo
opening_message: Hello, can you come?
prompt: "-"
stt: {model: scripted}
llm:
  model: scripted
  options:
    reactions: [{name: great, when: i will, say: Great.}]
    otherwise: Pardon?
    analysis: {COMES: true}
tts: {voice: scripted}
analysis:
  instructions: Read the call.
  schema:
    COMES: {type: boolean}
"""
GOOD = """
name: says yes
profile: BOT
tags: [smoke]
turns:
  - user: Yes, I will. I wrote it down, and I look forward to it.
    expect: {event: reply, contains: great}
  - hang_up: true
expect: {result: post_call_analysis.COMES, equals: true}
"""
BAD = GOOD.replace("contains: great", "contains: splendid").replace("says yes", "hears no praise")
WORSE = GOOD.replace("BOT", "no-such-bot")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CALLCTL_HOME", raising=False)
    monkeypatch.setenv("CALLCTL_OFFLINE", "1")
    (tmp_path / "none").mkdir()
    monkeypatch.setenv("CALLCTL_MODELS", str(tmp_path / "none"))
    (tmp_path / "bot.yaml").write_text(BOT)
    return tmp_path


def write(name: str, text: str = GOOD) -> None:
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text.replace("BOT", str(Path("bot.yaml").resolve())))


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from callctl.cli import main; main()", "test", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, env=os.environ)


def refused(*arguments: str) -> str:
    """What is said of a usage that nothing is done for."""
    done = run(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert not Path("recordings").exists()
    return done.stderr


# -- what people see ---------------------------------------------------------------------------------------------------


def test_one_line_for_each_scenario_why_it_failed_and_a_summary() -> None:
    write("tests/scenarios/good.yaml")
    write("tests/scenarios/deep/bad.yaml", BAD)
    done = run("--pace", "fixed")
    assert (done.returncode, done.stderr) == (1, "")
    bad, why, good, summary, root = done.stdout.splitlines()
    times = r" +\d+\.\d s of calls in +\d+\.\d s"
    assert re.fullmatch(rf"failed    deep/bad {times}", bad)
    assert re.fullmatch(
        r" {10}step 1: expected a reply with `splendid`; `Great\.`, \d\.\d\d s at \d\.\d s of the audio "
        r"\(tests/scenarios/deep/bad\.yaml:7\)",
        why,
    )
    assert re.fullmatch(rf"passed    good {times}", good)
    assert summary.startswith("1 passed, 1 failed, 0 errors; ")
    assert re.fullmatch(r"recordings/runs/\d{8}-\d{6}-[0-9a-f]{6}/", root)
    kept = json.loads((Path(root) / "run.json").read_text())
    assert [row["name"] for row in kept["scenarios"]] == ["deep/bad", "good"]
    assert len(list(Path(root).rglob("events.jsonl"))) == 2


def test_a_latency_that_is_not_to_be_believed_is_marked_where_it_was_measured() -> None:
    write("tests/scenarios/good.yaml")
    assert "not reliable" not in run("--pace", "fixed").stdout
    document = json.loads(run("--pace", "fast", "--json").stdout)
    assert document["scenarios"][0]["reliable"] in (True, False)


def test_json() -> None:
    write("suite/good.yaml")
    write("suite/bad.yaml", BAD)
    write("suite/worse.yaml", WORSE)
    done = run("suite", "--json", "--pace", "fixed", "-k", "no praise")
    assert done.returncode == 1
    document = json.loads(done.stdout)
    assert list(document)[:4] == ["run", "passed", "failed", "errors"]
    assert (document["passed"], document["failed"], document["errors"]) == (0, 1, 0)
    (row,) = document["scenarios"]
    assert (row["name"], row["verdict"], len(row["failures"])) == ("bad", "failed", 1)
    assert set(row["failures"][0]) == {"run", "step", "where", "expected", "heard", "at"}
    assert 2.0 < row["duration"] < 8.0
    assert "failed    bad" in done.stderr, "the progress is for people"
    assert json.loads(Path(f"recordings/runs/{document['run']}/run.json").read_text()) == document


def test_runs_tags_and_workers() -> None:
    write("suite/good.yaml")
    write("suite/bad.yaml", BAD.replace("smoke", "slow"))
    done = run("suite", "--tag", "smoke", "--runs", "3", "-n", "2", "--pace", "fixed", "--json")
    assert done.returncode == 0, done.stderr
    (row,) = json.loads(done.stdout)["scenarios"]
    assert (row["name"], len(row["folders"])) == ("good", 3)


def test_junit_says_what_json_says() -> None:
    write("suite/good.yaml")
    write("suite/deep/bad.yaml", BAD)
    document = json.loads(run("suite", "--json", "--pace", "fixed", "--junit", "junit.xml").stdout)
    (found,) = JUnitXml.fromfile("junit.xml")
    assert (found.name, found.tests, found.failures, found.errors) == (document["run"], 2, 1, 0)
    (case,) = [case for case in found if case.result]
    assert (case.classname, case.name) == ("deep", "bad")
    (failure,) = document["scenarios"][0]["failures"]
    assert failure["expected"] in case.result[0].text
    assert failure["heard"] in case.result[0].text


# -- exit codes --------------------------------------------------------------------------------------------------------


def test_all_passed() -> None:
    write("tests/scenarios/good.yaml")
    assert run().returncode == 0


def test_a_folder_without_scenarios() -> None:
    assert "there is no such scenario file or folder\n  where: tests/scenarios\n" in refused()
    Path("empty").mkdir()
    assert "there are no scenarios: empty" in refused("empty")


def test_every_mistake_in_every_file_is_said_before_a_call_is_placed() -> None:
    write("suite/good.yaml")
    write("suite/x.yaml", GOOD.replace("tags", "tag"))
    write("suite/y.yaml", GOOD.replace("contains", "contain"))
    said = refused("suite")
    assert "suite/x.yaml:4" in said
    assert "suite/y.yaml:7" in said


def test_a_bot_that_there_is_not() -> None:
    write("suite/worse.yaml", WORSE)
    said = refused("suite")
    assert "no profile is named `no-such-bot`\n  where: suite/worse.yaml:3" in said


def test_a_model_that_there_is_not() -> None:
    """The cache is empty and nothing may be fetched."""
    write("suite/good.yaml", GOOD.replace("BOT", "dental-reminder").replace("post_call_analysis.COMES", "callctl.goal"))
    done = run("suite")
    assert (done.returncode, done.stdout) == (3, "")
    assert "Traceback" not in done.stderr


def test_a_junit_file_that_cannot_be_written() -> None:
    write("suite/good.yaml")
    done = run("suite", "--pace", "fixed", "--junit", "none-such/junit.xml")
    assert done.returncode == 3
    assert "cannot write the JUnit file: No such file or directory\n  where: none-such/junit.xml" in done.stderr


# -- cassettes ---------------------------------------------------------------------------------------------------------


def test_frozen_without_a_cassette_says_how_to_record_one() -> None:
    write("suite/good.yaml")
    done = run("suite", "--frozen")
    assert done.returncode == 2
    assert "there is no cassette; suite.cassette; `callctl test PATH --record` makes it" in done.stdout


def test_record_then_frozen_from_within_the_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    write("suite/good.yaml")
    monkeypatch.chdir("suite")
    recorded = run(".", "--record")
    assert recorded.returncode == 0, recorded.stdout + recorded.stderr
    assert "suite.cassette (" in recorded.stdout
    assert run(".", "--frozen").returncode == 0


@pytest.mark.parametrize(
    ("flags", "what"),
    [
        (["--record", "--frozen"], "--record and --frozen exclude each other"),
        (["--record", "--line", "sip"], "a cassette is recorded and played in memory at pace fixed"),
        (["--frozen", "--pace", "fast"], "a cassette is recorded and played in memory at pace fixed"),
        (["--frozen", "--parity"], "a cassette is recorded and played in memory at pace fixed"),
    ],
)
def test_flags_that_exclude_each_other(flags: list[str], what: str) -> None:
    write("suite/good.yaml")
    assert f"error: {what}\n" in refused("suite", *flags)


# -- what is shipped ---------------------------------------------------------------------------------------------------


def test_the_shipped_suite_passes_without_models_the_same_each_time() -> None:
    logs: dict[str, set[bytes]] = {}
    for _ in range(3):
        done = run(str(SHIPPED / "dental"), "--frozen", "--json")
        assert done.returncode == 0, done.stderr
        document = json.loads(done.stdout)
        assert (document["passed"], document["failed"], document["errors"]) == (8, 0, 0)
        for row in document["scenarios"]:
            (log,) = Path(f"recordings/runs/{document['run']}/{row['name']}").glob("*/events.jsonl")
            logs.setdefault(row["name"], set()).add(log.read_bytes())
    assert len(logs) == 8
    assert {name: len(different) for name, different in logs.items()} == dict.fromkeys(logs, 1)


@pytest.mark.parametrize("suite", ["debt", "delivery", "support"])
def test_every_shipped_suite_passes_without_models(suite: str) -> None:
    done = run(str(SHIPPED / suite), "--frozen", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["passed"] == len(list((SHIPPED / suite).glob("*.yaml")))
