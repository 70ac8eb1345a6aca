"""Blocking work that a command may leave behind when it ends."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from threading import Thread
from typing import TypeVar

T = TypeVar("T")


async def run_in_daemon_thread(call: Callable[[], T]) -> T:
    """What it returns or raises. Where the caller is cancelled it goes on, without keeping the interpreter from ending.

    For reads that nothing can interrupt. The threads of `anyio.to_thread` are joined at the interpreter's exit, those
    that were abandoned too.
    """
    outcome: Future[T] = Future()
    outcome.set_running_or_notify_cancel()

    def work() -> None:
        try:
            outcome.set_result(call())
        except BaseException as error:  # noqa: BLE001 because the caller must hear of it, whatever it is
            outcome.set_exception(error)

    Thread(target=work, name="daemon-read", daemon=True).start()
    return await asyncio.wrap_future(outcome)
