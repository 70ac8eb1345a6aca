"""Clock of the running service: the monotonic clock of the event loop."""

import anyio


class SystemClock:
    """Seconds of the event loop's own clock; it never jumps."""

    def now(self) -> float:
        return anyio.current_time()

    async def sleep_until(self, deadline: float) -> None:
        await anyio.sleep_until(deadline)
