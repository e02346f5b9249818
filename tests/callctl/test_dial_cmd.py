"""`callctl dial`: what its flags come to, and two dials of real calls between scripted people."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

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
expect: {told: comes, fields: {COMES: true}}
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
        to="+1 (202) 555-0105",
        from_="+12025550111",
        var=["first_name=Sam"],
        overrides=["llm.model=qwen2.5-coder-0.5b"],
        max_duration="90s",
    )
    profile = plan.order.profile.profile
    assert (plan.order.to_number, plan.order.from_number) == ("+12025550105", "+12025550111")
    assert profile.opening_message.endswith("Am I speaking with Sam?")
    assert (profile.llm.model, profile.limits.max_duration) == ("qwen2.5-coder-0.5b", 90.0)
    assert plan.order.variables == {"first_name": "Sam"}
    assert "whisper-tiny.en" not in plan.models, "nobody has that number"


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
        ("kin.yaml", "cannot be read: No such file or directory"),
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


@pytest.mark.parametrize("limit", ["0s", "2", "soon"])
def test_a_limit_has_to_be_one(limit: str) -> None:
    with pytest.raises(ConfigErrors) as found:
        prepare("dental-reminder", max_duration=limit)
    assert [problem.where for problem in found.value.problems] == ["--max-duration"]


def test_an_unknown_persona() -> None:
    with pytest.raises(ConfigErrors, match="no persona is named `dental-confirm`") as found:
        prepare("echo.yaml", persona="dental-confirm")
    assert found.value.hint == "did you mean `dental-confirms`?"


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


@pytest.mark.sip
def test_calls_that_do_not_go_well() -> None:
    nobody = callctl("dial", "echo.yaml", "--to", "+12025550177")
    stopped = callctl("dial", "echo.yaml", "--persona", "kim.yaml")
    left = callctl("dial", "echo.yaml", "--persona", "kim.yaml")
    _read_until(stopped, "answered")
    stopped.send_signal(signal.SIGINT)
    _read_until(left, "ringing")
    assert left.stdout
    left.stdout.close()

    out, err = nobody.communicate(timeout=40)
    assert nobody.returncode == 3
    assert "the call was not connected (404" in out
    assert "  hint:  `callctl lab numbers` lists who can be called\n" in err

    out, err = stopped.communicate(timeout=40)
    assert (stopped.returncode, err) == (130, "")
    assert "hanging up" in out
    assert "callctl was interrupted and hung up (outcome: bot)" in out

    assert left.stderr
    assert left.stderr.read() == ""
    left.wait(timeout=40)
    assert len(list(Path("recordings").glob("*/result.json"))) == 3


def _read_until(process: subprocess.Popen[str], word: str) -> None:
    assert process.stdout
    while word not in (line := process.stdout.readline()):
        assert line, process.communicate()
