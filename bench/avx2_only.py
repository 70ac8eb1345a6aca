"""Run a command as if the processor had no AVX-512, VNNI or AMX: its kernels are those of a processor with AVX2.

On Intel CPUID faults and is answered by `avx2_only.c`. Where it cannot fault, as on AMD, a copy of onnxruntime is taken
whose CPUID instructions are overwritten with UD2, which faults everywhere; CTranslate2, oneDNN and OpenBLAS have
variables for it. The clock and the caches stay this machine's.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

from app.domain.errors import SettingsError

HIDDEN = "BENCH_AVX2_ONLY"
"""Set in the process to which the processor's newer extensions are hidden."""

_CANNOT_FAULT = 78
"""The exit status of `avx2_only.c` where CPUID cannot fault."""

_CPUID, _UD2 = b"\x0f\xa2", b"\x0f\x0b"
_VARIABLES = {
    "BENCH_CPUID_PATCHED": "1",
    "CT2_FORCE_CPU_ISA": "AVX2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "OPENBLAS_CORETYPE": "Haswell",
}


def run_with_avx2_only(arguments: Sequence[str]) -> int:
    """The exit status of this command where AVX-512, VNNI and AMX are hidden. Raises SettingsError."""
    with TemporaryDirectory(prefix="parley-avx2-") as folder:
        library = Path(folder) / "avx2_only.so"
        source = Path(__file__).with_name("avx2_only.c")
        _tool(["cc", "-O2", "-shared", "-fPIC", "-o", str(library), str(source)])
        environment = {**os.environ, "LD_PRELOAD": str(library), HIDDEN: "1"}
        if subprocess.run(["true"], env=environment, check=False, capture_output=True).returncode == _CANNOT_FAULT:
            packages = Path(folder) / "packages"
            _patched_copy("onnxruntime", packages)
            path = os.pathsep.join((str(packages), os.environ.get("PYTHONPATH", "")))
            environment |= {**_VARIABLES, "PYTHONPATH": path}
        return subprocess.run(arguments, env=environment, check=False).returncode


def _patched_copy(package: str, folder: Path) -> None:
    """A copy of this package in `folder`, whose libraries fault in place of asking the processor."""
    found = find_spec(package)
    assert found is not None
    assert found.origin is not None
    shutil.copytree(Path(found.origin).parent, folder / package)
    for library in (folder / package).rglob("*.so*"):
        content = bytearray(library.read_bytes())
        for offset in cpuid_offsets(library):
            if content[offset : offset + 2] != _CPUID:
                raise SettingsError(f"{library.name} has no CPUID at {offset:#x}: this objdump reads it otherwise")
            content[offset : offset + 2] = _UD2
        library.write_bytes(content)


def cpuid_offsets(library: Path) -> list[int]:
    """Where in this file its CPUID instructions are, by the disassembler: their bytes occur elsewhere too."""
    sections = [
        (int(address, 16), int(size, 16), int(offset, 16))
        for size, address, offset in re.findall(
            r"^ *\d+ \S+ +([0-9a-f]+) +([0-9a-f]+) +[0-9a-f]+ +([0-9a-f]+)",
            _tool(["objdump", "-h", str(library)]),
            re.MULTILINE,
        )
    ]
    listing = _tool(["objdump", "-d", "--no-show-raw-insn", str(library)])
    addresses = [int(address, 16) for address in re.findall(r"^ *([0-9a-f]+):\s+cpuid\b", listing, re.MULTILINE)]
    return [
        address - start + offset
        for address in addresses
        for start, size, offset in sections
        if start <= address < start + size and start
    ]


def _tool(command: Sequence[str]) -> str:
    """What this command of the machine's own tools prints. Raises SettingsError."""
    try:
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        raise SettingsError(
            f"--avx2 needs a C compiler named cc, and on AMD objdump, on Linux and x86-64; {command[0]} failed"
        ) from error
