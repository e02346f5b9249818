"""Text that others wrote, made safe to show on a terminal.

Decides: which characters may reach a terminal. Refuses to know: what the text says.
"""

from __future__ import annotations

_JOINERS = "\u200c\u200d"  # unprintable by themselves, but letters of several scripts and emoji need them


def printable(text: str) -> str:
    """`text` on one line: white space becomes spaces, what could steer a terminal becomes U+FFFD."""
    return "".join(c if c.isprintable() or c in _JOINERS else " " if c.isspace() else "\ufffd" for c in text)
