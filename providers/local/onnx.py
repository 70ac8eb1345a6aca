"""Small networks on onnxruntime: opened alike, and what goes wrong with them under one name."""

from pathlib import Path

import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state

from app.domain.errors import ModelUnavailable

FAILURES: tuple[type[Exception], ...] = tuple(
    kind for kind in vars(onnxruntime_pybind11_state).values() if isinstance(kind, type) and issubclass(kind, Exception)
)
"""All that onnxruntime raises: its errors have no ancestor of their own."""


def options(threads: int = 1, *, arena: bool = False) -> onnxruntime.SessionOptions:
    """A network that keeps to its threads and says nothing; with an `arena` it keeps its memory from run to run."""
    quiet = onnxruntime.SessionOptions()
    quiet.intra_op_num_threads = threads
    quiet.inter_op_num_threads = 1
    quiet.add_session_config_entry("session.intra_op.allow_spinning", "0")  # whoever waits leaves its core to others
    quiet.enable_cpu_mem_arena = arena
    quiet.log_severity_level = 4  # because a computation that is stopped is reported as an error
    return quiet


def open_network(path: Path, wanted: onnxruntime.SessionOptions) -> onnxruntime.InferenceSession:
    """The network in this file, on the CPU. Raises ModelUnavailable where there is none."""
    try:
        return onnxruntime.InferenceSession(str(path), wanted, providers=["CPUExecutionProvider"])
    except FAILURES as error:
        raise ModelUnavailable(f"{path} is no whole network: fetch the model again") from error
