"""One side of one call: the loop that does things.

Decides: nothing about turns (lab.floor does) nor about words (the Responder does); only what follows from a move.
Refuses to know: which line carries the call, which engines compute, whether this side is the bot or the customer.

How this works
1.  The line's ticks are the clock. Each tick is tapped for the recording, follows the playout, feeds the detector and the
    floor, and the floor's moves start or stop things. Nothing in the loop waits for an engine. A bot's own voice, leaking back,
    is no voice to its floor.
2.  At a pause inside their turn the words so far are recognised (shown as partial text), and by its sound it is judged whether
    they have finished; the floor is told both. If they say no more, that text is the turn's text, and recognising has cost
    nothing. Over our own line their words are recognised while they speak.
3.  A reply is one task with one owner: text -> responder -> phrases -> voice -> line. Cancelling it and hushing the line
    is all of barge-in. What was heard of a cut line is what the responder is told later. A line that was cut by a sound
    without words goes on; a word thrown in behind our question is the answer to it once we have finished.
4.  Whoever hangs up names a cause; the line's `ended` signal ends the loop; `call.ended` is the last event of the talk.
5.  Both sides of a lab call are this class with different parts; they share nothing but the line.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from lab import audio, cues, events, voiced
from lab.ahead import Ahead
from lab.cues import Ending
from lab.dialogue import Dialogue, Filler, Piece, Plan
from lab.echo import Echo
from lab.errors import LabError
from lab.floor import (
    AskAgain,
    Began,
    DeadAir,
    Duck,
    Floor,
    Listen,
    Manners,
    Move,
    Paused,
    Restore,
    Resumed,
    ThrownIn,
    TurnEnded,
    Yield,
)
from lab.offload import stream
from lab.pace import Pace
from lab.phrases import Phrases, pause_after
from lab.playout import Playout
from lab.ports import Detector, Judge, Line, Recognizer, Signal, Tick, ToolCall, Turn, Voice, Who
from lab.tools import ToolAnswer, shown

T = TypeVar("T")

NOISE, SILENCE = "noise", "silence"
"""What a simulated customer can do beside speaking, as tool calls: {"level": dB of full scale, "seconds"}, {"seconds"}."""

PRE_ROLL, POST_ROLL = 15, 10
"""Frames given to the recogniser before the first and after the last voiced one."""
LONG_FRAMES = 50
KEEP = 50
"""Frames of their audio kept while nobody speaks."""
DUCK_DB = 18.0
"""How much softer we speak while there is a voice: still to be understood, and clearly behind theirs."""
VOICE = 0.35
"""Probability from which a frame may be voice to the floor."""
ECHO_SURE = 3
"""Frames in a row that are our echo before a turn that has begun is taken back for it."""
ECHO_KNOWN = 15
"""Frames after which our echo is known as such, if it is one."""
ECHO_FRAMES = 35
"""Frames after our last sound, in which what is heard may still be its echo."""
ANSWER_AFTER = 0.3
"""Seconds after our line, in which a word thrown in behind its question becomes the answer."""
LAST_WORD_WORDS = 4
"""After we have said goodbye, this much from them is a goodbye too and gets no answer."""
_MORE_TO_COME = (Ending.OPEN, Ending.COUNTING)
"""Endings after which the wait is long and it is most likely that they go on: no answer is made ahead."""
BYE_PATIENCE = 250
"""Frames to wait for the line to end after hanging up, before leaving it behind."""


@dataclass(frozen=True, slots=True)
class Part:
    """What this side is to do in the call. Seconds."""

    me: Who
    manners: Manners
    opening: str | None = None
    ask_again: tuple[str, ...] = ()
    closure_phrases: tuple[str, ...] = ()
    """Having said one of these, this side hangs up."""
    max_duration: float | None = None
    ring_timeout: float | None = None
    answers_after: float | None = None
    """Called side: ring this long, then answer; None on the calling side."""
    linger: float = 1.0
    """Silence after our last words before we hang up."""
    hints: tuple[str, ...] = ()
    whole_lines: bool = False
    """A line sounds once all of it is made: nobody pauses in the middle of a sentence because a voice is being computed."""

    @property
    def them(self) -> Who:
        return "customer" if self.me == "bot" else "bot"


@dataclass(frozen=True, slots=True)
class Engines:
    """What this side computes with. Futures, because a phone can ring while models load."""

    recognizer: asyncio.Future[Recognizer]
    dialogue: Dialogue
    voice: asyncio.Future[Voice]
    detector: Detector
    judge: asyncio.Future[Judge] | None = None
    """Of ends of turns by their sound; None to go by the words alone."""
    echo: Echo | None = None
    """Knows our own voice when it leaks back; None where that cannot be, or where everybody speaks in the same tones."""

    @property
    def loading(self) -> list[asyncio.Future[Any]]:
        """All that may not be there yet."""
        dialogue = self.dialogue
        others = [engine for engine in (dialogue.embedder, self.judge) if engine is not None]
        return [self.recognizer, dialogue.responder, self.voice, *others]


@dataclass(slots=True)
class _Timing:
    """When the stages of one reply were over, call time."""

    over: float
    text: float | None = None
    first: float | None = None
    phrase: float | None = None
    sound: float | None = None
    stages: dict[str, float] = field(default_factory=dict)
    """How long each took, not yet told."""
    ahead: bool = False
    """Begun before it was known that they had finished."""
    took: float = 0.0
    """From when it was begun to its first sound."""

    def parts(self, gap: float, now: float) -> dict[str, float]:
        """The stages of a gap of so many seconds that ends now, one after the other."""
        marks = {"stt": self.text, "think": self.first, "phrase": self.phrase, "tts": self.sound, "out": now}
        last = self.over
        found = {"endpointing": round(gap - (now - self.over), 3)}
        for name, mark in marks.items():
            mark = max(last, mark if mark is not None else last)
            found[name], last = round(mark - last, 3), mark
        return found


@dataclass(slots=True)
class _Line:
    """A line of ours that is being said."""

    turn: int
    answers: int | None
    after: int
    """Their last voiced frame before it."""
    maker: asyncio.Task[None] | None
    """The reply that is still adding to it."""
    complete: bool = False
    cut: bool = False
    began: int | None = None
    last: int = 0
    then: str | None = None
    """Cause to hang up with once it is out."""
    timing: _Timing | None = None
    filler: bool = False
    """It begins with words that are no answer."""
    ducked: bool = False
    thrown: tuple[_Theirs, int, int] | None = None
    """A word thrown into it: the turn it would be, its last frame, and how much of us had been played when it began."""


@dataclass(frozen=True, slots=True)
class _Sound:
    """A phrase that can be heard."""

    phrase: str
    pcm: bytes
    filler: bool = False


_Made = Plan | ToolAnswer | ToolCall | _Sound
"""What a line is made of."""


@dataclass(slots=True)
class _Draft:
    """An answer to their words so far, made before it is known that they have finished."""

    ended: int
    """Their last voiced frame."""
    history: Sequence[Turn]
    timing: _Timing
    made: Ahead[_Made]


@dataclass(slots=True)
class _Hearing:
    """The words of one turn up to one pause."""

    ended: int
    text: asyncio.Task[str]
    look: bool
    took: float = 0.0
    wanted: bool = False
    """Its text is the turn's, or it was a look while we spoke."""


@dataclass(slots=True)
class _Theirs:
    """A turn of theirs: its number and its last voiced frame."""

    turn: int = 0
    began: int = 0
    said: bool = True
    hearing: _Hearing | None = field(default=None)
    note: asyncio.Task[str] | None = field(default=None)
    """Their words on the way into the log, when no reply of ours takes them there."""
    ignoring: asyncio.Task[None] | None = field(default=None)
    """The same for a word thrown in."""
    judging: asyncio.Task[None] | None = field(default=None)
    words: str = ""
    """The newest of it that was recognised."""
    played: int = 0
    """Samples of ours that were played when it began."""
    over: float = 0.0
    """When it had ended, call time."""
    stopped: _Line | None = None
    """The line of ours that its sound alone has cut."""
    rest: str = ""
    """Of that line, what had not been heard."""


class Call:
    """Run one side of a call to its end.

    emit: takes each event, in order. tap: takes each tick from the answer on (and early media), for the recording.
    """

    def __init__(
        self,
        part: Part,
        line: Line,
        engines: Engines,
        pace: Pace,
        *,
        emit: Callable[[events.Event], None],
        tap: Callable[[Tick], None] | None = None,
    ) -> None:
        self.part, self.line, self.engines, self.pace = part, line, engines, pace
        self.end = voiced.End(voiced.Channel(), voiced.Channel())
        """What this end of the call heard and said, from the answer on."""
        self._emit, self._tap = emit, tap
        self._floor = Floor(part.manners)
        self._playout = Playout()
        self._sounded = -ECHO_FRAMES - 1
        """Our newest frame with sound."""
        self._ours = 0
        """Voiced frames in a row that are our echo."""
        self._tick = 0
        self._answered: int | None = None
        self._turns: dict[int, Turn] = {}
        self._last_turn = 0
        self._theirs = _Theirs()
        self._ear = bytearray()
        self._ear_from = 0
        self._reply: asyncio.Task[None] | None = None
        self._warming: asyncio.Task[None] | None = None
        self._rehearsing: asyncio.Task[None] | None = None
        self._draft: _Draft | None = None
        self._ahead: Ahead[_Made] | None = None
        """What was begun ahead last and is no draft any more. The next line begins once it is over: it may have an engine to itself."""
        self._hearings: list[_Hearing] = []
        self._answering = {True: 0.0, False: 0.0}
        """Seconds spent on answers until they could be heard: wanted, and not."""
        self._prepared = 0.0
        self._opening = False
        self._line: _Line | None = None
        self._floor_free = asyncio.Event()
        self._floor_free.set()
        self._closing: str | None = None
        self._closing_from = 0
        self._cause: str | None = None
        self._hung_up_at: int | None = None
        self._failure: BaseException | None = None
        self._over = False
        """The line has ended; what is still recognised is for the log."""
        self._tasks: set[asyncio.Task[Any]] = set()

    # -- the loop ------------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Until the line has ended. Raises only what is nobody's fault on this call: cancellation and disk errors."""
        for loading in self.engines.loading:
            loading.add_done_callback(self._check_loaded)
        if self.part.opening:
            self._opening = True
            self._start_reply(self._say(self.part.opening, answers=None))
        end: Signal | None = None
        try:
            async for tick in self.line.ticks():
                end = self._step(tick) or end
                if end or self._gave_up_on_line():
                    break
            await self._finish(end)
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def hang_up(self, cause: str) -> None:
        """End the call politely (CANCEL or BYE). The first cause counts."""
        if self._cause is None:
            self._cause, self._hung_up_at = cause, self._tick
            self._cancel_reply()
            self.line.hush()
            self.line.hang_up()

    def fail(self, error: BaseException) -> None:
        """Something this side depends on broke: end the call as an error."""
        self._failure = self._failure or error

    @property
    def at(self) -> float:
        return self._tick * audio.FRAME_SECONDS

    def _step(self, tick: Tick) -> Signal | None:
        self._tick = tick.index
        end = None
        for signal in tick.signals:
            end = self._on_signal(signal) or end
        if self._failure is not None and self._cause is None:
            self._emit(events.Fault(at=self.at, where=_where(self._failure), what=str(self._failure), fatal=True))
            self.hang_up("error")
        if tick.live and self._tap:
            self._tap(tick)
        if self._answered is None:
            self._wait_for_answer()
        elif end is None:
            self._converse(tick)
        return end

    def _on_signal(self, signal: Signal) -> Signal | None:
        if signal.kind == "message":
            self._emit(events.SipMessage(at=self.at, sent=signal.by == "here", line=signal.reason, raw=signal.raw))
        elif signal.kind == "answered":
            self._answered = self._tick
            self._emit(events.Answered(at=self.at, code=signal.code, codec=signal.codec))
        elif signal.kind in ("ended", "lost"):
            return signal
        else:
            self._emit(events.Signalled(at=self.at, state=signal.kind, code=signal.code, reason=signal.reason))
        return None

    def _wait_for_answer(self) -> None:
        part = self.part
        if part.answers_after is not None and self._tick == round(part.answers_after / audio.FRAME_SECONDS):
            self.line.answer()
        if part.ring_timeout is not None and self.at >= part.ring_timeout:
            self.hang_up("ring_timeout")

    def _converse(self, tick: Tick) -> None:
        self._playout.advance(tick.played, tick.dropped)
        mine, their = (tick.spoken, tick.heard) if self.part.me == "bot" else (tick.heard, tick.spoken)
        self.end.bot.feed(mine)
        self.end.customer.feed(their)
        self._follow_line()
        self._ear += tick.heard
        probability = self.engines.detector.probability(tick.heard, self.line.rate)
        if (echo := self.engines.echo) is not None:
            echo.step(tick.heard, tick.spoken)
            if probability >= VOICE and self._frame - self._sounded <= ECHO_FRAMES:
                self._ours = self._ours + 1 if echo.ours() else 0
                probability = 0.0 if self._ours else probability
                if self._ours >= ECHO_SURE:
                    self._disown()
        for move in self._floor.step(probability, sounding=self._sounding, busy=self._busy):
            if self._cause is None:
                self._on_move(move)
        if self._draft is not None and self._floor.spoke[1] > self._draft.ended:
            self._drop_draft()
        if self._line is None and not self._floor.listening:
            self._floor_free.set()
        else:
            self._floor_free.clear()
        self._forget_old_audio()
        limit = self.part.max_duration
        if limit is not None and self._frame * audio.FRAME_SECONDS >= limit:
            self.hang_up("max_duration")
        if self._closing and not self._floor.listening and not self._busy and not self._line:
            ended = max(self._closing_from, self._floor.spoke[1])
            if (self._frame - ended) * audio.FRAME_SECONDS >= self.part.linger:
                self.hang_up(self._closing)

    def _gave_up_on_line(self) -> bool:
        return self._hung_up_at is not None and self._tick - self._hung_up_at > BYE_PATIENCE

    @property
    def _frame(self) -> int:
        """Frames since the answer; what the floor counts."""
        return self._tick - (self._answered or 0)

    def _moment(self, frame: int) -> float:
        """Seconds since the INVITE of a frame counted from the answer."""
        return (frame + (self._answered or 0)) * audio.FRAME_SECONDS

    # -- moves ---------------------------------------------------------------------------------------------------------

    def _on_move(self, move: Move) -> None:
        match move:
            case Began(began):
                self._cancel_rehearsal()
                self._theirs = _Theirs(self._next_turn(), began, said=False, played=self._playout.played)
                self._speech_began(self.part.them, self._theirs.turn, began)
            case Resumed():
                self._cancel_note()
                if not self._opening:
                    self._cancel_reply()
                self._theirs.said = False
            case Paused(ended):
                self._hear(ended)
                self._judge(ended)
            case Listen(upto):
                self._hear(upto, look=True)
            case TurnEnded(_, ended):
                self._end_turn(ended)
            case ThrownIn(_, ended):
                self._theirs.said = True
                if self._line is not None:
                    self._line.thrown = (self._theirs, ended, self._theirs.played)
                self._theirs.ignoring = self._keep(asyncio.ensure_future(self._ignore(self._theirs, ended)))
            case Duck():
                self._set_level(DUCK_DB)
            case Restore():
                self._set_level(0.0)
            case Yield(why):
                self._yield(why)
            case AskAgain(attempt, silence) if not self._closing:
                self._emit(events.ReEngaged(at=self.at, attempt=attempt, silence=silence))
                self._start_reply(self._say(self.part.ask_again[attempt - 1], answers=None))
            case DeadAir():
                self.hang_up("dead_air")

    def _disown(self) -> None:
        """What is heard is our own voice: a turn that it has just begun is none. It takes some frames until that is known."""
        theirs = self._theirs
        if not self._floor.listening or theirs.said or self._frame - theirs.began > ECHO_KNOWN:
            return
        for task in (theirs.hearing.text if theirs.hearing else None, theirs.judging):
            if task is not None:
                task.cancel()
        theirs.said = True
        self._floor.not_theirs()
        self._emit(events.Ignored(at=self.at, turn=theirs.turn, text="", why="our own voice, come back"))

    def _end_turn(self, ended: int) -> None:
        waited = (self._frame - ended) * audio.FRAME_SECONDS
        self._theirs.over = self.pace.now()
        self._emit(events.Stage(at=self.at, turn=self._theirs.turn, stage="endpointing", took=round(waited, 3)))
        if self._opening and self._busy:  # they spoke before our opening was ready: it will be the answer
            self._theirs.note = self._keep(asyncio.ensure_future(self._note(self._theirs, ended)))
            return
        line = self._line
        if line is None or line.cut:
            self._cancel_reply()
            self._start_reply(self._answer(self._theirs, ended))
            return
        # we never gave way, so we finish first; what they said last is what gets an answer
        if self._reply is not None and self._reply is not line.maker:
            self._reply.cancel()
        self._theirs.note = self._keep(asyncio.ensure_future(self._note(self._theirs, ended)))
        self._start_reply(self._answer(self._theirs, ended, after=line))

    async def _ignore(self, theirs: _Theirs, ended: int) -> None:
        """A word thrown in: it is logged with what it was, and gets no answer."""
        text = (await asyncio.shield(self._hear(ended))).strip() if theirs is self._theirs else ""
        self._emit(events.Ignored(at=self.at, turn=theirs.turn, text=text, why="spoken over the other side"))

    def _yield(self, why: str) -> None:
        line = self._line
        if line is None:
            return
        if why == "voice" and line.complete:
            self._theirs.stopped, self._theirs.rest = line, self._playout.unheard()
        self._cancel_reply()
        self.line.hush()
        line.cut = True
        self._closing = None
        self._emit(events.Interrupted(at=self.at, turn=line.turn, by=self._theirs.turn, why=why))

    def _set_level(self, decibels: float) -> None:
        line = self._line
        if line is None or line.cut or line.ducked == (decibels > 0):
            return
        line.ducked = decibels > 0
        self.line.duck(decibels)
        if line.ducked:
            theirs = self.end.customer if self.part.me == "bot" else self.end.bot
            onset = theirs.onset(len(theirs))
            latency = (
                voiced.seconds(len(theirs) - onset) if onset is not None else None
            )  # softer from the next frame on
            self._emit(events.Ducked(at=self.at, turn=line.turn, latency=latency))
        else:
            self._emit(events.Restored(at=self.at, turn=line.turn))

    # -- hearing them --------------------------------------------------------------------------------------------------

    def _hear(self, ended: int, *, look: bool = False) -> asyncio.Task[str]:
        """The words of their turn up to the frame `ended`. look: they are still speaking, and so are we

        A look is never broken off, for it may be what stops us; everything else is, by whatever is newer. What is spoken over us
        is recognised without hints: quicker, and a little less sure.
        """
        theirs = self._theirs
        if theirs.hearing is None or theirs.hearing.ended != ended:
            if theirs.hearing is not None and not theirs.hearing.look:
                theirs.hearing.text.cancel()
            hints = not look and (self._line is None or self._line.cut)
            pcm = self._ear_between(theirs.began - PRE_ROLL, ended + POST_ROLL)  # now: it may be forgotten soon
            task = self._keep(asyncio.ensure_future(self._recognise(theirs, ended, pcm, hints=hints)))
            hearing = theirs.hearing = _Hearing(ended, task, look, wanted=look)
            self._hearings.append(hearing)
            began = self.pace.now()

            def done(_: asyncio.Task[str]) -> None:
                hearing.took = self.pace.now() - began

            task.add_done_callback(done)
        return theirs.hearing.text

    def _judge(self, ended: int) -> None:
        judge, theirs = self.engines.judge, self._theirs
        if judge is None or self._line is not None:
            return
        stretch = self._floor.stretch

        async def judging() -> None:
            # from there on: an earlier pause sounds unfinished for ever
            pcm = self._ear_between(stretch - PRE_ROLL, ended + POST_ROLL)
            engine, rate = await asyncio.shield(judge), self.line.rate
            async with aclosing(stream(lambda stop: engine.finished(pcm, rate, stop), self.pace, "turn")) as judged:
                async for finished in judged:
                    if theirs is self._theirs:
                        self._floor.judged(finished, ended)

        if theirs.judging is not None:
            theirs.judging.cancel()
        theirs.judging = self._keep(asyncio.ensure_future(judging()))

    async def _recognise(self, theirs: _Theirs, ended: int, pcm: bytes, *, hints: bool) -> str:
        recognizer = await asyncio.shield(self.engines.recognizer)
        text = ""
        words, rate = self.part.hints if hints else (), self.line.rate
        async with aclosing(
            stream(lambda stop: recognizer.hear(pcm, rate, hints=words, stop=stop), self.pace, "stt")
        ) as texts:
            async for text in texts:
                if text and not theirs.said:
                    self._emit(events.Partial(at=self.at, who=self.part.them, turn=theirs.turn, text=text))
        text = text.strip()
        if text:
            theirs.words = text
        elif theirs.words and ended - theirs.began > LONG_FRAMES:
            text = theirs.words  # a recogniser that gives up on the whole of a long turn had understood its beginning
        if theirs is self._theirs:
            self._floor.heard(text, ended)
            self._answer_ahead(theirs, ended, text)
        return text

    async def _note(self, theirs: _Theirs, ended: int) -> str:
        """The turn's final text, logged; "" when there were no words in it."""
        asked = self.pace.now()
        text = (await asyncio.shield(self._hear(ended))).strip()
        took = round(self.pace.now() - asked, 3)
        if theirs.hearing is not None:
            theirs.hearing.wanted = True
        self._emit(events.Stage(at=self.at, turn=theirs.turn, stage="stt", took=took))
        theirs.said = True
        if text:
            began, last = self._moment(theirs.began), self._moment(ended)
            self._log_turn(self.part.them, theirs.turn, text, text, began, last)
        else:
            self._emit(events.Ignored(at=self.at, turn=theirs.turn, text="", why="no words in it"))
            if theirs is self._theirs and not self._floor.listening:
                self._floor.no_words()
        return text

    def _ear_between(self, first: int, last: int) -> bytes:
        size = audio.frame_bytes(self.line.rate)
        return bytes(self._ear[max(0, first - self._ear_from) * size : max(0, last + 1 - self._ear_from) * size])

    def _forget_old_audio(self) -> None:
        if self._floor.listening or self._busy:
            return
        size = audio.frame_bytes(self.line.rate)
        surplus = len(self._ear) // size - KEEP
        if surplus >= KEEP:
            del self._ear[: surplus * size]
            self._ear_from += surplus

    # -- answering -----------------------------------------------------------------------------------------------------

    async def _answer(self, theirs: _Theirs, ended: int, *, after: _Line | None = None) -> None:
        text = await (asyncio.shield(theirs.note) if theirs.note else self._note(theirs, ended))
        timing = _Timing(theirs.over, self.pace.now())
        if not text:
            if theirs.stopped is not None and theirs.rest:
                self._emit(events.SpokeOn(at=self.at, turn=theirs.stopped.turn))
                await self._say(theirs.rest, answers=None, then=theirs.stopped.then)
            return
        if after is not None and after.maker is not None:
            await asyncio.wait([after.maker])
            await self._floor_free.wait()
        if self._closing and len(text.split()) <= LAST_WORD_WORDS:
            self.hang_up(self._closing)
            return
        self._closing = None
        self._cancel_warming()
        self._cancel_rehearsal()
        draft, self._draft = self._draft, None
        self._ahead = draft.made if draft is not None else self._ahead
        if draft is not None and draft.ended == ended and draft.history == self._history():
            over, text_known, timing = timing.over, timing.text, draft.timing
            timing.over, timing.text, timing.ahead = over, text_known, True
            made = draft.made.taken()
        else:
            if draft is not None:
                self._dropped(draft)
            made = self._make(self.engines.dialogue.reply(self._history()), timing)
        await self._speak(made, answers=theirs.turn, timing=timing)

    def _answer_ahead(self, theirs: _Theirs, ended: int, text: str) -> None:
        """They have fallen silent and these are their words so far: make what we would answer, as far as its first sound."""
        self._drop_draft()
        responder = self.engines.dialogue.responder
        able = responder.done() and not responder.cancelled() and responder.exception() is None
        if self._over or not able or not responder.result().facts.ahead or not text or theirs.said:
            return
        if not self._floor.listening or self._line is not None or self._busy or self._closing or self._cause:
            return
        if cues.ending(text, self._floor.expects) in _MORE_TO_COME:
            return
        self._cancel_warming()
        history, decided = [*self._history(), Turn(self.part.them, text)], asyncio.Event()
        timing = _Timing(self.pace.now())
        made = self._make(self.engines.dialogue.reply(history, decided), timing)
        ahead = Ahead(made, lambda item: isinstance(item, _Sound), decided)
        self._draft = _Draft(ended, history, timing, ahead)

    def _drop_draft(self) -> None:
        if self._draft is not None:
            self._dropped(self._draft)
            self._draft = None

    def _dropped(self, draft: _Draft) -> None:
        draft.made.drop()
        self._ahead = draft.made
        now = self.pace.now()
        self._answering[False] += (draft.timing.sound or now) - draft.timing.over

    async def _say(self, text: str, *, answers: int | None, then: str | None = None) -> None:
        async def whole() -> AsyncGenerator[Piece, None]:
            yield text

        await self._speak(self._make(whole(), _Timing(0.0)), answers=answers, then=then)

    async def _make(self, pieces: AsyncGenerator[Piece, None], timing: _Timing) -> AsyncGenerator[_Made, None]:
        """A line, phrase by phrase as it is written. Nothing of it is heard or logged yet."""
        if self._ahead is not None:
            await self._ahead.over()
        phrases, asked, first = Phrases(), self.pace.now(), True
        voice = await asyncio.shield(self.engines.voice)

        async def sound(phrase: str) -> _Sound:
            began = self.pace.now()
            timing.phrase = timing.phrase or began
            made = _Sound(phrase, await self._spoken(voice, phrase))
            if timing.sound is None:
                timing.sound = self.pace.now()
                timing.took = timing.sound - asked
                timing.stages["tts_first"] = timing.sound - began
            return made

        async with aclosing(pieces):
            async for piece in pieces:
                if timing.first is None and not (isinstance(piece, Plan) and piece.how == "free"):
                    timing.first = self.pace.now()
                if first and isinstance(piece, str | ToolCall):
                    timing.stages["llm_first"], first = self.pace.now() - asked, False
                if isinstance(piece, Filler):
                    for phrase in _phrases(piece):
                        yield replace(await sound(phrase), filler=True)
                    continue
                if isinstance(piece, str):
                    for phrase in phrases.feed(piece):
                        yield await sound(phrase)
                    continue
                yield piece
                if isinstance(piece, ToolCall) and self.part.me == "customer" and piece.name in (NOISE, SILENCE):
                    for phrase in phrases.rest():
                        yield await sound(phrase)
                    yield _Sound("", _sound(piece, self.line.rate))
        for phrase in phrases.rest():
            yield await sound(phrase)

    async def _spoken(self, voice: Voice, phrase: str) -> bytes:
        rate = self.line.rate
        async with aclosing(stream(lambda stop: voice.speak(phrase, rate, stop), self.pace, "tts")) as chunks:
            return b"".join([chunk async for chunk in chunks])

    async def _speak(
        self,
        made: AsyncGenerator[_Made, None],
        *,
        answers: int | None,
        timing: _Timing | None = None,
        then: str | None = None,
    ) -> None:
        """Say a line as it is made. Its audio is queued phrase by phrase; the tick loop follows it out.

        then: cause to hang up with once it is out.
        """
        plan: Plan | None = None
        line: _Line | None = None
        held: list[_Sound] = []

        async def out(sound: _Sound) -> None:
            nonlocal line, plan
            if timing is not None and line is None:
                self._answering[True] += timing.took
            self._tell_stages(answers, timing)
            line = await self._queue(sound, line, answers, timing)
            self._begun(plan, line, answers)
            plan = None

        async with aclosing(made) as items:
            async for item in items:
                if isinstance(item, Plan):
                    plan = item
                elif isinstance(item, ToolAnswer):
                    self._tool_answered(item)
                elif isinstance(item, ToolCall):
                    self._emit(events.ToolCalled(at=self.at, name=item.name, arguments=dict(item.arguments)))
                    then = "end_call" if item.name == "end_call" else then
                elif self.part.whole_lines:
                    held.append(item)
                else:
                    await out(item)
        for sound in held:
            await out(sound)
        self._tell_stages(answers, timing)
        self._begun(plan, line, answers)
        self._opening = False
        if line is None:  # nothing to say
            if then:
                self._close(then)
            return
        line.then = then or ("closure_phrase" if self._closes(self._playout.text) else None)
        line.complete = True
        self._rehearse_soon()

    def _tool_answered(self, answer: ToolAnswer) -> None:
        if not answer.again:
            data, error = shown(answer.data), answer.error
            self._emit(
                events.ToolAnswered(
                    at=self.at, name=answer.name, ok=answer.ok, data=data, error=error, took=answer.took
                )
            )

    def _tell_stages(self, answers: int | None, timing: _Timing | None) -> None:
        if answers is None or timing is None:
            return
        for stage, took in timing.stages.items():
            self._emit(events.Stage(at=self.at, turn=answers, stage=stage, took=round(took, 3)))
        timing.stages.clear()

    def _rehearse_soon(self) -> None:
        """While nothing else is to be done: have the voice say what we may say next."""
        self._cancel_rehearsal()
        if self.part.me == "bot":
            self._rehearsing = self._keep(asyncio.ensure_future(self._rehearse()))

    async def _rehearse(self) -> None:
        voice, began = await asyncio.shield(self.engines.voice), self.pace.now()
        if not voice.facts.remembers:
            return
        try:
            await self._say_beforehand(voice)
        finally:
            self._prepared += self.pace.now() - began

    async def _say_beforehand(self, voice: Voice) -> None:
        lines = [_phrases(text) for text in (*self.engines.dialogue.likely(), *self.part.ask_again)]
        begins = [phrase for line in lines for phrase in line[:1]]
        rests = [phrase for line in lines for phrase in line[1:]]
        for phrase in (phrase for part in (begins, rests) for phrase in dict.fromkeys(part) if "{{" not in phrase):
            await self._spoken(voice, phrase)

    def _cancel_rehearsal(self) -> None:
        if self._rehearsing is not None:
            self._rehearsing.cancel()
            self._rehearsing = None

    def _begun(self, plan: Plan | None, line: _Line | None, answers: int | None) -> None:
        """The line of `plan` is on its way to their ear: the conversation stands there now."""
        if plan is None:
            return
        self.engines.dialogue.commit(plan)
        fields = plan.state.fields if plan.state else {}
        self._emit(
            events.Replied(
                at=self.at,
                turn=line.turn if line else 0,
                answers=answers or 0,
                how=plan.how,
                step=plan.step,
                pick=plan.pick,
                confidence=plan.confidence,
                second=plan.second,
                filled=dict(plan.filled),
                by=dict(plan.by),
                tool=plan.tool,
                dropped=plan.dropped,
                next=plan.state.step if plan.state else None,
                fields=dict(fields),
            )
        )

    async def _queue(self, sound: _Sound, line: _Line | None, answers: int | None, timing: _Timing | None) -> _Line:
        """Put `sound` behind what `line` has; begin a line where there is none."""
        rate, phrase = self.line.rate, sound.phrase
        if line is None:
            # until they are silent, and a line of ours that was cut is confirmed by the line a frame or two later
            await self._floor_free.wait()
            self._floor_free.clear()
            after, maker = self._floor.spoke[1], asyncio.current_task()
            line = self._line = _Line(self._next_turn(), answers, after, maker, timing=timing, filler=sound.filler)
            self._playout.begin()
            pause = b""
        else:
            # a silence or a noise is what it is; the pause between what is said before and after it is made once
            pause = audio.silence(pause_after(self._playout.last_phrase), rate) if phrase else b""
        quiet, voiced_samples = len(pause) // audio.SAMPLE_BYTES, len(sound.pcm) // audio.SAMPLE_BYTES
        self._playout.add(phrase, quiet + voiced_samples, quiet=quiet)
        self.line.say(pause + sound.pcm)
        self._emit(events.Partial(at=self.at, who=self.part.me, turn=line.turn, text=self._playout.text))
        return line

    def _start_reply(self, reply: Coroutine[Any, Any, None]) -> None:
        self._reply = self._keep(asyncio.ensure_future(reply))

    def _cancel_reply(self) -> None:
        self._opening = False
        for task in (self._reply, self._line.maker if self._line else None):
            if task is not None:
                task.cancel()
        if self._ahead is not None:
            self._ahead.drop()
        self._reply = None

    def _cancel_note(self) -> None:
        if self._theirs.note is not None:
            self._theirs.note.cancel()

    def _closes(self, text: str) -> bool:
        said = f" {_plain(text)} "
        return any(f" {_plain(phrase)} " in said for phrase in self.part.closure_phrases)

    def _close(self, cause: str) -> None:
        self._closing, self._closing_from = cause, self._frame

    # -- following our own line ----------------------------------------------------------------------------------------

    @property
    def _sounding(self) -> bool:
        return self._line is not None

    @property
    def _busy(self) -> bool:
        return self._reply is not None and not self._reply.done() and self._line is None

    def _follow_line(self) -> None:
        line = self._line
        if line is None:
            return
        ours = self.end.bot if self.part.me == "bot" else self.end.customer
        onset = ours.first_voiced(len(ours) - voiced.PER_FRAME, len(ours))
        if onset is not None:
            if line.began is None:
                line.began = self._frame
                self._speech_began(self.part.me, line.turn, self._frame)
                self._tell_gap(line, onset)
            line.last = self._sounded = self._frame
        if (line.complete or line.cut) and self._playout.empty:
            self._line_out(line)

    def _tell_gap(self, line: _Line, onset: int) -> None:
        """onset: the block in which the line is first heard"""
        if line.answers is None:
            return
        theirs = self.end.customer if self.part.me == "bot" else self.end.bot
        last = theirs.last_voiced(min(onset, (line.after + 1) * voiced.PER_FRAME))
        end = last + 1 if last is not None else (line.after + 1) * voiced.PER_FRAME
        gap = voiced.seconds(onset - end)
        parts = line.timing.parts(gap, self.pace.now()) if line.timing else {}
        ahead = line.timing is not None and line.timing.ahead
        self._emit(
            events.ReplyGap(
                at=self.at,
                turn=line.turn,
                answers=line.answers,
                seconds=gap,
                filler=line.filler,
                ahead=ahead,
                parts=parts,
            )
        )

    def _line_out(self, line: _Line) -> None:
        self._line = None
        if line.ducked:
            self.line.duck(0.0)
        self._floor.expects = self.engines.dialogue.expects or cues.expected(self._playout.text)
        if line.thrown is not None and not line.cut and not line.then and self._cause is None:
            self._answer_thrown(*line.thrown)
        if line.began is not None:
            text = self._playout.text
            heard = self._playout.heard() if line.cut else text
            began, last = self._moment(line.began), self._moment(line.last)
            self._log_turn(self.part.me, line.turn, text, heard, began, last, cut=line.cut, answers=line.answers)
        if line.then and not line.cut:
            self._close(line.then)
        elif self._cause is None and not self._busy:  # who is making a reply has read it all already
            self._cancel_warming()
            self._warming = self._keep(asyncio.ensure_future(self._warm()))

    def _answer_thrown(self, theirs: _Theirs, ended: int, played: int) -> None:
        """A word thrown in behind the question of a line that is out now: they have answered, and wait for us."""
        if not self._playout.asked_since(played) or theirs is not self._theirs:
            return

        async def answer() -> None:
            await asyncio.sleep(ANSWER_AFTER)
            if theirs is self._theirs:
                theirs.over = self.pace.now()
                await self._answer(theirs, ended)

        self._start_reply(answer())

    async def _warm(self) -> None:
        """While they take their turn: have the responder read what was said so far."""
        await self.engines.dialogue.warm(self._history())
        if self._rehearsing is None and not self._floor.listening:
            self._rehearse_soon()

    def _cancel_warming(self) -> None:
        if self._warming is not None:
            self._warming.cancel()
            self._warming = None

    # -- the log -------------------------------------------------------------------------------------------------------

    def _next_turn(self) -> int:
        self._last_turn += 1
        return self._last_turn

    def _log_turn(
        self,
        who: Who,
        turn: int,
        text: str,
        heard: str,
        began: float,
        ended: float,
        *,
        cut: bool = False,
        answers: int | None = None,
    ) -> None:
        self._turns[turn] = Turn(who, heard)
        self._emit(
            events.Said(
                at=self.at,
                who=who,
                turn=turn,
                text=text,
                heard=heard,
                began=round(began, 3),
                ended=round(ended, 3),
                cut=cut,
                answers=answers,
            )
        )

    def _speech_began(self, who: Who, turn: int, frame: int) -> None:
        self._emit(events.SpeechBegan(at=self.at, who=who, turn=turn, began=round(self._moment(frame), 3)))

    def _history(self) -> Sequence[Turn]:
        return [turn for _, turn in sorted(self._turns.items()) if turn.text]

    # -- the end -------------------------------------------------------------------------------------------------------

    async def _finish(self, end: Signal | None) -> None:
        """Log what was still under way, then the end itself."""
        self._over = True
        self._cancel_reply()
        self._drop_draft()
        if self._ahead is not None:
            self._ahead.drop()
            await self._ahead.over()
        self._cancel_note()
        if self._line is not None:
            self._line.cut = self._line.cut or not (self._line.complete and self._playout.empty)
            self._line_out(self._line)
        end = end or Signal("ended", by="here", reason="no answer to our BYE")
        cause = self._why(end)
        if self._answered is not None and self._failure is None:
            try:
                if not self._theirs.said:
                    await self._note(self._theirs, self._floor.spoke[1])
                elif self._theirs.ignoring is not None:
                    await self._theirs.ignoring
            except Exception as error:  # noqa: BLE001 - whatever an engine does, the call's end is logged
                self._failure = error
        detail = str(self._failure) if self._failure is not None else ""
        if self.part.me == "bot" and self._answered is not None:
            self._tell_effort()
        self._emit(events.Ended(at=self.at, cause=cause, by=end.by, code=end.code, reason=end.reason, detail=detail))
        self._emit(events.LineFacts(at=self.at, facts=dict(self.line.facts())))

    def _tell_effort(self) -> None:
        used, discarded = (
            {
                "hear": round(sum(hearing.took for hearing in self._hearings if hearing.wanted == wanted), 3),
                "answer": round(self._answering[wanted], 3),
            }
            for wanted in (True, False)
        )
        self._emit(events.Effort(at=self.at, used=used, discarded=discarded, prepared=round(self._prepared, 3)))

    def _why(self, end: Signal) -> str:
        """The end's cause. When both sides hang up at once, it is whoever the signalling says."""
        if end.kind == "lost":
            return "line_lost"
        if self._failure is not None:
            return "error"
        if self._answered is not None and end.by == "there":
            return "hung_up"
        if self._cause is not None:
            return self._cause
        if self._answered is not None:
            return "line_lost"
        return {408: "no_answer", 480: "no_answer", 486: "rejected", 603: "rejected"}.get(end.code, "sip_error")

    # -- tasks ---------------------------------------------------------------------------------------------------------

    def _keep(self, task: asyncio.Task[T]) -> asyncio.Task[T]:
        self._tasks.add(task)
        task.add_done_callback(self._on_task_done)
        return task

    def _on_task_done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.fail(error)

    def _check_loaded(self, loading: asyncio.Future[Any]) -> None:
        if not loading.cancelled() and (error := loading.exception()) is not None:
            self.fail(error)


def _sound(action: ToolCall, rate: int) -> bytes:
    seconds = float(action.arguments["seconds"])
    if action.name == SILENCE:
        return audio.silence(seconds, rate)
    return audio.noise(seconds, rate, float(action.arguments["level"]), seed=0)


def _where(error: BaseException) -> str:
    return (error.where if isinstance(error, LabError) else None) or type(error).__name__


def _phrases(text: str) -> list[str]:
    phrases = Phrases()
    return [*phrases.feed(text), *phrases.rest()]


def _plain(text: str) -> str:
    return " ".join(re.sub(r"[^\w\s']", " ", text.lower()).split())
