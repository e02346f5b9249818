"""`callctl lab`: the lab's telephone network as a user sees it.

Decides: how the number plan is shown. Refuses to know: who has which number (lab.carrier does).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from lab.persona import Persona

app = typer.Typer(help="The lab's telephone network.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Keeps `numbers` a command of its own while it is the only one."""


@app.command()
def numbers(json_: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False) -> None:
    """Which numbers can be called, and who answers."""
    from lab.carrier import Carrier

    plan = Carrier(shipped_personas().items()).plan()
    if json_:
        typer.echo(json.dumps(plan, ensure_ascii=False, indent=2))
        return
    width = max(len(row["id"]) for row in plan)
    for row in plan:
        typer.echo(f"{row['number']}  {row['id']:<{width}}  {row['does']}")


def shipped_personas() -> dict[str, Persona]:
    """The customers that come with the lab, by id."""
    from lab import persona

    return {name: persona.load(path) for name, path in persona.shipped().items()}
