"""Words to phrases: cuts a line that is still being written into pieces that can be spoken.

Decides: where a phrase ends. Refuses to know: who writes the words or speaks the phrases.

A phrase ends after `.`, `!`, `?` or `;`, or after a comma once it has a few words, always before white space, never inside
an abbreviation, a time or an amount. What is left over comes out at the end.
"""

from __future__ import annotations

import re

_END = re.compile(r"[.!?;:…]+[\"')\]]*(?=\s)|,(?=\s)")
_ABBREVIATION = re.compile(r"(?:\b(?:mr|mrs|ms|dr|st|no|vs|etc|[ap]\.m|[a-z])|^\d+)\.$", re.IGNORECASE)
MIN_CLAUSE_WORDS = 4
"""A comma ends a phrase only after this many words: shorter ones sound chopped."""


def pause_after(phrase: str) -> float:
    """Seconds of quiet that belong between `phrase` and the next one."""
    return 0.12 if phrase.rstrip("\"')]").endswith((",", ":")) else 0.2


class Phrases:
    """Feed it text as it comes; it answers with the phrases that are complete."""

    def __init__(self) -> None:
        self._text = ""

    def feed(self, piece: str) -> list[str]:
        """Phrases completed by `piece`, stripped of outer white space."""
        self._text += piece
        done = []
        while (cut := self._border()) is not None:
            phrase, self._text = self._text[:cut].strip(), self._text[cut:]
            if phrase:
                done.append(phrase)
        return done

    def rest(self) -> list[str]:
        """What was not complete; call once, when no more text comes."""
        phrase, self._text = self._text.strip(), ""
        return [phrase] if phrase else []

    def _border(self) -> int | None:
        for match in _END.finditer(self._text):
            head = self._text[: match.end()]
            if match.group().startswith(",") and len(head.split()) < MIN_CLAUSE_WORDS:
                continue
            if match.group() == "." and _ABBREVIATION.search(head.strip()):
                continue
            return match.end()
        return None
