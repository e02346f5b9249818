"""`callctl scenario check|new`: tests of calls, checked before they run and begun from a call that was recorded.

Decides: how a recorded call is written down as a scenario. Refuses to know: what makes a scenario valid (lab.scenario does).
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from callctl.commands.profile import shipped_profiles
from callctl.plain import printable
from lab.errors import ConfigError, ConfigErrors

if TYPE_CHECKING:
    from lab import events
    from lab.scenario import Scenario
    from lab.store import StoredCall

app = typer.Typer(help="Write and check scenarios: calls as tests.", no_args_is_help=True)

Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]


@app.command()
def check(
    paths: Annotated[list[Path], typer.Argument(metavar="FILE|DIR…", help="Scenario files, or folders of them.")],
    json_: Json = False,
) -> None:
    """Say of each scenario whether it is right, what it names included, and everything that is wrong."""
    from lab import scenario

    reports: list[dict[str, Any]] = []
    problems: list[ConfigError] = []
    for path in find_scenarios(paths):
        try:
            loaded = scenario.load(path)
            scenario.cast(loaded, path.parent, shipped_profiles())
            reports.append({"file": str(path), "ok": True, **_counts(loaded)})
        except ConfigError as error:
            told = [{"what": p.what, "where": p.where, "hint": p.hint} for p in error.problems]
            reports.append({"file": str(path), "ok": False, "problems": told})
            problems += error.problems
    if json_:
        typer.echo(json.dumps({"ok": not problems, "scenarios": reports}, ensure_ascii=False, indent=2))
        if problems:
            raise typer.Exit(ConfigError.exit_code)
        return
    for report in reports:
        if report["ok"]:
            typer.echo(
                f"{report['file']}: ok ({printable(report['name'])}; {report['form']}, "
                f"{report['expectations']} expectations)"
            )
    if problems:
        raise ConfigErrors(problems)


@app.command()
def new(
    from_: Annotated[str, typer.Option("--from", metavar="CALL_ID", help="A recorded call, or `last`.")],
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Default: CALL_ID.yaml, here.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite a file that is there.")] = False,
) -> None:
    """Write a recorded call down as a scenario: the customer does the same again, the bot is free."""
    from lab import store

    call = store.find(store.recordings_root(), from_)
    path = out or Path(f"{call.session_id}.yaml")
    text = as_scenario(call, path.parent)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w" if force else "x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        if path.exists() and not force:
            raise ConfigError("is there already", where=str(path), hint="--force overwrites it") from None
        raise ConfigError(f"cannot be written: {error.strerror}", where=str(path)) from None
    typer.echo(f"{path}")
    typer.echo(f"Next: tighten what it expects, then callctl scenario check {path}", err=True)


def find_scenarios(paths: Sequence[Path]) -> list[Path]:
    """The files meant by `paths`: themselves, and all YAML below folders, in order. Raises ConfigError."""
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            below = sorted(file for file in path.rglob("*") if file.suffix in (".yaml", ".yml") and file.is_file())
            if not below:
                raise ConfigError("there are no scenarios below this folder", where=str(path), hint="they end in .yaml")
            found += below
        else:
            found.append(path)
    return list(dict.fromkeys(found))


def _counts(scenario: Scenario) -> dict[str, Any]:
    form = f"{len(scenario.steps)} steps" if scenario.steps else f"{len(scenario.reactions)} reactions"
    return {
        "name": scenario.name,
        "form": f"persona {scenario.persona}" if scenario.persona else form,
        "expectations": len(scenario.expect) + sum(len(step.expect) for step in scenario.steps),
    }


# -- from a call -------------------------------------------------------------------------------------------------------

_SOON = 2.0
"""Seconds in which people answer; a longer wait is written down."""
_TOUCHING = 0.1
"""Seconds: what comes this soon after the bot's last frame interrupted it."""


def as_scenario(call: StoredCall, folder: Path) -> str:
    """A recorded call as the text of a scenario that will lie in `folder`. Raises ConfigError."""
    from lab import events, result

    log = call.log()
    started = next((e for e in log if isinstance(e, events.Started)), None)
    answered = next((e.at for e in log if isinstance(e, events.Answered)), None)
    if started is None or answered is None:
        hint = "callctl calls list shows which calls lasted"
        raise ConfigError(
            "this call was never answered: there is nothing to do again", where=str(call.folder), hint=hint
        )
    steps = [line for step in _steps(log, answered) for line in step]
    return "\n".join(
        [
            f"# What the customer did in call {call.session_id}, to be done again. The bot is free to say other things,",
            "# so little is expected of it: the comments say what it said then and what may be tightened.",
            "",
            f"name: {_quoted(f'as in call {call.session_id}')}",
            *_bot(call, started, folder),
            "turns:",
            *(f"  {line}" for line in steps),
            "",
            "expect:",
            f"  - {{result: disconnected_by, equals: {result.disconnected_by(log)}}}",
            *_analysed(log),
            "  # - v2v.p50: <= 1500ms            # half of the replies began within this time",
            "",
        ]
    )


def _bot(call: StoredCall, started: events.Started, folder: Path) -> Iterator[str]:
    """The profile: the shipped one of that name with the call's variables, else the one kept with the call."""
    shipped = shipped_profiles().get(started.bot)
    if shipped is None:
        from lab.record import PROFILE

        kept = os.path.relpath(call.folder / PROFILE, folder)
        yield f"profile: {_quoted(kept)}   # as it ran then; name the one you work on"
        return
    from lab.profile import load

    yield f"profile: {started.bot}"
    used = [name.rpartition(".")[2] for name in load(shipped).referenced_variables()]
    given = started.context.get("variables") or {}
    variables = {name: str(value) for name, value in given.items() if name.rpartition(".")[2] in used}
    if variables:
        yield "variables:"
        yield from (f"  {_quoted(name)}: {_quoted(value)}" for name, value in variables.items())


def _steps(log: Sequence[events.Event], answered: float) -> Iterator[list[str]]:
    """Each step's lines."""
    from lab import events

    turns = sorted({e.turn: e for e in log if isinstance(e, events.Said)}.values(), key=lambda e: e.began)
    bot = [turn for turn in turns if turn.who == "bot"]
    customer = [turn for turn in turns if turn.who == "customer"]
    replies = {turn.answers: turn for turn in bot if turn.answers is not None}
    asked_again = [e.at for e in log if isinstance(e, events.ReEngaged)]
    end = next((e for e in reversed(log) if isinstance(e, events.Ended)), None)
    hung_up = end.at if end is not None and end.cause == "hung_up" else None
    over = end.at if end is not None else log[-1].at

    def waited(moment: float) -> tuple[list[str], list[str]]:
        """What the customer did until `moment`: a silence before the step, or the step's own `after`."""
        before = [turn for turn in bot if turn.began <= moment]
        if before and before[-1].ended >= moment - _TOUCHING:
            return [], [_after("bot_speaking", moment - before[-1].began)]
        theirs = max((turn.ended for turn in customer if turn.ended < moment), default=answered)
        asked = [at for at in asked_again if theirs <= at <= moment]
        heard = [turn.ended for turn in before if not asked or turn.began < asked[0]]
        quiet_since = max([theirs, *heard])
        if asked:
            return [f"- silence: {moment - quiet_since:.1f}s", "  expect: {event: re_engagement}"], []
        if not before and theirs == answered:
            return [], [_after("answered", moment - answered)]
        if theirs == quiet_since:
            return [], [_after("customer_finished", moment - theirs)]
        return [], [_after("bot_finished", moment - quiet_since)] if moment - quiet_since > _SOON else []

    first = min([turn.began for turn in customer] + ([hung_up] if hung_up is not None else []), default=over)
    if bot and bot[0].answers is None and bot[0].heard and bot[0].ended < first - _TOUCHING:
        yield [f"- expect: {{event: greeting}}{_then(bot[0])}"]
    for turn in customer:
        silence, after = waited(turn.began)
        if silence:
            yield silence
        reply = replies.get(turn.turn)
        expect = [f"  expect: {{event: reply}}{_then(reply)}"] if reply is not None and reply.heard else []
        yield [f"- user: {_quoted(turn.text)}", *after, *expect]
    silence, after = waited(over)
    if silence or not turns:
        yield silence or [f"- silence: {max(0.1, over - answered):.1f}s"]
    if hung_up is not None:
        yield ["- hang_up: true", *after]


def _after(event: str, delay: float) -> str:
    return f"  after: {{event: {event}, delay: {max(0, round(delay * 1000))}ms}}"


def _then(turn: events.Said) -> str:
    """What the bot said then, as a comment."""
    text = printable(turn.heard)
    return f"   # then: {text[:90]}{'…' if len(text) > 90 else ''}"


def _analysed(log: Sequence[events.Event]) -> Iterator[str]:
    """What the analysis found, as comments to be let in."""
    from lab import events

    found = next((e.data for e in reversed(log) if isinstance(e, events.Analysed)), None) or {}
    for name, value in found.items():
        if isinstance(value, bool) or (isinstance(value, str) and 0 < len(value) <= 30):
            text = _quoted(str(value).lower() if isinstance(value, bool) else value)
            yield f"  # - {{result: post_call_analysis.{name}, equals: {text}}}"


def _quoted(text: str) -> str:
    """`text` as a YAML scalar on one line."""
    import yaml

    return str(yaml.safe_dump(text, default_style='"', allow_unicode=True, width=10**6)).strip()
