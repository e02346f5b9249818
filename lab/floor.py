"""Who has the floor: a machine without clock, thread or sound. It is fed one step per 20 ms frame and answers with moves.

Decides: when a turn of the other side begins and ends, when we must stop speaking, when silence has lasted too long.
Refuses to know: audio, engines, texts, asyncio. `us` is the side this machine works for, `them` the one it listens to.

How this works
1.  Every 20 ms the floor is told how likely it is that they speak (0 to 1), whether we are sounding (anything of our line is
    still to be played) and whether we are busy (a reply is being made and nothing of it has sounded yet).
2.  Voice is judged with hysteresis: above `_ENTER` it is voice, below `_LEAVE` it is not, in between it stays what it was.
3.  They begin a turn (`Began`) when `_ONSET` frames in a row are voiced; the turn counts from the first of them.
4.  Each time they fall silent for `_PAUSE` frames inside a turn, `Paused` says so once: a good moment to look at the text so far.
5.  The turn ends (`TurnEnded`) when they have been silent for `endpointing` seconds.
6.  Voice while we sound: once they have spoken for `barge_in` seconds we must yield (`Yield`, once a turn). If they end before that
    and we still sound, it was a word thrown in (`ThrownIn`), not a turn. A side that never yields still tells one from the other.
7.  If they speak again after `TurnEnded` while our reply is still being made, the same turn goes on (`Resumed`): the reply
    that was in the making answered half of what they had to say.
8.  Quiet is time in which nobody has the floor: they are silent, we neither sound nor are busy. It is counted from the moment both
    have fallen silent. After `ask_again_after` seconds of it comes `AskAgain(n)`, as often as there are lines for it; when quiet
    adds up to `dead_air` seconds since they last spoke comes `DeadAir`, once. Voice without words (`no_words`) was not speaking.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from lab.audio import FRAME_SECONDS

_ENTER, _LEAVE = 0.5, 0.35
_ONSET = 3
_PAUSE = 10
_THROWN_IN = 0.4
"""Seconds of speech below which a side that never yields takes it for a word thrown in."""


@dataclass(frozen=True, slots=True)
class Manners:
    """How one side takes turns. Seconds."""

    endpointing: float = 0.6
    barge_in: float | None = 0.4
    """Speech of theirs after which we stop speaking; None: we never stop."""
    ask_again_after: float | None = None
    ask_again_times: int = 0
    dead_air: float | None = None


@dataclass(frozen=True, slots=True)
class Began:
    """They began a turn at frame `began`."""

    began: int


@dataclass(frozen=True, slots=True)
class Paused:
    """They fell silent inside a turn; `ended` is their last voiced frame."""

    ended: int


@dataclass(frozen=True, slots=True)
class TurnEnded:
    """They have finished. Frames, both voiced."""

    began: int
    ended: int


@dataclass(frozen=True, slots=True)
class Resumed:
    """They speak again and it is still the turn that began at frame `began`."""

    began: int


@dataclass(frozen=True, slots=True)
class ThrownIn:
    """A word while we spoke on; no turn."""

    began: int
    ended: int


@dataclass(frozen=True, slots=True)
class Yield:
    """Stop speaking: they want the floor."""


@dataclass(frozen=True, slots=True)
class AskAgain:
    """Nobody has spoken for a while; say the line number `attempt` (from 1)."""

    attempt: int
    silence: float


@dataclass(frozen=True, slots=True)
class DeadAir:
    """Nobody will come back: hang up."""

    silence: float


Move = Began | Paused | TurnEnded | Resumed | ThrownIn | Yield | AskAgain | DeadAir


class _They(Enum):
    SILENT = "silent"
    SPEAKING = "speaking"


def _frames(seconds: float) -> int:
    return round(seconds / FRAME_SECONDS)


class Floor:
    """One side's view of one call. Feed `step` once a frame, in order."""

    def __init__(self, manners: Manners) -> None:
        self.manners = manners
        self._they = _They.SILENT
        self._frame = -1
        self._voiced = False
        self._run = 0
        self._began = 0
        self._last = 0
        self._speech = 0
        self._yielded = False
        self._paused = False
        self._open_end: int | None = None
        """Where the turn began whose reply has not sounded yet."""
        self._quiet = 0
        self._quiet_sum = 0
        self._asked = 0
        self._quiet_before = (0, 0)
        """Sum of quiet and times asked before they began to speak."""
        self._dead = False

    @property
    def listening(self) -> bool:
        """They are in the middle of a turn."""
        return self._they is _They.SPEAKING

    @property
    def spoke(self) -> tuple[int, int]:
        """First and last voiced frame of the newest turn of theirs."""
        return self._began, self._last

    def no_words(self) -> None:
        """Their newest turn turned out to hold no words: the silence before it goes on counting."""
        self._quiet_sum, self._asked = self._quiet_before

    def step(self, probability: float, *, sounding: bool, busy: bool) -> Iterator[Move]:
        """The moves this frame brings. Consume all of them."""
        self._frame += 1
        self._voiced = probability >= (_LEAVE if self._voiced else _ENTER)
        self._run = self._run + 1 if self._voiced else 0
        if sounding or not busy:
            self._open_end = None
        if self._they is _They.SILENT:
            if self._run >= _ONSET:
                yield self._begin()
            else:
                yield from self._be_quiet(sounding or busy)
        else:
            yield from self._listen(sounding)

    def _begin(self) -> Move:
        first = self._frame - self._run + 1
        self._they, self._last, self._paused = _They.SPEAKING, self._frame, False
        self._quiet_before = (self._quiet_sum, self._asked)
        self._quiet = self._quiet_sum = self._asked = 0
        if self._open_end is not None:
            self._began = self._open_end
            return Resumed(self._began)
        self._began, self._speech, self._yielded = first, self._run, False
        return Began(first)

    def _listen(self, sounding: bool) -> Iterator[Move]:
        if self._voiced:
            self._last, self._paused = self._frame, False
            self._speech += 1
        limit, spoken = self.manners.barge_in, self._speech * FRAME_SECONDS
        if sounding and not self._yielded and limit is not None and spoken >= limit:
            self._yielded = True
            yield Yield()
        silent = self._frame - self._last
        if silent >= _PAUSE and not self._paused:
            self._paused = True
            yield Paused(self._last)
        if silent >= _frames(self.manners.endpointing):
            self._they = _They.SILENT
            if sounding and spoken < (_THROWN_IN if limit is None else limit):
                yield ThrownIn(self._began, self._last)
            else:
                self._open_end = self._began
                yield TurnEnded(self._began, self._last)

    def _be_quiet(self, ours: bool) -> Iterator[Move]:
        if ours:
            self._quiet = 0
            return
        self._quiet += 1
        self._quiet_sum += 1
        manners = self.manners
        if manners.dead_air is not None and not self._dead and self._quiet_sum >= _frames(manners.dead_air):
            self._dead = True
            yield DeadAir(self._quiet_sum * FRAME_SECONDS)
        elif (
            manners.ask_again_after is not None
            and self._asked < manners.ask_again_times
            and self._quiet >= _frames(manners.ask_again_after)
        ):
            self._asked += 1
            self._quiet = 0
            yield AskAgain(self._asked, manners.ask_again_after)
