"""Who has the floor: a machine without clock, thread or sound. It is fed a step per 20 ms frame, words and judgements as they come,
and answers with moves.

Decides: when a turn of the other side begins and ends, when we speak softer, when we must stop, when silence has lasted too long.
Refuses to know: audio, engines, asyncio. What words tell is `lab.cues`. `us` is the side this machine works for, `them` the one
it listens to.

How this works
1.  Every 20 ms the floor is told how likely it is that they speak (0 to 1), whether we are sounding (anything of our line is
    still to be played) and whether we are busy (a reply is being made and nothing of it has sounded yet).
2.  Voice is judged with hysteresis: above `_ENTER` it is voice, below `_LEAVE` it is not, in between it stays what it was.
3.  They begin a turn (`Began`) when `_ONSET` frames in a row are voiced; the turn counts from the first of them.

The end of a turn
4.  Each time they fall silent for `_PAUSE` frames inside a turn, `Paused` says so once. What was said up to there is recognised
    (`heard`), and by its sound judged finished or not (`judged`).
5.  The turn ends (`TurnEnded`) after a silence whose length those two decide: short after a question or an answer of a few words,
    longer after a statement, and where the text leaves it open or the sound says there is more to come, long where a sentence is broken off, and long enough for the pauses
    people make inside a telephone number, a code, or a word they spell.
6.  While what they said last is still being recognised the turn does not end, whatever else was recognised before; only after
    `unheard` seconds it does, so that no turn lasts for ever.
7.  If they speak again after `TurnEnded` while our reply is still being made, the same turn goes on (`Resumed`): the reply
    that was in the making answered half of what they had to say.
8.  Manners whose waits are all alike need no words.

Voice while we sound
9.  We speak softer at once (`Duck`), with the first frames that sound like voice, and at full level again (`Restore`) when they
    have been silent for `_RESTORE` frames. That costs nothing if it was nothing.
10. Once they have spoken for `barge_in` seconds what they have said so far is recognised (`Listen`), and again as they go on.
    Words that ask for the floor stop us (`Yield`, once a turn); `mm-hmm` and its like do not, however often they are said. A single
    word of which nobody knows stops us once they have said it and fallen silent.
    Voice in which no words are found stops us when it goes on for `_INSISTS` seconds.
    Who has stopped us has more to say than `wait`: they are given time as where the text leaves it open, at least.
11. Manners without `words` stop after `barge_in` seconds of voice, whatever it says.
12. If they end before we had to stop and we still sound, it was thrown in (`ThrownIn`), not a turn. A side that never yields still
    tells one from the other.

Nobody
13. Quiet is time in which nobody has the floor: they are silent, we neither sound nor are busy. It is counted from the moment both
    have fallen silent. After `ask_again_after` seconds of it comes `AskAgain(n)`, as often as there are lines for it; when quiet
    adds up to `dead_air` seconds since they last spoke comes `DeadAir`, once. Voice without words (`no_words`) was not speaking.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from lab import cues
from lab.audio import FRAME_SECONDS
from lab.cues import Ending, Expects, Wish

_ENTER, _LEAVE = 0.5, 0.35
_DUCK_ONSET, _ONSET = 2, 3
_PAUSE = 5
_RESTORE = 10
_APART = 25
_LISTEN_AGAIN = 6
"""Frames of speech between two looks at what they say while we speak."""
_INSISTS, _GOES_ON = 1.6, 3.0
"""Seconds of speech that stop us without words asking for it: when no words were found, when they were only thrown in."""
_LEADS_ON = 0.55
"""Seconds of speech from which a `yes, but` is no mishearing of a `yup`."""
_THROWN_IN = 0.4
"""Seconds of speech below which a side that never yields takes it for a word thrown in."""
FINISHED, UNFINISHED, HESITATES = 0.5, 0.1, 0.02
"""Probabilities by the sound: from the first on they have finished, below the second they have not, below the third they have
hesitated (`um`, which recognisers leave out of the text). Measured on one synthetic voice: of whole sentences 4 in 100 lie below the
second and 2 below the third, of those that end in a filler all; else the sound tells little that the words do not."""


@dataclass(frozen=True, slots=True)
class Endpointing:
    """Silence that ends a turn, by how its words end. Seconds."""

    finished: float = 0.3
    """After a whole sentence."""
    unsure: float = 0.7
    """Where the text leaves it open, after a statement of some length, or where the sound contradicts it."""
    number: float = 1.08
    """Inside a number or a spelled word, and where words are in doubt."""
    unfinished: float = 1.6
    """After a sentence that was broken off."""
    unheard: float = 3.0
    """While their words are not known."""

    @classmethod
    def fixed(cls, seconds: float) -> Endpointing:
        """The same, whatever is said."""
        return cls(seconds, seconds, seconds, seconds, seconds)

    def after(self, ending: Ending | None, finished: float | None) -> float:
        """ending: of their words; None while they are not known. finished: by the sound; None when nobody judged it."""
        match ending:
            case None:
                return self.unheard
            case Ending.NOTHING:
                return self.finished
            case Ending.COUNTING | Ending.DOUBTFUL:
                return self.number
            case Ending.OPEN:
                return self.unfinished
            case Ending.WORD:
                return (self.finished + self.unsure) / 2
            case Ending.STATED:
                return self.number if finished is not None and finished < HESITATES else self.unsure
            case Ending.FINISHED if finished is not None and finished < UNFINISHED:
                return self.number if finished < HESITATES else self.unsure
            case Ending.FINISHED:
                return self.finished
            case Ending.UNSURE:
                return self.finished if finished is not None and finished >= FINISHED else self.unsure


@dataclass(frozen=True, slots=True)
class Manners:
    """How one side takes turns. Seconds."""

    endpointing: Endpointing = Endpointing()
    barge_in: float | None = 0.2
    """Speech of theirs after which we look whether to stop; None: we never stop."""
    words: bool = True
    """Their words decide whether we stop; without, their voice alone does."""
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
class Listen:
    """What have they said up to frame `upto`? They are still speaking, and so are we."""

    upto: int


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
class Duck:
    """Speak softer: there is a voice."""


@dataclass(frozen=True, slots=True)
class Restore:
    """Speak at full level again."""


@dataclass(frozen=True, slots=True)
class Yield:
    """Stop speaking: they want the floor."""

    why: str
    """words, voice"""


@dataclass(frozen=True, slots=True)
class AskAgain:
    """Nobody has spoken for a while; say the line number `attempt` (from 1)."""

    attempt: int
    silence: float


@dataclass(frozen=True, slots=True)
class DeadAir:
    """Nobody will come back: hang up."""

    silence: float


Move = Began | Paused | Listen | TurnEnded | Resumed | ThrownIn | Duck | Restore | Yield | AskAgain | DeadAir


class _They(Enum):
    SILENT = "silent"
    SPEAKING = "speaking"


def _frames(seconds: float) -> int:
    return round(seconds / FRAME_SECONDS)


class Floor:
    """One side's view of one call. Feed `step` once a frame, in order."""

    def __init__(self, manners: Manners) -> None:
        self.manners = manners
        self.expects: Expects | None = None
        """What our last line asked for."""
        self._they = _They.SILENT
        self._frame = -1
        self._voiced = False
        self._run = 0
        self._began = self._stretch = 0
        self._last = 0
        self._last_voice = 0
        """The newest voiced frame, in a turn or not."""
        self._speech = 0
        self._text: tuple[int, str] | None = None
        """Their words of this turn, and up to which frame."""
        self._finished: tuple[int, float] | None = None
        """The same for the judgement of its sound."""
        self._likely = 0
        """Looks in a row at words of theirs that are likely to ask for the floor."""
        self._yielded = self._ducked = False
        self._listened = 0
        """Speech at which we last asked what they say."""
        self._listening_for: int | None = None
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
    def stretch(self) -> int:
        """Where their voice began anew after the last pause of `_APART` frames or more, or the turn did."""
        return self._stretch

    @property
    def spoke(self) -> tuple[int, int]:
        """First and last voiced frame of the newest turn of theirs."""
        return self._began, self._last

    def heard(self, text: str, upto: int) -> None:
        """The words of their turn, up to frame `upto` of it; "" when there are none. Words of a turn before it count nothing."""
        if upto >= self._began and (self._text is None or upto >= self._text[0]):
            self._text = (upto, text)
            self._likely = self._likely + 1 if cues.wish(text) is Wish.LIKELY else 0
        if self._listening_for is not None and upto >= self._listening_for:
            self._listening_for = None

    def judged(self, finished: float, upto: int) -> None:
        """How likely they have finished, by the sound of their turn up to frame `upto`."""
        if upto >= self._began:
            self._finished = (upto, finished)

    def not_theirs(self) -> None:
        """What has just been taken for the beginning of a turn of theirs was none of their voice."""
        self._they, self._run, self._voiced = _They.SILENT, 0, False
        self._listening_for = None
        self.no_words()

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
        yield from self._level(sounding)
        if self._they is _They.SILENT:
            if self._run >= _ONSET:
                yield self._begin()
            else:
                yield from self._be_quiet(sounding or busy)
        else:
            yield from self._listen(sounding)

    def _level(self, sounding: bool) -> Iterator[Move]:
        if self._voiced:
            self._last_voice = self._frame
        if not sounding or self.manners.barge_in is None or not self.manners.words:
            self._ducked = False
        elif not self._ducked and self._run >= _DUCK_ONSET:
            self._ducked = True
            yield Duck()
        elif self._ducked and self._frame - self._last_voice >= _RESTORE:
            self._ducked = False
            yield Restore()

    def _begin(self) -> Move:
        first = self._frame - self._run + 1
        self._they, self._last, self._paused = _They.SPEAKING, self._frame, False
        self._quiet_before = (self._quiet_sum, self._asked)
        self._quiet = self._quiet_sum = self._asked = 0
        self._stretch = first
        if self._open_end is not None:
            self._began = self._open_end
            return Resumed(self._began)
        self._began, self._speech, self._yielded = first, self._run, False
        self._text = self._finished = self._listening_for = None
        self._listened = self._likely = 0
        return Began(first)

    def _listen(self, sounding: bool) -> Iterator[Move]:
        if self._voiced:
            if self._frame - self._last > _APART:
                self._stretch = self._frame
            self._last, self._paused = self._frame, False
            self._speech += 1
        silent = self._frame - self._last
        if silent >= _PAUSE and not self._paused:
            self._paused = True
            yield Paused(self._last)
        if sounding and not self._yielded and self.manners.barge_in is not None:
            yield from self._give_way(self.manners.barge_in)
        if silent >= _frames(self._wait(sounding)):
            self._they = _They.SILENT
            if sounding and not self._yielded and self._only_thrown_in():
                yield ThrownIn(self._began, self._last)
            else:
                self._open_end = self._began
                yield TurnEnded(self._began, self._last)

    def _give_way(self, after: float) -> Iterator[Move]:
        """Whether to stop for what they say."""
        spoken = self._speech * FRAME_SECONDS
        if not self.manners.words:
            if spoken >= after:
                self._yielded = True
                yield Yield("voice")
            return
        upto, text = self._text or (-1, "")
        wish = cues.wish(text)
        if self._asks_for_floor(text, wish, whole=upto >= self._last, spoken=spoken):
            self._yielded = True
            yield Yield("words")
        elif spoken >= (_GOES_ON if wish is Wish.NONE else _INSISTS):
            self._yielded = True
            yield Yield("voice")
        elif (
            self._voiced
            and self._listening_for is None
            and self._speech >= max(_frames(after), self._listened + _LISTEN_AGAIN)
        ):
            self._listened, self._listening_for = self._speech, self._frame
            yield Listen(self._frame)

    def _asks_for_floor(self, text: str, wish: Wish, *, whole: bool, spoken: float) -> bool:
        """whole: these are all their words, and they are silent now."""
        match wish:
            case Wish.FLOOR:
                return True
            case Wish.LIKELY:
                return whole or self._likely >= 2
            case Wish.GOES_ON:
                return self._voiced and spoken >= _LEADS_ON
            case Wish.PERHAPS:
                return whole and bool(text) and not cues.mumbled(text)
            case Wish.NONE:
                return False

    def _wait(self, sounding: bool) -> float:
        """Seconds of silence that end the turn as it stands."""
        known = self._text is not None and self._text[0] >= self._last
        ending = cues.ending(self._text[1], self.expects) if self._text is not None and known else None
        endpointing = self.manners.endpointing
        if sounding and not self._yielded and ending is not None:
            return endpointing.finished  # nobody waits for the rest of a word thrown in
        finished = self._finished[1] if self._finished is not None and self._finished[0] >= self._last else None
        wait = endpointing.after(ending, finished)
        return max(wait, endpointing.unsure) if self._yielded else wait

    def _only_thrown_in(self) -> bool:
        limit = self.manners.barge_in
        if limit is not None and self.manners.words:
            return True  # words that ask for the floor would have stopped us
        return self._speech * FRAME_SECONDS < (_THROWN_IN if limit is None else limit)

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
