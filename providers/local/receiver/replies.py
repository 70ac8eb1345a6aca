"""Replies from a receiver, over one connection for each turn.

The receivers of the earlier deployments serve one connection at a time, so that no more are opened than the settings
say; a few replies wait, further ones are refused as busy. Nothing is retried: an answer may have had an effect.
"""

import re
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import anyio
import structlog

from app.domain.dialog.conversation import Message
from app.domain.errors import ProviderBusy, ProviderMisbehaved
from app.domain.spending import TokenUsage
from providers.local.receiver.connection import (
    PROVIDER,
    ReceiverTimeouts,
    connect,
    receive_answer,
    receiver_problem,
    send,
)
from providers.local.receiver.frames import FRAMINGS, Framing, UnreadableAnswer, answer, request

MAX_WAITING = 4
"""Replies that wait for a connection; one more would come too late to be of use."""

_log = structlog.get_logger("parley.replies")


@dataclass(frozen=True, slots=True)
class ReceiverReplies:
    """A ReplyGenerator over connections to one receiver."""

    host: str
    port: int
    framing: Framing
    timeouts: ReceiverTimeouts
    connections: anyio.CapacityLimiter
    now: Callable[[], datetime]
    """Local time, which the receiver is told of every text."""

    async def reply(
        self,
        conversation: Sequence[Message],
        *,
        report_usage: Callable[[TokenUsage], None] = lambda _: None,  # noqa: ARG002 because it counts no tokens
    ) -> AsyncGenerator[str, None]:
        """The answer to the last message, word by word. Its whole text has come before the first of them.

        Raises ProviderBusy where too many replies wait, ProviderDown where the receiver cannot be reached, goes silent
        or goes away, ProviderMisbehaved where it answers with nothing or with something that is no text.
        """
        await self._wait_for_connection()
        try:
            text = await self._ask(conversation[-1].text)
        except UnreadableAnswer as error:
            raise ProviderMisbehaved(PROVIDER, str(error)) from error
        finally:
            self.connections.release()
        if not text.strip():
            raise ProviderMisbehaved(PROVIDER, "answered with nothing")
        for word in re.findall(r"\s+|\S+\s*", text):
            yield word

    async def _wait_for_connection(self) -> None:
        waiting = self.connections.statistics().tasks_waiting
        if waiting >= MAX_WAITING:
            raise ProviderBusy(PROVIDER, f"{waiting} replies wait for it already")
        try:
            with anyio.fail_after(self.timeouts.first_byte_s):
                await self.connections.acquire()
        except TimeoutError as error:
            raise ProviderBusy(PROVIDER, "still answers others") from error

    async def _ask(self, text: str) -> str:
        """Raises UnreadableAnswer or a ProviderError."""
        async with await connect(self.host, self.port, self.timeouts.connect_s) as stream:
            await send(stream, request(self.framing, text, self.now()), timeout_s=self.timeouts.idle_s)
            received = await receive_answer(stream, self.timeouts)
        return answer(self.framing, received)


@asynccontextmanager
async def open_receiver(
    *,
    host: str = "localhost",
    port: int = 5001,
    framing: Literal["pickle", "json"] = "pickle",
    connections: int = 1,
    connect_timeout_s: float = 3.0,
    first_byte_timeout_s: float = 15.0,
    idle_timeout_s: float = 5.0,
    answer_timeout_s: float = 30.0,
    now: Callable[[], datetime] = datetime.now,
) -> AsyncIterator[ReceiverReplies]:
    """The receiver at this address. One that cannot be reached yet is a warning in the log: it may be started later."""
    if problem := await receiver_problem(host, port, timeout_s=connect_timeout_s):
        _log.warning("receiver is down", problem=problem)
    timeouts = ReceiverTimeouts(connect_timeout_s, first_byte_timeout_s, idle_timeout_s, answer_timeout_s)
    yield ReceiverReplies(host, port, FRAMINGS[framing], timeouts, anyio.CapacityLimiter(connections), now)
