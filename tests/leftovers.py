"""What a request may leave behind in this process: tasks, child processes, temporary files, defects, error lines."""

import asyncio
import gc
import tempfile
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from structlog.testing import capture_logs

from app.runtime.supervision import defects
from tests.eventually import until


@asynccontextmanager
async def nothing_left(folder: Path) -> AsyncGenerator[None, None]:
    """Fail where the body leaves something behind. Temporary files are made in this folder meanwhile."""
    usual, tempfile.tempdir = tempfile.tempdir, str(folder)
    tasks, children, reported = asyncio.all_tasks(), child_processes(), defects.total()
    try:
        with capture_logs() as lines:
            yield
            left = list[str]()

            async def is_over() -> bool:
                left[:] = [
                    *(str(task) for task in asyncio.all_tasks() - tasks),
                    *(f"child process {pid}" for pid in child_processes() - children),
                    *temporary_files(folder),
                ]
                return not left

            with suppress(TimeoutError):
                await until(is_over, seconds=5)
    finally:
        tempfile.tempdir = usual
    gc.collect()  # a file that nobody closed is reported here, as a warning
    assert left == []
    assert [line for line in lines if line["log_level"] in ("error", "critical")] == []
    assert defects.total() == reported


def child_processes() -> set[str]:
    """Process ids, of the children of every thread."""
    found = set[str]()
    for listing in Path("/proc/self/task").glob("*/children"):
        with suppress(OSError):  # because the thread may end meanwhile
            found.update(listing.read_text().split())
    return found


def temporary_files(folder: Path) -> list[str]:
    """Those that have a name, and open ones that have none any more."""
    targets = list[str]()
    for descriptor in Path("/proc/self/fd").iterdir():
        with suppress(OSError):  # that of the listing itself
            targets.append(str(descriptor.readlink()))
    return [*map(str, folder.iterdir()), *(target for target in targets if target.startswith(str(folder)))]
