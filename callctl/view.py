"""A call as a person sees it, while it happens or from its log.

Decides: what of a call is shown, in which words and where on the screen. Refuses to know: who emits the events, and every figure
that lab.metrics and lab.result already fold.

How this works
1.  `Seen` is a fold: events in, what there is to show out. It knows no screen.
2.  What can no longer change is printed once and stays in the scrollback. A customer's turn stays open until somebody else
    speaks, because the customer may go on speaking and the turn be said anew.
3.  On a terminal what is still open, and the state of the call, stand below in a region that is redrawn. On a pipe nothing
    is redrawn: a line is written when it is settled.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TextIO

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from callctl import how
from callctl.plain import printable
from lab import events, result
from lab.metrics import metrics
from lab.ports import Who

REFRESH_SECONDS = 0.25
INDENT = 19
"""Columns before the text: time, who."""
MIN_TEXT_WIDTH = 20

Phase = Literal["dialling", "ringing", "answered", "ended"]
Tone = Literal["progress", "aside", "fault"]

_STYLES: dict[str, str] = {
    "dialling": "yellow",
    "ringing": "yellow",
    "answered": "green",
    "ended": "default",
    "bot": "bold cyan",
    "customer": "bold green",
    "progress": "dim",
    "aside": "dim",
    "fault": "red",
}

_ENDS = {
    "closure_phrase": "the bot said goodbye and hung up",
    "end_call": "the bot had finished and hung up",
    "dead_air": "the bot hung up: nobody spoke any more",
    "interrupted": "callctl was interrupted and hung up",
    "hung_up": "the customer hung up",
    "max_duration": "the bot hung up: the call had lasted as long as it may",
    "ring_timeout": "the bot gave up: nobody answered in time",
    "no_answer": "nobody answered",
    "rejected": "the customer rejected the call",
    "sip_error": "the call was not connected",
    "line_lost": "the line was lost",
    "killed": "the process that held the call was killed",
    "error": "the call could not go on",
}


# -- the fold ----------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Spoken:
    """One turn, as far as it is known. Seconds since the INVITE."""

    who: Who
    turn: int
    began: float
    text: str = ""
    heard: str = ""
    said: bool = False
    """The turn is over (and may be said anew while nobody else has spoken)."""
    cut: bool = False
    ignored: str | None = None
    """Why this sound became no turn."""
    gap: float | None = None
    """Bot: seconds since the customer's last voiced frame."""
    origin: str = ""
    """Bot: how the line came about."""

    @property
    def unheard(self) -> str:
        """What did not reach the other side."""
        return self.text[len(self.heard) :].strip() if self.cut and self.text.startswith(self.heard) else ""


@dataclass(frozen=True, slots=True)
class Note:
    """Something that happened and is no turn."""

    at: float
    text: str
    tone: Tone = "aside"


class Seen:
    """What there is to show of a call so far."""

    def __init__(self) -> None:
        self.log: list[events.Event] = []
        self.phase: Phase = "dialling"
        self.started: events.Started | None = None
        self.answered: float | None = None
        self.end: events.Ended | None = None
        self.analysis: events.Analysed | None = None
        self.items: list[Spoken | Note] = []
        self.floor: Who | None = None
        """Who is speaking, or spoke last and has not been answered."""
        self.softer = False
        """The bot is ducked."""
        self._gaps: dict[int, float] = {}
        self._origins: dict[int, str] = {}
        self._partial: dict[int, str] = {}

    def see(self, event: events.Event) -> None:
        """Take the next event of the log."""
        self.log.append(event)
        match event:
            case events.Started():
                self.started = event
            case events.Signalled(at=at, state="calling"):
                self._note(at, "dialling", "progress")
            case events.Signalled(at=at, state="ringing") if self.phase == "dialling":
                self.phase = "ringing"
                self._note(at, "ringing", "progress")
            case events.Answered(at=at, codec=codec):
                self.phase, self.answered = "answered", at
                self._note(at, f"answered after {at:.1f} s" + (f", {codec}" if codec else ""), "progress")
            case events.SpeechBegan(who=who, turn=turn, began=began):
                self.floor = who if not (who == "customer" and self.softer) else self.floor
                self._turn(who, turn, began)
            case events.Ducked():
                self.softer = True
            case events.Restored():
                self.softer = False
            case events.Partial(turn=turn, text=text):
                self._partial[turn] = text
                if (spoken := self._find(turn)) and not spoken.said:
                    spoken.text = text
            case events.Said():
                spoken = self._turn(event.who, event.turn, event.began)
                spoken.text, spoken.heard, spoken.cut = event.text, event.heard, event.cut
                spoken.said, spoken.ignored = True, None
                if event.who == "bot":
                    self.floor, self.softer = "customer" if event.cut else None, False
            case events.ReplyGap(turn=turn, seconds=seconds):
                self._gaps[turn] = seconds
                if spoken := self._find(turn):
                    spoken.gap = seconds
            case events.Ignored(at=at, turn=turn, text=text, why=why):
                spoken = self._turn("customer", turn, at)
                spoken.text, spoken.ignored, spoken.said = text, why, True
            case events.Interrupted(at=at, by=by, why=why):
                theirs = self._turn("customer", by, at)
                for_what = "words" if why == "words" else "a voice"
                note = Note(theirs.began, f"the customer spoke over the bot, which stopped for {for_what}")
                self.items.insert(self.items.index(theirs), note)
                self.floor, self.softer = "customer", False
            case events.SpokeOn(at=at):
                self._note(at, "there were no words in that: the bot goes on")
            case events.ReEngaged(at=at, attempt=attempt, silence=silence):
                self._note(at, f"nobody spoke for {silence:.0f} s: the bot asks again ({attempt})")
            case events.ToolCalled(at=at, name=name) if name != "end_call":  # the call's end says that
                self._note(at, how.called(event))
            case events.ToolAnswered(at=at):
                self._note(at, how.answered(event))
            case events.Replied(turn=turn):
                self._origins[turn] = how.told(event)
                if spoken := self._find(turn):
                    spoken.origin = self._origins[turn]
            case events.Unresolved(at=at, name=name):
                self._note(at, f"{{{{{name}}}}} has no value")
            case events.Fault(at=at, where=where, what=what):
                # what a LabError says begins with its place
                self._note(at, what if what.startswith(where) else f"{where}: {what}", "fault")
            case events.Ended():
                self.phase, self.end = "ended", event
            case events.Analysed():
                self.analysis = event

    def settled(self) -> int:
        """How many of `items`, from the first, cannot change any more."""
        newest = max((item.turn for item in self.items if isinstance(item, Spoken)), default=0)
        for index, item in enumerate(self.items):
            if isinstance(item, Note) or self.end:
                continue
            if not item.said or (item.who == "customer" and item.turn == newest):
                return index
        return len(self.items)

    def since_answer(self, at: float) -> float | None:
        """Seconds since the answer; None before it."""
        return None if self.answered is None or at < self.answered else at - self.answered

    def _note(self, at: float, text: str, tone: Tone = "aside") -> None:
        self.items.append(Note(at, text, tone))

    def _find(self, turn: int) -> Spoken | None:
        return next((i for i in reversed(self.items) if isinstance(i, Spoken) and i.turn == turn), None)

    def _turn(self, who: Who, turn: int, began: float) -> Spoken:
        found = self._find(turn)
        if found is None:
            found = Spoken(who, turn, began, text=self._partial.get(turn, ""), gap=self._gaps.get(turn))
            found.origin = self._origins.get(turn, "")
            self.items.append(found)
        return found


# -- in words ----------------------------------------------------------------------------------------------------------


def minutes(seconds: float) -> str:
    """m:ss"""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def _tenths(seconds: float) -> str:
    """m:ss.s"""
    tenths = round(seconds * 10)
    return f"{tenths // 600}:{tenths % 600 / 10:04.1f}"


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms"


def ending(end: events.Ended) -> str:
    """Who ended the call and why."""
    words = _ENDS.get(end.cause, end.cause)
    if end.cause not in ("no_answer", "rejected", "sip_error", "line_lost"):
        return words
    signalled = f"{end.code or ''} {end.reason}".strip()
    return f"{words} ({signalled})" if signalled else words


@dataclass(frozen=True, slots=True)
class Row:
    """What stands left of the text, and the text."""

    left: Text
    body: Text


def _row(when: float | None, who: Who | None, body: Text) -> Row:
    left = Text(f"{'' if when is None else _tenths(when):>7}  ", style="dim")
    left.append(f"{who or '':<8}  ", style=_STYLES[who] if who else "")
    return Row(left, body)


def _fact(key: str, body: Text | str) -> Row:
    return Row(Text(f"  {key:<{INDENT - 2}}", style="dim"), Text(body) if isinstance(body, str) else body)


def _draw(item: Spoken | Note, seen: Seen) -> list[Row]:
    """One item, and how it came about where that is known. Its text may be long; nothing of it is left out."""
    rows = [_drawn(item, seen)]
    if isinstance(item, Spoken) and item.origin and item.said:
        rows.append(_row(None, None, Text(printable(item.origin), style="dim")))
    return rows


def _drawn(item: Spoken | Note, seen: Seen) -> Row:
    if isinstance(item, Note):
        return _row(seen.since_answer(item.at), None, Text(printable(item.text), style=_STYLES[item.tone]))
    when = seen.since_answer(item.began)
    if item.ignored is not None:
        what = f"“{printable(item.text)}” ignored" if item.text else "a sound was ignored"
        return _row(when, None, Text(f"{what}: {printable(item.ignored)}", style="dim"))
    body = Text()
    if not item.said:
        body.append(printable(item.text) or "…", style="dim")
    elif item.cut:
        body.append(printable(item.heard))
        body.append(" — cut off" if item.heard else "— cut off", style="yellow")
        if item.unheard:
            body.append(": ", style="yellow").append(printable(item.unheard), style="dim strike")
    else:
        body.append(printable(item.text))
    if item.gap is not None:
        body.append(f" · {_ms(item.gap)}", style="dim")
    return _row(when, item.who, body)


def _header(started: events.Started) -> Text:
    persona = started.context.get("persona")
    text = Text(printable(started.bot), style="bold")
    text.append(f"  {printable(started.from_number)} → {printable(started.to_number)}", style="not bold")
    return text.append(f" ({printable(persona)})", style="not bold") if persona else text


def _summary(seen: Seen) -> list[Row]:
    figures = metrics(seen.log)
    turns = figures["turns"]
    if seen.end:
        ended = Text(printable(ending(seen.end)))
        ended.append(f" (outcome: {result.disconnected_by(seen.log)})", style="dim")
    else:
        ended = Text("not yet, as far as the log goes")
    rows = [_fact("ended", ended)]
    if seen.answered is None:
        return rows
    last = seen.end.at if seen.end else seen.log[-1].at
    rows += [
        _fact("duration", minutes(last - seen.answered)),
        _fact("turns", f"{turns['bot']} bot, {turns['customer']} customer"),
    ]
    if figures["interruptions"]:
        rows.append(_fact("interruptions", str(figures["interruptions"])))
    if fields := result.fields(seen.log):
        rows.append(_fact("fields", printable(how.known(fields))))
    return rows


def _latency(seen: Seen) -> list[Row]:
    figures = metrics(seen.log)
    where, gaps = "at the customer's ear", figures["v2v"]
    if not gaps["n"]:
        where, gaps = "on the bot's side", figures["v2v_inside"]
    if not gaps["n"]:
        return []
    return [_fact("voice to voice", f"{_ms(gaps['p50'])} median, {_ms(gaps['max'])} worst, {where}")]


def _doubts(measured: events.Measured) -> list[Row]:
    return [_fact("not reliable", Text(printable(doubt), style="yellow")) for doubt in measured.doubts]


def _analysis(seen: Seen) -> list[Row]:
    found = seen.analysis
    if found is None:
        return [_fact("analysis", "none: the call's process ended before it")]
    if found.data is None:
        return [
            _fact("analysis", Text(f"none: {printable(found.error or 'the log does not say why')}", style="yellow"))
        ]
    fields = [f"{name}: {how.value(value)}" for name, value in found.data.items()]
    return [_fact("" if i else "analysis", Text(printable(field))) for i, field in enumerate(fields or ["no fields"])]


def _goal(seen: Seen) -> list[Row]:
    if seen.started is None or not seen.started.context.get("expect"):
        return []
    reached = result.goal(seen.log, result.disconnected_by(seen.log))
    if reached is None:
        return [_fact("goal", Text("not judged: it needs the analysis", style="yellow"))]
    return [_fact("goal", Text("reached", style="green") if reached else Text("not reached", style="red"))]


def _files(folder: Path) -> list[Row]:
    near = os.path.relpath(folder)
    shown = str(folder) if near.startswith("..") else near
    names = sorted(p.name for p in folder.iterdir() if not p.name.startswith("."))
    return [_fact("files", Text(f"{shown}/")), _fact("", Text("  ".join(names), style="dim"))]


# -- the drawing -------------------------------------------------------------------------------------------------------


class View:
    """Draws one call on `stream`; a sink for its events. As a context manager it leaves the terminal as it was.

    live: redraw what is still open, if `stream` is a terminal that can. clock: seconds, for the time that passes between events.
    """

    def __init__(self, stream: TextIO, *, live: bool = True, clock: Callable[[], float] = time.monotonic) -> None:
        self.seen = Seen()
        self._console = console(stream)
        self._clock = clock
        self._printed = 0
        self._newest = (0.0, clock())
        """The newest event: its call time, and when `clock` showed it."""
        self._hanging_up = False
        self._shown: list[Text] = []
        self._region: Live | None = None
        if live and self._console.is_terminal and not self._console.is_dumb_terminal:
            self._region = Live(console=self._console, auto_refresh=False, transient=True, redirect_stdout=False)

    def __enter__(self) -> View:
        if self._region:
            self._region.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Take the live region off the screen; what was printed stays."""
        if self._region:
            self._region.stop()
            self._region = None

    def __call__(self, event: events.Event) -> None:
        self.seen.see(event)
        self._newest = (event.at, self._clock())
        if isinstance(event, events.Started):
            self._print([_header(event)])
        self._print_items(self.seen.settled())
        if isinstance(event, events.Ended):
            self._print([Text(), *self._lines(_summary(self.seen))])
        elif isinstance(event, events.Measured) and self.seen.answered is not None:
            self._print(self._lines(_latency(self.seen) + _doubts(event)))
        elif isinstance(event, events.Analysed):
            self._print(self._lines(_analysis(self.seen) + _goal(self.seen)))
        self.refresh()

    def refresh(self) -> None:
        """Redraw the live region if it looks different."""
        if self._region and (lines := self._open()) != self._shown:
            self._shown = lines
            self._region.update(Group(*lines), refresh=True)

    async def keep_fresh(self) -> None:
        """Let the elapsed time run on the screen, until cancelled."""
        while True:
            self.refresh()
            await asyncio.sleep(REFRESH_SECONDS)

    def hanging_up(self) -> None:
        """Somebody pressed Ctrl-C, or asked the process to end."""
        self._hanging_up = True
        if self._region:
            self.refresh()
        else:
            self._print([Text("hanging up; Ctrl-C once more stops at once")])

    def finish(self, folder: Path) -> None:
        """No more events will come: show what the log left open, and what lies in the call's folder."""
        self.close()
        rows: list[Row] = []
        if self.seen.end is None:
            self._print_items(len(self.seen.items))
            self._print([Text()])
            rows += _summary(self.seen) + _latency(self.seen)
            rows += [row for e in self.seen.log if isinstance(e, events.Measured) for row in _doubts(e)]
        elif self.seen.analysis is None:
            rows += _analysis(self.seen) + _goal(self.seen)
        self._print(self._lines(rows + _files(folder)))

    def _print_items(self, settled: int) -> None:
        items = self.seen.items[self._printed : settled]
        self._printed = max(self._printed, settled)
        if self._region:  # the state of the call stands there
            items = [item for item in items if not (isinstance(item, Note) and item.tone == "progress")]
        self._print(self._lines(row for item in items for row in _draw(item, self.seen)))

    def _print(self, lines: Sequence[Text]) -> None:
        if lines:
            self._console.print(*lines, sep="\n", soft_wrap=True)

    def _open(self) -> list[Text]:
        """The live region: what is not settled, and the state of the call."""
        open_ = (row for item in self.seen.items[self._printed :] for row in _draw(item, self.seen))
        return [*self._lines(open_), self._state()]

    def _state(self) -> Text:
        seen, (at, then) = self.seen, self._newest
        text = Text("● ", style=_STYLES[seen.phase])
        if seen.phase == "ended":
            return text.append("ended, reading the call …" if seen.analysis is None else "ended")
        elapsed = at + (self._clock() - then) - (seen.answered or 0.0)
        hint = "hanging up …" if self._hanging_up else "Ctrl-C hangs up"
        text.append(f"{seen.phase} {minutes(elapsed)}")
        if seen.floor is not None:
            text.append("   floor: ", style="dim not bold").append(seen.floor, style=_STYLES[seen.floor])
            text.append(" (softer, somebody speaks)" if seen.softer else "", style="yellow")
        return text.append(f"   {hint}", style="dim not bold")

    def _lines(self, rows: Iterable[Row]) -> list[Text]:
        """Rows as lines. On a terminal a long text goes on below its own beginning."""
        lines: list[Text] = []
        for row in rows:
            bodies = [row.body]
            if self._console.is_terminal:
                width = max(MIN_TEXT_WIDTH, self._console.width - INDENT)
                bodies = list(row.body.wrap(self._console, width)) or bodies
            lefts = (row.left, *(Text(" " * INDENT) for _ in bodies[1:]))
            lines += [left + body for left, body in zip(lefts, bodies, strict=True)]
        for line in lines:
            line.rstrip()
        return lines


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Called by rich where it caught BrokenPipeError: our caller decides what follows."""
        raise


def console(stream: TextIO) -> Console:
    """Styles on a terminal, plain text anywhere else; nothing in a text has a meaning to it."""
    return _Console(file=stream, force_terminal=stream.isatty(), highlight=False, markup=False, emoji=False)


def show(log: Iterable[events.Event], folder: Path, stream: TextIO) -> None:
    """The same picture of a call that is over, or of as much of it as its log holds."""
    view = View(stream, live=False)
    for event in log:
        view(event)
    view.finish(folder)
