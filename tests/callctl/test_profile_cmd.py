from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from callctl.commands import profile
from lab.errors import ConfigError, ConfigErrors

cli = typer.Typer()
cli.add_typer(profile.app, name="profile")
cli.command("init")(profile.init)


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def out(*args: str) -> str:
    result = CliRunner().invoke(cli, args, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def error(*args: str) -> ConfigError:
    result = CliRunner().invoke(cli, args)
    assert isinstance(result.exception, ConfigError), result.output
    return result.exception


def test_what_init_writes_passes_the_check() -> None:
    assert out("init", "my-bot") == "my-bot.yaml\n"
    assert out("profile", "check", "my-bot.yaml") == (
        "my-bot.yaml: ok (2 variables, 2 re-engagement lines, 3 closure phrases, 2 analysis fields, 2 steps, 10 answers, "
        "17 examples)\n"
    )


def test_the_defaults_that_the_starter_tells_are_the_defaults() -> None:
    out("init", "my-bot")
    starter = Path("my-bot.yaml").read_text()
    rows = starter.splitlines()
    begin = rows.index("# stt: {model: whisper-base}")
    told = [
        row[2:] for row in rows[begin:] if row.startswith("# ") and ("{" in row or ": " in row or row.endswith(":"))
    ]
    told = [row for row in told if not row.startswith(("An ", "Durations", "Found", "llm: {model: some-model"))]
    Path("told.yaml").write_text(starter + "\n".join(told) + "\n")
    assert out("profile", "show", "told.yaml") == out("profile", "show", "my-bot.yaml")


def test_init_overwrites_only_when_told_to() -> None:
    Path("my-bot.yaml").write_text("mine")
    assert str(error("init", "my-bot")) == "my-bot.yaml: is there already (--force overwrites it)"
    assert Path("my-bot.yaml").read_text() == "mine"
    out("init", "my-bot", "--force")
    assert Path("my-bot.yaml").read_text() != "mine"


@pytest.mark.parametrize("name", ["My Bot", "../bot", "a: b", "", "null", "bot.yaml"])
def test_init_refuses_a_bad_name_and_writes_nothing(name: str) -> None:
    assert error("init", name).where == name
    assert list(Path().iterdir()) == []


def test_check_reports_all_files_at_once() -> None:
    Path("bad.yaml").write_text("name: b\npromt: x\nopening_message: Hi\n")
    result = CliRunner().invoke(cli, ["profile", "check", "bad.yaml", "dental-reminder", "dental-remindr"])
    assert "ok (4 variables" in result.stdout
    assert isinstance(result.exception, ConfigErrors)
    assert str(result.exception).splitlines() == [
        "bad.yaml:1: `prompt` is missing",
        "bad.yaml:2: unknown key `promt` (did you mean `prompt`?)",
        "no profile is named `dental-remindr` (did you mean `dental-reminder`?)",
    ]


def test_check_as_json() -> None:
    Path("bad.yaml").write_text("name: b\nprompt: '{{crm.x}}'\nopening_message: Hi\n")
    document = json.loads(out("profile", "check", "bad.yaml", "--json"))
    assert document["ok"] is True
    assert document["profiles"][0]["needs"] == ["crm.x"]
    result = CliRunner().invoke(cli, ["profile", "check", "bad.yaml", "none.yaml", "--json"])
    assert result.exit_code == 2
    document = json.loads(result.stdout)
    assert document["ok"] is False
    assert document["profiles"][1]["problems"] == [
        {
            "what": "there is no such file",
            "where": "none.yaml",
            "hint": f"known: bad.yaml, {', '.join(profile.shipped_profiles())}",
        }
    ]


FLOW = """\
name: b
prompt: x
opening_message: Who is it?
flow:
  steps:
    who:
      answers:
        yes: {examples: [so long], next: day, says: Good.}
        fine: {means: it is fine, examples: [fine], says: Fine.}
    day:
      says: Which day?
      answers:
        no_more: {says: Well., next: end}
  always:
    goodbye: {says: Goodbye., next: end}
"""


def test_check_warns_of_what_hardly_works_and_refuses_what_cannot() -> None:
    Path("bot.yaml").write_text(FLOW.replace("so long", "oh yes"))
    result = CliRunner().invoke(cli, ["profile", "check", "bot.yaml"])
    assert result.exit_code == 0
    assert result.stdout.endswith("0 analysis fields, 2 steps, 4 answers, 2 examples)\n")
    assert result.stderr.splitlines() == [
        "warning: `fine` has 1 example",
        "  where: bot.yaml:9",
        "  hint:  give at least 5, the more different the better",
        "warning: the bot hangs up after `Well.`, which is no goodbye",
        "  where: bot.yaml:13",
        "  hint:  end it with a word of goodbye",
    ]
    Path("bot.yaml").write_text(FLOW)
    assert str(error("profile", "check", "bot.yaml")) == (
        "bot.yaml:8: in `who` `so long` is an example of `yes` and of `goodbye` (the other stands on line 15) "
        "(keep it in one of the two)"
    )


def test_check_tells_warnings_and_problems_apart_in_json() -> None:
    Path("bad.yaml").write_text(FLOW)
    Path("good.yaml").write_text(FLOW.replace("so long", "oh yes"))
    result = CliRunner().invoke(cli, ["profile", "check", "bad.yaml", "good.yaml", "--json"])
    assert result.exit_code == 2
    bad, good = json.loads(result.stdout)["profiles"]
    assert (bad["ok"], good["ok"]) == (False, True)
    assert [problem["where"] for problem in bad["problems"]] == ["bad.yaml:8"]
    assert [warning["where"] for warning in bad["warnings"]] == ["bad.yaml:9", "bad.yaml:13"]
    assert [warning["where"] for warning in good["warnings"]] == ["good.yaml:9", "good.yaml:13"]
    assert (good["steps"], good["answers"], good["examples"]) == (2, 4, 2)


@pytest.mark.parametrize("name", list(profile.shipped_profiles()))
def test_what_is_shipped_has_no_warning(name: str) -> None:
    result = CliRunner().invoke(cli, ["profile", "check", name])
    assert (result.exit_code, result.stderr) == (0, "")


def test_show_puts_the_variables_in() -> None:
    text = out("profile", "show", "dental-reminder", "--var", "first_name=Sam", "--set", "llm.temperature=0.5")
    assert "Am I speaking with Sam?" in text
    assert "temperature: 0.5" in text


def test_show_flags_what_has_no_value() -> None:
    Path("bot.yaml").write_text("name: b\nprompt: '{{crm.x}}'\nopening_message: Hi\n")
    result = CliRunner().invoke(cli, ["profile", "show", "bot.yaml"])
    assert result.exit_code == 0
    assert "`{{crm.x}}` has no value" in result.stderr
    assert json.loads(out("profile", "show", "bot.yaml", "--json"))["unresolved"] == ["crm.x"]


@pytest.mark.parametrize("flag", ["x", "=1", "system.timezone=UTC", "a{b=1"])
def test_a_bad_variable_names_the_flag(flag: str) -> None:
    assert error("profile", "show", "dental-reminder", "--var", flag).where == "--var"


def test_a_value_may_hold_an_equals_sign() -> None:
    assert profile.parse_vars(["a=b=c", "d="]) == {"a": "b=c", "d": ""}


def test_find_profile(tmp_path: Path) -> None:
    assert profile.find_profile("dental-reminder").name == "dental-reminder.yaml"
    Path("dental-reminder").mkdir()
    assert profile.find_profile("dental-reminder").name == "dental-reminder.yaml"
    Path("bots").mkdir()
    Path("bots/mine.yaml").touch()
    assert profile.find_profile("bots/mine.yaml") == Path("bots/mine.yaml")
    with pytest.raises(ConfigError, match=r"is not a file"):
        profile.find_profile("bots")
    with pytest.raises(ConfigError) as caught:
        profile.find_profile("bots/mein.yaml")
    assert caught.value.hint == "did you mean `mine.yaml`?"
