"""`callctl calls list|repair` and `callctl show`: the calls in `recordings/`.

Decides: what a list of calls tells. Refuses to know: how calls are stored and repaired (lab.store does).
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from lab.store import StoredCall

app = typer.Typer(help="The calls that were recorded here.", no_args_is_help=True)

_REPAIRABLE = {"broken": "no result, because the process was killed", "damaged": "a damaged result.json"}

Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]


@app.command("list")
def list_(json_: Json = False) -> None:
    """Every call, oldest first."""
    from lab import store

    root = store.recordings_root()
    rows = [_facts(call) for call in store.calls(root)]
    if json_:
        typer.echo(json.dumps(rows, ensure_ascii=False, indent=2))
        return
    if not rows:
        typer.echo(f"No calls in {root}/ yet: callctl dial dental-reminder", err=True)
        return
    _print_table(rows)
    for state, what in _REPAIRABLE.items():
        if count := sum(row["state"] == state for row in rows):
            typer.echo(f"{count} call{' has' if count == 1 else 's have'} {what}: callctl calls repair", err=True)


@app.command()
def repair(
    ids: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[ID]...", help="As for `callctl show`; without, every broken or damaged call.", show_default=False
        ),
    ] = None,
    json_: Json = False,
) -> None:
    """Give calls whose process was killed their end, and every call that lacks one its result."""
    from lab import store

    root = store.recordings_root()
    found = (
        [store.find(root, name) for name in ids] if ids else [c for c in store.calls(root) if c.state in _REPAIRABLE]
    )
    done = [(call, store.repair(call)) for call in found]
    if json_:
        report = [
            {"session_id": call.session_id, "repaired": result is not None, "was": call.state} for call, result in done
        ]
        typer.echo(json.dumps(report, indent=2))
        return
    for call, result in done:
        if result is not None:
            turns, end = len(result.transcript), f"{result.disconnected_by} after {result.call_duration_seconds:.1f} s"
            typer.echo(f"{call.session_id}  repaired: {turns} turn{'' if turns == 1 else 's'}, ended by {end}")
        elif call.state == "empty":
            typer.echo(f"{call.session_id}  cannot be repaired: its log holds no beginning")
        else:
            typer.echo(f"{call.session_id}  nothing to repair: {store.find(root, call.session_id).state}")
    if not done:
        typer.echo("Nothing to repair.", err=True)


def show(
    call: Annotated[str, typer.Argument(metavar="ID", help="A call's id, its beginning or end; `last` is the newest.")],
    json_: Annotated[
        bool,
        typer.Option(
            "--json", help="Print its result.json instead, with how each reply came about as `callctl.replies`."
        ),
    ] = False,
) -> None:
    """Show a recorded call as it was shown when it happened, and how each reply came about."""
    from lab import record, store

    found = store.find(store.recordings_root(), call)
    if json_:
        from callctl import how

        document = found.result()
        document["callctl"] = {**document["callctl"], "replies": how.replies(found.log())}
        typer.echo(record.to_json(document), nl=False)
        return
    from callctl import view

    view.show(found.log(), found.folder, sys.stdout)
    if found.state == "broken":
        typer.echo("The process that held this call was killed: callctl calls repair", err=True)
    elif found.state == "damaged":
        typer.echo("This call's result.json is damaged: callctl calls repair", err=True)
    elif found.state == "running":
        typer.echo("This call is still running.", err=True)


def _facts(call: StoredCall) -> dict[str, Any]:
    """One row. Numbers of a call that has no result are null."""
    from lab import events

    log = call.log()
    started = next((e for e in log if isinstance(e, events.Started)), None)
    result = call.result() if call.state == "finished" else None
    return {
        "session_id": call.session_id,
        "state": call.state,
        "started": started.wall if started else None,
        "bot": started.bot if started else None,
        "to": started.to_number if started else None,
        "disconnected_by": result["disconnected_by"] if result else None,
        "call_duration_seconds": result["call_duration_seconds"] if result else None,
        "turns": len(result["transcript"]) if result else None,
    }


def _print_table(rows: list[dict[str, Any]]) -> None:
    from rich.table import Table
    from rich.text import Text

    from callctl.plain import printable
    from callctl.view import console, minutes

    ends = Counter(_end_of(row["session_id"]) for row in rows)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("id", "when", "bot", "to", "outcome"):
        table.add_column(name, overflow="fold", no_wrap=name != "bot")
    table.add_column("time", justify="right")
    table.add_column("turns", justify="right")
    for row in rows:
        short, seconds = _end_of(row["session_id"]), row["call_duration_seconds"]
        when = datetime.fromisoformat(row["started"]).strftime("%d %b %H:%M") if row["started"] else ""
        table.add_row(
            short if ends[short] == 1 else row["session_id"],
            when,
            Text(printable(row["bot"] or "")),
            Text(printable(row["to"] or "")),
            Text(row["disconnected_by"]) if row["disconnected_by"] else Text(row["state"], style="yellow"),
            "" if seconds is None else minutes(seconds),
            "" if row["turns"] is None else str(row["turns"]),
        )
    out = console(sys.stdout)
    if not out.is_terminal:
        out.width = 200
    out.print(table)


def _end_of(session_id: str) -> str:
    """What stands after the time in an id; enough to name the call."""
    return session_id.rpartition("-")[2]
