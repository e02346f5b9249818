"""Each check on a machine that has what it needs, and on one that lacks it; children that crash are real ones."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from pathlib import Path

import pytest

from lab import catalogue, doctor
from lab.catalogue import Entry, File
from lab.doctor import Check

CONTENT = b"GGUF, and no more than that"
MIND = Entry(
    "tiny-mind",
    "llm",
    "MIT",
    "org/mind",
    (File("m.gguf", len(CONTENT), hashlib.sha256(CONTENT).hexdigest(), None, ()),),
)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and a catalogue of one model that is a default."""
    monkeypatch.setenv("CALLCTL_MODELS", str(tmp_path / "cache"))
    monkeypatch.delenv("CALLCTL_OFFLINE", raising=False)
    monkeypatch.setattr(catalogue, "CATALOGUE", {MIND.name: MIND})
    monkeypatch.setattr(catalogue, "DEFAULTS", (MIND.name,))
    return tmp_path / "cache"


def put(content: bytes) -> Path:
    MIND.folder.mkdir(parents=True, exist_ok=True)
    MIND.path.write_bytes(content)
    return MIND.path


@pytest.mark.parametrize(
    ("found", "status"), [((3, 11, 2), "ok"), ((3, 12, 9), "ok"), ((3, 10, 1), "fail"), ((3, 13, 0), "fail")]
)
def test_python(found: tuple[int, int, int], status: str) -> None:
    check = doctor.python(found)
    assert check.status == status
    assert (check.do is None) == (status == "ok")


def test_a_wheel_that_is_there() -> None:
    assert doctor.wheel("pytest").status == "ok"


def test_a_missing_wheel_names_its_install_command() -> None:
    check = doctor.wheel("no-such-wheel")
    assert check == Check("no-such-wheel", "fail", "not installed", f"{sys.executable} -m pip install no-such-wheel")


def test_memory() -> None:
    assert doctor.memory(8_000_000_000).status == "ok"
    short = doctor.memory(900_000_000)
    assert short.status == "warn"
    assert short.says.startswith("0.9 GB free")


def test_disk_looks_at_the_nearest_folder_that_exists(tmp_path: Path) -> None:
    assert doctor.disk("recordings", tmp_path / "not" / "yet", 1).status == "ok"
    assert doctor.disk("recordings", tmp_path, 1 << 60).status == "warn"
    assert not (tmp_path / "not").exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    assert doctor.disk("recordings", tmp_path, 1).status == "fail"


def test_udp_on_loopback() -> None:
    assert doctor.udp() == Check("ports", "ok", "UDP on 127.0.0.1")


def test_missing_audio_never_fails() -> None:
    assert doctor.audio_devices().status == "note"


def test_machine_is_what_figures_depend_on() -> None:
    machine = doctor.machine()
    assert machine["cores"] >= 1
    assert machine["memory_bytes"] > 0


# -- models --------------------------------------------------------------------------------------------------------------


def test_a_missing_model_is_only_a_warning(cache: Path) -> None:
    assert doctor.model(MIND) == Check(
        "model tiny-mind", "warn", "not fetched yet, 0 MB", "callctl models pull tiny-mind"
    )


def test_offline_a_missing_model_fails(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CALLCTL_OFFLINE", "1")
    check = doctor.model(MIND)
    assert (check.status, check.do) == ("fail", "callctl models pull tiny-mind --from DIR")


def test_a_truncated_model_fails(cache: Path) -> None:
    put(CONTENT[:9])
    check = doctor.model(MIND)
    assert (check.status, check.do) == ("fail", "callctl models pull tiny-mind")
    assert "9 bytes, expected 27" in check.says


def test_only_full_sees_what_size_and_time_hide(cache: Path) -> None:
    path = put(CONTENT)
    assert doctor.model(MIND).status == "ok"
    before = path.stat()
    path.write_bytes(CONTENT.swapcase())
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert doctor.model(MIND).status == "ok"
    check = doctor.model(MIND, full=True)
    assert check.status == "fail"
    assert "SHA-256" in check.says


# -- engines -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("program", "fault"),
    [
        ("print('fine')", None),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "crashed (signal 11)"),
        (
            "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
            "was killed (signal 9), most likely for want of memory",
        ),
        ("import no_such_library", "failed: ModuleNotFoundError: No module named 'no_such_library'"),
        ("raise SystemExit(7)", "failed: exit 7"),
    ],
)
def test_how_a_child_ended(program: str, fault: str | None) -> None:
    said, how = doctor.child("-c", program)
    assert how == fault
    assert said == ("" if fault else "fine\n")


def test_a_child_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "CHILD_SECONDS", 0.5)
    assert doctor.child("-c", "import threading; threading.Event().wait()")[1] == "was not done after 0 s"


def test_a_child_has_no_network_to_ask() -> None:
    said, _ = doctor.child("-c", "import os; print(os.environ['CALLCTL_OFFLINE'], os.environ['HF_HUB_OFFLINE'])")
    assert said == "1 1\n"


def test_no_models_no_engines(cache: Path) -> None:
    assert list(doctor.engines()) == []


def test_an_engine_refuses_its_model(cache: Path) -> None:
    """The catalogue is content with the file, llama.cpp is not."""
    put(CONTENT)
    (check,) = doctor.engines()
    assert (check.name, check.status) == ("run tiny-mind", "fail")
    assert "truncated, damaged" in check.says


@pytest.mark.models
def test_every_engine_does_one_line() -> None:
    checks = list(doctor.engines())
    assert [check.name for check in checks] == [
        "run en_US-joe-medium",
        "run silero",
        "run whisper-base",
        "run whisper-tiny.en",
        "run qwen2.5-coder-1.5b",
        "memory qwen2.5-coder-1.5b",
    ]
    assert [check for check in checks if check.status != "ok"] == []


@pytest.mark.models
def test_the_memory_of_a_models_prompts_is_stated(tmp_path: Path) -> None:
    path = catalogue.CATALOGUE["smollm2-135m"].path
    if not path.exists():
        pytest.skip("smollm2-135m is not in the cache")
    # 23040 bytes a token, with 4096, 2048, 1024 and 4096 of them
    assert doctor.engine("memory", "smollm2-135m", path, tmp_path / "none") == Check(
        "memory smollm2-135m",
        "ok",
        "weights 97 MB, prompts: talk 94 MB, pick 47 MB, fill 24 MB, analysis 94 MB; 356 MB in all",
    )


def test_the_memory_of_what_is_no_model(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(CONTENT)
    check = doctor.engine("memory", "tiny-mind", path, path)
    assert (check.name, check.status) == ("memory tiny-mind", "fail")


@pytest.mark.models
def test_a_mute_voice_is_found_out(tmp_path: Path) -> None:
    """The ears are asked what was said, not whether they ran."""
    silence = tmp_path / "sentence.pcm"
    silence.write_bytes(bytes(64_000))
    check = doctor.engine("stt", "whisper-tiny.en", catalogue.CATALOGUE["whisper-tiny.en"].path, silence)
    assert check.status == "fail"
    assert doctor.SENTENCE in check.says


# -- a call --------------------------------------------------------------------------------------------------------------


@pytest.mark.sip
def test_the_softphones_hear_each_other() -> None:
    call, ticks = doctor.sip_call()
    assert (call.name, call.status) == ("SIP call", "ok")
    assert "PCMU" in call.says
    assert ticks.status in ("ok", "warn")


@pytest.mark.sip
def test_a_softphone_that_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", shutil.which("false"))
    (check,) = doctor.sip_call()
    assert (check.name, check.status) == ("SIP call", "fail")
    assert "softphone worker died (exit 1)" in check.says
