"""`callctl calls list|repair` and `callctl show` on folders as calls leave them."""

from __future__ import annotations

import fcntl
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from callctl.cli import app
from lab import events
from lab.errors import ConfigError
from tests.callctl.conftest import Store

FINISHED, BROKEN, EMPTY = "20261121-081500-abc123", "20261121-081600-def456", "20261121-081700-aaa000"


@pytest.fixture
def recordings(log: list[events.Event], keep: Store) -> Path:
    """A finished call and one whose process was killed."""
    keep(log, FINISHED)
    return keep(log[:9], BROKEN, result=False).parent


def run(*arguments: str) -> tuple[str, str]:
    """stdout and stderr of a command that succeeds; its error otherwise."""
    done = CliRunner().invoke(app, list(arguments))
    if done.exception:
        raise done.exception
    return done.stdout, done.stderr


def test_list(recordings: Path) -> None:
    out, err = run("calls", "list")
    assert [line.split() for line in out.splitlines()] == [
        ["id", "when", "bot", "to", "outcome", "time", "turns"],
        ["abc123", "21", "Nov", "08:15", "dental-reminder", "+12025550101", "customer", "0:09", "5"],
        ["def456", "21", "Nov", "08:15", "dental-reminder", "+12025550101", "broken"],
    ]
    assert all(len(line.rstrip()) <= 80 for line in out.splitlines())
    assert err == "1 call has no result, because the process was killed: callctl calls repair\n"


def test_list_gives_whole_ids_where_the_ends_are_alike(log: list[events.Event], keep: Store) -> None:
    keep(log, "20261121-081500-abc123")
    keep(log, "20261121-081501-abc123")
    assert [line.split()[0] for line in run("calls", "list")[0].splitlines()[1:]] == [
        "20261121-081500-abc123",
        "20261121-081501-abc123",
    ]


def test_list_json(recordings: Path) -> None:
    finished, broken = json.loads(run("calls", "list", "--json")[0])
    assert finished == {
        "session_id": FINISHED,
        "state": "finished",
        "started": "2026-11-21T08:15:00.000+00:00",
        "bot": "dental-reminder",
        "to": "+12025550101",
        "disconnected_by": "customer",
        "call_duration_seconds": 9.0,
        "turns": 5,
    }
    assert (broken["state"], broken["disconnected_by"], broken["turns"]) == ("broken", None, None)


def test_list_of_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CALLCTL_HOME", raising=False)
    assert run("calls", "list") == ("", "No calls in recordings/ yet: callctl dial dental-reminder\n")
    assert json.loads(run("calls", "list", "--json")[0]) == []


def test_repair_gives_every_broken_call_a_result(recordings: Path) -> None:
    out, _ = run("calls", "repair")
    assert out == f"{BROKEN}  repaired: 1 turn, ended by error after 3.5 s\n"
    assert json.loads((recordings / BROKEN / "result.json").read_text())["disconnected_by"] == "error"
    assert run("calls", "repair") == ("", "Nothing to repair.\n")


def test_repair_of_one_that_needs_none(recordings: Path) -> None:
    assert run("calls", "repair", "abc123")[0] == f"{FINISHED}  nothing to repair: finished\n"


def test_repair_of_one_that_never_began(recordings: Path, keep: Store) -> None:
    keep([], EMPTY, result=False)
    assert run("calls", "repair", "last")[0] == f"{EMPTY}  cannot be repaired: its log holds no beginning\n"
    assert json.loads(run("calls", "list", "--json")[0])[-1]["bot"] is None


@pytest.mark.parametrize("content", ["", "{", "{}", '{"a":1}'])
def test_a_damaged_result_is_listed_and_repaired(recordings: Path, content: str) -> None:
    (recordings / FINISHED / "result.json").write_text(content)
    out, err = run("calls", "list")
    assert out.splitlines()[1].split()[-1] == "damaged"
    assert err.splitlines()[1] == "1 call has a damaged result.json: callctl calls repair"
    assert run("show", FINISHED)[1] == "This call's result.json is damaged: callctl calls repair\n"
    assert run("calls", "repair")[0].splitlines()[0] == f"{FINISHED}  repaired: 5 turns, ended by customer after 9.0 s"
    assert run("calls", "list")[1] == ""


def test_a_call_that_never_began_is_not_sent_to_repair_for_ever(recordings: Path, keep: Store) -> None:
    run("calls", "repair")
    keep([], EMPTY, result=False)
    out, err = run("calls", "list")
    assert (out.split()[-1], err) == ("empty", "")
    assert run("calls", "repair") == ("", "Nothing to repair.\n")


def test_repair_json(recordings: Path) -> None:
    assert json.loads(run("calls", "repair", BROKEN, FINISHED, "--json")[0]) == [
        {"session_id": BROKEN, "repaired": True, "was": "broken"},
        {"session_id": FINISHED, "repaired": False, "was": "finished"},
    ]


def test_show_draws_the_call_again(recordings: Path) -> None:
    out, err = run("show", "abc123")
    assert " 0:04.1  bot       Your visit — cut off: is on Tuesday. · 840 ms\n" in out
    assert "  analysis         DISPOSITION: Confirmed\n" in out
    assert out.endswith("events.jsonl  result.json\n")
    assert err == ""


def test_show_of_a_broken_call(recordings: Path) -> None:
    out, err = run("show", "last")
    assert "  ended            not yet, as far as the log goes\n" in out
    assert err == "The process that held this call was killed: callctl calls repair\n"
    run("calls", "repair")
    out, err = run("show", "last")
    assert "  ended            the process that held the call was killed (outcome: error)\n" in out
    assert "  analysis         none: the call's process ended before it\n" in out


def test_show_json_is_the_result_and_how_replies_came_about(
    recordings: Path, log: list[events.Event], keep: Store
) -> None:
    stored = json.loads((recordings / FINISHED / "result.json").read_text())
    shown = json.loads(run("show", "abc123", "--json")[0])
    assert shown["callctl"].pop("replies") == []
    assert shown == stored
    called = events.ToolCalled(at=6.0, name="book", arguments={"day": "Friday"})
    reply = events.Replied(at=6.1, turn=3, answers=2, how="picked", step="day", pick="names_day", tool="book")
    keep([*log[:10], called, reply, *log[10:]], "20261121-081800-bbb111")
    (entry,) = json.loads(run("show", "bbb111", "--json")[0])["callctl"]["replies"]
    assert (entry["turn"], entry["answers"], entry["reply"]["pick"]) == (3, 2, "names_day")
    assert entry["tool_call"] == [{"at": 6.0, "name": "book", "arguments": {"day": "Friday"}}]


def test_show_json_of_a_broken_call(recordings: Path) -> None:
    with pytest.raises(ConfigError, match="no result yet"):
        run("show", BROKEN, "--json")


def test_show_of_an_unknown_call(recordings: Path) -> None:
    with pytest.raises(ConfigError, match="no call `zzz`"):
        run("show", "zzz")


def test_show_of_a_running_call(recordings: Path) -> None:
    with (recordings / BROKEN / "events.jsonl").open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert run("show", "last")[1] == "This call is still running.\n"
        assert "running" in run("calls", "list")[0].splitlines()[-1]
