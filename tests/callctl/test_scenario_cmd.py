from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from callctl.commands import scenario as command
from lab import events, scenario
from lab.errors import ConfigError, ConfigErrors
from lab.scenario import HangUp, Say, Silence

Store = Callable[..., Path]

cli = typer.Typer()
cli.add_typer(command.app, name="scenario")
RIGHT = "name: r\nprofile: dental-reminder\npersona: dental-confirms\nexpect: {event: greeting, count: 1}\n"


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def out(*args: str) -> str:
    result = CliRunner().invoke(cli, ["scenario", *args], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def error(*args: str) -> ConfigError:
    result = CliRunner().invoke(cli, ["scenario", *args])
    assert isinstance(result.exception, ConfigError), result.output
    return result.exception


# -- check -------------------------------------------------------------------------------------------------------------


def test_check_looks_into_folders_and_follows_references() -> None:
    Path("all/deep").mkdir(parents=True)
    Path("all/deep/right.yaml").write_text(RIGHT)
    assert out("check", "all") == "all/deep/right.yaml: ok (r; persona dental-confirms, 1 expectations)\n"
    Path("all/wrong.yaml").write_text(RIGHT.replace("persona: dental-confirms", "persona: dental-confirm"))
    Path("all/worse.yml").write_text(RIGHT.replace("count", "cuont") + "sed: 1\n")
    found = error("check", "all", "none.yaml")
    assert isinstance(found, ConfigErrors)
    assert str(found).splitlines() == [
        "all/worse.yml:4: `expect.count` is missing",
        "all/worse.yml:4: unknown key `expect.cuont` (did you mean `count`?)",
        "all/worse.yml:5: unknown key `sed` (did you mean `seed`?)",
        "all/wrong.yaml:3: `persona`: no persona is named `dental-confirm` (did you mean `dental-confirms`?)",
        "none.yaml: cannot be read: No such file or directory (check the path)",
    ]


def test_check_as_json() -> None:
    Path("right.yaml").write_text(RIGHT)
    document = json.loads(out("check", "right.yaml", "--json"))
    assert document == {
        "ok": True,
        "scenarios": [
            {"file": "right.yaml", "ok": True, "name": "r", "form": "persona dental-confirms", "expectations": 1}
        ],
    }
    result = CliRunner().invoke(cli, ["scenario", "check", "right.yaml", "none.yaml", "--json"])
    assert result.exit_code == 2
    assert json.loads(result.stdout)["scenarios"][1]["problems"][0]["where"] == "none.yaml"


def test_an_empty_folder_is_a_mistake() -> None:
    Path("empty").mkdir()
    assert error("check", "empty").what == "there are no scenarios below this folder"


# -- new ---------------------------------------------------------------------------------------------------------------


def written(*args: str) -> scenario.Scenario:
    """The scenario that `new` writes; it passes `check`."""
    path = Path(out("new", "--from", "last", "--force", *args).strip())
    assert ": ok (" in out("check", str(path))
    return scenario.load(path)


def test_a_recorded_call_becomes_a_scenario(keep: Store, log: list[events.Event]) -> None:
    keep(log)
    found = written()
    assert found.profile == "dental-reminder"
    assert [(s.action, s.after and (s.after.event, s.after.delay)) for s in found.steps] == [
        (None, None),
        (Say("Yes, this is Jordan."), None),
        (Say("Which day?"), ("bot_speaking", 0.66)),
        (HangUp(), None),
    ]
    assert [[e.event for e in s.expect] for s in found.steps] == [["greeting"], ["reply"], ["reply"], []]
    text = Path("20261121-081500-abc123.yaml").read_text()
    assert "# then: Am I speaking with Jordan?" in text
    assert '# - {result: post_call_analysis.DISPOSITION, equals: "Confirmed"}' in text
    assert "{result: disconnected_by, equals: customer}" in text


def test_what_is_let_in_passes_the_check_too(keep: Store, log: list[events.Event]) -> None:
    keep(log)
    path = Path(out("new", "--from", "last", "--out", "x.yaml").strip())
    rows = path.read_text().splitlines()
    begin = rows.index("expect:")
    tight = [row.replace("  # - ", "  - ") for row in rows[begin:] if "SURE" not in row]
    path.write_text("\n".join(rows[:begin] + tight))
    assert len(scenario.load(path).expect) == 3
    assert ": ok (" in out("check", "x.yaml")


def said(
    turn: int, who: str, began: float, ended: float, text: str = "Well.", answers: int | None = None
) -> events.Said:
    speaker = "bot" if who == "bot" else "customer"
    return events.Said(at=ended, who=speaker, turn=turn, text=text, heard=text, began=began, ended=ended, answers=answers)  # type: ignore[arg-type]  # fmt: skip


def test_silences_waits_and_a_bot_that_is_not_shipped(keep: Store, log: list[events.Event]) -> None:
    started = log[0]
    assert isinstance(started, events.Started)
    keep(
        [
            events.Started(**{f: getattr(started, f) for f in started.__slots__} | {"at": 0.0, "bot": "another"}),
            events.Answered(at=2.0),
            said(1, "bot", 2.1, 4.0),
            events.ReEngaged(at=12.0, attempt=1, silence=8.0),
            said(2, "bot", 12.1, 13.0, "Still there?"),
            said(3, "customer", 14.0, 15.0, 'He said: "no"\x07 # {{x}}'),
            said(4, "bot", 16.0, 17.0, "Good.\nAnd now?", answers=3),
            said(5, "customer", 22.0, 23.0, "Now?"),
            said(6, "customer", 23.5, 24.0, "Yes."),
            events.ReEngaged(at=32.0, attempt=1, silence=8.0),
            said(7, "bot", 32.1, 33.0, "Still there?"),
            events.Ended(at=50.0, cause="dead_air", by="here"),
        ]
    )
    folder = Path("recordings/20261121-081500-abc123")
    (folder / "profile.yaml").write_text("name: another\nprompt: p\nopening_message: Hi\n")
    Path("tests").mkdir()
    found = written("--out", "tests/x.yaml")
    assert found.profile == "../recordings/20261121-081500-abc123/profile.yaml"
    assert [(s.action, s.after and (s.after.event, s.after.delay)) for s in found.steps] == [
        (None, None),
        (Silence(10.0), None),
        (Say('He said: "no"\x07 # {{x}}'), None),
        (Say("Now?"), ("bot_finished", 5.0)),
        (Say("Yes."), ("customer_finished", 0.5)),
        (Silence(26.0), None),
    ]


@pytest.mark.parametrize(("bot_until", "after"), [(4.0, ("bot_speaking", 1.9)), (2.5, None)])
def test_somebody_who_only_hangs_up(
    keep: Store, log: list[events.Event], bot_until: float, after: tuple[str, float] | None
) -> None:
    keep([*log[:4], said(1, "bot", 2.1, bot_until), events.Ended(at=4.0, cause="hung_up", by="there")])
    steps = written().steps
    assert steps[-1].action == HangUp()
    assert (steps[-1].after and (steps[-1].after.event, steps[-1].after.delay)) == after


def test_nobody_spoke_at_all(keep: Store, log: list[events.Event]) -> None:
    keep([*log[:4], events.Ended(at=10.0, cause="max_duration", by="here")])
    assert [step.action for step in written().steps] == [Silence(8.0)]


def test_a_call_that_was_never_answered_is_refused(keep: Store, log: list[events.Event]) -> None:
    keep([*log[:3], events.Ended(at=10.0, cause="rejected", by="there", code=486)])
    assert "never answered" in error("new", "--from", "last").what


def test_new_overwrites_only_when_told_to(keep: Store, log: list[events.Event]) -> None:
    keep(log)
    Path("x.yaml").write_text("mine")
    assert str(error("new", "--from", "last", "--out", "x.yaml")) == "x.yaml: is there already (--force overwrites it)"
    assert error("new", "--from", "last", "--out", "x.yaml/y.yaml").what.startswith("cannot be written: ")
    assert error("new", "--from", "nobody").what == "no call `nobody`"
    assert Path("x.yaml").read_text() == "mine"
