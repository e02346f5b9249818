"""What was played: turns counts of samples into words that reached the other side.

Decides: how much of a line was heard. Refuses to know: how audio gets out; it is told two running counts by the line.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class _Phrase:
    text: str
    begin: int
    """Samples into the line, the quiet before it left out."""
    end: int


class Playout:
    """The audio of one speaker on one leg. All counts are samples since the call began."""

    def __init__(self) -> None:
        self.said = 0
        self.played = 0
        self.dropped = 0
        self._phrases: list[_Phrase] = []
        self._base = 0

    def begin(self) -> None:
        """A new line begins; call it when the one before is out."""
        self._phrases = []
        self._base = self.played

    def add(self, text: str, samples: int, *, quiet: int = 0) -> None:
        """A phrase of the current line was queued as `samples` samples, the first `quiet` of them a pause."""
        begin = self._phrases[-1].end if self._phrases else 0
        self._phrases.append(_Phrase(text, begin + quiet, begin + samples))
        self.said += samples

    def advance(self, played: int, dropped: int) -> None:
        """What the line reports with each tick."""
        self.played, self.dropped = played, dropped

    @property
    def empty(self) -> bool:
        """Everything queued has been played or thrown away."""
        return self.played + self.dropped >= self.said

    @property
    def text(self) -> str:
        """The current line as far as it was queued."""
        return " ".join(p.text for p in self._phrases)

    @property
    def last_phrase(self) -> str:
        """The newest phrase queued."""
        return self._phrases[-1].text

    def asked_since(self, played: int) -> bool:
        """Of the current line, nothing after what sounded at `played` asks a question, and something up to there did."""
        position = played - self._base
        asking = [phrase.begin <= position for phrase in self._phrases if "?" in phrase.text]
        return bool(asking) and all(asking)

    def unheard(self) -> str:
        """The current line from the phrase on that was not played to its end."""
        position = self.played - self._base
        return " ".join(phrase.text for phrase in self._phrases if phrase.end > position)

    def heard(self) -> str:
        """The current line as far as it was played: whole words, by their share of the phrase's length."""
        position = self.played - self._base
        words: list[str] = []
        for phrase in self._phrases:
            if position >= phrase.end:
                words.append(phrase.text)
            elif position > phrase.begin:
                share = (position - phrase.begin) / (phrase.end - phrase.begin)
                words.append(_whole_words(phrase.text, share))
        return " ".join(w for w in words if w)


def _whole_words(text: str, share: float) -> str:
    limit = share * len(text)
    out = ""
    for word in text.split(" "):
        if len(out) + bool(out) + len(word) > limit:
            break
        out = f"{out} {word}" if out else word
    return out
