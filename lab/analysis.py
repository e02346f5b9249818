"""What is found out once a call is over: the question put to the model, and whether its answer may be used.

Decides: when there is nothing to analyse, what the model is shown, which answers count. Refuses to know: which model.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from lab import events
from lab.result import disconnected_by, fields, transcript

MIN_SECONDS = 5.0
"""A shorter call is not analysed."""


def why_not(log: Sequence[events.Event]) -> str | None:
    """Why this call is not analysed; None when it is."""
    by = disconnected_by(log)
    if by in ("error", "voicemail"):
        return f"not analysed: the call ended as {by}"
    answered = next((e.at for e in log if isinstance(e, events.Answered)), None)
    if answered is None:
        return "not analysed: nobody answered"
    if not any(isinstance(e, events.Said) and e.who == "customer" for e in log):
        return "not analysed: the customer never spoke"
    if log[-1].at - answered < MIN_SECONDS:
        return f"not analysed: the call was shorter than {MIN_SECONDS:.0f} s"
    return None


def system(instructions: str, schema: Mapping[str, Any], meanings: Mapping[str, Mapping[str, str]]) -> str:
    """The part of the question that is the same for every call, so that a model can read it ahead."""
    lines = [instructions.strip(), "", "Answer with one JSON object with these fields:"]
    for name, field in schema["properties"].items():
        what = field.get("description") or ("one of these values" if name in meanings else field["type"])
        lines.append(f"- {name}: {what}")
        lines += [f"    {value}: {meaning}" for value, meaning in meanings.get(name, {}).items()]
    return "\n".join(lines)


def text(log: Sequence[events.Event], complaint: str | None = None) -> str:
    """The transcript as the model reads it, and what the prepared conversation found out. complaint: what was wrong with its first answer."""
    lines = [f"{line.speaker.capitalize()}: {line.text}" for line in transcript(log, 0.0)]
    known = ", ".join(f"{name.replace('_', ' ')}: {value}" for name, value in fields(log).items())
    noted = f"\n\nWhat the bot noted: {known}" if known else ""
    call = "The call:\n" + "\n".join(lines) + noted
    return f"{call}\n\nYour last answer was not usable: {complaint}" if complaint else call


def read(answer: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    """The model's answer, if it is JSON and follows `schema`. Raises ValueError with a sentence saying why not."""
    import jsonschema  # 60 ms: not while the phone rings

    try:
        document = json.loads(answer)
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON ({error.msg} at character {error.pos})") from error
    problem = next(iter(jsonschema.Draft202012Validator(schema).iter_errors(document)), None)
    if problem is not None:
        raise ValueError(f"{problem.json_path}: {problem.message}")
    return dict(document)
