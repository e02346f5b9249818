"""The Makefile and .ci/run in an empty folder, with tools taken from a PATH of the test's own: real make, real sh."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
TOOLS = (
    "sh",
    "bash",
    "env",
    "awk",
    "date",
    "sleep",
    "tail",
    "cut",
    "grep",
    "touch",
    "nproc",
    "cat",
    "dirname",
    "id",
    "make",
)
PYTHON_311 = 'case "$1" in -V) echo Python 3.11.9;; esac'


class Clone:
    """A clone of the project on a machine that has exactly the tools it was given."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.tools = folder / "clone", folder / "bin"
        self.tools.mkdir(parents=True)
        (self.folder / ".ci").mkdir(parents=True)
        for name in ("Makefile", "pyproject.toml", ".ci/run"):
            shutil.copy(ROOT / name, self.folder / name)
        for tool in TOOLS:
            (self.tools / tool).symlink_to(shutil.which(tool) or f"/no/{tool}")

    def give(self, path: str, script: str) -> None:
        """A program, in the PATH or, with a slash in its name, in the clone."""
        program = (self.folder if "/" in path else self.tools) / path
        program.parent.mkdir(parents=True, exist_ok=True)
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        clean = {"PATH": str(self.tools), "HOME": str(self.folder), "LC_ALL": "C"}
        return subprocess.run(
            command, cwd=self.folder, env=clean, capture_output=True, text=True, timeout=30, check=False
        )

    def set_up(self) -> None:
        """As `make setup` leaves it."""
        for tool in ("pytest", "python", "callctl", "ruff", "mypy", "lint-imports"):
            self.give(f".venv/bin/{tool}", f'echo {tool} "$@"')
        (self.folder / ".venv/.ready").touch()


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    return Clone(tmp_path)


def test_make_alone_says_what_there_is(clone: Clone) -> None:
    done = clone.run("make")
    assert done.returncode == 0
    targets = [line.split()[1] for line in done.stdout.splitlines()]
    assert targets == [
        "help",
        "setup",
        "call",
        "test",
        "prove",
        "lint",
        "accept-a",
        "accept-b",
        "accept-c",
        "accept-d",
        "accept-e",
        "models",
    ]


# -- what a machine may lack: one line, exit 2, nothing installed ------------------------------------------------------------


def refused(clone: Clone, *arguments: str) -> str:
    done = clone.run("make", "setup", *arguments)
    assert done.returncode == 2
    assert not (clone.folder / ".venv").exists()
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    return line


def test_no_python(clone: Clone) -> None:
    line = refused(clone)
    assert "callctl needs Python 3.11 or 3.12 and python3 is not there" in line
    assert "apt-get install python3.11" in line


def test_a_python_too_new(clone: Clone) -> None:
    clone.give("python3", 'case "$1" in -V) echo Python 3.13.1;; *) exit 1;; esac')
    assert "python3 is Python 3.13.1" in refused(clone)


def test_the_python_that_was_asked_for_is_too_old(clone: Clone) -> None:
    clone.give("python3", PYTHON_311)
    clone.give("python3.9", 'case "$1" in -V) echo Python 3.9.2;; *) exit 1;; esac')
    assert "python3.9 is Python 3.9.2" in refused(clone, "PYTHON=python3.9")


def test_no_venv_module(clone: Clone) -> None:
    clone.give("python3.11", 'case "$2" in *ensurepip*) exit 1;; esac')
    clone.give("g++", "")
    assert refused(clone).endswith(
        "python3.11 cannot make virtual environments. Cure: apt-get install python3.11-venv.  Stop."
    )


def test_no_compiler(clone: Clone) -> None:
    clone.give("python3", PYTHON_311)
    assert refused(clone).endswith("there is no C++ compiler. Cure: apt-get install g++.  Stop.")


# -- set-up ------------------------------------------------------------------------------------------------------------------


def test_setup_installs_once(clone: Clone) -> None:
    pip = 'echo pip: "$@"; case "$*" in *install*) echo installed >> installs;; esac'
    venv = f"mkdir -p .venv/bin; printf '#!/bin/sh\\n%s\\n' '{pip}' > .venv/bin/python; chmod +x .venv/bin/python"
    clone.give("python3", f'case "$*" in "-m venv"*) PATH={os.defpath}; {venv};; esac')
    clone.give("g++", "")
    done = clone.run("make", "setup")
    assert (done.returncode, done.stderr) == (0, "")
    assert "pip: -m pip install --disable-pip-version-check -e .[dev]" in (clone.folder / ".venv/setup.log").read_text()
    assert done.stdout.splitlines()[-1].startswith("make setup: ")
    assert clone.run("make", "setup").returncode == 0
    assert (clone.folder / "installs").read_text() == "installed\n"


def test_a_failing_pip_is_heard_and_set_up_is_tried_again(clone: Clone) -> None:
    clone.give("python3", PYTHON_311)
    clone.give("g++", "")
    clone.give(".venv/bin/python", 'case "$*" in *install*) echo no such package; exit 1;; esac')
    for _ in range(2):
        done = clone.run("make", "setup")
        assert done.returncode == 2
        assert "no such package\npip failed; its whole output is in .venv/setup.log\n" in done.stderr


# -- the other targets -------------------------------------------------------------------------------------------------------


def test_test_leaves_models_out_and_says_how_long_it_took(clone: Clone) -> None:
    clone.set_up()
    done = clone.run("make", "test")
    ran, took = done.stdout.splitlines()
    assert ran == "pytest -m not models and not prove"
    assert took.startswith("make test: ")
    assert done.returncode == 0


def test_a_failing_test_run_fails_and_still_says_how_long_it_took(clone: Clone) -> None:
    clone.set_up()
    clone.give(".venv/bin/pytest", "exit 1")
    done = clone.run("make", "test")
    assert done.stdout.startswith("make test: ")
    assert done.returncode == 2


@pytest.mark.parametrize(
    ("target", "ran"),
    [
        ("call", ["callctl dial profiles/dental-reminder.yaml"]),
        ("prove", ["pytest -m models or prove"]),
        ("accept-a", ["python -m tests.accept.a"]),
        ("lint", ["ruff check .", "ruff format --check .", "mypy", "lint-imports"]),
    ],
)
def test_what_a_target_runs(clone: Clone, target: str, ran: list[str]) -> None:
    clone.set_up()
    lines = clone.run("make", target).stdout.splitlines()
    assert [line for line in lines if not line.startswith("make ")] == ran


def test_call_does_not_dial_without_models(clone: Clone) -> None:
    clone.set_up()
    clone.give(".venv/bin/callctl", '[ "$1" = dial ] && echo dialled; exit 3')
    done = clone.run("make", "call")
    assert done.returncode == 2
    assert done.stdout == ""


# -- .ci/run -----------------------------------------------------------------------------------------------------------------


def ci(clone: Clone, *failing: str) -> tuple[int, list[str]]:
    """.ci/run's exit code and the lines it announces itself with."""
    clone.give("g++", "")
    clone.give("python3", PYTHON_311)
    clone.set_up()
    for tool in failing:
        clone.give(f".venv/bin/{tool}", "exit 1")
    done = clone.run(".ci/run")
    return done.returncode, [line for line in done.stdout.splitlines() if line.startswith("===")]


def test_ci_runs_every_step_and_says_how_long_each_took(clone: Clone) -> None:
    code, lines = ci(clone)
    assert code == 0
    steps = ["debian_packages", *(f"make {target}" for target in ("setup", "lint", "test", "models", "prove"))]
    assert lines[0:-1:2] == [f"=== {step}" for step in steps]
    assert all(line.endswith(" s") for line in lines[1::2])
    assert lines[-1].startswith("=== all of it: ")


def test_ci_stops_at_the_first_failure(clone: Clone) -> None:
    code, lines = ci(clone, "pytest")
    assert code == 2
    assert lines[-1].startswith("=== make test: FAILED (exit 2)")
