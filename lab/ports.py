"""The seams to the outside world: one protocol per kind of thing that carries, hears, answers or speaks.

Decides: the shapes that cross a seam. Refuses to know: any library behind one.

Engines are plain blocking generators: a model library stays what it is, `lab.offload` runs it in a thread and makes it an
async iterator. An engine looks at its `stop` at least every 150 ms and returns when it is set; nobody closes its
generator from another thread. No engine ever calls back into the call.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Who = Literal["bot", "customer"]
DisconnectedBy = Literal[
    "bot",
    "customer",
    "voicemail",
    "RNR",
    "outside_hours",
    "no_answer",
    "rejected",
    "timeout",
    "transfer_to_agent",
    "error",
]
"""Who or what ended a call, in the words of the call-result contract."""


Use = Literal["talk", "pick", "fill", "analysis"]
"""What a model is asked for: each has a prompt of its own, which stays evaluated while another is asked."""


class Stop(Protocol):
    """Asks an engine to return soon. `threading.Event` is one."""

    def is_set(self) -> bool: ...


@runtime_checkable
class Priced(Protocol):
    """An engine's iterator that knows what its items cost; pace `fixed` charges that instead of its table's."""

    cost: float
    """Seconds that making the newest item took."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One thing said, as it was heard on the other side: what the Responder is given as history."""

    who: Who
    text: str


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A Responder asks for something to be done. `end_call` hangs up once what was said before it has been played."""

    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What came of a tool call, at its place in the history."""

    call: ToolCall
    data: Any
    """Anything that JSON can say."""

    @property
    def text(self) -> str:
        """For models that know no tools: `[book_slot returned {"code": "A 12"}]`."""
        return f"[{self.call.name} returned {json.dumps(self.data, ensure_ascii=False)}]"


Past = Turn | ToolResult
"""One thing in the history of a conversation."""


@dataclass(frozen=True, slots=True)
class EngineFacts:
    """What is written into the result about an engine."""

    engine: str
    """Library, e.g. `faster-whisper`."""
    model: str
    """Catalogue name, path or URL as the profile wrote it."""
    sha256: str | None = None
    """Of the main model file; None when there is none (a server, a script)."""
    version: str | None = None
    """Of the library."""
    options: Mapping[str, Any] = field(default_factory=dict)
    calls_tools: bool = False
    """A Responder that calls tools of its own accord."""
    ahead: bool = True
    """A Responder that may be asked before it is known that an answer is wanted: it remembers nothing, and nobody pays for it."""
    remembers: bool = False
    """A Voice that gives at once what it has said before."""


class Recognizer(Protocol):
    """Speech to text."""

    facts: EngineFacts

    def hear(self, pcm: bytes, rate: int, *, hints: Sequence[str] = (), stop: Stop) -> Iterator[str]:
        """Texts so far for one whole utterance, the last one final; "" when there were no words.

        pcm: 16-bit mono at `rate` Hz, with a little silence on both sides. hints: words likely to occur.
        Raises ModelError when the model fails.
        """
        ...


class Responder(Protocol):
    """Turns in, words and tool calls out."""

    facts: EngineFacts

    def warm(self, system: str, stop: Stop, turns: Sequence[Past] = (), *, use: Use = "talk") -> None:
        """Make ready to answer in a conversation that has come to `turns`; whoever speaks next is still to be heard."""
        ...

    def respond(
        self, system: str, turns: Sequence[Past], stop: Stop, *, tools: Sequence[Mapping[str, Any]] = ()
    ) -> Iterator[str | ToolCall]:
        """Pieces of the bot's next line as they come; joined they are the line. History is what was *heard*.

        tools: what may be called, defined in OpenAI's form; an engine that cannot call tools passes them over.
        """
        ...

    def weigh(
        self, system: str, turns: Sequence[Past], choices: Sequence[str], stop: Stop
    ) -> Iterator[Sequence[float]]:
        """Once: how likely the next line begins with each of `choices` (a letter each), as log-probabilities."""
        ...

    def extract(
        self, system: str, text: str, schema: Mapping[str, Any], stop: Stop, *, use: Use = "analysis"
    ) -> Iterator[str]:
        """Pieces of one JSON document that follows `schema` (JSON Schema, object at the top)."""
        ...


class Voice(Protocol):
    """Text to speech."""

    facts: EngineFacts

    def speak(self, text: str, rate: int, stop: Stop) -> Iterator[bytes]:
        """16-bit mono at `rate` Hz, in pieces as they come."""
        ...


class Embedder(Protocol):
    """Sentences to vectors: those that mean much the same lie close together."""

    facts: EngineFacts

    def embed(self, texts: Sequence[str], stop: Stop) -> Iterator[NDArray[np.float32]]:
        """Once, unless stopped first: a row of about unit length for each text, so that a dot product is a cosine.

        A row depends on its text alone, is as wide as the engine's others, and holds whole 127ths: a byte each on a tape.
        """
        ...


class Detector(Protocol):
    """Is somebody speaking? One object hears one stream."""

    facts: EngineFacts

    def probability(self, frame: bytes, rate: int) -> float:
        """Of speech in the newest 20 ms frame, 0 to 1. Takes well under a millisecond."""
        ...


class Judge(Protocol):
    """Has somebody who fell silent finished, by the sound of it?"""

    facts: EngineFacts

    def finished(self, pcm: bytes, rate: int, stop: Stop) -> Iterator[float]:
        """Once: the probability, 0 to 1, that the turn whose sound is `pcm` is over.

        pcm: 16-bit mono at `rate` Hz, from the turn's beginning to a little after its last voiced frame; only the newest
        8 s count. Raises ModelError when the model fails.
        """
        ...


SignalKind = Literal["calling", "ringing", "early_media", "answered", "ended", "lost", "message"]


@dataclass(frozen=True, slots=True)
class Signal:
    """Something signalling did. `lost`: the thing that carried the call is gone; no further ticks will come.
    `message`: one whole SIP message, for the log."""

    kind: SignalKind
    code: int = 0
    """SIP status that came with it; 0 when there was none."""
    reason: str = ""
    by: Literal["here", "there", ""] = ""
    """For `ended`: which side hung up (sent BYE or CANCEL, or refused). For `message`: who sent it."""
    codec: str = ""
    """For `answered`: PCMU, PCMA or G722."""
    raw: str = ""
    """For `message`: the whole of it."""


@dataclass(frozen=True, slots=True)
class Tick:
    """20 ms of a call. Tick 0 is the INVITE."""

    index: int
    heard: bytes
    """One frame from the far end; silence where nothing came."""
    spoken: bytes
    """The frame that left here during this tick; silence where nothing was queued."""
    played: int
    """Samples taken from what `say` queued, since the call began."""
    dropped: int
    """Samples that `hush` threw away, since the call began: all is out when played + dropped == samples said."""
    live: bool
    """Audio flows (answered or early media)."""
    signals: tuple[Signal, ...] = ()


Codec = Literal["pcmu", "pcma", "g722"]

LINE_RATES: Mapping[str, int] = {"pcmu": 8000, "pcma": 8000, "g722": 16000}
"""Hz of the audio on a line, by codec."""


class Line(Protocol):
    """One leg of one call, seen from one side. Its ticks are the call's clock."""

    rate: int
    """Hz of all audio on this line: 8000 for G.711, 16000 for G.722. Fixed when the call is placed."""

    def ticks(self) -> AsyncIterator[Tick]:
        """One per 20 ms from the INVITE; ends after the tick that carries `ended` or `lost`."""
        ...

    def say(self, pcm: bytes) -> None:
        """Queue audio behind what is queued already. Never blocks; may be called before the answer."""
        ...

    def hush(self) -> None:
        """Throw away what is queued and not yet played."""
        ...

    def duck(self, decibels: float) -> None:
        """From the next frame on, what is said goes out softer by so much, 0 being full level. Nothing of it is lost.

        The level changes within one frame and stays until it is set anew.
        """
        ...

    def spoil(self, loss: float) -> None:
        """From now on lose this share, 0 to 1, of the packets in both directions. 0 ends it; may come before the answer."""
        ...

    def ring(self) -> None:
        """Called side: 180."""
        ...

    def answer(self) -> None:
        """Called side: 200."""
        ...

    def hang_up(self, code: int = 0) -> None:
        """CANCEL, BYE, or on the called side before the answer the refusal `code`. The `ended` signal follows."""
        ...

    def facts(self) -> Mapping[str, Any]:
        """What the line measured: ids, codec, packet counts, worst tick. Final after the last tick."""
        ...
