"""Calls on which something dies or runs out: one clear line, the right exit code, and the files whole up to that moment."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import wave
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import psutil
import pytest

from lab import events, profile, store
from lab.carrier import Carrier
from lab.pace import Pace
from lab.result import CallResult
from lab.runner import Lab, Order

pytestmark = pytest.mark.sip

LONG = "Hello, " + ", and then ".join(f"this is part {n} of what I have to say" for n in range(1, 9)) + "."
BOT = f"""
name: long
opening_message: {LONG}
prompt: "-"
stt: {{model: scripted}}
llm: {{model: scripted, options: {{reactions: [{{name: bye, when: bye, say: Goodbye.}}]}}}}
tts: {{voice: scripted}}
"""
CUSTOMER = """
name: Kim
number: +12025550150
reactions: [{name: any, when: this is part, say: I see.}]
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "long.yaml").write_text(BOT)
    (tmp_path / "kim.yaml").write_text(CUSTOMER)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def callctl(*arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", "from callctl.cli import main; main()", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.fixture
def talking() -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """A call in which the bot has spoken for two seconds, and its folder."""
    process = callctl("dial", "long.yaml", "--persona", "kim.yaml")
    assert process.stdout
    while "answered" not in (line := process.stdout.readline()):
        assert line, process.communicate()
    folder = next(Path("recordings").iterdir())
    until = time.monotonic() + 20
    while _audio_seconds(folder) < 2.0 and time.monotonic() < until:
        select_for(0.05)
    yield process, folder
    if process.poll() is None:
        process.kill()
    process.communicate()


def select_for(seconds: float) -> None:
    """Give the call time to go on: it runs in real time."""
    import select

    select.select([], [], [], seconds)


def _audio_seconds(folder: Path) -> float:
    wav = folder / "call.wav"
    return max(0, wav.stat().st_size - 44) / 32000 if wav.exists() else 0.0


def _workers(process: subprocess.Popen[str]) -> list[psutil.Process]:
    return [c for c in psutil.Process(process.pid).children(recursive=True) if "lab.lines.softphone" in c.cmdline()]


def _spoken_for(folder: Path) -> float:
    """Seconds since the answer by the wall clock."""
    log = store.read_log(folder / "events.jsonl")
    started = log[0]
    assert isinstance(started, events.Started)
    answered = next(e.at for e in log if isinstance(e, events.Answered))
    return time.time() - datetime.fromisoformat(started.wall).timestamp() - answered


def test_the_process_is_killed(talking: tuple[subprocess.Popen[str], Path]) -> None:
    process, folder = talking
    workers = _workers(process)
    assert len(workers) == 2
    spoken = _spoken_for(folder)
    process.send_signal(signal.SIGKILL)
    process.wait()
    _, left = psutil.wait_procs(workers, timeout=2)
    assert not [w for w in left if w.is_running() and w.status() != psutil.STATUS_ZOMBIE]  # init reaps when it likes

    assert (folder / "events.jsonl").read_bytes().endswith(b"\n")
    assert spoken - _audio_seconds(folder) < 0.5 + 0.4  # the INVITE came up to 0.4 s after the log's header
    assert store.calls(Path("recordings"))[0].state == "broken"

    repaired = callctl("calls", "repair")
    out, err = repaired.communicate(timeout=20)
    assert (repaired.returncode, err) == (0, ""), out
    result = json.loads((folder / "result.json").read_text())
    assert result["disconnected_by"] == "error"
    assert result["callctl"]["sip"]["cause"] == "killed"
    with wave.open(str(folder / "call.wav")) as wav:
        assert (wav.getnchannels(), wav.getframerate()) == (2, 8000)
        assert wav.getnframes() / 8000 == pytest.approx(_audio_seconds(folder))


def test_the_bots_softphone_is_killed(talking: tuple[subprocess.Popen[str], Path]) -> None:
    process, folder = talking
    by_age = sorted(_workers(process), key=lambda worker: worker.pid)
    os.kill(by_age[0].pid, signal.SIGKILL)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 3
    assert "softphone worker died (signal 9)" in err
    assert "Traceback" not in err
    result = json.loads((folder / "result.json").read_text())
    assert (result["disconnected_by"], result["callctl"]["sip"]["cause"]) == ("error", "line_lost")
    assert result["transcript"][0]["text"].startswith("Hello, this is part 1")
    assert result["call_duration_seconds"] == pytest.approx(_audio_seconds(folder), abs=0.05)


def test_the_customers_softphone_is_killed(talking: tuple[subprocess.Popen[str], Path]) -> None:
    process, folder = talking
    by_age = sorted(_workers(process), key=lambda worker: worker.pid)
    os.kill(by_age[1].pid, signal.SIGKILL)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 3
    assert "the customer's side failed: softphone worker died (signal 9)" in err
    result = json.loads((folder / "result.json").read_text())
    assert (result["disconnected_by"], result["callctl"]["sip"]["cause"]) == ("error", "error")


@pytest.mark.models
def test_the_customers_ear_cannot_be_loaded(folder: Path) -> None:
    (folder / "deaf.yaml").write_text(
        "name: Deaf\nnumber: '+12025550150'\near: {model: ./nothing}\nvoice: {voice: scripted}\n"
        "reactions: [{name: any, when: hello, say: Hello.}]\n"
    )
    (folder / "nothing").mkdir()
    (folder / "nothing" / "model.bin").write_bytes(b"no model")
    process = callctl("dial", "long.yaml", "--persona", "deaf.yaml", "--set", "tts.voice=en_US-joe-medium")
    out, err = process.communicate(timeout=60)
    if "models pull" in err and "en_US-joe-medium" in err:
        pytest.skip("the voice is not in the cache")
    assert process.returncode == 3, out + err
    assert "the customer's side failed" in err


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk takes root")
def test_the_disk_is_full(folder: Path) -> None:
    small = folder / "recordings"
    small.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(small)], capture_output=True)
    if mounted.returncode:
        pytest.skip("mounting is not allowed here")
    try:
        process = callctl("dial", "long.yaml", "--persona", "kim.yaml")
        out, err = process.communicate(timeout=20)
    finally:
        subprocess.run(["umount", str(small)], check=True)
    assert process.returncode == 3
    assert err.splitlines()[0] == "error: no space left for the recording"
    assert "hint:" in err
    assert "Traceback" not in err + out


@pytest.mark.parametrize(
    ("content", "says"),
    [(None, "gguf"), (b"not a model at all", "GGUF"), (b"GGUF\3\0\0\0", "damaged|GGUF|cut short|not usable")],
)
def test_a_model_that_is_none(folder: Path, content: bytes | None, says: str) -> None:
    import re

    model = folder / "mind.gguf"
    if content is not None:
        model.write_bytes(content)
    process = callctl(
        "dial", "long.yaml", "--persona", "kim.yaml", "--set", f"llm.model={model}", "--set", "llm.options={}"
    )
    out, err = process.communicate(timeout=60)
    assert process.returncode in (2, 3), err
    assert re.search(says, err), err
    assert "Traceback" not in err + out


def test_a_number_that_nobody_has(folder: Path) -> None:
    order = Order(profile.load(folder / "long.yaml").resolve({}, {}), "+12025550177", "+12025550100")

    async def dial() -> CallResult:
        async with Lab(Carrier([]), folder) as lab:
            return await lab.dial(order)

    result = Pace("real").run(dial)
    sip = result.callctl.sip
    assert (result.disconnected_by, sip["code"], sip["cause"]) == ("error", 404, "sip_error")
    assert result.recording_url is None
