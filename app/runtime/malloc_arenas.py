"""How the C library hands out memory to threads."""

import ctypes

_M_ARENA_MAX = -8
"""From glibc's malloc.h."""

_HEAPS = 2


def limit_malloc_arenas() -> bool:
    """Let all threads share two heaps; false where the C library has no such setting.

    glibc gives every thread a heap of its own, up to eight for each core, and what a pass of a speech model leaves in
    one is of no use to the next pass on another thread. To be called before there are threads.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and mallopt(_M_ARENA_MAX, _HEAPS) == 1
