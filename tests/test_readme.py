"""Every command in the README is run, as it stands there."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from lab import flowcheck, scenario, strict
from lab.profile import Profile

ROOT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent
SLOW = ("callctl bench", "callctl dial", "callctl doctor", "callctl models", "callctl test")
NOT_RELIABLE = 4
"""What a bench ends with on a machine that was busy."""


def commands() -> list[str]:
    """The commands after `$` in console blocks, comments removed, in order."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```console\n(.*?)```", text, re.DOTALL)
    lines = [line[2:] for block in blocks for line in block.splitlines() if line.startswith("$ ")]
    return [re.sub(r"\s+# .*", "", line) for line in lines]


MAKE = [c for c in commands() if c.startswith("make")]
ALL = [c for c in commands() if not c.startswith("make")]
QUICK = [c for c in ALL if not c.startswith(SLOW)]
NEEDS_A_CALL = ("callctl show", "callctl result validate", "callctl scenario")


def run(command: str, folder: Path) -> None:
    environment = {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        command,
        shell=True,
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        stdin=subprocess.DEVNULL,
    )
    expected = (0, NOT_RELIABLE) if command.startswith("callctl bench") else (0,)
    assert done.returncode in expected, f"{command}\n{done.stdout}\n{done.stderr}"


def test_the_readme_names_commands() -> None:
    assert len(ALL) > 12
    assert [shlex.split(c)[:2] for c in MAKE] == [["make", "call"], ["make", "test"]]


def blocks() -> tuple[str, str, str]:
    """What the README shows in YAML: a scenario, a profile, and tools to add to it."""
    one, _, two, three = re.findall(r"```yaml\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    return one, two, three


def save_profile(folder: Path) -> None:
    """As the README asks for."""
    text = blocks()[1]
    (folder / text.splitlines()[0].removeprefix("# ")).write_text(text, encoding="utf-8")


def test_the_scenario_is_one() -> None:
    assert scenario.parse(blocks()[0], "README.md").steps


def test_the_profile_and_its_tools_are_right() -> None:
    _, text, tools = blocks()
    whole = text.replace("          confirm:", "          calls: cancel_visit\n          confirm:") + tools
    for made in (text, whole):
        assert flowcheck.findings(strict.parse(made, "README.md", Profile)) == []


def test_the_make_targets_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for command in MAKE:
        assert re.search(rf"^{shlex.split(command)[1]}:", makefile, re.MULTILINE)


def test_quick_commands(tmp_path: Path) -> None:
    save_profile(tmp_path)
    for command in QUICK:
        if not command.startswith(NEEDS_A_CALL):
            run(command, tmp_path)


@pytest.mark.models
@pytest.mark.prove
def test_every_command_in_order(tmp_path: Path) -> None:
    """Three real calls over SIP and five in memory among them: and the benches: about twelve minutes."""
    save_profile(tmp_path)
    for command in ALL:
        run(command, tmp_path)
