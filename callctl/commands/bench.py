"""`callctl bench`: figures of this machine, each with how many it is made of and how far they lie apart.

Decides: how figures are asked for, shown and compared. Refuses to know: how anything is measured (lab.bench does).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from lab.bench.barge_in import Tried
    from lab.bench.latency import Judged

app = typer.Typer(
    help="Measure this machine: how fast the bot answers, how it gives way, what it hears. Keep it quiet meanwhile.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Set a key of the bench bot, such as `llm.model`."),
]
Compare = Annotated[
    Path | None, typer.Option("--compare", metavar="FILE", help="Show the ratio to an earlier run's --json document.")
]


@app.command()
def latency(
    as_json: Json = False,
    sets: Set = None,
    passes: Annotated[int, typer.Option(min=1, help="Calls, one after the other.")] = 2,
    free: Annotated[
        bool, typer.Option("--free", help="Without prepared answers: the model writes every line.")
    ] = False,
    turns: Annotated[int, typer.Option(min=1, help="Only the first so many of the customer's turns.")] = 100,
    at_once: Annotated[int, typer.Option("--calls", min=1, max=8, help="Calls held at the same time.")] = 1,
    compare: Compare = None,
) -> None:
    """How long the bot takes to answer, over real SIP: 36 turns of a customer whose lines are sound before the call begins."""
    import asyncio

    from rich.console import Console

    from lab.bench import latency as bench
    from lab.runner import Lab
    from lab.store import recordings_root

    console = Console(stderr=True, highlight=False)
    bot, said = bench.bot(overrides=sets or (), free=free), bench.turns()[:turns]

    async def measure() -> dict[str, Any]:
        judged: list[Judged] = []
        calls: list[dict[str, Any]] = []
        async with Lab(bench.carrier(), recordings_root()) as lab:
            for number in range(passes):
                console.print(f"pass {number + 1} of {passes}: about {6 * len(said)} s", style="dim")
                held = [bench.run(lab, bot, said, told=lambda one: _show_turn(console, one)) for _ in range(at_once)]
                for found, call in await asyncio.gather(*held):
                    judged += found
                    calls.append({**call, "v2v": bench.figures(found)["v2v"]})
        return {**bench.figures(judged), "calls": calls}

    asked = {"set": list(sets or ()), "free": free, "passes": passes, "calls": at_once}
    _finish("latency", _run(measure), asked, as_json, compare)


@app.command("barge-in")
def barge_in(
    as_json: Json = False,
    sets: Set = None,
    items: Annotated[
        Path | None,
        typer.Option("--items", metavar="FILE", help="What is said into which line; default: the shipped set."),
    ] = None,
    first: Annotated[int, typer.Option(min=1, help="Only the first so many interruptions and words thrown in.")] = 1000,
    compare: Compare = None,
) -> None:
    """How fast the bot falls softer and silent for interruptions, and that it does neither lose a word nor stop for a `mm-hmm`."""
    from rich.console import Console

    from lab.bench import barge_in as bench
    from lab.carrier import Carrier
    from lab.runner import Lab
    from lab.store import recordings_root

    console = Console(stderr=True, highlight=False)
    wanted = bench.load(items or bench.SHIPPED).first(first)

    async def measure() -> dict[str, Any]:
        async with Lab(Carrier([]), recordings_root()) as lab:
            tried = await bench.run(lab, wanted, overrides=sets or (), told=lambda one: _show_tried(console, one))
        return bench.figures(tried)

    _finish(
        "barge-in",
        _run(measure),
        {"set": list(sets or ()), "items": str(items) if items else "shipped"},
        as_json,
        compare,
    )


@app.command()
def start(
    profile: Annotated[str, typer.Argument(help="What is dialled.")] = "dental-reminder",
    as_json: Json = False,
    runs: Annotated[int, typer.Option(min=1, help="Dials, warm.")] = 9,
    compare: Compare = None,
) -> None:
    """From `callctl dial` to the INVITE: cold (where the system's file cache can be emptied: root only) and warm."""
    from rich.console import Console

    from lab.bench import start as bench
    from lab.quiet import Guard

    console, guard = Console(stderr=True, highlight=False), Guard()
    found = bench.run(runs, profile, told=lambda kind, took: console.print(f"{kind}  {took:.2f} s", style="dim"))
    _finish("start", {**found, "doubts": guard.doubts()}, {"profile": profile, "runs": runs}, as_json, compare)


@app.command()
def ticks(
    as_json: Json = False,
    seconds: Annotated[float, typer.Option(min=1, max=600, help="Length of each of the two calls.")] = 20.0,
    compare: Compare = None,
) -> None:
    """How punctual the line is: the worst of its 20 ms ticks, idle and while a recogniser computes without a break."""
    from lab.bench import ticks as bench
    from lab.pace import Pace
    from lab.shelf import Shelf

    async def measure() -> dict[str, Any]:
        idle = await bench.run(seconds, None)
        recognizer = await Shelf(Pace()).recognizer("whisper-base")
        return {"idle": idle, "computing": await bench.run(seconds, recognizer)}

    _finish("ticks", _run(measure), {"seconds": seconds}, as_json, compare)


@app.command()
def stt(
    as_json: Json = False,
    model: Annotated[
        str, typer.Option("--model", metavar="NAME", help="The recogniser to be measured.")
    ] = "whisper-base",
    library: Annotated[
        bool, typer.Option("--library", help="Measure faster-whisper's own transcribe() beside it, on the same sound.")
    ] = False,
    first: Annotated[int, typer.Option(min=1, help="Only the first so many utterances.")] = 1000,
    compare: Compare = None,
) -> None:
    """How well a recogniser hears customers through G.711: errors per word, numbers, codes and names whole, seconds it takes."""
    import asyncio

    from rich.console import Console
    from rich.progress import Progress

    from lab import models
    from lab.bench import stt as bench
    from lab.engines.transcribe import Transcribe
    from lab.pace import Pace
    from lab.persona import PersonaVoice
    from lab.shelf import Shelf

    said = bench.shipped().first(first)

    async def measure() -> dict[str, Any]:
        shelf = Shelf(Pace())
        voice, recognizer = await shelf.voice(PersonaVoice()), await shelf.recognizer(model)
        others = {"transcribe()": Transcribe(models.locate(model, "stt").path, name=model)} if library else {}
        with Progress(console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task("utterances", total=len(said.utterances))
            return await asyncio.to_thread(
                bench.run,
                voice,
                recognizer,
                speech=said,
                libraries=others,
                progress=lambda done, of: bar.update(task, completed=done, total=of),
            )

    _finish("stt", _run(measure), {"model": model, "first": first}, as_json, compare)


def _run(measure: Any) -> dict[str, Any]:
    from lab.pace import Pace

    found: dict[str, Any] = Pace("real").run(measure)
    return found


def _show_turn(console: Console, one: Judged) -> None:
    from rich.text import Text

    style = "default" if one.verdict == "good" else "yellow"
    said = " … ".join(one.turn.say)
    took = f"{one.v2v:6.2f} s" if one.v2v is not None else "       -"
    console.print(Text(f"{took}  {one.verdict:<10}  {one.how or '':<10}  {said} → {one.reply}", style), soft_wrap=True)


def _show_tried(console: Console, one: Tried) -> None:
    from rich.text import Text

    def took(name: str, seconds: float | None) -> str:
        return f"{name} {seconds:.2f} s" if seconds is not None else f"{name}     -"

    times = "  ".join((took("duck", one.duck), took("yield", one.yielded), took("restore", one.restore)))
    text = f"{one.kind:<12}  {times}  {'' if one.held else 'NOT HELD  '}{one.item.text} (heard: {one.heard})"
    console.print(Text(text, "default" if one.held else "yellow"), soft_wrap=True)


# -- the document --------------------------------------------------------------------------------------------------------


def _finish(name: str, found: dict[str, Any], asked: dict[str, Any], as_json: bool, compare: Path | None) -> None:
    """Show a bench's figures. Exits with 4 when they cannot be believed."""
    from importlib.metadata import version

    from lab.doctor import machine
    from lab.errors import NotReliable

    doubts = sorted(
        {doubt for call in found.get("calls", ()) for doubt in call["doubts"]} | set(found.pop("doubts", ()))
    )
    document = {
        "bench": name,
        **found,
        "asked": asked,
        "reliable": not doubts,
        "why": doubts,
        "machine": machine(),
        "versions": {package: version(package) for package in _VERSIONS},
    }
    if compare is not None:
        document["ratios"] = ratios(document, _earlier(compare, name))
    typer.echo(json.dumps(document, ensure_ascii=False, indent=2) if as_json else _table(document))
    if doubts:
        raise typer.Exit(NotReliable.exit_code)


_VERSIONS = (
    "callctl",
    "faster-whisper",
    "ctranslate2",
    "llama-cpp-python",
    "piper-tts",
    "onnxruntime",
    "pjsua2-python",
)


def _earlier(path: Path, name: str) -> dict[str, Any]:
    from lab.errors import ConfigError

    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if found["bench"] == name:
            return dict(found)
        what = f"this is a run of `bench {found['bench']}`, not of `bench {name}`"
    except OSError as error:
        what = f"cannot be read: {error.strerror}"
    except (ValueError, KeyError, TypeError):
        what = "this is no document of `callctl bench --json`"
    raise ConfigError(what, where=str(path), hint=f"write one with `callctl bench {name} --json > FILE`")


def ratios(now: dict[str, Any], before: dict[str, Any]) -> dict[str, float]:
    """For every figure in both documents, by dotted path: now / before. Counts, and what was zero, are left out."""
    a, b = dict(_figures(now)), dict(_figures(before))
    return {path: round(a[path] / b[path], 3) for path in a if b.get(path)}


def _figures(document: dict[str, Any], path: str = "") -> list[tuple[str, float]]:
    found: list[tuple[str, float]] = []
    for key, value in document.items():
        here = f"{path}.{key}" if path else key
        if isinstance(value, dict) and key not in ("machine", "versions", "asked", "ratios", "turns"):
            found += _figures(value, here)
        elif isinstance(value, float) and not isinstance(value, bool):
            found.append((here, value))
    return found


def _table(document: dict[str, Any]) -> str:
    """The spreads of a document, a line each, then everything else that is one figure."""
    lines = []
    compared = document.get("ratios", {})

    def spread(path: str, value: dict[str, Any]) -> None:
        if set(value) == {"n", "p50", "p95", "max"}:
            if value["n"]:
                ratio = f"   x {compared[f'{path}.p50']:.2f}" if f"{path}.p50" in compared else ""
                p95 = f"{value['p95']:.3f}" if value["p95"] is not None else "    -"
                lines.append(
                    f"{path:<28} n {value['n']:>3}   p50 {value['p50']:.3f} s   p95 {p95} s   max {value['max']:.3f} s{ratio}"
                )
            return
        plain = {key: inner for key, inner in value.items() if not isinstance(inner, dict | list)}
        if path and plain:
            lines.append(f"{path:<28} " + "   ".join(f"{key} {inner}" for key, inner in plain.items()))
        for key, inner in value.items():
            if isinstance(inner, dict):
                spread(f"{path}.{key}" if path else key, inner)

    spread(
        "",
        {
            key: value
            for key, value in document.items()
            if key not in ("machine", "versions", "asked", "ratios", "turns")
        },
    )
    for key, value in document.items():
        if key == "turns":
            lines.append("turns  " + "  ".join(f"{name} {count}" for name, count in value.items()))
        elif key == "calls":
            lines += [
                f"call {number}  {call['seconds']} s   CPU {call['cpu_per_minute']} s per minute   worst tick {call['worst_tick'] * 1000:.1f} ms"
                for number, call in enumerate(value, 1)
            ]
        elif isinstance(value, int | float) and not isinstance(value, bool):
            lines.append(f"{key}  {value}")
    lines += [f"not reliable: {doubt}" for doubt in document["why"]]
    return "\n".join(lines)
