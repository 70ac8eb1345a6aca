"""Raise the limit of open files, which counts sockets, to what the system permits."""

import resource

MOST = 65_536
"""Enough for every connection that a process can serve; some systems permit far more, or name no number."""


def raise_open_files_limit() -> int:
    """The limit in force afterwards. It is never lowered."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST if hard == resource.RLIM_INFINITY else min(hard, MOST)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        return wanted
    return soft
