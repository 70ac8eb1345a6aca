"""Memory that threads share."""

import platform
import subprocess
import sys

import pytest

COUNT = """
import ctypes, os, tempfile, threading
from app.runtime.malloc_arenas import limit_malloc_arenas
if {few}:
    assert limit_malloc_arenas()
barrier = threading.Barrier(8)
def busy():
    held = [bytes(100_000) for _ in range(20)]
    barrier.wait()
threads = [threading.Thread(target=busy) for _ in range(8)]
[one.start() for one in threads]
[one.join() for one in threads]
libc = ctypes.CDLL(None)
libc.fopen.restype = ctypes.c_void_p
path = tempfile.mkstemp()[1]
file = ctypes.c_void_p(libc.fopen(path.encode(), b"w"))
libc.malloc_info(0, file)
libc.fclose(file)
print(open(path).read().count("<heap "))
os.unlink(path)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the setting is glibc's")
def test_eight_threads_share_two_malloc_arenas():
    """Counted by the C library itself, with the setting and without."""

    def heaps(few):
        return int(subprocess.check_output([sys.executable, "-c", COUNT.format(few=few)], text=True))

    assert heaps(True) <= 2
    assert heaps(False) > 2
