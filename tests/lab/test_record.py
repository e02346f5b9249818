"""A call's folder: whole at any moment, and clear about a disk that refuses."""

from __future__ import annotations

import fcntl
import itertools
import shutil
import subprocess
import sys
import textwrap
import wave
from datetime import UTC, datetime
from pathlib import Path

import pytest

from lab import audio, events, record, store
from lab.errors import InfrastructureError
from lab.ports import Signal, Tick


def tick(index: int, *signals: Signal, rate: int = 8000) -> Tick:
    """A frame with its index in both channels, the bot's negative."""
    size = audio.frame_bytes(rate) // audio.SAMPLE_BYTES
    heard, spoken = (index.to_bytes(2, "little", signed=True) * size for index in (index, -index))
    return Tick(index, heard, spoken, 0, 0, True, signals)


ANSWERED = Signal("answered", 200)


def read(path: Path) -> tuple[int, bytes, bytes]:
    """Rate, left, right of a WAV as any program reads it; its header must agree with its length."""
    with wave.open(str(path)) as file:
        assert (file.getnchannels(), file.getsampwidth()) == (2, 2)
        data = file.readframes(file.getnframes())
        assert len(data) == file.getnframes() * 4
        both = audio.samples(data).reshape(-1, 2)
        return file.getframerate(), both[:, 0].tobytes(), both[:, 1].tobytes()


def test_left_is_the_customer_right_the_bot_both_equally_long(tmp_path: Path) -> None:
    with record.Recorder(tmp_path / "call", 16000) as recorder:
        for index in range(1, 46):
            recorder.tick(tick(index, *([ANSWERED] if index == 1 else []), rate=16000))
    rate, left, right = read(tmp_path / "call" / record.CALL_WAV)
    assert rate == 16000
    assert left == b"".join(tick(i, rate=16000).heard for i in range(1, 46))
    assert right == b"".join(tick(i, rate=16000).spoken for i in range(1, 46))
    assert not (tmp_path / "call" / record.EARLY_WAV).exists()


def test_early_media_has_a_file_of_its_own(tmp_path: Path) -> None:
    with record.Recorder(tmp_path / "call", 8000) as recorder:
        for index in range(1, 6):
            recorder.tick(tick(index, *([ANSWERED] if index == 4 else [])))
    assert read(tmp_path / "call" / record.EARLY_WAV)[1] == b"".join(tick(i).heard for i in (1, 2, 3))
    assert read(tmp_path / "call" / record.CALL_WAV)[1] == b"".join(tick(i).heard for i in (4, 5))


def test_no_audio_no_file(tmp_path: Path) -> None:
    with record.Recorder(tmp_path / "call", 8000) as recorder:
        recorder.event(events.Signalled(at=0.0, state="calling"))
    assert sorted(p.name for p in (tmp_path / "call").iterdir()) == [record.EVENTS]


def test_audio_is_valid_after_each_frame_and_lacks_less_than_half_a_second(tmp_path: Path) -> None:
    wav = record.StereoWav(tmp_path / "call.wav", 8000)
    assert read(tmp_path / "call.wav")[1] == b""
    for index in range(1, 60):
        frame = tick(index)
        wav.append(frame.heard, frame.spoken)
        copy = Path(shutil.copy(tmp_path / "call.wav", tmp_path / "copy.wav"))  # what a killed process leaves
        _, left, right = read(copy)
        assert len(left) == len(right)
        assert (index * 320 - len(left)) / 320 * audio.FRAME_SECONDS < 0.5
    wav.close()
    assert len(read(tmp_path / "call.wav")[1]) == 59 * 320


def test_each_event_is_on_disk_at_once(tmp_path: Path) -> None:
    with record.Recorder(tmp_path / "call", 8000) as recorder:
        for at in range(3):
            recorder.event(events.Signalled(at=float(at), state="ringing"))
            assert store.read_log(tmp_path / "call" / record.EVENTS) == recorder.log


def test_the_log_is_locked_while_the_call_runs(tmp_path: Path) -> None:
    def locked() -> bool:
        with (tmp_path / "call" / record.EVENTS).open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
            return False

    with record.Recorder(tmp_path / "call", 8000):
        assert locked()
    assert not locked()


def test_a_folder_that_exists_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "call").mkdir()
    with (
        pytest.raises(InfrastructureError, match="cannot write the recording") as caught,
        record.Recorder(tmp_path / "call", 8000),
    ):
        pass
    assert caught.value.where == str(tmp_path / "call")
    assert list((tmp_path / "call").iterdir()) == []


def test_a_folder_that_cannot_be_made_says_where(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InfrastructureError, match="CALLCTL_HOME"), record.Recorder(tmp_path / "file" / "call", 8000):
        pass


def test_a_text_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = record.write_text(tmp_path / "result.json", "old")
    record.write_text(path, "new")
    assert path.read_text() == "new"
    assert [p.name for p in tmp_path.iterdir()] == ["result.json"]


FULL_DISK = """
    import resource, signal, sys
    from pathlib import Path
    from lab import events, record
    from lab.errors import InfrastructureError
    from lab.ports import Signal, Tick

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
    done = 0
    try:
        with record.Recorder(Path(sys.argv[1]), 8000) as recorder:
            recorder.tick(Tick(0, bytes(320), bytes(320), 0, 0, True, (Signal("answered", 200),)))
            while done < 2000:
                recorder.event(events.Partial(at=done * 0.02, who="bot", turn=1, text="x" * int(sys.argv[3])))
                recorder.tick(Tick(done, b"\\x07\\0" * 160, b"\\x08\\0" * 160, 0, 0, True))
                done += 1
    except InfrastructureError as error:
        print(done, error)
"""


@pytest.mark.parametrize(("limit", "text"), [(20_000, 1), (30_001, 1), (10_000, 400), (10_001, 400)])
def test_a_full_disk_is_one_clear_error_and_the_files_are_whole(tmp_path: Path, limit: int, text: int) -> None:
    command = [sys.executable, "-c", textwrap.dedent(FULL_DISK), str(tmp_path / "call"), str(limit), str(text)]
    ran = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
    done, _, error = ran.stdout.partition(" ")
    assert "no space left for the recording" in error
    assert str(tmp_path / "call") in error
    assert ran.stderr == ""
    log = store.read_log(tmp_path / "call" / record.EVENTS)
    assert int(done) <= len(log) <= int(done) + 1  # nothing that was accepted is missing
    _, left, right = read(tmp_path / "call" / record.CALL_WAV)
    assert len(left) == len(right)
    assert len(left) >= (int(done) - record.FLUSH_FRAMES) * 320
    assert left[320:] == b"\x07\0" * (len(left[320:]) // 2)


def test_a_disk_that_is_almost_full_is_told_before_the_call(tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(small)], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip("needs the right to mount a tmpfs")
    try:
        with pytest.raises(InfrastructureError, match="no space left"), record.Recorder(small / "call", 8000):
            pass
        assert list(small.iterdir()) == []
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_names_sort_by_time() -> None:
    token = itertools.repeat("ffffff").__next__
    early, late = (record.session_id(datetime(2026, 1, d, 10, 15, tzinfo=UTC), lambda _: token()) for d in (5, 11))
    assert early == "20260105-101500-ffffff"
    assert sorted([late, early]) == [early, late]


def test_nothing_of_a_recorder_stays_open(tmp_path: Path) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    with record.Recorder(tmp_path / "call", 8000) as recorder:
        recorder.tick(tick(1))
        recorder.tick(tick(2, ANSWERED))
    assert len(list(Path("/proc/self/fd").iterdir())) == before
