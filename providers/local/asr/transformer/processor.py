"""What this processor multiplies exactly."""

import platform
from pathlib import Path

_CPU_INFO = Path("/proc/cpuinfo")


def cpu_info() -> str:
    """The text of /proc/cpuinfo, or the machine's name where there is none."""
    return _CPU_INFO.read_text() if _CPU_INFO.is_file() else platform.machine()


def has_exact_int8_dot(cpu: str) -> bool:
    """Whether a processor adds products of 8-bit integers without overflow.

    `cpu` is what `cpu_info` returns. x86 does since VNNI; before,
    onnxruntime's fastest kernels saturate and words suffer. ARM (aarch64, called arm64 on macOS and Windows) always
    does.
    """
    return any(sign in cpu.lower() for sign in ("aarch64", "arm64", "asimd", "vnni"))
