"""`{{crm.field}}` in prompts and lines: substitution and nothing else.

Decides: how a name finds its value and how values become text. Refuses to know: where values come from, and the clock.

A name with a namespace (`crm.`, `call.`, `system.`) is looked up as it stands. A bare `{{field}}` is looked up as
written, then as system.field, crm.field and call.field. What has no value stays as written and is reported. Values are
put in once and never read again, so a value that looks like a variable is just text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from lab.errors import ConfigError

_TOKEN = re.compile(r"\{\{([^{}\n]*)\}\}")
_NAMESPACES = ("call.", "crm.", "system.", "result.", "analysis.", "qc.", "fields.", "tool.")
_BARE = ("", "system.", "crm.", "call.")


@dataclass(frozen=True, slots=True)
class Rendered:
    """A text with its values put in."""

    text: str
    unresolved: tuple[str, ...]
    """Names that had no value and stand literally in `text`, each once, in order."""


def render(text: str, values: Mapping[str, str]) -> Rendered:
    """`text` with each `{{name}}` replaced from `values` (full names: `crm.first_name`)."""
    unresolved: dict[str, None] = {}

    def value(token: re.Match[str]) -> str:
        name = token[1].strip()
        for prefix in ("",) if name.startswith(_NAMESPACES) else _BARE:
            if prefix + name in values:
                return values[prefix + name]
        if name:
            unresolved[name] = None
        return token[0]

    return Rendered(_TOKEN.sub(value, text), tuple(unresolved))


def names(text: str) -> tuple[str, ...]:
    """The variables `text` refers to, each once, in order."""
    return render(text, {}).unresolved


def namespaced(variables: Mapping[str, object]) -> dict[str, str]:
    """`variables` under their full names, as text: a plain `k` is both crm.k and call.k, `crm.k` only itself."""
    values: dict[str, str] = {}
    for name, value in variables.items():
        for prefix in ("",) if name.startswith(_NAMESPACES) else ("crm.", "call."):
            values[prefix + name] = as_text(value)
    return values


def system(now: datetime, timezone: str) -> dict[str, str]:
    """The `system.*` values at `now` (aware) as a clock in `timezone` (IANA name) shows them."""
    local = now.astimezone(ZoneInfo(timezone))
    date, time = local.strftime("%d %B %Y"), local.strftime("%I:%M %p %Z")
    return {
        "system.current_date": date,
        "system.current_time": time,
        "system.current_datetime": f"{date} {time}",
        "system.timezone": timezone,
    }


def variable_name(name: str) -> str:
    """`name` if a user may give it a value: `field`, `crm.field` or `call.field`. Raises ConfigError."""
    if not name.strip() or name != name.strip() or re.search(r"[{}\n]", name):
        raise ConfigError(f"`{name}` cannot name a variable", hint="for example `first_name` or `crm.first_name`")
    if name.startswith(_NAMESPACES) and not name.startswith(("crm.", "call.")):
        raise ConfigError(
            f"`{name}` is set by callctl itself", hint="name a variable `field`, `crm.field` or `call.field`"
        )
    return name


def as_text(value: object) -> str:
    """A variable's value as it stands in texts: None is empty, whatever is no text becomes JSON."""
    if isinstance(value, str):
        return value
    return "" if value is None else json.dumps(value, ensure_ascii=False)
