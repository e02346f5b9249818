"""Puts two versions of one spoken line into one spelling, so that only words that differ count as errors.

Decides: which ways of writing are the same words. Refuses to know: which of the two was said, and how they are compared.

Whisper's English normaliser (case, punctuation, contractions, number words) does most of it, and is Python's
whisper-normalizer. Around it: every number is digit by digit, so `ten thirty`, `10:30` and `10.30` are the same four words,
and so are `555 0123` and `5550123`; what is spelled is letter by letter, so `AB-1234` is `A B 1 2 3 4`; an address such as
`jo.fox@mail.com` is `jo dot fox at mail dot com`.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any

_DIGITS = dict(
    zip("0123456789", ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"], strict=True)
)
DIGITS = frozenset(_DIGITS.values())
"""The words that numbers become."""
_ADDRESS = re.compile(r"\S*\w@\w\S*|\b\w+(?:\.\w+)*\.(?:com|net|org|edu|me|io|co|uk|de)\b", re.IGNORECASE)
"""A mail address, or the name of a host."""
_IN_ADDRESSES = {"@": " at ", ".": " dot ", "_": " underscore ", "-": " dash "}
_HALF_OF_DAY = re.compile(r"\b([ap])\.?\s?m\b\.?", re.IGNORECASE)
_WORDS_IN_CAPITALS = frozenset({"AM", "PM", "TV", "NO", "YES", "STOP"})
_CAPITALS = re.compile(r"\b[A-Z]{2,}\b")
_MIXED = re.compile(r"\b(?=\w*\d)(?=\w*[A-Za-z])(?!\d+(?:st|nd|rd|th|am|pm|s)\b)[A-Za-z\d]+\b", re.IGNORECASE)
"""Letters and digits in one: a code."""
_LEADING_ZERO = re.compile(r"\b0\d+\b")
_SAME = [
    (re.compile(r"(?<=\d)(?::00|\.00)\b|\s+o'?clock\b", re.IGNORECASE), ""),
    (re.compile(r"(?<=\d)[:.,-](?=\d)"), " "),
    (re.compile(r"(?<=\b[A-Z\d])[-.,](?=\s?[A-Z\d]\b)"), " "),
    (re.compile(r"(?<=[A-Z\d])-(?=[A-Z\d])"), " "),
    (re.compile(r"\ba (?=hundred\b|thousand\b|million\b)", re.IGNORECASE), "one "),
    (re.compile(r"\bok\b", re.IGNORECASE), "okay"),
]
_ORDINAL = re.compile(r"(?<=\d)(?:st|nd|rd|th)\b")


@cache
def _whisper() -> Any:
    from whisper_normalizer.english import EnglishTextNormalizer

    return EnglishTextNormalizer()


def normalise(text: str) -> str:
    """`text` as words with one space between."""
    plain = _ADDRESS.sub(_address, text)
    plain = _HALF_OF_DAY.sub(r"\1m", plain)
    for written, same in _SAME:
        plain = written.sub(same, plain)
    plain = _CAPITALS.sub(_letters, plain)
    plain = _MIXED.sub(_apart, plain)
    plain = _LEADING_ZERO.sub(_apart, plain)  # the normaliser would make a number of it
    words = _ORDINAL.sub("", str(_whisper()(plain)))
    spelled = re.sub(r"\d", lambda digit: f" {_DIGITS[digit.group()]} ", words)
    return " ".join(re.sub(r"[^\w\s]", " ", spelled).split())


def _address(found: re.Match[str]) -> str:
    """As it is said; the full stop of a sentence stays one."""
    text = found.group()
    whole = text.rstrip(".,?!")
    return "".join(_IN_ADDRESSES.get(letter, letter) for letter in whole) + text[len(whole) :]


def _letters(found: re.Match[str]) -> str:
    return found.group() if found.group() in _WORDS_IN_CAPITALS else " ".join(found.group())


def _apart(found: re.Match[str]) -> str:
    """Digits and letters one by one, but for what can be read as a word."""
    return " ".join(re.findall(r"[a-zA-Z]?[a-z]{2,}|.", found.group()))
