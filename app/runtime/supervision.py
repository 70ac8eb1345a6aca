"""Work that goes on beside what is open."""

from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from anyio import create_task_group


@asynccontextmanager
async def run_in_background(*works: Callable[[], Coroutine[Any, Any, None]]) -> AsyncGenerator[None, None]:
    """Work that goes on for ever, until the context ends."""
    fault: Exception | None = None
    async with create_task_group() as tasks:
        for work in works:
            tasks.start_soon(work)
        try:
            yield
        except Exception as raised:  # noqa: BLE001 because a task group would wrap what its user raises
            fault = raised
        tasks.cancel_scope.cancel()
    if fault is not None:
        raise fault
