"""An ASGI application that emulates a vendor, served in a thread of its own."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from socket import create_server
from threading import Thread
from typing import Any, TypeVar

import uvicorn

A = TypeVar("A", bound=Callable[..., Any])


@contextmanager
def serve_in_thread(create: Callable[[int], A], name: str) -> Iterator[A]:
    """The application that `create` makes for a free port, served there until the end of the context."""
    with create_server(("127.0.0.1", 0)) as listening:
        app = create(listening.getsockname()[1])
        config = uvicorn.Config(app, log_config=None, log_level="critical", lifespan="off", timeout_graceful_shutdown=1)
        server = uvicorn.Server(config)
        thread = Thread(target=server.run, args=([listening],), name=name)
        thread.start()
        try:
            yield app
        finally:
            server.should_exit = True
            thread.join()
