"""Supervised background tasks: a task that raises is logged, counted and restarted; it never cancels its host."""

from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager

import anyio
import structlog

from app.domain.errors import flatten

FIRST_PAUSE_S = 0.5
"""Before the first restart; each further failure in a row doubles it."""
LONGEST_PAUSE_S = 60.0
HEALTHY_AFTER_S = 60.0
"""A task that ran for this long before it raised starts over with the first pause."""

defects: Counter[str] = Counter()
"""Unexpected exceptions in this process, by where they were caught; exported as `parley_defects_total`."""

_log = structlog.get_logger("parley.supervision")


def report_defect(where: str, error: BaseException, *, event: str = "unexpected error", **fields: object) -> None:
    """Count an unexpected exception, and log it once with its traceback, not that of a group around it."""
    defects[where] += 1
    leaves = flatten(error)
    _log.error(event, where=where, exc_info=leaves[0] if len(leaves) == 1 else error, **fields)


async def supervise(name: str, task: Callable[[], Awaitable[None]]) -> None:
    """Run `task` until it returns; restart it with exponential backoff when it raises. Cancellation passes through."""
    failures = 0
    while True:
        began = anyio.current_time()
        try:
            await task()
        except Exception as error:  # noqa: BLE001 because a defect of one task must not end its host
            failures = 1 if anyio.current_time() - began >= HEALTHY_AFTER_S else failures + 1
            pause_s = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** (failures - 1))
            report_defect(name, error, restart_in_s=pause_s)
            await anyio.sleep(pause_s)
        else:
            return


@asynccontextmanager
async def run_in_background(tasks: Mapping[str, Callable[[], Awaitable[None]]]) -> AsyncGenerator[None, None]:
    """Supervise these tasks, by name, for the lifetime of the context.

    What the body raises comes out as it is, not wrapped in an ExceptionGroup.
    """
    fault: Exception | None = None
    async with anyio.create_task_group() as group:
        for name, task in tasks.items():
            group.start_soon(supervise, name, task)
        try:
            yield
        except Exception as raised:  # noqa: BLE001 because the task group would wrap what the body raises
            fault = raised
        group.cancel_scope.cancel()
    if fault is not None:
        raise fault
