"""Translate what inference libraries raise into this service's errors."""

from collections.abc import Iterator
from contextlib import contextmanager

from app.domain.errors import ProviderBusy, ProviderMisbehaved
from providers.local.onnx import FAILURES

PROVIDER = "local"
"""The name that this process's speech engines give themselves in an error."""

_FAILURES: tuple[type[Exception], ...] = (RuntimeError, *FAILURES)  # CTranslate2 raises RuntimeError

_OUT_OF_MEMORY = ("out of memory", "alloc")
"""In the words of CUDA ("out of memory", "CUBLAS_STATUS_ALLOC_FAILED") and MKL ("failed to allocate memory")."""


@contextmanager
def translate_errors() -> Iterator[None]:
    """Errors of CTranslate2 and onnxruntime: out of memory becomes ProviderBusy, anything else ProviderMisbehaved."""
    try:
        with translate_memory_error():
            yield
    except _FAILURES as error:
        if any(sign in str(error).lower() for sign in _OUT_OF_MEMORY):
            raise ProviderBusy(PROVIDER, "the device has no memory left for the model") from error
        raise ProviderMisbehaved(PROVIDER, "the model failed on this audio") from error


@contextmanager
def translate_memory_error() -> Iterator[None]:
    """MemoryError becomes ProviderBusy: there may be memory again when other sessions have ended."""
    try:
        yield
    except MemoryError as error:
        raise ProviderBusy(PROVIDER, "this machine has no memory left for the model") from error
