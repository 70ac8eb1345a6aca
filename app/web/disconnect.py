"""Work for a client that waits for it: it ends when the client hangs up."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import anyio
from litestar import Request

T = TypeVar("T")


async def cancel_on_disconnect(request: Request[Any, Any, Any], work: Callable[[], Awaitable[T]]) -> T | None:
    """What the work returns; None where the client hung up first, which cancels it. Raises what the work raises.

    The body of the request must have been read.
    """
    result: list[T] = []
    fault: Exception | None = None
    async with anyio.create_task_group() as tasks:

        async def watch() -> None:
            while (await request.receive())["type"] != "http.disconnect":
                pass
            tasks.cancel_scope.cancel()

        tasks.start_soon(watch)
        try:
            result.append(await work())
        except Exception as raised:  # noqa: BLE001 because the task group would wrap what the work raises
            fault = raised
        tasks.cancel_scope.cancel()
    if fault is not None:
        raise fault
    return result[0] if result else None
