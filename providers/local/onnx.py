"""Open small networks on onnxruntime with the same options, and name the errors it raises."""

from pathlib import Path

import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state

from app.domain.errors import ModelUnavailable

FAILURES: tuple[type[Exception], ...] = tuple(
    kind for kind in vars(onnxruntime_pybind11_state).values() if isinstance(kind, type) and issubclass(kind, Exception)
)
"""All that onnxruntime raises: its errors have no base class of their own."""


def session_options(threads: int = 1, *, arena: bool = False) -> onnxruntime.SessionOptions:
    """`threads` for one run, none of them spinning, no log; with an `arena` memory is kept from run to run."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # a waiting thread frees its core
    options.enable_cpu_mem_arena = arena
    options.log_severity_level = 4  # because a computation that is stopped is reported as an error
    return options


def open_network(path: Path, options: onnxruntime.SessionOptions) -> onnxruntime.InferenceSession:
    """The network in this file, on the CPU. Raises ModelUnavailable where the file is not a whole network."""
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except FAILURES as error:
        raise ModelUnavailable(f"{path} is not a whole ONNX network: fetch the model again") from error
