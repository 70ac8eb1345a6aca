"""Hiding AVX-512 from a library: its CPUID instructions are found and overwritten, and answered without those bits."""

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bench import avx2_only
from bench.avx2_only import cpuid_offsets

pytestmark = pytest.mark.skipif(
    platform.machine() != "x86_64" or sys.platform != "linux" or not (shutil.which("cc") and shutil.which("objdump")),
    reason="needs Linux on x86-64 with a compiler and objdump",
)

SOURCE = r"""
#include <stdio.h>
int decoy(void) { return 0x11a20f11; }  /* the same two bytes, in a number */
int main(void) {
    unsigned a, b, c, d;
    __asm__ volatile("cpuid" : "=a"(a), "=b"(b), "=c"(c), "=d"(d) : "a"(7), "c"(0));
    printf("%d %d %d\n", b >> 5 & 1, b >> 16 & 1, c >> 11 & 1);
    return 0;
}
"""
"""Prints whether there are AVX2, AVX-512 and its VNNI."""


@pytest.fixture
def program(tmp_path):
    (tmp_path / "flags.c").write_text(SOURCE)
    subprocess.run(["cc", "-O1", "-o", tmp_path / "flags", tmp_path / "flags.c"], check=True)
    return tmp_path / "flags"


def test_only_instructions_are_found(program):
    content = program.read_bytes()
    offsets = cpuid_offsets(program)

    assert len(offsets) == 1
    assert content[offsets[0] : offsets[0] + 2] == b"\x0f\xa2"
    assert content.count(b"\x0f\xa2") > 1


def test_newer_extensions_are_hidden_from_a_patched_program(program, tmp_path):
    subprocess.run(
        ["cc", "-shared", "-fPIC", "-o", tmp_path / "hide.so", Path(avx2_only.__file__).with_name("avx2_only.c")],
        check=True,
    )
    plain = subprocess.check_output([program], text=True).split()
    content = bytearray(program.read_bytes())
    (offset,) = cpuid_offsets(program)
    content[offset : offset + 2] = b"\x0f\x0b"
    program.write_bytes(content)

    environment = os.environ | {"LD_PRELOAD": str(tmp_path / "hide.so"), "BENCH_CPUID_PATCHED": "1"}
    hidden = subprocess.check_output([program], text=True, env=environment).split()

    assert hidden == [plain[0], "0", "0"]
