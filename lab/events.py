"""The closed vocabulary of a call's log, and its one codec.

Decides: which kinds of event there are and how one becomes a JSON line and back. Refuses to know: who emits or reads them.

A call is a log of these. `at` is seconds since the INVITE, counted in 20 ms frames; `wall` stands once, in `call.started`.
A kind this version does not know is kept as `Unknown`, never dropped, so old and new logs survive each other.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields
from typing import Any, ClassVar

from lab.ports import Who

SCHEMA = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """at: seconds since the INVITE, a whole number of frames."""

    kind: ClassVar[str] = ""
    at: float


_KINDS: dict[str, type[Event]] = {}


def _known(cls: type[Event]) -> type[Event]:
    _KINDS[cls.kind] = cls
    return cls


# -- telephony ---------------------------------------------------------------------------------------------------------


@_known
@dataclass(frozen=True, slots=True, kw_only=True)
class Started(Event):
    kind: ClassVar[str] = "call.started"
    session_id: str
    wall: str
    """ISO 8601 with offset: the only wall time in the log."""
    bot: str
    bot_version: str
    from_number: str
    to_number: str
    rate: int
    """Hz of the recording."""
    schema: int = SCHEMA
    context: dict[str, Any] = field(default_factory=dict)
    """Whatever the caller wants kept with the call: line, pace, persona, variables without secrets."""


@_known
@dataclass(frozen=True, slots=True, kw_only=True)
class Signalled(Event):
    """The call's state moved: calling, ringing, early_media."""

    kind: ClassVar[str] = "call.signal"
    state: str
    code: int = 0
    reason: str = ""


@_known
@dataclass(frozen=True, slots=True, kw_only=True)
class Answered(Event):
    kind: ClassVar[str] = "call.answered"
    code: int = 200
    codec: str = ""


@_known
@dataclass(frozen=True, slots=True, kw_only=True)
class Ended(Event):
    kind: ClassVar[str] = "call.ended"
    cause: str
    """One of lab.result.CAUSES; what `disconnected_by` is folded from."""
    by: str = ""
    """`here` (the bot's side), `there`, or "" when nobody hung up."""
    code: int = 0
    reason: str = ""
    detail: str = ""


@_known
@dataclass(frozen=True, slots=True, kw_only=True)
class SipMessage(Event):
    """One SIP message, as it stood on the wire."""

    kind: ClassVar[str] = "sip"
    sent: bool
    line: str
    """Its first line."""
    raw: str


@_known
@dataclass(frozen=True, slots=True, kw_only=True)
class LineFacts(Event):
    """What the line measured, once, after the end."""

    kind: ClassVar[str] = "line.facts"
    facts: dict[str, Any]


# -- turns -------------------------------------------------------------------------------------------------------------


@_known
@dataclass(frozen=True, slots=True, kw_only=True)
class SpeechBegan(Event):
    """Somebody's voice was first heard in this turn. `began` is the first voiced frame."""

    kind: ClassVar[str] = "speech.began"
    who: Who
    turn: int
    began: float


@_known
@dataclass(frozen=True, slots=True, kw_only=True)
class Partial(Event):
    """Text so far; replaced by the next one or by `turn.said` of the same turn."""

    kind: ClassVar[str] = "turn.partial"
    who: Who
    turn: int
    text: str


@_known
@dataclass(frozen=True, slots=True, kw_only=True)
class Said(Event):
    """A turn is over. A later `turn.said` with the same number replaces it (the customer went on speaking)."""

    kind: ClassVar[str] = "turn.said"
    who: Who
    turn: int
    text: str
    """What was said: recognised for the customer, generated for the bot."""
    heard: str
    """What reached the other side; differs from `text` only when cut."""
    began: float
    """First voiced frame, seconds since the INVITE."""
    ended: float
    """Last voiced frame, seconds since the INVITE."""
    cut: bool = False
    """The bot was interrupted before the end."""
    answers: int | None = None
    """Bot: the customer's turn this replies to; None for opening and re-engagement."""


@_known
@dataclass(frozen=True, slots=True, kw_only=True)
class Ignored(Event):
    """Voice that did not become a turn: no words in it, or a word thrown in while the bot spoke on."""

    kind: ClassVar[str] = "turn.ignored"
    turn: int
    text: str
    why: str


@_known
@dataclass(frozen=True, slots=True, kw_only=True)
class Stage(Event):
    """One stage of one reply is done. Seconds."""

    kind: ClassVar[str] = "stage"
    turn: int
    stage: str
    """endpointing, stt, llm_first, llm, tts_first, tts, analysis"""
    took: float
    detail: dict[str, Any] = field(default_factory=dict)


@_known
@dataclass(frozen=True, slots=True, kw_only=True)
class ReplyGap(Event):
    """The customer's last voiced sample to the bot's first, in what the bot's side received and sent (`v2v_inside`)."""

    kind: ClassVar[str] = "reply.gap"
    turn: int
    """The bot's turn."""
    answers: int
    seconds: float
    filler: bool = False
    """What sounded first was no answer yet."""
    ahead: bool = False
    """The answer had been begun before it was known that they had finished."""
    parts: dict[str, float] = field(default_factory=dict)
    """What it is made of, one after the other, seconds: endpointing (until the turn was over), stt (until its text was there), think
    (until the pick or the first token), phrase (until a first phrase was whole), tts (until it was sound), out (until it was heard)."""


@_known
@dataclass(frozen=True, slots=True, kw_only=True)
class Effort(Event):
    """What the bot's engines worked for, told at the end. Seconds of waiting for them, by `hear` and `answer`."""

    kind: ClassVar[str] = "effort"
    used: dict[str, float]
    discarded: dict[str, float]
    """Begun before it was known that it would be wanted, and not wanted."""
    prepared: float
    """The voice, for lines that might come."""


@_known
@dataclass(frozen=True, slots=True, kw_only=True)
class ReplyHeard(Event):
    """The same gap in what the customer said and received (`v2v`), told after the end by a customer that is ours."""

    kind: ClassVar[str] = "reply.heard"
    turn: int
    answers: int
    seconds: float


# -- control -----------------------------------------------------------------------------------------------------------


@_known
@dataclass(frozen=True, slots=True, kw_only=True)
class YieldHeard(Event):
    """An interruption at the customer's ear, told after the end by a customer that is ours. Seconds."""

    kind: ClassVar[str] = "yield.heard"
    turn: int
    """The bot's turn that was cut."""
    by: int
    yield_latency: float
    """The customer's first voiced sample to the bot's last."""
    talk_over: float
    """Both voices sounded together."""


@_known
@dataclass(frozen=True, slots=True, kw_only=True)
class EarFacts(Event):
    """Both voices at the customer's ear over the whole call, told after the end by a customer that is ours. Seconds."""

    kind: ClassVar[str] = "ear.facts"
    overlap: float
    """Both voiced at once, stretches over 0.3 s only."""
    dead_air: float
    """Both silent, stretches of 3 s and more only."""


@_known
@dataclass(frozen=True, slots=True, kw_only=True)
class Interrupted(Event):
    """Barge-in: the bot's turn was stopped."""

    kind: ClassVar[str] = "turn.interrupted"
    turn: int
    """The bot's turn."""
    by: int
    """The customer's turn."""
    why: str = "voice"
    """What stopped it: words, or voice that went on without any."""


@_known
@dataclass(frozen=True, slots=True, kw_only=True)
class Ducked(Event):
    """The bot speaks softer: there is a voice."""

    kind: ClassVar[str] = "turn.ducked"
    turn: int
    """The bot's turn."""
    latency: float | None = None
    """Seconds since the customer's first voiced sample, until the softer frame leaves."""


@_known
@dataclass(frozen=True, slots=True, kw_only=True)
class Restored(Event):
    """The bot speaks at full level again: it was nothing, or a word thrown in."""

    kind: ClassVar[str] = "turn.restored"
    turn: int


@_known
@dataclass(frozen=True, slots=True, kw_only=True)
class SpokeOn(Event):
    """A false interruption: there were no words in what had stopped the bot, which says the rest of its line."""

    kind: ClassVar[str] = "turn.spoke_on"
    turn: int
    """The bot's turn that had been cut."""


@_known
@dataclass(frozen=True, slots=True, kw_only=True)
class ReEngaged(Event):
    """Nobody spoke for a while and the bot asked again."""

    kind: ClassVar[str] = "turn.re_engaged"
    attempt: int
    silence: float


@_known
@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCalled(Event):
    kind: ClassVar[str] = "tool_call"
    name: str
    arguments: dict[str, Any] = field(default_factory=dict)


@_known
@dataclass(frozen=True, slots=True, kw_only=True)
class ToolAnswered(Event):
    kind: ClassVar[str] = "tool_result"
    name: str
    ok: bool
    data: Any = None
    """What it gave; where that is longer than 2 kB as JSON, the beginning of that JSON as text (`lab.tools.shown`)."""
    error: str | None = None
    """Why it is not ok, one sentence."""
    took: float = 0.0
    """Seconds of call time."""


@_known
@dataclass(frozen=True, slots=True, kw_only=True)
class Replied(Event):
    """How a line of the bot came about; logged when it begins to be heard."""

    kind: ClassVar[str] = "reply"
    turn: int
    """The bot's turn; 0 when nothing was said."""
    answers: int
    """The customer's turn."""
    how: str
    """picked, confirming, asked_back, generated, unknown, gave_up (see lab.dialogue); free without prepared answers."""
    step: str | None = None
    """Where the conversation stood."""
    pick: str | None = None
    """The likeliest prepared answer, also where it was not taken."""
    confidence: float | None = None
    """Its probability."""
    second: float | None = None
    """The model's opinion of it, in log-odds; null when it was not asked."""
    filled: dict[str, Any] = field(default_factory=dict)
    """Field -> value, by this line."""
    by: dict[str, str] = field(default_factory=dict)
    """Field -> who read it: words, model, profile."""
    tool: str | None = None
    dropped: str | None = None
    """What was not said, or not taken, and why."""
    next: str | None = None
    """Where the conversation stands now."""
    fields: dict[str, Any] = field(default_factory=dict)
    """All that is known now."""


@_known
@dataclass(frozen=True, slots=True, kw_only=True)
class Unresolved(Event):
    """A `{{variable}}` had no value and stays literal."""

    kind: ClassVar[str] = "variable.unresolved"
    name: str


@_known
@dataclass(frozen=True, slots=True, kw_only=True)
class Told(Event):
    """The lab's customer reports, after the end, which of its answers it came to give (names of its reactions)."""

    kind: ClassVar[str] = "customer.told"
    told: list[str]


@_known
@dataclass(frozen=True, slots=True, kw_only=True)
class StepDone(Event):
    """The scripted customer did a step of its scenario, or was at it when the call ended. Steps it never came to are not logged."""

    kind: ClassVar[str] = "scenario.step"
    step: int
    """From 0."""
    began: float
    """When its action began, or a step without one began to wait: seconds since the INVITE."""
    ended: float
    """When it was over: of speech, the last voiced frame."""


# -- after the call, and faults ----------------------------------------------------------------------------------------


@_known
@dataclass(frozen=True, slots=True, kw_only=True)
class Analysed(Event):
    kind: ClassVar[str] = "analysis"
    data: dict[str, Any] | None
    error: str | None
    took: float
    attempts: int


@_known
@dataclass(frozen=True, slots=True, kw_only=True)
class Measured(Event):
    """Whether this call's latencies may be believed, once, after the end."""

    kind: ClassVar[str] = "measurement"
    doubts: list[str]
    """Why not; empty when they may."""
    cpu: float | None = None
    """Seconds of CPU that this process and its softphones used during the call, a customer of ours included."""


@_known
@dataclass(frozen=True, slots=True, kw_only=True)
class Fault(Event):
    """Something broke. `fatal`: the call could not go on."""

    kind: ClassVar[str] = "fault"
    where: str
    what: str
    fatal: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Unknown(Event):
    """A kind another version wrote, whole."""

    kind: ClassVar[str] = ""
    record: dict[str, Any]


def to_line(event: Event) -> str:
    """One JSON line, without the line feed; keys in the field order, `at` to the millisecond."""
    if isinstance(event, Unknown):
        return json.dumps(event.record, ensure_ascii=False, separators=(",", ":"))
    values = asdict(event)
    at = round(values.pop("at"), 3)
    return json.dumps({"at": at, "kind": event.kind, **values}, ensure_ascii=False, separators=(",", ":"))


def from_line(line: str) -> Event:
    """The event in one JSON line. Raises ValueError when the line is no event at all."""
    record = json.loads(line)
    if not isinstance(record, dict) or not isinstance(record.get("at"), int | float):
        raise ValueError(f"not an event: {line[:80]!r}")
    cls = _KINDS.get(str(record.get("kind")))
    if cls is None:
        return Unknown(at=float(record["at"]), record=record)
    names = {f.name for f in fields(cls)}
    try:
        return cls(**{k: v for k, v in record.items() if k in names})
    except TypeError:  # a field this version requires is not there: an older or newer log
        return Unknown(at=float(record["at"]), record=record)
