"""`callctl test`: hold a suite's calls and say which did what was expected."""

from __future__ import annotations

import secrets
import sys
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from callctl.plain import printable
from lab.errors import ConfigError, ExpectationFailed, LabError

if TYPE_CHECKING:
    from lab.pace import PaceName
    from lab.runner import Carried
    from lab.suite import Case, How, Outcome

DEFAULT = Path("tests/scenarios")
_APART = {"load_seconds": "loading models", "analysis_seconds": "analysis"}


def suite(
    paths: Annotated[
        list[Path] | None, typer.Argument(help="Scenario files or folders; without one, tests/scenarios/.")
    ] = None,
    workers: Annotated[int, typer.Option("-n", min=1, max=64, metavar="WORKERS", help="Processes.")] = 1,
    runs: Annotated[
        int, typer.Option("--runs", min=1, max=1000, metavar="K", help="Each so often; all must pass.")
    ] = 1,
    words: Annotated[str, typer.Option("-k", metavar="EXPR", help="Only scenarios with these words in the name.")] = "",
    tag: Annotated[str, typer.Option("--tag", metavar="T", help="Only scenarios with this tag.")] = "",
    line: Annotated[Literal["sip", "loop"], typer.Option("--line", help="How calls are carried.")] = "loop",
    pace: Annotated[
        Literal["real", "fast", "fixed"] | None,
        typer.Option("--pace", help="How call time passes: fast, or fixed with --record and --frozen."),
    ] = None,
    record: Annotated[bool, typer.Option("--record", help="Keep what every engine gave, beside the suite.")] = False,
    frozen: Annotated[bool, typer.Option("--frozen", help="Play what was kept; needs no models.")] = False,
    parity: Annotated[
        bool, typer.Option("--parity", help="Hold each call in memory and over SIP, and say where verdicts differ.")
    ] = False,
    junit: Annotated[Path | None, typer.Option("--junit", metavar="FILE", help="Write JUnit XML there.")] = None,
    json_: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Hold a suite's calls, faster than life, and judge them.

    Exit 0 when all passed, 1 when one failed, 2 when a scenario or cassette is wrong, 3 when a call could not be held.
    """
    from lab import suite as suites
    from lab.record import to_json
    from lab.store import recordings_root

    how = _how(line, pace, record, frozen, parity, runs)
    from callctl.commands.profile import shipped_profiles

    cases = suites.find(paths or [DEFAULT], words=words, tag=tag)
    profiles = shipped_profiles()
    if how.tape != "play":
        _fetch(cases, profiles)
    run_id = f"{datetime.now():%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"
    root = recordings_root() / "runs" / run_id
    root.mkdir(parents=True)
    out = sys.stderr if json_ else sys.stdout
    began = time.monotonic()
    if parity:
        outcomes, found = _both(cases, how, root, profiles, workers, out)
    else:
        outcomes = [_told(o, out) for o in suites.run(cases, how, root, profiles, workers=workers)]
        found = suites.document(run_id, outcomes, time.monotonic() - began)
    if how.tape == "record":
        for path in suites.keep_takes(cases, outcomes):
            print(f"recorded  {path} ({path.stat().st_size / 1000:.0f} kB)", file=out)
    (root / "run.json").write_text(to_json(found), encoding="utf-8")
    if junit is not None:
        _write_junit(junit, suites.junit(run_id, outcomes))
    print(_summary(found, root), file=out)
    if json_:
        typer.echo(to_json(found), nl=False)
    if parity and found["parity"]:
        raise ExpectationFailed(f"{len(found['parity'])} verdicts differ between memory and SIP", where=str(root))
    if code := suites.exit_code(outcomes):
        raise typer.Exit(code)


def _how(line: Carried, pace: PaceName | None, record: bool, frozen: bool, parity: bool, runs: int) -> How:
    from lab.suite import How

    if record and frozen:
        raise ConfigError("--record and --frozen exclude each other", hint="record first, then play with --frozen")
    if (record or frozen) and (line == "sip" or parity or pace not in (None, "fixed")):
        hint = "leave --line, --pace and --parity out"
        raise ConfigError("a cassette is recorded and played in memory at pace fixed", hint=hint)
    taped = record or frozen
    usual: PaceName = "fixed" if taped else "fast" if line == "loop" else "real"
    return How(line, pace or usual, "record" if record else "play" if frozen else "none", runs)


def _fetch(cases: Sequence[Case], profiles: dict[str, Path]) -> None:
    """The models that the calls need, fetched before the first one. Raises ConfigErrors for bad references."""
    from callctl.commands.models import pull_with_progress
    from lab import scenario
    from lab.shelf import SCRIPTED

    needed: dict[str, None] = {}
    for case in cases:
        story = scenario.load(case.path)
        cast = scenario.cast(story, case.path.parent, profiles)
        bot = cast.profile
        voice = cast.persona.voice if cast.persona else story.voice
        needed |= dict.fromkeys([bot.stt.model, bot.tts.voice, *([] if bot.llm.base_url else [bot.llm.model])])
        if bot.stt.model != SCRIPTED:
            needed[voice.voice] = None
        if bot.tts.voice != SCRIPTED and not story.steps:
            needed[cast.persona.ear.model if cast.persona else "whisper-tiny.en"] = None
    pull_with_progress([name for name in needed if name != SCRIPTED])


def _both(
    cases: Sequence[Case], how: How, root: Path, profiles: dict[str, Path], workers: int, out: Any
) -> tuple[list[Outcome], dict[str, Any]]:
    """Each case in memory at pace fast and over SIP in real time; the SIP outcomes, and the document with what differs."""
    from lab import suite

    began = time.monotonic()
    outcomes: dict[str, dict[str, Outcome]] = {}
    for line, pace in (("loop", "fast"), ("sip", "real")):
        print(f"-- {'in memory' if line == 'loop' else 'over SIP'}", file=out)
        one = suite.How(line, pace, runs=how.runs)  # type: ignore[arg-type]  # the pairs are those above
        held = suite.run(cases, one, root / line, profiles, workers=workers if line == "loop" else 1)
        outcomes[line] = {o.name: _told(o, out) for o in held}
    over_sip = list(outcomes["sip"].values())
    found = suite.document(root.name, over_sip, time.monotonic() - began)
    found["parity"] = [
        {
            "name": name,
            **{
                line: {"verdict": o[name].verdict, "why": [suite.sentence(f) for f in o[name].failures]}
                for line, o in outcomes.items()
            },
        }
        for name in outcomes["sip"]
        if outcomes["loop"][name].verdict != outcomes["sip"][name].verdict
    ]
    for difference in found["parity"]:
        print(f"differs   {difference['name']}: {difference['loop']['verdict']} in memory, "
              f"{difference['sip']['verdict']} over SIP", file=out)  # fmt: skip
        for line in ("loop", "sip"):
            for why in difference[line]["why"]:
                print(f"          {line}: {printable(why)}", file=out)
    return over_sip, found


def _told(outcome: Outcome, out: Any) -> Outcome:
    """Say what came of one case, at once."""
    from lab.suite import sentence

    doubt = "" if outcome.reliable or outcome.reliable is None else "  (latencies not reliable)"
    times = f"{outcome.duration:6.1f} s of calls in {outcome.took:5.1f} s"
    print(f"{outcome.verdict:<8}  {printable(outcome.name):<28} {times}{doubt}", file=out, flush=True)
    for failure in outcome.failures:
        print(f"          {printable(sentence(failure))}", file=out, flush=True)
    return outcome


def _summary(found: dict[str, Any], root: Path) -> str:
    parts = [f"{found['passed']} passed", f"{found['failed']} failed", f"{found['errors']} errors"]
    ratio = found["call_seconds"] / found["seconds"] if found["seconds"] else 0.0
    apart = [f"{found[key]:.1f} s {what}" for key, what in _APART.items() if found[key] >= 0.1]
    times = f"{found['call_seconds']:.1f} s of calls in {found['seconds']:.1f} s ({ratio:.1f} x)"
    return f"{', '.join(parts)}; {times}{', of that ' + ' and '.join(apart) if apart else ''}\n{root}/"


def _write_junit(path: Path, content: bytes) -> None:
    try:
        path.write_bytes(content)
    except OSError as error:
        hint = "name a file in a folder you may write to"
        raise LabError(f"cannot write the JUnit file: {error.strerror}", where=str(path), hint=hint) from error
