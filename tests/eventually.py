"""Wait for a condition that another task, process or socket brings about."""

from collections.abc import Awaitable, Callable

import anyio


async def until(check: Callable[[], Awaitable[bool]], *, seconds: float = 5) -> None:
    """Ask again and again; fail when it takes too long."""
    with anyio.fail_after(seconds, shield=True):
        while not await check():  # noqa: ASYNC110 because nobody can tell us
            await anyio.sleep(0.01)
