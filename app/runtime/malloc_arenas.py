"""Limit the number of malloc arenas of glibc, to keep the resident memory of many threads small."""

import ctypes

_M_ARENA_MAX = -8
"""From glibc's malloc.h."""

_ARENAS = 2


def limit_malloc_arenas() -> bool:
    """Let all threads share two arenas; False where the C library has no such setting.

    glibc gives every thread an arena of its own, up to eight per core, and memory that a model pass freed in one
    cannot be reused by a pass on another thread. To be called before threads are started.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and mallopt(_M_ARENA_MAX, _ARENAS) == 1
