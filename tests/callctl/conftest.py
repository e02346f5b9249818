"""A call's log, and folders of calls as they lie in `recordings/`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from lab import events, record, store

Store = Callable[..., Path]


@pytest.fixture
def log() -> list[events.Event]:
    """Nine seconds after two of ringing: opening, answer, a reply that is cut off, a word thrown in."""
    return [
        events.Started(
            at=0.0,
            session_id="20261121-081500-abc123",
            wall="2026-11-21T08:15:00.000+00:00",
            bot="dental-reminder",
            bot_version="1",
            from_number="+12025550190",
            to_number="+12025550101",
            rate=8000,
            context={"persona": "Jordan Lee", "expect": {"disconnected_by": ["customer"]}},
        ),
        events.Signalled(at=0.02, state="calling"),
        events.Signalled(at=0.04, state="ringing", code=180, reason="Ringing"),
        events.Answered(at=2.0, codec="PCMU"),
        events.SpeechBegan(at=2.1, who="bot", turn=1, began=2.1),
        events.Partial(at=2.1, who="bot", turn=1, text="Am I speaking"),
        events.Said(at=4.0, who="bot", turn=1, text="Am I speaking with Jordan?", heard="Am I speaking with Jordan?", began=2.1, ended=3.9),
        events.SpeechBegan(at=4.6, who="customer", turn=2, began=4.5),
        events.Partial(at=5.5, who="customer", turn=2, text="Yes, this is"),
        events.Said(at=5.9, who="customer", turn=2, text="Yes, this is Jordan.", heard="Yes, this is Jordan.", began=4.5, ended=5.3),
        events.SpeechBegan(at=6.14, who="bot", turn=3, began=6.14),
        events.ReplyGap(at=6.14, turn=3, answers=2, seconds=0.84),
        events.SpeechBegan(at=6.9, who="customer", turn=4, began=6.8),
        events.Interrupted(at=7.2, turn=3, by=4, why="words"),
        events.Said(at=7.22, who="bot", turn=3, text="Your visit is on Tuesday.", heard="Your visit", began=6.14, ended=7.2, cut=True, answers=2),
        events.Said(at=8.5, who="customer", turn=4, text="Which day?", heard="Which day?", began=6.8, ended=7.9),
        events.SpeechBegan(at=8.9, who="bot", turn=5, began=8.9),
        events.ReplyGap(at=8.9, turn=5, answers=4, seconds=1.0),
        events.SpeechBegan(at=9.3, who="customer", turn=6, began=9.2),
        events.Ignored(at=9.6, turn=6, text="", why="spoken over the other side"),
        events.Said(at=10.0, who="bot", turn=5, text="Tuesday.", heard="Tuesday.", began=8.9, ended=9.9, answers=4),
        events.Ended(at=11.0, cause="hung_up", by="there", code=200, reason="OK"),
        events.Measured(at=11.0, doubts=[]),
        events.Analysed(at=11.0, data={"DISPOSITION": "Confirmed", "SURE": True}, error=None, took=2.0, attempts=1),
    ]  # fmt: skip


@pytest.fixture
def keep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """Writes a log as a call's folder below the working folder; finished unless `result` is false."""
    monkeypatch.chdir(tmp_path)

    def keep(log: list[events.Event], session_id: str = "20261121-081500-abc123", *, result: bool = True) -> Path:
        folder = tmp_path / "recordings" / session_id
        folder.mkdir(parents=True)
        (folder / record.EVENTS).write_text("".join(events.to_line(e) + "\n" for e in log), encoding="utf-8")
        if result:
            store.write_result(folder, log)
        return folder

    return keep
