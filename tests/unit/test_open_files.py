"""The limit of open files."""

import subprocess
import sys

CHANGE = """
import resource
from app.runtime.open_files import raise_open_files_limit
resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, {hard}))
print(raise_open_files_limit(), resource.getrlimit(resource.RLIMIT_NOFILE)[0])
"""


def limits(soft: int, hard: int) -> str:
    return subprocess.check_output([sys.executable, "-c", CHANGE.format(soft=soft, hard=hard)], text=True).strip()


def test_open_files_limit_is_raised_to_what_the_system_permits():
    """In a process of its own, because a limit that was lowered cannot be raised again."""
    assert limits(soft=100, hard=200) == "200 200"
    assert limits(soft=200, hard=200) == "200 200"
