"""Telephone numbers: E.164 in and out, and the range the lab answers.

Decides: what a number must look like, and which numbers are the lab's. Refuses to know: who answers one.
"""

from __future__ import annotations

import re

from lab.errors import ConfigError

LAB_FIRST = "+12025550100"
LAB_LAST = "+12025550199"
"""Reserved for fiction by the North American Numbering Plan: nobody is ever rung by mistake."""


def e164(text: str) -> str:
    """`text` in E.164, without the spaces, dashes, dots and brackets people write.

    The length must be possible in its country; whether anybody has the number is not asked.
    Raises ConfigError.
    """
    import phonenumbers  # 60 ms to import

    shown = f"`{text.strip()[:40]}`"
    number = re.sub(r"[\s().-]", "", text)
    if not number:
        raise ConfigError("the number is empty", hint=f"for example {LAB_FIRST}")
    if number.startswith("00"):
        raise ConfigError(f"{shown} begins with 00", hint=f"write + in its place, as in {LAB_FIRST}")
    if stray := re.search(r"[^0-9+]|(?<=.)\+", number):
        raise ConfigError(f"{shown} contains `{stray.group()}`", hint=f"digits only, as in {LAB_FIRST}")
    if not number.startswith("+"):
        raise ConfigError(f"{shown} has no country code", hint=f"begin with + and the country code, as in {LAB_FIRST}")
    try:
        parsed = phonenumbers.parse(number, None)
    except phonenumbers.NumberParseException as error:
        if error.error_type == phonenumbers.NumberParseException.INVALID_COUNTRY_CODE:
            raise ConfigError(
                f"{shown} begins with no country code that exists", hint=f"for example {LAB_FIRST}"
            ) from None
        raise ConfigError(f"{shown} is no telephone number", hint=f"for example {LAB_FIRST}") from None
    match phonenumbers.is_possible_number_with_reason(parsed):
        case phonenumbers.ValidationResult.TOO_SHORT | phonenumbers.ValidationResult.IS_POSSIBLE_LOCAL_ONLY:
            raise ConfigError(f"{shown} is too short for its country", hint=f"for example {LAB_FIRST}")
        case phonenumbers.ValidationResult.IS_POSSIBLE:
            return str(phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164))
    raise ConfigError(f"{shown} has a length that its country does not use", hint=f"for example {LAB_FIRST}")


def is_lab_number(number: str) -> bool:
    """Is this E.164 number one that the lab's network connects (+12025550100 to +12025550199)?"""
    return len(number) == len(LAB_FIRST) and number.isascii() and LAB_FIRST <= number <= LAB_LAST


def lab_number(text: str) -> str:
    """`text` in E.164 when it lies in the lab's range. Raises ConfigError."""
    number = e164(text)
    if not is_lab_number(number):
        raise ConfigError(f"`{number}` is outside the lab's range", hint=f"use one from {LAB_FIRST} to {LAB_LAST}")
    return number
