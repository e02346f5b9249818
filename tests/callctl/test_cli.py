"""The entry: speed, help, and how errors become words and exit codes."""

from __future__ import annotations

import os
import resource
import subprocess
import sys

import pytest

RAISING = """
import typer
from callctl import cli
from lab.errors import *

@cli.app.command()
def raising():
    {statement}

cli.main()
"""


def callctl(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from callctl.cli import main; main()", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=os.environ | environment)


def raising(statement: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", RAISING.format(statement=statement), "raising"]
    return subprocess.run(command, capture_output=True, text=True, env=os.environ | environment)


def test_help_is_quick() -> None:
    callctl("--help")  # writes what Python keeps compiled
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert callctl("--help").returncode == 0
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 0.3, "seconds of processor time"


def test_nothing_heavy_is_imported_before_a_command_runs() -> None:
    heavy = {"asyncio", "httpx", "lab.runner", "numpy", "phonenumbers", "pydantic", "rich", "yaml"}
    code = f"import sys, callctl.cli; print({heavy!r} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "set()\n"


def test_every_command_is_there() -> None:
    shown = callctl("--help").stdout
    for command in ("dial", "show", "init", "doctor", "calls", "profile", "models", "lab", "result"):
        assert f"\n  {command} " in shown


def test_version() -> None:
    assert callctl("--version").stdout.startswith("callctl 0.")


@pytest.mark.parametrize("arguments", [["dail"], ["dial"], ["dial", "x", "--colour"], ["show"]])
def test_usage_mistakes_are_exit_2(arguments: list[str]) -> None:
    result = callctl(*arguments)
    assert (result.returncode, result.stdout) == (2, "")
    assert "Usage: " in result.stderr


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ("ExpectationFailed", 1),
        ("ConfigError", 2),
        ("ModelError", 3),
        ("LineError", 3),
        ("NotReliable", 4),
        ("Interrupted", 130),
    ],
)
def test_the_error_says_its_exit_code(kind: str, code: int) -> None:
    result = raising(f"raise {kind}('what happened', where='file:1', hint='do this')")
    assert result.returncode == code
    assert result.stderr == "error: what happened\n  where: file:1\n  hint:  do this\n"
    assert result.stdout == ""


def test_several_problems_are_all_shown() -> None:
    result = raising("raise ConfigErrors([ConfigError('one', where='f:1'), ConfigError('two', hint='fix')])")
    assert (result.returncode, result.stderr) == (2, "error: one\n  where: f:1\nerror: two\n  hint:  fix\n")


def test_errors_cannot_steer_the_terminal() -> None:
    assert raising("raise ConfigError('\\x1b[2J')").stderr == "error: \ufffd[2J\n"


def test_a_mistake_of_our_own_is_one_line_and_exit_3() -> None:
    result = raising("1 / 0")
    assert result.returncode == 3
    assert result.stderr == "callctl broke: ZeroDivisionError: division by zero (CALLCTL_DEBUG=1 shows where)\n"


def test_debug_shows_the_traceback() -> None:
    result = raising("1 / 0", CALLCTL_DEBUG="1")
    assert result.returncode == 3
    assert "Traceback" in result.stderr


def test_ctrl_c_is_130_without_a_word() -> None:
    result = raising("raise KeyboardInterrupt")
    assert (result.returncode, result.stderr) == (130, "")


def test_a_reader_that_has_had_enough_is_no_error() -> None:
    many = "[typer.echo('x' * 1000) for _ in range(1000)]"
    command = [sys.executable, "-c", RAISING.format(statement=many), "raising"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stderr
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == ""


def test_a_terminal_that_lacks_a_letter_is_no_error() -> None:
    result = raising("raise ConfigError('“é”')", PYTHONIOENCODING="ascii")
    assert (result.returncode, result.stderr) == (2, "error: \\u201c\\xe9\\u201d\n")


def test_number_plan() -> None:
    first = callctl("lab", "numbers").stdout.splitlines()[0].split()
    assert first[:4] == ["+12025550101", "dental-confirms", "Cooperative", "patient"]
    shown = callctl("lab", "numbers", "--json").stdout
    assert '"number": "+12025550101"' in shown
    assert '"id": "dental-confirms"' in shown
