"""Puts two versions of one spoken line into one spelling, so that only words that differ count as errors.

Whisper's English normaliser (case, punctuation, contractions, number words), then every number digit by digit: `ten thirty`,
`10:30` and `10.30` are the same four words, and so are `555 0123` and `5550123`.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any

_DIGITS = dict(
    zip("0123456789", ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"], strict=True)
)


@cache
def _whisper() -> Any:
    from whisper_normalizer.english import EnglishTextNormalizer

    return EnglishTextNormalizer()


def normalise(text: str) -> str:
    """`text` as words with one space between."""
    plain = re.sub(r"(?<=\d)[:.,-](?=\d)", " ", text)
    words = str(_whisper()(plain))
    spelled = re.sub(r"\d", lambda digit: f" {_DIGITS[digit.group()]} ", words)
    return " ".join(re.sub(r"[^\w\s]", " ", spelled).split())
