"""Both laws over their whole range: every sample there is and every code."""

from __future__ import annotations

import ctypes

import numpy as np
import pytest

from lab.g711 import PCMA, PCMU, Law

SAMPLES = np.arange(-32768, 32768).astype("<i2")
CODES = bytes(range(256))
NEGATIVE_ZERO = 0x7F
"""The µ-law's second code for 0: nothing becomes it."""

both = pytest.mark.parametrize("law", [PCMU, PCMA], ids=["PCMU", "PCMA"])


def levels(law: Law) -> list[int]:
    return [int(level) for level in np.frombuffer(law.decode(CODES), "<i2")]


@pytest.mark.parametrize(
    ("law", "code", "level"),
    [
        (PCMU, 0xFF, 0), (PCMU, 0x7F, 0), (PCMU, 0xFE, 8), (PCMU, 0x7E, -8), (PCMU, 0x80, 32124), (PCMU, 0x00, -32124),
        (PCMA, 0xD5, 8), (PCMA, 0x55, -8), (PCMA, 0xD4, 24), (PCMA, 0xAA, 32256), (PCMA, 0x2A, -32256),
    ],
)  # fmt: skip
def test_the_ends_and_the_middle_are_those_of_the_recommendation(law: Law, code: int, level: int) -> None:
    assert levels(law)[code] == level


@pytest.mark.parametrize(("law", "lost"), [(PCMU, {NEGATIVE_ZERO}), (PCMA, set[int]())], ids=["PCMU", "PCMA"])
def test_a_level_becomes_its_own_code_again(law: Law, lost: set[int]) -> None:
    assert {code for code in CODES if law.encode(law.decode(CODES))[code] != code} == lost


@both
def test_the_law_is_the_same_for_both_signs(law: Law) -> None:
    assert levels(law)[:128] == [-level for level in levels(law)[128:]]


@both
def test_a_sample_becomes_a_level_next_to_it_and_louder_never_softer(law: Law) -> None:
    heard = np.frombuffer(law.decode(law.encode(SAMPLES.tobytes())), "<i2")
    assert np.all(np.diff(heard.astype(int)) >= 0)
    steps = np.unique(levels(law))
    place = np.searchsorted(steps, SAMPLES)
    below, above = steps[np.maximum(place - 1, 0)], steps[np.minimum(place, len(steps) - 1)]
    assert np.all((heard == below) | (heard == above))


@pytest.mark.parametrize(("law", "name"), [(PCMU, "ulaw"), (PCMA, "alaw")])
def test_the_tables_are_those_of_the_softphone(law: Law, name: str) -> None:
    pjsua2 = pytest.importorskip("pjsua2")
    pjsip = ctypes.CDLL(pjsua2._pjsua2.__file__)
    codes = np.array((ctypes.c_uint8 * (1 << 14)).in_dll(pjsip, f"pjmedia_linear2{name}_tab"))
    assert law.encode(SAMPLES.tobytes()) == codes[(SAMPLES.astype(int) >> 2) & 0x3FFF].tobytes()
    assert levels(law) == list((ctypes.c_int16 * 256).in_dll(pjsip, f"pjmedia_{name}2linear_tab"))


@both
def test_nothing_is_nothing(law: Law) -> None:
    assert law.encode(b"") == law.decode(b"") == b""
