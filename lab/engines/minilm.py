"""Sentences as vectors: all-MiniLM-L6-v2.

Decides: how a text becomes tokens, and how what the model says of each token becomes one vector. Refuses to know: what the
vectors are compared with, and how near is near.

Each text is run by itself. Together they would be 10 to 20 % cheaper, and a text's vector could then depend on what it was
padded with; alone it is the same to the last bit each time.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lab.engines.onnx import session
from lab.errors import ModelError
from lab.ports import EngineFacts, Stop

WIDTH = 384
"""Numbers in a vector."""
STEPS = 127
"""A number is a whole one of these parts, so that a vector is the same from the model, from disk and from a tape."""
_TOKENS = 64
"""What is longer is cut: some 45 words."""
_INPUTS = {"input_ids", "attention_mask", "token_type_ids"}
_HINT = "fetch it again with `callctl models pull all-minilm-l6-v2`"


class MiniLM:
    """An Embedder.

    path:    the .onnx file, its tokenizer.json beside it
    name:    what the profile calls it, for the facts
    threads: of the inference; a second one does not make short texts faster
    cache:   file that keeps the rows of examples; None for none

    Raises ModelError when a file is missing or damaged, or is another model's.
    """

    def __init__(
        self, path: Path, *, name: str, sha256: str | None = None, threads: int = 1, cache: Path | None = None
    ) -> None:
        self._session = session(path, threads=threads, hint=_HINT)
        taken, given = self._session.get_inputs(), self._session.get_outputs()
        if {one.name for one in taken} != _INPUTS or given[0].shape[-1:] != [WIDTH]:
            raise ModelError("an ONNX model, but no MiniLM", where=str(path), hint=_HINT)
        self._tokens = _tokenizer(path.with_name("tokenizer.json"))
        self._known: dict[str, bytes] = {}
        self._lock = threading.Lock()
        self._shelf = _open_shelf(cache) if cache else None
        self.facts = EngineFacts(
            "onnxruntime",
            name,
            sha256,
            version("onnxruntime"),
            {"threads": threads, "tokenizers": version("tokenizers")},
        )

    def embed(self, texts: Sequence[str], stop: Stop) -> Iterator[NDArray[np.float32]]:
        """WIDTH numbers for each text; an empty text has them too. Large and small letters are alike.

        `stop` is looked at before each text that is not known yet (3 ms, at most 20).
        """
        fresh: dict[str, bytes] = {}
        with self._lock:
            for text in dict.fromkeys(texts):
                if text in self._known:
                    continue
                if self._shelf and (row := self._shelf.get(text)):
                    self._known[text] = row
                    continue
                if stop.is_set():
                    return
                self._known[text] = fresh[text] = self._row(text)
            if self._shelf and len(fresh) > 1:  # one line of a customer is not worth a disk
                self._shelf.put(fresh)
        joined = b"".join(self._known[text] for text in texts)
        yield np.frombuffer(joined, np.int8).reshape(len(texts), WIDTH).astype(np.float32) / np.float32(STEPS)

    def _row(self, text: str) -> bytes:
        ids = np.array([self._tokens.encode(text).ids], np.int64)
        (states,) = self._session.run(
            None, {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
        )
        mean: NDArray[np.float32] = states[0].mean(axis=0)  # nothing is padded, so nothing is masked
        mean /= np.sqrt(np.square(mean).sum())
        return np.round(mean * STEPS).astype(np.int8).tobytes()


class _Shelf:
    """Rows made before, on disk: a profile has some hundred examples, and making their rows takes seconds."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = sqlite3.connect(path, timeout=5, check_same_thread=False)
        self._file.execute("CREATE TABLE IF NOT EXISTS rows (text TEXT PRIMARY KEY, row BLOB) WITHOUT ROWID")

    def get(self, text: str) -> bytes | None:
        found = self._file.execute("SELECT row FROM rows WHERE text = ?", (text,)).fetchone()
        return bytes(found[0]) if found and len(found[0]) == WIDTH else None

    def put(self, rows: Mapping[str, bytes]) -> None:
        with self._file:
            self._file.executemany("INSERT OR REPLACE INTO rows VALUES (?, ?)", rows.items())


def _open_shelf(path: Path) -> _Shelf | None:
    """None where there is no disk to keep it on: then rows are made anew."""
    try:
        return _Shelf(path)
    except (OSError, sqlite3.Error):
        return None


def _tokenizer(path: Path) -> Any:
    from tokenizers import Tokenizer

    try:
        found = Tokenizer.from_buffer(path.read_bytes())
    except OSError as error:
        raise ModelError(
            f"the model's tokenizer.json cannot be read: {error.strerror}", where=str(path), hint=_HINT
        ) from error
    except ValueError as error:
        raise ModelError(f"not usable as a tokenizer: {error}", where=str(path), hint=_HINT) from error
    found.no_padding()
    found.enable_truncation(_TOKENS)
    return found
