"""`callctl doctor`: can calls be made on this machine, and if not, what to do.

Decides: how the checks are shown. Refuses to know: what is checked (lab.doctor does).
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from lab.errors import InfrastructureError

if TYPE_CHECKING:
    from rich.console import Console

    from lab.doctor import Check

_STYLES = {"ok": "green", "note": "dim", "warn": "yellow", "fail": "bold red"}


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
    full: Annotated[
        bool, typer.Option("--full", help="Hash every model anew instead of trusting the last time.")
    ] = False,
) -> None:
    """Try everything a call needs, for real and offline, and say what to do about what does not work."""
    from rich.console import Console

    from lab.doctor import examine, machine
    from lab.store import recordings_root

    console = Console(highlight=False)
    checks: list[Check] = []
    for check in examine(recordings_root(), full=full):
        checks.append(check)
        if not as_json:
            _show(console, check)
    failed = [check for check in checks if check.status == "fail"]
    if as_json:
        document = {"ok": not failed, "checks": [asdict(check) for check in checks], "machine": machine()}
        typer.echo(json.dumps(document, ensure_ascii=False, indent=2))
    else:
        _advise(console, checks)
    if failed:
        raise typer.Exit(InfrastructureError.exit_code)


def _show(console: Console, check: Check) -> None:
    """One line; what is too long for the terminal goes on below, under where it began."""
    from rich.table import Table
    from rich.text import Text

    status, name, says = Text(f"{check.status:<4}", _STYLES[check.status]), Text(f"{check.name:<24}"), Text(check.says)
    if not console.is_terminal:
        console.print(status + "  " + name + "  " + says, soft_wrap=True)
        return
    row = Table.grid(padding=(0, 2, 0, 0))
    row.add_row(status, name, says)
    console.print(row)


def _advise(console: Console, checks: list[Check]) -> None:
    """What to do, what prevents calls first, each cure once."""
    bad = [check for status in ("fail", "warn") for check in checks if check.status == status]
    console.print()
    if not bad:
        console.print("Calls can be made here: callctl dial dental-reminder", soft_wrap=True)
        return
    console.print("What to do:", style="bold")
    for cure in dict.fromkeys(check.do or check.says for check in bad):
        names = ", ".join(check.name for check in bad if (check.do or check.says) == cure)
        console.print(f"  {names}:", style="dim", markup=False, soft_wrap=True)
        console.print(f"    {cure}", markup=False, soft_wrap=True)
