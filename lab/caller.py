"""The scripted caller: a customer who does what a scenario's steps say, when they say it.

Decides: when a step's moment has come. Refuses to know: what the bot's words mean; it knows only whether the bot sounds.

Everything it will say is synthesised before the call is answered, and it runs no recogniser: what it costs is a detector. When
each step really began and ended goes into the log as `scenario.step`; lab.checks judges by that.

How a step finds its moment
1.  The bot's turn is over when nothing of it was heard for `TURN_OVER` seconds.
2.  Without `after`, an action begins when a turn of the bot is over that was heard after our last words (or after the answer).
3.  `bot_speaking` is the bot's first voiced frame after the step before was over, `bot_finished` its last one,
    `customer_finished` the end of the step before; `delay` counts from there.
4.  A step without an action is over when the bot has finished something that it said after the step began.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial

from lab import audio, events
from lab.audio import FRAME_SECONDS
from lab.offload import stream
from lab.pace import Pace
from lab.ports import Detector, Line, Tick, Voice
from lab.scenario import HangUp, Loss, Noise, Say, Silence, Step

TURN_OVER = 0.8
"""Seconds of quiet after which the bot has finished its turn."""
SETTLED = 0.3
"""Seconds of quiet after which it may have, for a step that says itself how long it waits."""
ANSWERS_AFTER = 0.5
_VOICED = 0.5
_ONSET = 3
_AUDIBLE_DB = -50.0


@dataclass(frozen=True, slots=True)
class Ways:
    """How a scripted caller waits. Seconds."""

    turn_over: float = TURN_OVER
    """Quiet after which the bot has finished its turn."""
    patience: float | None = None
    """Silence on both sides after which the next step begins without an answer; None waits for ever."""
    by_energy: bool = False
    """It hears whether the bot sounds by the level alone, and runs no model."""


@dataclass(slots=True)
class _Bot:
    """What was heard of the bot. Frames since the answer; -1 for never."""

    run: int = 0
    last: int = -1
    onset: int | None = None
    """First voiced frame since the current step began to wait."""

    def hear(self, frame: int, voiced: bool) -> None:
        self.run = self.run + 1 if voiced else 0
        if self.run >= _ONSET:
            self.last = frame
            if self.onset is None:
                self.onset = frame - self.run + 1

    def quiet_for(self, frame: int) -> float:
        return (frame - self.last) * FRAME_SECONDS


class Caller:
    """The called side of one call. Run it to the call's end.

    emit: takes a `scenario.step` for each step. tap: takes each tick. seed: decides what noise sounds like.
    """

    def __init__(
        self,
        steps: Sequence[Step],
        line: Line,
        voice: asyncio.Future[Voice],
        detector: Detector,
        pace: Pace,
        *,
        emit: Callable[[events.Event], None],
        tap: Callable[[Tick], None] | None = None,
        seed: int = 0,
        ways: Ways | None = None,
    ) -> None:
        self._steps, self._line, self._voice, self._detector, self._pace = steps, line, voice, detector, pace
        self._emit, self._tap, self._seed, self._ways = emit, tap, seed, ways or Ways()
        self._sounds: dict[int, bytes] = {}
        self._bot = _Bot()
        self._tick = 0
        self._picked_up = False
        self._answered: int | None = None
        self._step = 0
        self._waits_from = 0
        """Frame at which the current step began to wait."""
        self._spoke_until = 0
        """Frame at which our last words were over."""
        self._acting = False
        self._began = self._ended = 0
        self._until: int | None = None
        """Frame at which the current silence is over."""
        self._said = 0

    async def run(self) -> None:
        preparing = asyncio.ensure_future(self._prepare())
        try:
            async for tick in self._line.ticks():
                self._tick = tick.index
                if self._tap is not None:
                    self._tap(tick)
                if any(s.kind == "answered" for s in tick.signals):
                    self._answered = tick.index
                if any(s.kind in ("ended", "lost") for s in tick.signals):
                    break
                if preparing.done() and preparing.exception() is not None:
                    self._line.hang_up()
                elif self._answered is not None:
                    self._live(tick)
                elif preparing.done() and not self._picked_up and tick.index * FRAME_SECONDS >= ANSWERS_AFTER:
                    self._picked_up = True  # once: over SIP the answer takes a few ticks
                    self._line.answer()
            self._leave_off()
            await preparing
        finally:
            preparing.cancel()

    async def _prepare(self) -> None:
        """The sound of every step that has one."""
        rate = self._line.rate
        voice = await asyncio.shield(self._voice)
        for number, step in enumerate(self._steps):
            match step.action:
                case Say(text, noise):
                    async with aclosing(stream(partial(voice.speak, text, rate), self._pace, "load")) as chunks:
                        pcm = b"".join([chunk async for chunk in chunks])
                    if noise is not None:
                        pcm = audio.mix(pcm, self._noise(number, audio.seconds(pcm, rate), noise))
                    self._sounds[number] = pcm
                case Noise(level, seconds):
                    self._sounds[number] = self._noise(number, seconds, level)

    def _noise(self, number: int, seconds: float, level: float) -> bytes:
        return audio.noise(seconds, self._line.rate, level, self._seed + number)

    # -- while the call lives ------------------------------------------------------------------------------------------

    def _live(self, tick: Tick) -> None:
        self._bot.hear(self._frame, self._detector.probability(tick.heard, self._line.rate) >= _VOICED)
        if self._acting:
            self._follow(tick)
        while self._step < len(self._steps) and not self._acting and self._moment_has_come():
            self._act()

    def _moment_has_come(self) -> bool:
        step, bot, frame = self._steps[self._step], self._bot, self._frame
        over = self._ways.turn_over
        if step.action is None:
            return bot.last > self._waits_from and bot.quiet_for(frame) >= over
        if step.after is None:
            since = (frame - max(self._spoke_until, bot.last)) * FRAME_SECONDS
            tired = self._ways.patience is not None and since >= self._ways.patience
            return tired or (bot.last > self._spoke_until and bot.quiet_for(frame) >= over)
        delay = step.after.delay
        if step.after.event == "answered":
            return frame * FRAME_SECONDS >= delay
        if step.after.event == "customer_finished":
            return (frame - self._waits_from) * FRAME_SECONDS >= delay
        if step.after.event == "bot_speaking":
            return bot.onset is not None and (frame - bot.onset) * FRAME_SECONDS >= delay
        return bot.last > self._spoke_until and bot.quiet_for(frame) >= max(delay, SETTLED)

    def _act(self) -> None:
        """Begin the current step's action; one without duration is over at once."""
        frame, action = self._frame, self._steps[self._step].action
        self._began = self._ended = frame
        match action:
            case Say() | Noise():
                sound = self._sounds[self._step]
                self._said += len(sound) // audio.SAMPLE_BYTES
                self._line.say(sound)
                self._began, self._acting = -1, True
            case Silence(seconds):
                self._until, self._acting = frame + round(seconds / FRAME_SECONDS), True
            case Loss(share):
                self._line.spoil(share)
                self._over()
            case HangUp():
                self._line.hang_up()
                self._over()
            case None:
                self._began, self._ended = self._waits_from, self._bot.last
                self._over()

    def _follow(self, tick: Tick) -> None:
        """Is the action over?"""
        if self._until is not None:
            self._ended = self._frame
            if self._frame >= self._until:
                self._until = None
                self._over()
            return
        if audio.level_db(tick.spoken) > _AUDIBLE_DB:
            self._began = self._frame if self._began < 0 else self._began
            self._ended = self._frame
        if tick.played >= self._said:
            if isinstance(self._steps[self._step].action, Say):
                self._spoke_until = self._frame
            self._over()

    def _over(self) -> None:
        self._log()
        self._acting = False
        self._step += 1
        self._waits_from = self._frame
        self._bot.onset, self._bot.run = None, 0

    def _leave_off(self) -> None:
        """The call has ended: log the step it was at, unless its moment had not come."""
        if self._answered is None or self._step >= len(self._steps):
            return
        if self._acting:
            self._log()
        elif self._steps[self._step].action is None:
            self._began, self._ended = self._waits_from, self._frame
            self._log()

    def _log(self) -> None:
        began = self._ended if self._began < 0 else self._began
        self._emit(
            events.StepDone(
                at=round(self._tick * FRAME_SECONDS, 3),
                step=self._step,
                began=self._moment(began),
                ended=self._moment(self._ended),
            )
        )

    @property
    def _frame(self) -> int:
        return self._tick - (self._answered or 0)

    def _moment(self, frame: int) -> float:
        """Seconds since the INVITE."""
        return round((frame + (self._answered or 0)) * FRAME_SECONDS, 3)
