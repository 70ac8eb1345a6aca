"""Which processor this is, as far as its integer kernels are concerned."""

import hashlib
import platform
from functools import cache
from pathlib import Path

import onnxruntime
from threadpoolctl import threadpool_info

_CPU_INFO = Path("/proc/cpuinfo")

_IDENTITY = ("model name", "flags", "features", "cpu implementer", "cpu part")
"""Keys of /proc/cpuinfo."""

_EXTENSIONS = {
    "avx2": "AVX2",
    "avx512f": "AVX-512",
    "avx512_vnni": "AVX-512 VNNI",
    "avx_vnni": "AVX VNNI",
    "amx_int8": "AMX",
    "asimddp": "dot product",
    "i8mm": "i8mm",
}


@cache
def processor_id() -> str:
    """Differs between processors that may compute differently, and between releases of onnxruntime.

    The architecture that numpy's BLAS has found stands for a CPUID that is not the processor's own, as a virtual
    machine or `python -m bench engine --avx2` may give it.
    """
    blas = sorted({str(each["architecture"]) for each in threadpool_info() if "architecture" in each})
    seen = [*_identity(), onnxruntime.__version__, *blas]
    return hashlib.sha256("\n".join(seen).encode()).hexdigest()[:12]


def describe_processor() -> str:
    """Its name and what matters here of its extensions."""
    identity = _identity()
    words = " ".join(identity).lower().split()
    name = next((line.partition(":")[2].strip() for line in identity if line.startswith("model name")), "")
    extensions = [shown for flag, shown in _EXTENSIONS.items() if flag in words]
    return f"{name or platform.machine()} ({', '.join(extensions) or 'no extensions known here'})"


def _identity() -> list[str]:
    """The lines of /proc/cpuinfo about its first core; the machine's names where there is no such file."""
    if not _CPU_INFO.is_file():
        return [platform.machine(), platform.processor()]
    first_core = _CPU_INFO.read_text("utf-8", "replace").partition("\n\n")[0]
    return [line for line in first_core.splitlines() if line.partition("\t")[0].strip().lower() in _IDENTITY]
