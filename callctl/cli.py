"""The command line's entry: which commands there are, and the one place where an error is shown and becomes an exit code.

Decides: what a person reads when something went wrong. Refuses to know: what any command does.

Heavy libraries are imported inside commands: `callctl --help` has to answer at once.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
from typing import Annotated

import typer

from callctl.commands import bench, calls, lab, models, profile, result, scenario
from callctl.commands.dial import dial
from callctl.commands.doctor import doctor
from callctl.commands.test import suite
from callctl.plain import printable
from lab.errors import LabError

BUG = 3
"""Exit code of a mistake of our own."""

app = typer.Typer(
    help="Place, watch and debug AI phone calls on this machine: a real SIP call, local models, no network.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(dial)
app.command("test")(suite)
app.command()(calls.show)
app.command()(profile.init)
app.command()(doctor)
app.add_typer(bench.app, name="bench")
app.add_typer(calls.app, name="calls")
app.add_typer(profile.app, name="profile")
app.add_typer(scenario.app, name="scenario")
app.add_typer(models.app, name="models")
app.add_typer(lab.app, name="lab")
app.add_typer(result.app, name="result")


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(f"callctl {version('callctl')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command line; never returns."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal that lacks a letter
    try:
        try:
            app()
        finally:
            sys.stdout.flush()
    except LabError as error:
        _show(error)
        sys.exit(error.exit_code)
    except BrokenPipeError:  # whoever read our output has had enough of it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:  # noqa: BLE001 - the process boundary
        _show_bug(error)
        sys.exit(BUG)


def _show(error: LabError) -> None:
    styled = sys.stderr.isatty() and not os.environ.get("NO_COLOR")
    word = "\x1b[1;31merror:\x1b[0m" if styled else "error:"
    for problem in error.problems:
        _say(f"{word} {printable(problem.what)}")
        if problem.where:
            _say(f"  where: {printable(problem.where)}")
        if problem.hint:
            _say(f"  hint:  {printable(problem.hint)}")


def _show_bug(error: Exception) -> None:
    if os.environ.get("CALLCTL_DEBUG"):
        import traceback

        traceback.print_exception(error)
    else:
        _say(f"callctl broke: {printable(f'{type(error).__name__}: {error}')} (CALLCTL_DEBUG=1 shows where)")


def _say(line: str) -> None:
    with contextlib.suppress(BrokenPipeError):  # nobody reads it: the exit code still tells
        print(line, file=sys.stderr)  # noqa: T201 - the place where errors are shown
