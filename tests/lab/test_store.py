"""Finding calls, and repairing what a killed process left."""

from __future__ import annotations

import json
import os
import wave
from collections.abc import Sequence
from pathlib import Path

import pytest

from lab import events, record, store
from lab.errors import ConfigError
from lab.ports import Signal, Tick
from lab.result import CallResult


def started(name: str, rate: int = 8000) -> events.Started:
    return events.Started(
        at=0.0,
        session_id=name,
        wall="2026-01-05T10:15:00.000+00:00",
        bot="robin",
        bot_version="1",
        from_number="+12025550100",
        to_number="+12025550101",
        rate=rate,
    )


SAID = events.Said(at=4.0, who="customer", turn=1, text="Hello?", heard="Hello?", began=3.0, ended=3.5)


def killed(root: Path, name: str, *more: events.Event) -> Path:
    """A folder as a process leaves it that dies in mid-call."""
    with record.Recorder(root / name, 8000) as recorder:
        for event in (started(name), events.Answered(at=2.0), SAID, *more):
            recorder.event(event)
        for index in range(30):
            signals = (Signal("answered", 200),) if index == 0 else ()
            recorder.tick(Tick(index, bytes(320), bytes(320), 0, 0, True, signals))
    return root / name


def finished(root: Path, name: str) -> Path:
    folder = killed(root, name, events.Ended(at=9.0, cause="hung_up", by="there"))
    store.write_result(folder, store.read_log(folder / record.EVENTS))
    return folder


def frames(path: Path) -> int:
    with wave.open(str(path)) as file:
        count: int = file.getnframes()
        assert len(file.readframes(count)) == count * 4
        return count


# -- finding -----------------------------------------------------------------------------------------------------------


def test_an_empty_place(tmp_path: Path) -> None:
    assert store.calls(tmp_path / "nowhere") == []
    with pytest.raises(ConfigError, match="no calls here"):
        store.find(tmp_path, "last")


def test_what_is_no_call_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "readme.txt").write_text("")
    finished(tmp_path, "20260105-101500-aaaaaa")
    assert [c.session_id for c in store.calls(tmp_path)] == ["20260105-101500-aaaaaa"]


def test_by_id_by_either_end_and_the_last(tmp_path: Path) -> None:
    names = ["20260106-090000-bbbbbb", "20260105-101500-aaaaaa", "20260105-111500-cccccc"]
    for name in names:
        finished(tmp_path, name)
    assert store.find(tmp_path, "last").session_id == names[0]
    assert store.find(tmp_path, "20260105-101500-aaaaaa").session_id == names[1]
    assert store.find(tmp_path, "cccccc").session_id == names[2]
    assert store.find(tmp_path, "20260106").session_id == names[0]
    with pytest.raises(ConfigError, match="2 calls match `20260105`"):
        store.find(tmp_path, "20260105")
    with pytest.raises(ConfigError, match="no call `dddddd`"):
        store.find(tmp_path, "dddddd")


def test_states(tmp_path: Path) -> None:
    finished(tmp_path, "1")
    killed(tmp_path, "2")
    with record.Recorder(tmp_path / "3", 8000):
        assert [c.state for c in store.calls(tmp_path)] == ["finished", "broken", "running"]
    assert [c.state for c in store.calls(tmp_path)] == ["finished", "broken", "empty"]


def test_calls_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot be read: Not a directory") as found:
        store.calls(tmp_path / "file")
    assert found.value.where == str(tmp_path / "file")
    assert found.value.hint


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_calls_that_may_not_be_read(tmp_path: Path) -> None:
    (tmp_path / "recordings").mkdir(mode=0)
    with pytest.raises(ConfigError, match="cannot be read: Permission denied"):
        store.calls(tmp_path / "recordings")


def test_a_result_that_is_not_there_yet_says_what_to_do(tmp_path: Path) -> None:
    killed(tmp_path, "1")
    with pytest.raises(ConfigError, match="calls repair"):
        store.find(tmp_path, "1").result()
    with record.Recorder(tmp_path / "2", 8000), pytest.raises(ConfigError, match="still running"):
        store.find(tmp_path, "2").result()


def test_where_recordings_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.delenv("CALLCTL_HOME", raising=False)
    assert store.recordings_root() == Path("recordings")
    monkeypatch.setenv("CALLCTL_HOME", str(tmp_path / "home"))
    assert store.recordings_root() == tmp_path / "home" / "recordings"
    Path("recordings").mkdir()
    assert store.recordings_root() == Path("recordings")


# -- reading -----------------------------------------------------------------------------------------------------------


def test_a_log_is_read_whole_but_for_a_line_cut_short(tmp_path: Path) -> None:
    folder = killed(tmp_path, "1")
    with (folder / record.EVENTS).open("ab") as file:
        file.write('{"at":5.0,"kind":"turn.partial","who":"bot","turn":2,"text":"né'.encode()[:-1])
    assert store.read_log(folder / record.EVENTS) == [started("1"), events.Answered(at=2.0), SAID]


def test_lines_that_are_no_events_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b'\n\xff\xfe\nnull\n{"at":1.0,"kind":"call.answered"}\n\n')
    assert store.read_log(path) == [events.Answered(at=1.0)]


DAMAGE = ["", "{", "{}", "[1]", '{"a":1}', "null"]


@pytest.mark.parametrize("content", DAMAGE)
def test_a_damaged_result_is_made_anew(tmp_path: Path, content: str) -> None:
    path = finished(tmp_path, "1") / record.RESULT
    sound = path.read_bytes()
    path.write_text(content)
    (call,) = store.calls(tmp_path)
    assert call.state == "damaged"
    with pytest.raises(ConfigError, match="not the result of a call") as found:
        call.result()
    assert "callctl calls repair" in (found.value.hint or "")
    assert store.repair(call) is not None
    assert path.read_bytes() == sound


def test_a_folder_in_the_place_of_a_result_is_kept(tmp_path: Path) -> None:
    path = finished(tmp_path, "1") / record.RESULT
    path.unlink()
    path.mkdir()
    (path / "mine").write_text("")
    (call,) = store.calls(tmp_path)
    assert call.state == "damaged"
    assert store.repair(call) is not None
    assert (path.with_name("result.json.was-a-folder") / "mine").exists()
    assert store.find(tmp_path, "1").result()["disconnected_by"] == "customer"


def test_a_damaged_result_without_a_log_is_beyond_repair(tmp_path: Path) -> None:
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / record.EVENTS).touch()
    (tmp_path / "1" / record.RESULT).write_text("{")
    (call,) = store.calls(tmp_path)
    assert (call.state, store.repair(call)) == ("empty", None)


# -- repairing ---------------------------------------------------------------------------------------------------------


def test_a_killed_call_gets_its_end_and_its_result(tmp_path: Path) -> None:
    folder = killed(tmp_path, "20260105-101500-aaaaaa")
    with (folder / record.EVENTS).open("ab") as file:
        file.write(b'{"at":5.0,"kind":"turn.par')
    call = store.find(tmp_path, "last")
    document = store.repair(call)
    assert document is not None
    assert (document.disconnected_by, document.callctl.sip["cause"]) == ("error", "killed")
    assert [t.text for t in document.transcript] == ["Hello?"]
    assert document.recording_url == (folder / record.CALL_WAV).as_uri()
    assert document.recording_key == "20260105-101500-aaaaaa/call.wav"
    lines = (folder / record.EVENTS).read_text().splitlines()
    assert [json.loads(line)["kind"] for line in lines] == ["call.started", "call.answered", "turn.said", "call.ended"]
    (repaired,) = store.calls(tmp_path)
    assert repaired.state == "finished"
    assert repaired.result() == document.model_dump(by_alias=True)
    assert store.repair(repaired) is None


def test_audio_gets_a_header_that_agrees_with_it(tmp_path: Path) -> None:
    folder = killed(tmp_path, "1")
    wav = folder / record.CALL_WAV
    content = wav.read_bytes()
    wav.write_bytes(record.wav_header(0, 8000) + content[44:] + b"\1\2\3")
    (folder / record.EARLY_WAV).write_bytes(content[:20])
    assert store.repair(store.find(tmp_path, "1")) is not None
    assert wav.read_bytes() == content
    assert frames(wav) == 30 * 160
    assert frames(folder / record.EARLY_WAV) == 0


def test_an_end_that_is_in_the_log_is_kept(tmp_path: Path) -> None:
    killed(tmp_path, "1", events.Ended(at=9.0, cause="hung_up", by="there"))
    document = store.repair(store.find(tmp_path, "1"))
    assert document is not None
    assert document.disconnected_by == "customer"


def test_a_call_that_never_got_beyond_its_first_line_cannot_be_repaired(tmp_path: Path) -> None:
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / record.EVENTS).write_bytes(b'{"at":0.0,"kind":"call.sta')
    assert store.repair(store.find(tmp_path, "1")) is None
    assert (tmp_path / "1" / record.EVENTS).read_bytes() == b'{"at":0.0,"kind":"call.sta'


def test_a_running_call_is_not_touched(tmp_path: Path) -> None:
    with record.Recorder(tmp_path / "1", 8000) as recorder:
        recorder.event(started("1"))
        (call,) = store.calls(tmp_path)
        assert store.repair(call) is None
        assert sorted(p.name for p in (tmp_path / "1").iterdir()) == [record.EVENTS]
        assert store.read_log(tmp_path / "1" / record.EVENTS) == [started("1")]


def test_a_call_that_was_begun_again_meanwhile_is_not_touched(tmp_path: Path) -> None:
    folder = killed(tmp_path, "1")
    before = store.find(tmp_path, "1")
    store.write_result(folder, [started("1"), events.Ended(at=1.0, cause="hung_up")])
    assert store.repair(before) is None
    assert json.loads((folder / record.RESULT).read_text())["disconnected_by"] == "customer"


def test_the_lock_is_held_while_a_call_is_repaired(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    killed(tmp_path, "1")
    write, states = store.write_result, list[str]()

    def watched(folder: Path, log: Sequence[events.Event]) -> CallResult:
        states.append(store.find(tmp_path, "1").state)
        return write(folder, log)

    monkeypatch.setattr(store, "write_result", watched)
    store.repair(store.find(tmp_path, "1"))
    assert states == ["running"], "so a second repair waits, and finds nothing to do"
