"""Answers made ahead, with real models over real SIP: a sample of what `make accept-e` measures. Function, not speed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lab import events
from lab.bench import latency
from lab.pace import Pace
from lab.record import EVENTS
from lab.runner import Lab
from lab.store import read_log

pytestmark = [pytest.mark.models, pytest.mark.prove]


def hold(
    root: Path, *say: str, calls: int = 1, free: bool = False
) -> list[tuple[list[latency.Judged], dict[str, Any]]]:
    import asyncio

    turns = [latency.Turn(kind="question", say=(text,)) for text in say]

    async def main() -> list[tuple[list[latency.Judged], dict[str, Any]]]:
        async with Lab(latency.carrier(), root) as lab:
            return await asyncio.gather(*(latency.run(lab, latency.bot(free=free), turns) for _ in range(calls)))

    return Pace("real").run(main)


def gaps(root: Path, call: dict[str, Any]) -> list[events.ReplyGap]:
    return [e for e in read_log(root / call["session"] / EVENTS) if isinstance(e, events.ReplyGap)]


def test_prepared_and_made_up_answers_are_begun_in_the_pause(tmp_path: Path) -> None:
    [(judged, call)] = hold(tmp_path, "When are you open?", "Can I bring my dog with me?", "And where is the clinic?")
    assert [one.verdict for one in judged if one.verdict not in ("good", "holed")] == []  # holes are a matter of speed
    assert [gap.ahead for gap in gaps(tmp_path, call)] == [True, True, True]
    assert call["work"]["used"] > 0
    assert call["work"]["prepared"] > 0


def test_a_free_bot_answers_ahead_too(tmp_path: Path) -> None:
    [(judged, call)] = hold(tmp_path, "Can I bring my dog with me?", "Where is the X-ray room?", free=True)
    assert [one.verdict for one in judged if one.verdict not in ("good", "holed")] == []
    assert all(gap.ahead for gap in gaps(tmp_path, call))


def test_two_calls_at_once_are_both_answered(tmp_path: Path) -> None:
    for judged, call in hold(tmp_path, "When are you open?", "And where is the clinic?", calls=2):
        assert [one.verdict for one in judged if one.verdict not in ("good", "holed")] == []
        assert len(gaps(tmp_path, call)) == 2
