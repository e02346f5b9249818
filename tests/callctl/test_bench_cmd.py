"""`callctl bench`: what is compared and what is shown; the benches themselves are run elsewhere."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from callctl.cli import app
from callctl.commands import bench
from lab.metrics import summary

NOW: dict[str, Any] = {
    "bench": "latency",
    "v2v": summary([0.5, 0.7, 0.9]),
    "picked": summary([]),
    "turns": {"asked": 3, "good": 3},
    "calls": [{"seconds": 60.0, "cpu_per_minute": 20.5, "worst_tick": 0.0021, "doubts": []}],
    "machine": {"cores": 2.0},
    "why": ["other processes used 30% of the CPU"],
}


def test_ratios_are_of_times_in_both() -> None:
    before = {**NOW, "v2v": summary([1.0, 1.4, 1.8]), "generated": summary([2.0]), "machine": {"cores": 4.0}}
    assert bench.ratios(NOW, before) == {"v2v.p50": 0.5, "v2v.max": 0.5}


def test_the_table_has_every_spread_with_its_count() -> None:
    shown = bench._table({**NOW, "ratios": {"v2v.p50": 0.5}})
    assert shown.splitlines() == [
        "v2v                          n   3   p50 0.700 s   p95     - s   max 0.900 s   x 0.50",
        "turns  asked 3  good 3",
        "call 1  60.0 s   CPU 20.5 s per minute   worst tick 2.1 ms",
        "not reliable: other processes used 30% of the CPU",
    ]


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (None, "cannot be read"),
        ("{", "no document of `callctl bench --json`"),
        (json.dumps({"bench": "ticks"}), "a run of `bench ticks`, not of `bench latency`"),
    ],
)
def test_what_cannot_be_compared(tmp_path: Path, content: str | None, complaint: str) -> None:
    file = tmp_path / "before.json"
    if content is not None:
        file.write_text(content)
    with pytest.raises(Exception, match=complaint):
        bench._earlier(file, "latency")


def test_every_bench_says_what_it_does() -> None:
    told = CliRunner().invoke(app, ["bench", "--help"]).output
    assert all(name in told for name in ("latency", "barge-in", "start", "ticks", "stt"))
