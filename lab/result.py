"""The call-result document, folded from the log: the newer CXB document plus one object of ours, `callctl`.

Decides: what each field is, from events alone. Refuses to know: files, engines, platforms other than CXB (they translate from it).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from lab import events
from lab.metrics import metrics
from lab.ports import DisconnectedBy

SCHEMA = 1
"""Version of the object `callctl`."""

TransferMethod = Literal["websocket_reverse_transfer", "livekit_sip_refer"]

CAUSES: Mapping[str, DisconnectedBy] = {
    "closure_phrase": "bot",
    "end_call": "bot",
    "dead_air": "bot",
    "interrupted": "bot",
    "hung_up": "customer",
    "max_duration": "timeout",
    "ring_timeout": "no_answer",
    "no_answer": "no_answer",
    "rejected": "rejected",
    "sip_error": "error",
    "line_lost": "error",
    "killed": "error",
    "error": "error",
}
"""Cause in `call.ended` -> `disconnected_by`. `interrupted` is the operator's Ctrl-C on the bot's side."""

_SILENT_CAUSES = {"dead_air", "max_duration"}
"""With these, a customer who never spoke is RNR: picked up, but did not respond."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class TranscriptLine(_Strict):
    speaker: Literal["bot", "customer"]
    text: str = Field(description="What reached the other side.")
    timestamp: float = Field(ge=0, description="Seconds from the answer to the first voiced frame.")


class CallctlPart(_Strict):
    schema_: int = Field(alias="schema", description="Version of this object.")
    goal: bool | None = Field(
        description="Whether the customer's expectations were met; null when there were none or they could not be judged."
    )
    fields: dict[str, Any] = Field(description="What the prepared conversation found out; empty without one.")
    analysis_right: bool | None = Field(
        description="Whether post_call_analysis is what the simulated customer expects; null where that cannot be judged."
    )
    analysis_error: str | None = Field(description="Why post_call_analysis is null.")
    metrics: dict[str, Any] = Field(description="Figures in seconds; null means not measured.")
    engines: dict[str, Any] = Field(description="What computed, by stage, with SHA-256 of the model files.")
    sip: dict[str, Any] = Field(description="How signalling ended: code, reason, who sent BYE or CANCEL, cause.")


class CallResult(_Strict):
    """A call's result. All but the last field, `callctl`, is the CXB call-result document."""

    session_id: str
    caller_id: str = Field(description="The customer's number.")
    from_number: str = Field(description="The number the bot called from.")
    call_duration_seconds: float = Field(ge=0, description="From the answer to the end; 0.0 when never answered.")
    disconnected_by: DisconnectedBy
    transcript: list[TranscriptLine]
    recording_url: str | None = Field(description="WAV, left customer, right bot; null when there was no audio.")
    recording_key: str | None
    post_call_analysis: dict[str, Any] | None
    was_transferred: bool
    transfer_destination: str | None
    transfer_target: str | None
    transfer_reason: str | None
    transfer_method: TransferMethod | None
    transfer_at: float | None
    transfer_failed_reason: str | None
    callctl: CallctlPart


def json_schema() -> dict[str, Any]:
    """The document's JSON Schema (draft 2020-12)."""
    return CallResult.model_json_schema(by_alias=True)


def disconnected_by(log: Sequence[events.Event]) -> DisconnectedBy:
    """Who or what ended the call; `error` when the log does not say."""
    end = next((e for e in reversed(log) if isinstance(e, events.Ended)), None)
    if end is None:
        return "error"
    spoke = any(isinstance(e, events.Said) and e.who == "customer" for e in log)
    if end.cause in _SILENT_CAUSES and not spoke:
        return "RNR"
    return CAUSES.get(end.cause, "error")


def fold(log: Sequence[events.Event], *, recording_url: str | None, recording_key: str | None) -> CallResult:
    """The result of a finished log. The log's first event must be `call.started`.

    recording_url: where call.wav can be had; None when there is none.
    """
    started = log[0]
    if not isinstance(started, events.Started):
        raise ValueError("a call's log begins with call.started")
    answered = next((e.at for e in log if isinstance(e, events.Answered)), None)
    end = next((e for e in reversed(log) if isinstance(e, events.Ended)), None)
    analysis = next((e for e in reversed(log) if isinstance(e, events.Analysed)), None)
    by = disconnected_by(log)
    last = end.at if end else log[-1].at
    return CallResult(
        session_id=started.session_id,
        caller_id=started.to_number,
        from_number=started.from_number,
        call_duration_seconds=round(last - answered, 3) if answered is not None else 0.0,
        disconnected_by=by,
        transcript=transcript(log, answered or 0.0),
        recording_url=recording_url if answered is not None else None,
        recording_key=recording_key if answered is not None else None,
        post_call_analysis=analysis.data if analysis else None,
        was_transferred=False,
        transfer_destination=None,
        transfer_target=None,
        transfer_reason=None,
        transfer_method=None,
        transfer_at=None,
        transfer_failed_reason=None,
        callctl=CallctlPart(
            schema=SCHEMA,
            goal=goal(log, by),
            fields=fields(log),
            analysis_right=analysis_right(log),
            analysis_error=_analysis_error(analysis),
            metrics=metrics(log),
            engines=started.context.get("engines", {}),
            sip={
                "code": end.code if end else 0,
                "reason": end.reason if end else "",
                "ended_by": {"here": "bot", "there": "customer"}.get(end.by) if end else None,
                "cause": end.cause if end else "killed",
                "detail": end.detail if end else "",
            },
        ),
    )


def transcript(log: Sequence[events.Event], answered: float) -> list[TranscriptLine]:
    """What was heard, in the order in which it was begun; a turn said again replaces its first version."""
    lines: dict[int, events.Said] = {e.turn: e for e in log if isinstance(e, events.Said)}
    return [
        TranscriptLine(speaker=e.who, text=e.heard, timestamp=round(max(0.0, e.began - answered), 3))
        for e in sorted(lines.values(), key=lambda e: (e.began, e.turn))
        if e.heard
    ]


def goal(log: Sequence[events.Event], by: DisconnectedBy) -> bool | None:
    """Whether the customer's `expect` holds, its `analysis` left out; None without one, or when it is about fields that
    this bot does not have."""
    started = log[0]
    expect = started.context.get("expect") if isinstance(started, events.Started) else None
    if not expect:
        return None
    told = next((set(e.told) for e in reversed(log) if isinstance(e, events.Told)), set())
    if by not in expect.get("disconnected_by", [by]) or not set(expect.get("told", [])) <= told:
        return False
    known = fields(log)
    if not all(known.get(name) == value for name, value in (expect.get("fields") or {}).items()):
        return False
    return None if expect.get("not_judged") else True


def fields(log: Sequence[events.Event]) -> dict[str, Any]:
    """What the prepared conversation found out."""
    return next((dict(e.fields) for e in reversed(log) if isinstance(e, events.Replied)), {})


def analysis_right(log: Sequence[events.Event]) -> bool | None:
    """Whether the analysis found what the customer's `expect.analysis` says; None without one, or without an analysis."""
    started = log[0]
    expect = started.context.get("expect") if isinstance(started, events.Started) else None
    wanted = (expect or {}).get("analysis")
    found = next((e.data for e in reversed(log) if isinstance(e, events.Analysed)), None)
    if not wanted or found is None:
        return None
    return all(found.get(name) == value for name, value in wanted.items())


def _analysis_error(analysis: events.Analysed | None) -> str | None:
    return analysis.error if analysis else "the call's process ended before the analysis"
