"""Whole calls in memory: two sides, scripted engines, call time that leaps. `hold` is all a test needs.

talk = hold(bot("Hello.", answer=lambda heard: "Good."), Script({2.0: "How are you?"}))
assert talk.lines == [("bot", "Hello."), ("customer", "How are you?"), ("bot", "Good.")]
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from lab import audio, events
from lab.call import Call, Engines, Part
from lab.dialogue import Brief, Dialogue
from lab.engines.scripted import (
    ScriptedDetector,
    ScriptedEars,
    ScriptedEmbedder,
    ScriptedResponder,
    ScriptedVoice,
    read_tones,
)
from lab.floor import Endpointing, Manners
from lab.lines.loop import LoopLine, pair
from lab.pace import Pace
from lab.ports import Embedder, Past, Recognizer, Responder, Stop, ToolCall, Voice, Who
from lab.result import disconnected_by, transcript

E = TypeVar("E", bound=events.Event)
T = TypeVar("T")
Answer = Callable[[str], str | Iterable[str | ToolCall]]

END = ToolCall("end_call")
PATIENCE = 1000.0
"""Seconds of call time after which a call that does not end is a failure."""


class Mind(ScriptedResponder):
    """A responder by rule that remembers what it was asked."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(lambda heard: ())
        self._rule = answer
        self.asked: list[list[Any]] = []

    def respond(
        self, system: str, turns: Sequence[Past], stop: Stop, *, tools: Sequence[Mapping[str, Any]] = ()
    ) -> Iterator[str | ToolCall]:
        self.asked.append(list(turns))
        answer = self._rule(turns[-1].text if turns else "")
        yield from [answer] if isinstance(answer, str) else answer


@dataclass
class Side:
    """One side of a call with everything it computes with. loading: seconds until its engines are there."""

    part: Part
    mind: Mind
    ears: Recognizer = field(default_factory=ScriptedEars)
    voice: Voice = field(default_factory=ScriptedVoice)
    loading: float = 0.0
    load_error: Exception | None = None
    brief: Brief = field(default_factory=Brief)
    embedder: Embedder = field(default_factory=ScriptedEmbedder)

    def call(self, line: LoopLine, pace: Pace, emit: Callable[[events.Event], None]) -> Call:
        return Call(self.part, line, self.engines(pace), pace, emit=emit)

    def engines(self, pace: Pace) -> Engines:
        mind: asyncio.Future[Responder] = self._load(self.mind)
        embedder: asyncio.Future[Embedder] | None = self._load(self.embedder) if self.brief.flow else None
        dialogue = Dialogue(self.brief, mind, pace, embedder)
        return Engines(self._load(self.ears), dialogue, self._load(self.voice), ScriptedDetector())

    def _load(self, engine: T) -> asyncio.Future[T]:
        async def load() -> T:
            await asyncio.sleep(self.loading)
            if self.load_error is not None:
                raise self.load_error
            return engine

        return asyncio.ensure_future(load())


def bot(opening: str | None = "Hello.", answer: Answer = lambda heard: "I see.", **more: Any) -> Side:
    return _side("bot", opening, answer, more)


def customer(answer: Answer, opening: str | None = None, **more: Any) -> Side:
    patient = Manners(endpointing=Endpointing.fixed(0.6), barge_in=0.4, words=False)
    return _side("customer", opening, answer, {"answers_after": 0.5, "manners": patient, **more})


def _side(me: Who, opening: str | None, answer: Answer, more: dict[str, Any]) -> Side:
    own = ("ears", "voice", "loading", "load_error", "brief", "embedder")
    of_side = {name: more.pop(name) for name in own if name in more}
    mind = more.pop("mind", None) or Mind(answer)
    part = Part(me=me, opening=opening, **{"manners": Manners(), **more})
    return Side(part, mind, **of_side)


@dataclass
class Script:
    """A far end that goes by the clock: seconds after the answer -> what it says then.

    answers_after: seconds of ringing; None never answers. refuses: with this code, after a second of ringing.
    """

    says: Mapping[float, str] = field(default_factory=dict)
    answers_after: float | None = 0.5
    hangs_up: float | None = None
    refuses: int | None = None
    heard: bytearray = field(default_factory=bytearray)

    async def run(self, line: LoopLine) -> None:
        plan = sorted(self.says.items())
        async for tick in line.ticks():
            self.heard += tick.heard
            now = tick.index * audio.FRAME_SECONDS
            if self.refuses is not None and now >= 1.0:
                line.hang_up(self.refuses)
            if self.answers_after is None or now < self.answers_after:
                continue
            line.answer() if not tick.live else None
            while plan and now >= self.answers_after + plan[0][0]:
                line.say(b"".join(ScriptedVoice().speak(plan.pop(0)[1], line.rate, threading.Event())))
            if self.hangs_up is not None and now >= self.answers_after + self.hangs_up:
                line.hang_up()

    @property
    def words(self) -> str:
        """What really came over the line."""
        return read_tones(bytes(self.heard), 8000)


@dataclass
class Talk:
    """A call that is over: the bot's log, and the customer's when it had one."""

    log: list[events.Event] = field(default_factory=list)
    theirs: list[events.Event] = field(default_factory=list)

    def of(self, kind: type[E]) -> list[E]:
        return [e for e in self.log if isinstance(e, kind)]

    def said(self, who: Who) -> list[events.Said]:
        """The last word on each turn of theirs."""
        return list({e.turn: e for e in self.of(events.Said) if e.who == who}.values())

    @property
    def lines(self) -> list[tuple[str, str]]:
        return [(line.speaker, line.text) for line in transcript(self.log, 0.0)]

    @property
    def answered(self) -> float:
        return self.of(events.Answered)[0].at

    @property
    def end(self) -> events.Ended:
        (end,) = self.of(events.Ended)
        return end

    @property
    def by(self) -> str:
        return disconnected_by(self.log)

    @property
    def text(self) -> str:
        """Both logs as they would stand on disk."""
        return "\n".join(map(events.to_line, self.log + self.theirs))


def hold(bot: Side, other: Side | Script, *, interrupt_at: float | None = None, pace: Pace | None = None) -> Talk:
    """Hold the call to its end. interrupt_at: seconds after the INVITE at which the operator stops it."""
    pace, talk = pace or Pace("fixed"), Talk()

    async def main() -> None:
        ours, theirs = pair()
        call = bot.call(ours, pace, talk.log.append)
        far = other.run(theirs) if isinstance(other, Script) else other.call(theirs, pace, talk.theirs.append).run()
        if interrupt_at is not None:
            asyncio.get_running_loop().call_later(interrupt_at, call.hang_up, "interrupted")
        theirs.ring()
        await asyncio.wait_for(asyncio.gather(call.run(), far), PATIENCE)

    pace.run(main)
    return talk
