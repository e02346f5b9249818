"""Many calls, one verdict: scenarios are found, held and judged.

Decides: which scenarios a run has, how each is held, what a run's outcome is. Refuses to know: how it is shown.

A case is one scenario; its runs follow each other in one process, cases may share out among several. Each call's folder lies under
the run's own, `recordings/runs/<run>/<scenario>/`, beside `run.json`.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Literal
from xml.etree import ElementTree

from lab import checks, events, scenario, template
from lab.call import NOISE, SILENCE
from lab.carrier import Carrier
from lab.cassette import Cassette, Take
from lab.engines.cassette import Playback, Recording
from lab.errors import ConfigError, ConfigErrors, InfrastructureError, LabError
from lab.numbers import LAB_LAST
from lab.pace import Pace, PaceName
from lab.persona import Persona
from lab.ports import ToolCall
from lab.profile import Profile
from lab.record import EVENTS
from lab.runner import Carried, Lab, Order
from lab.shelf import Shelf

Verdict = Literal["passed", "failed", "error"]
Tape = Literal["none", "record", "play"]

LIFE_BEGAN = datetime(2026, 1, 5, 10, 0, tzinfo=UTC)
"""The moment every call of a suite begins, under `fixed`: the same call gives the same log."""
FROM_NUMBER = "+12025550100"


@dataclass(frozen=True, slots=True)
class How:
    """How the calls of a run are held."""

    carried: Carried = "loop"
    pace: PaceName = "fast"
    tape: Tape = "none"
    runs: int = 1
    """At least so often each; a scenario may ask for more."""


@dataclass(frozen=True, slots=True)
class Case:
    """One scenario of a run. `name` is unique in it: the file's path without suffix, from where the search began."""

    name: str
    path: Path

    @property
    def cassette(self) -> Path:
        """Where its calls are recorded: one file beside the folder of the suite."""
        folder = self.path.parent
        if folder.name in ("", ".."):
            folder = folder.resolve()
        return folder.with_name(f"{folder.name}.cassette")


@dataclass(slots=True)
class Outcome:
    """What came of one case. Seconds; `duration` is of the calls, from answer to end, `took` of holding and judging them."""

    name: str
    title: str = ""
    verdict: Verdict = "passed"
    failures: list[dict[str, Any]] = field(default_factory=list)
    """Each with run, step, where, expected, heard, at; of an error only what, where and hint."""
    exit_code: int = 0
    duration: float = 0.0
    took: float = 0.0
    load: float = 0.0
    """Of `took`: until the models were there."""
    analysis: float = 0.0
    """Of `took`, at pace fast: after the calls."""
    reliable: bool | None = None
    """Whether latencies may be believed; None where they were not measured."""
    folders: list[str] = field(default_factory=list)
    take: Take | None = None


def find(paths: Iterable[Path], *, words: str = "", tag: str = "") -> list[Case]:
    """Scenario files under `paths`, in order. words: must all be in the name. Raises ConfigErrors for scenarios that are none."""
    cases, problems = [], []
    for path in paths:
        if not path.exists():
            problems.append(ConfigError("there is no such scenario file or folder", where=str(path)))
        files = _below(path) if path.is_dir() else [path] if path.exists() else []
        for file in files:
            name = str(file.relative_to(path).with_suffix("")) if path.is_dir() else file.stem
            try:
                found = scenario.load(file)
            except ConfigErrors as error:
                problems += error.problems
                continue
            if all(w.casefold() in f"{name} {found.name}".casefold() for w in words.split()) and (
                not tag or tag in found.tags
            ):
                cases.append(Case(name, file))
    if problems:
        raise ConfigErrors(problems)
    if not cases:
        what = "no scenario fits" if words or tag else "there are no scenarios"
        places = ", ".join(map(str, paths)) or "here"
        raise ConfigError(
            f"{what}: {places}", hint="`callctl scenario new --from CALL_ID` makes one of a recorded call"
        )
    return _distinct(cases)


def _distinct(cases: Sequence[Case]) -> list[Case]:
    """Each file once; a name that is taken gets a number."""
    found: dict[Path, Case] = {}
    taken: set[str] = set()
    for case in cases:
        name = next(n for n in [case.name, *(f"{case.name}-{i + 2}" for i in range(len(cases)))] if n not in taken)
        if case.path.resolve() not in found:
            taken.add(name)
            found[case.path.resolve()] = Case(name, case.path)
    return list(found.values())


def _below(folder: Path) -> list[Path]:
    """Files that may be scenarios; a call's own folder has a YAML file too, its profile."""
    return sorted(file for file in folder.rglob("*.y*ml") if not (file.parent / EVENTS).exists())


def run(
    cases: Sequence[Case], how: How, root: Path, profiles: Mapping[str, Path], *, workers: int = 1
) -> Iterator[Outcome]:
    """Hold and judge the cases; each outcome as it is known. root: the run's folder. profiles: shipped ones by name.

    With more than one worker the order of outcomes is theirs. A worker that dies is an error of every case
    that was not finished.
    """
    if workers == 1:
        for case in cases:
            yield hold(case, how, root, profiles)
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        held = {pool.submit(hold, case, how, root, profiles): case for case in cases}
        for future in as_completed(held):
            try:
                yield future.result()
            except BrokenProcessPool:
                died = InfrastructureError(
                    "the process that held this call died", hint="`callctl doctor` tries each engine"
                )
                yield _error(Outcome(held[future].name), died)


def hold(case: Case, how: How, root: Path, profiles: Mapping[str, Path]) -> Outcome:
    """All runs of one case, in this process."""
    outcome, began = Outcome(case.name), time.monotonic()
    try:
        story = scenario.load(case.path)
        cast = scenario.cast(story, case.path.parent, profiles)
        outcome.title = story.name
        for number in range(max(how.runs, story.runs)):
            _one(case, story, cast, how, root / case.name, outcome, number)
    except LabError as error:
        _error(outcome, error)
    outcome.took = round(time.monotonic() - began, 3)
    return outcome


def _one(
    case: Case, story: scenario.Scenario, cast: scenario.Cast, how: How, root: Path, outcome: Outcome, number: int
) -> None:
    """One run: place the call, keep what is to be kept, judge."""
    pace, shelf = Pace(how.pace), _shelf(how.pace)
    shelf.tape = tape = _tape(case, how, number)
    persona = _persona(story, cast)
    order = _order(story, cast.profile, persona)
    same = how.pace == "fixed"

    async def place() -> tuple[Any, list[Any]]:
        log: list[Any] = []
        carrier = Carrier([(persona.name, persona)] if persona else [])
        moment = (lambda: LIFE_BEGAN) if same else (lambda: datetime.now(UTC).astimezone())
        token = _token(case.name, number, how.carried)
        async with Lab(carrier, root, pace=pace, carried=how.carried, shelf=shelf, now=moment, token=token) as lab:
            began = time.monotonic()
            await lab.prepare(order)
            outcome.load += time.monotonic() - began
            return await lab.dial(order, log.append), log

    try:
        document, log = pace.run(place)
    finally:
        if isinstance(tape, Playback) and tape.error is not None:
            raise tape.error
    if isinstance(tape, Recording):
        outcome.take = tape.take
    result = document.model_dump(by_alias=True)
    figures = result["callctl"]["metrics"]
    outcome.duration = round(outcome.duration + result["call_duration_seconds"], 3)
    if not same:
        outcome.analysis += sum(event.took for event in log if isinstance(event, events.Analysed))
        outcome.reliable = figures["measurement"]["reliable"]
    outcome.folders.append(str(root / document.session_id))
    verdict = checks.verdict(story, log, result)
    for failure in verdict.failures:
        outcome.verdict = "failed"
        outcome.exit_code = 1
        outcome.failures.append({"run": number + 1, **asdict(failure)})
    if result["disconnected_by"] == "error" and not _expects_error(story):
        what = result["callctl"]["sip"]["detail"] or result["callctl"]["sip"]["cause"]
        raise InfrastructureError(f"the call could not be held: {what}", where=outcome.folders[-1])


def _expects_error(story: scenario.Scenario) -> bool:
    """Calls that break are what this scenario is about."""
    asked = [e for e in story.expect if isinstance(e, scenario.ResultExpect) and e.result == "disconnected_by"]
    return any("error" in expect.wanted for expect in asked)


def _error(outcome: Outcome, error: LabError) -> Outcome:
    outcome.verdict, outcome.exit_code = "error", error.exit_code
    outcome.failures = [{"what": p.what, "where": p.where, "hint": p.hint} for p in error.problems]
    return outcome


_shelves: dict[PaceName, Shelf] = {}
"""Engines of this process, by pace: models are loaded once."""


def _shelf(pace: PaceName) -> Shelf:
    return _shelves.setdefault(pace, Shelf(Pace(pace)))


def _tape(case: Case, how: How, number: int) -> Recording | Playback | None:
    if how.tape == "none":
        return None
    if how.tape == "record":
        return Recording()
    anew = f"callctl test {case.path} --record"
    take = Cassette.load(case.cassette).takes.get(case.path.stem)
    if take is None:
        raise ConfigError("this call is not on the cassette", where=f"{case.cassette}: {case.path.stem}", hint=anew)
    return Playback(take, where=f"{case.cassette}: {case.path.stem}", anew=anew)


def _persona(story: scenario.Scenario, cast: scenario.Cast) -> Persona | None:
    """The customer who reacts; None for one who goes by steps."""
    if cast.persona:
        return cast.persona
    if story.script:
        return Persona(name=story.name, number=LAB_LAST, voice=story.voice, **dict(story.script))
    return None


def _order(story: scenario.Scenario, bot: Profile, persona: Persona | None) -> Order:
    if story.max_duration is not None:
        bot = bot.model_copy(update={"limits": bot.limits.model_copy(update={"max_duration": story.max_duration})})
    number = persona.number if persona else bot.lab_number or LAB_LAST
    resolved = bot.resolve(story.variables, template.system(LIFE_BEGAN, bot.timezone))
    if resolved.unresolved:
        what = f"`{{{{{resolved.unresolved[0]}}}}}` has no value"
        raise ConfigError(
            what, where=story.where("variables") or story.where("profile"), hint="give it under `variables`"
        )
    return Order(
        resolved,
        number,
        bot.from_number or FROM_NUMBER,
        variables=story.variables,
        seed=story.seed,
        steps=story.steps,
        voice=story.voice,
        doing={r.name: tuple(map(_deed, story.doing(r.name))) for r in story.reactions},
    )


def _deed(action: scenario.Action) -> ToolCall:
    """A reaction's action as the customer's side carries it out."""
    match action:
        case scenario.Silence(seconds):
            return ToolCall(SILENCE, {"seconds": seconds})
        case scenario.Noise(level, seconds):
            return ToolCall(NOISE, {"level": level, "seconds": seconds})
        case _:
            return ToolCall("end_call")


def _token(*what: object) -> Callable[[int], str]:
    """The random part of a call's id, the same for the same call."""
    digest = sha256(repr(what).encode()).hexdigest()
    return lambda size: digest[: 2 * size]


# -- what a run leaves behind ------------------------------------------------------------------------------------------


def keep_takes(cases: Sequence[Case], outcomes: Sequence[Outcome]) -> list[Path]:
    """Write what was recorded into the cassettes beside the suites; which ones changed. A call that went wrong is not kept."""
    changed: dict[Path, Cassette] = {}
    by_name = {outcome.name: outcome for outcome in outcomes}
    for case in cases:
        outcome = by_name[case.name]
        if outcome.take is None or outcome.verdict == "error":
            continue
        path = case.cassette
        if path not in changed:
            changed[path] = Cassette.load(path) if path.exists() else Cassette()
        changed[path].takes[case.path.stem] = outcome.take
    for path, cassette in changed.items():
        cassette.save(path)
    return list(changed)


def document(run_id: str, outcomes: Sequence[Outcome], seconds: float) -> dict[str, Any]:
    """The run as one JSON document. duration, took and seconds are in seconds."""

    def count(verdict: Verdict) -> int:
        return sum(outcome.verdict == verdict for outcome in outcomes)

    return {
        "run": run_id,
        "passed": count("passed"),
        "failed": count("failed"),
        "errors": count("error"),
        "seconds": round(seconds, 3),
        "call_seconds": round(sum(outcome.duration for outcome in outcomes), 3),
        "load_seconds": round(sum(outcome.load for outcome in outcomes), 3),
        "analysis_seconds": round(sum(outcome.analysis for outcome in outcomes), 3),
        "scenarios": [
            {
                "name": outcome.name,
                "title": outcome.title,
                "verdict": outcome.verdict,
                "failures": outcome.failures,
                "duration": outcome.duration,
                "took": outcome.took,
                "load": round(outcome.load, 3),
                "analysis": round(outcome.analysis, 3),
                "reliable": outcome.reliable,
                "folders": outcome.folders,
            }
            for outcome in outcomes
        ],
    }


def exit_code(outcomes: Sequence[Outcome]) -> int:
    """0 when all passed; an error's own code; else 1."""
    errors = [outcome.exit_code for outcome in outcomes if outcome.verdict == "error"]
    return errors[0] if errors else int(any(outcome.verdict == "failed" for outcome in outcomes))


def sentence(failure: Mapping[str, Any]) -> str:
    """One failure in words."""
    if "what" in failure:
        return "; ".join(str(failure[key]) for key in ("what", "where", "hint") if failure[key])
    place = "the whole call" if failure["step"] is None else f"step {failure['step'] + 1}"
    if failure.get("run", 1) > 1:
        place = f"run {failure['run']}, {place}"
    at = "" if failure["at"] is None else f" at {failure['at']:.1f} s of the audio"
    where = f" ({failure['where']})" if failure["where"] else ""
    return f"{place}: expected {failure['expected']}; {failure['heard']}{at}{where}"


def junit(run_id: str, outcomes: Sequence[Outcome]) -> bytes:
    """The run as JUnit XML: counts, names and failure texts of `document`."""
    suite = ElementTree.Element(
        "testsuite",
        name=run_id,
        tests=str(len(outcomes)),
        failures=str(sum(o.verdict == "failed" for o in outcomes)),
        errors=str(sum(o.verdict == "error" for o in outcomes)),
        skipped="0",
        time=f"{sum(o.took for o in outcomes):.3f}",
    )
    for outcome in outcomes:
        folder, _, name = outcome.name.rpartition("/")
        names = {"classname": _legal(folder), "name": _legal(name)}
        case = ElementTree.SubElement(suite, "testcase", names, time=f"{outcome.took:.3f}")
        tag = {"failed": "failure", "error": "error"}.get(outcome.verdict)
        if tag:
            lines = [sentence(failure) for failure in outcome.failures]
            ElementTree.SubElement(case, tag, message=_legal(lines[0])).text = _legal("\n".join(lines))
    suites = ElementTree.Element("testsuites")
    suites.append(suite)
    ElementTree.indent(suites)
    return bytes(ElementTree.tostring(suites, encoding="utf-8", xml_declaration=True))


def _legal(text: str) -> str:
    """Without the characters that XML forbids: control characters, lone surrogates."""
    return _FORBIDDEN.sub("", text)


_FORBIDDEN = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
