"""`callctl dial`: what its flags come to, and two dials of real calls between scripted people."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import IO

import pytest
from typer.testing import CliRunner

from callctl.cli import app
from callctl.commands.dial import FROM_NUMBER, prepare
from lab.errors import ConfigErrors

BOT = """
name: echo
opening_message: Hi, can you come, {{crm.first_name}}?
prompt: "-"
stt: {model: scripted}
llm:
  model: scripted
  options:
    reactions: [{name: bye, when: i will, say: Great. Goodbye.}]
    otherwise: Pardon?
    analysis: {COMES: true}
tts: {voice: scripted}
turn_taking: {endpointing: 0.3s}
variables: {first_name: Jo}
analysis:
  instructions: Read the call.
  schema:
    COMES: {type: boolean}
"""

CUSTOMER = """
name: Kim
number: +12025550150
answers_after: 0.2s
reactions:
  - {name: comes, when: can you come, say: "Yes, I will be there."}
  - {name: bye, when: goodbye, say: Bye., then: hang_up}
expect: {told: comes, analysis: {COMES: true}}
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with a bot and a customer that need no models."""
    (tmp_path / "echo.yaml").write_text(BOT)
    (tmp_path / "kim.yaml").write_text(CUSTOMER)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def problems(*arguments: str) -> list[tuple[str, str | None, str | None]]:
    """What `dial` refuses before it starts anything: what, where, hint."""
    done = callctl("dial", *arguments)
    out, err = done.communicate()
    assert (done.returncode, out) == (2, "")
    found: list[tuple[str, str | None, str | None]] = []
    for line in err.splitlines():
        key, _, value = line.strip().partition(": ")
        if key == "error":
            found.append((value, None, None))
        else:
            what, where, hint = found[-1]
            found[-1] = (what, value.strip(), hint) if key == "where" else (what, where, value.strip())
    return found


def callctl(*arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", "from callctl.cli import main; main()", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


# -- flags -------------------------------------------------------------------------------------------------------------


def test_a_shipped_profile_by_name() -> None:
    plan = prepare("dental-reminder")
    assert (plan.order.to_number, plan.order.from_number) == ("+12025550101", "+12025550190")
    assert plan.order.profile.profile.opening_message.endswith("Am I speaking with Jordan?")
    assert plan.models == ("whisper-base", "en_US-joe-medium", "qwen2.5-coder-1.5b", "whisper-tiny.en")


def test_flags_win_over_the_profile() -> None:
    plan = prepare(
        "dental-reminder",
        to="+1 (202) 555-0101",
        from_="+12025550111",
        var=["first_name=Sam"],
        overrides=["llm.model=qwen2.5-coder-0.5b"],
        max_duration="90s",
    )
    profile = plan.order.profile.profile
    assert (plan.order.to_number, plan.order.from_number) == ("+12025550101", "+12025550111")
    assert profile.opening_message.endswith("Am I speaking with Sam?")
    assert (profile.llm.model, profile.limits.max_duration) == ("qwen2.5-coder-0.5b", 90.0)
    assert plan.order.variables == {"first_name": "Sam"}


def test_a_persona_is_called_at_its_own_number_or_wherever_one_likes() -> None:
    plan = prepare("echo.yaml", persona="kim.yaml")
    assert (plan.order.to_number, plan.order.from_number, plan.models) == ("+12025550150", FROM_NUMBER, ())
    plan = prepare("echo.yaml", persona="kim.yaml", to="+12025550101")
    answering = plan.carrier.who("+12025550101")
    assert answering
    assert answering.name == "Kim"
    assert prepare("echo.yaml", persona="dental-confirms").order.to_number == "+12025550101"


def test_models_of_a_half_scripted_call() -> None:
    def models(*overrides: str) -> tuple[str, ...]:
        return prepare("echo.yaml", persona="kim.yaml", overrides=overrides).models

    assert models("stt.model=whisper-base") == ("whisper-base", "en_US-joe-medium")
    assert models("tts.voice=en_US-joe-medium") == ("en_US-joe-medium", "whisper-tiny.en")
    assert models("llm.options={}", "llm.model=m", "llm.base_url=http://127.0.0.1:1/v1") == ()


def test_everything_wrong_is_said_at_once(folder: Path) -> None:
    (folder / "echo.yaml").write_text(BOT.replace("prompt:", "promt:"))
    flags = ["--to", "123", "--from", "x", "--var", "y", "--persona", "kin.yaml", "--max-duration", "5"]
    assert [(where, what) for what, where, _ in problems("echo.yaml", *flags)] == [
        ("--max-duration", "`5` has no unit"),
        ("echo.yaml:2", "`prompt` is missing"),
        ("echo.yaml:4", "unknown key `promt`"),
        ("--to", "`123` has no country code"),
        ("--from", "`x` contains `x`"),
        ("--var", "`y` is not `name=value`"),
        ("kin.yaml", "there is no such file"),
    ]


def test_a_number_that_nobody_has() -> None:
    assert problems("echo.yaml", "--to", "+12025550177") == [
        ("nobody has the number +12025550177", "--to", "`callctl lab numbers` lists who can be called")
    ]


def test_a_variable_without_a_value(folder: Path) -> None:
    (folder / "echo.yaml").write_text(BOT.replace("{first_name: Jo}", "{}").replace('"-"', '"{{system.moon}}"'))
    assert problems("echo.yaml", "--to", "+12025550101") == [
        (
            "`{{system.moon}}` has no value",
            "echo.yaml",
            "`system.moon` is set by callctl itself; `--allow-unresolved` calls all the same",
        ),
        (
            "`{{crm.first_name}}` has no value",
            "echo.yaml",
            "give one with `--var crm.first_name=…`, or call all the same with `--allow-unresolved`",
        ),
    ]
    plan = prepare("echo.yaml", to="+12025550101", allow_unresolved=True)
    assert plan.order.profile.unresolved == ("system.moon", "crm.first_name")


def test_nobody_to_call() -> None:
    with pytest.raises(ConfigErrors, match="there is no number to call"):
        prepare("echo.yaml")


@pytest.mark.parametrize("limit", ["0s", "2", "soon", ""])
def test_a_limit_has_to_be_one(limit: str) -> None:
    with pytest.raises(ConfigErrors) as found:
        prepare("dental-reminder", max_duration=limit)
    assert [problem.where for problem in found.value.problems] == ["--max-duration"]


def test_an_unknown_persona() -> None:
    with pytest.raises(ConfigErrors, match="no persona is named `dental-confirm`") as found:
        prepare("echo.yaml", persona="dental-confirm")
    assert found.value.hint == "did you mean `dental-confirms`?"


def test_a_persona_by_its_own_name_or_from_a_file_that_is_named_like_a_shipped_one(folder: Path) -> None:
    assert prepare("echo.yaml", persona="Jordan Lee").order.to_number == "+12025550101"
    (folder / "dental-confirms").write_text(CUSTOMER)
    assert prepare("echo.yaml", persona="dental-confirms").order.to_number == "+12025550150"


@pytest.mark.parametrize(
    ("name", "meant"),
    [("kin.yaml", "kim.yaml"), ("dental-confirm.yaml", "dental-confirms"), ("Jordan Le", "Jordan Lee")],
)
def test_the_nearest_persona(name: str, meant: str) -> None:
    with pytest.raises(ConfigErrors) as found:
        prepare("echo.yaml", persona=name)
    assert found.value.hint == f"did you mean `{meant}`?"


# -- calls -------------------------------------------------------------------------------------------------------------


@pytest.mark.sip
def test_a_whole_call() -> None:
    process = callctl("dial", "echo.yaml", "--persona", "kim.yaml", "--json")
    out, err = process.communicate(timeout=40)
    assert process.returncode == 0, err
    result = json.loads(out)
    assert [line["text"] for line in result["transcript"]][:3] == [
        "Hi, can you come, Jo?",
        "Yes, I will be there.",
        "Great. Goodbye.",
    ]
    assert result["disconnected_by"] in ("bot", "customer")
    assert result["callctl"]["goal"] is True
    assert result["callctl"]["analysis_right"] is True
    assert result["callctl"]["fields"] == {}
    assert result["post_call_analysis"] == {"COMES": True}
    folder = Path("recordings") / result["session_id"]
    assert json.loads((folder / "result.json").read_text()) == result

    lines = err.splitlines()
    assert lines[:3] == [
        f"echo  {FROM_NUMBER} → +12025550150 (Kim)",
        "                   dialling",
        "                   ringing",
    ]
    assert "  goal             reached" in lines
    assert f"  files            {folder}/" in lines
    assert "\x1b" not in err


@pytest.mark.parametrize("pace", [["--pace", "fixed"], []])
def test_a_call_in_memory_takes_no_time(pace: list[str]) -> None:
    flags = ["dial", "echo.yaml", "--persona", "kim.yaml", "--json", "--line", "loop", *pace]
    CliRunner().invoke(app, flags)  # imports what a first call imports
    began = time.monotonic()
    done = CliRunner().invoke(app, flags)
    took = time.monotonic() - began
    assert done.exit_code == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["callctl"]["goal"] is True
    assert result["call_duration_seconds"] > 3.0
    assert took < 1.0


@pytest.mark.sip
def test_calls_that_do_not_go_well() -> None:
    stopped = callctl("dial", "echo.yaml", "--persona", "kim.yaml")
    left = callctl("dial", "echo.yaml", "--persona", "kim.yaml")
    blind = callctl("dial", "echo.yaml", "--persona", "kim.yaml", "--json")
    _read_until(stopped.stdout, "answered")
    stopped.send_signal(signal.SIGINT)
    _read_until(left.stdout, "ringing")
    _read_until(blind.stderr, "ringing")
    assert left.stdout
    left.stdout.close()
    assert blind.stderr
    blind.stderr.close()

    out, err = stopped.communicate(timeout=40)
    assert (stopped.returncode, err) == (130, "")
    assert "hanging up" in out
    assert "callctl was interrupted and hung up (outcome: bot)" in out

    assert left.stderr
    assert (left.stderr.read(), left.wait(timeout=40)) == ("", 0)
    assert blind.stdout
    assert json.loads(blind.stdout.read())["callctl"]["goal"] is True
    assert blind.wait(timeout=40) == 0
    results = [json.loads(path.read_text()) for path in Path("recordings").glob("*/result.json")]
    assert sorted(result["callctl"]["goal"] for result in results) == [False, True, True], "the view alone stops"


def _read_until(stream: IO[str] | None, word: str) -> None:
    assert stream
    while word not in (line := stream.readline()):
        assert line
