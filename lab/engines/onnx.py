"""ONNX models as sessions that are all set up alike. The one file that imports ONNX Runtime.

Decides: threads, how they wait, what is logged, and what counts as a file that cannot be run. Refuses to know: what goes into a
model and what comes out.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lab.errors import ModelError


def session(path: Path, *, threads: int = 1, hint: str = "fetch it again with `callctl models pull`") -> Any:
    """An `onnxruntime.InferenceSession` on the CPU; it may be run by several threads at once.

    threads: that share one operator. They sleep while they have nothing to do: threads that spin take the cores from the call.
    hint:    what to do about a file that cannot be used

    Raises ModelError when the file is missing, damaged or no ONNX model.
    """
    import onnxruntime
    from onnxruntime.capi import onnxruntime_pybind11_state as faults

    if not path.is_file():
        raise ModelError("no such model file", where=str(path), hint=hint)
    options = onnxruntime.SessionOptions()
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 4  # fatal: what else there is to say is raised
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except (
        faults.Fail,
        faults.InvalidArgument,
        faults.InvalidGraph,
        faults.InvalidProtobuf,
        faults.NotImplemented,
        faults.RuntimeException,
    ) as error:
        raise ModelError(f"not usable as an ONNX model: {_said(error)}", where=str(path), hint=hint) from error


def _said(error: Exception) -> str:
    """What ONNX Runtime complains of, without the code and the path that stand before it."""
    return str(error).split(" : ", 3)[-1].rpartition("failed:")[2].strip().rstrip(".")
