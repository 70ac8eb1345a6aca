"""Run a server on an event loop in its own thread, so that a test may block."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, contextmanager


@contextmanager
def in_background(server: AbstractAsyncContextManager[None]) -> Iterator[None]:
    """Run the server from its entry to the end of the block. What it raises on entry is raised here."""
    started = threading.Event()
    failure: list[BaseException] = []
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()

    async def serve() -> None:
        async with server:
            started.set()
            await stop.wait()

    def run() -> None:
        try:
            with asyncio.Runner(loop_factory=lambda: loop) as runner:
                runner.run(serve())
        except BaseException as error:  # noqa: BLE001 because it is raised where the thread was started
            failure.append(error)
        finally:
            started.set()

    thread = threading.Thread(target=run, name=type(server).__name__)
    thread.start()
    started.wait()
    try:
        if failure:
            raise failure[0]
        yield
    finally:
        if not loop.is_closed():
            loop.call_soon_threadsafe(stop.set)
        thread.join(10)
