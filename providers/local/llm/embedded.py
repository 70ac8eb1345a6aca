"""Replies from a small language model inside this process, one at a time.

Replies are generated in one thread of low priority; up to `max_waiting` are queued, further ones are refused as busy.
The deltas of a reply go into a stream that holds the longest reply there may be, so a slow consumer never blocks the
model.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from threading import Lock

import anyio
from anyio import from_thread, to_thread
from anyio.lowlevel import current_token
from anyio.streams.memory import MemoryObjectSendStream

from app.domain.dialog.conversation import Message
from app.domain.errors import ParleyError, ProviderBusy, ProviderDown, ProviderMisbehaved
from app.domain.spending import TokenUsage
from providers.local.llm.llama import PROVIDER, Llama
from providers.local.low_priority import low_priority_threads


@dataclass(slots=True, eq=False)
class _PendingReply:
    """A reply that is queued or being generated."""

    conversation: tuple[Message, ...]
    deltas: MemoryObjectSendStream[str]
    usage: TokenUsage | None = None
    """Of what has been generated; None before the first token."""
    error: ParleyError | None = field(default_factory=lambda: ProviderDown(PROVIDER, "was closed"))
    """What the consumer is to be told; None once the model has reached the end of the reply."""

    is_cancelled: bool = False


class EmbeddedReplies:
    """A ReplyGenerator over one loaded model."""

    def __init__(self, llama: Llama, thread: ThreadPoolExecutor, *, max_waiting: int) -> None:
        self._llama = llama
        self._thread = thread
        self._max_waiting = max_waiting
        self._pending: set[_PendingReply] = set()
        self._current: _PendingReply | None = None
        self._lock = Lock()
        """Held where `_current` and `is_cancelled` are read or changed: `cancel` is called on the event loop."""

        self._loop = current_token()

    async def reply(
        self, conversation: Sequence[Message], *, report_usage: Callable[[TokenUsage], None] = lambda _: None
    ) -> AsyncGenerator[str, None]:
        """Text deltas of the answer to the last message.

        Raises ProviderBusy where too many replies are queued, RequestRefused where the newest message does not fit the
        model's context, ProviderMisbehaved where the model fails or answers with nothing.
        """
        if len(self._pending) > self._max_waiting:
            raise ProviderBusy(PROVIDER, f"{len(self._pending)} replies are queued already")
        send, receive = anyio.create_memory_object_stream[str](self._llama.max_tokens + 1)
        pending = _PendingReply(tuple(conversation), send)
        self._pending.add(pending)
        try:
            self._thread.submit(self._generate, pending)
            with receive:
                async for delta in receive:
                    yield delta
            if pending.error:
                raise pending.error
        finally:
            self.cancel(pending)
            if pending.usage is not None:
                report_usage(pending.usage)

    def cancel(self, pending: _PendingReply) -> None:
        """Stop generating this reply, or never begin; no effect on one that is complete."""
        self._pending.discard(pending)
        with self._lock:
            pending.is_cancelled = True
            if self._current is pending:
                self._llama.stop()
        pending.deltas.close()

    def close(self) -> None:
        """Cancel all replies; their consumers get ProviderDown."""
        for pending in tuple(self._pending):
            self.cancel(pending)

    def _generate(self, pending: _PendingReply) -> None:
        """Generate one reply; runs in the model's thread."""
        with self._lock:
            if pending.is_cancelled:
                return
            self._current = pending
            self._llama.clear_stop()
        try:
            for delta in self._llama.generate(pending.conversation):
                pending.usage = self._llama.usage
                from_thread.run_sync(pending.deltas.send_nowait, delta, token=self._loop)
            if not pending.is_cancelled:
                pending.error = None
        except (anyio.ClosedResourceError, anyio.BrokenResourceError):
            pass  # because the consumer has gone
        except ParleyError as error:
            pending.error = error
        except (ValueError, RuntimeError) as error:
            pending.error = ProviderMisbehaved(PROVIDER, "the model could not continue")
            pending.error.__cause__ = error
        finally:
            with self._lock:
                self._current = None
            from_thread.run_sync(self._finish, pending, token=self._loop)

    def _finish(self, pending: _PendingReply) -> None:
        self._pending.discard(pending)
        pending.deltas.close()


@asynccontextmanager
async def open_embedded(
    *,
    model: Path,
    max_tokens: int = 120,
    temperature: float = 0.3,
    context_tokens: int = 1024,
    max_waiting: int = 4,
) -> AsyncIterator[EmbeddedReplies]:
    """Load and warm the model: a .gguf file, or a folder with one. Raises ModelUnavailable.

    A reply has at most `max_tokens`; `context_tokens` hold the conversation and the reply. At `temperature` 0 the most
    probable token is always taken.
    """
    load = partial(Llama, model, max_tokens=max_tokens, temperature=temperature, context_tokens=context_tokens)
    with low_priority_threads(1, "embedded-reply") as thread:
        llama = await to_thread.run_sync(load)
        replies = EmbeddedReplies(llama, thread, max_waiting=max_waiting)
        try:
            await to_thread.run_sync(llama.warm)
            yield replies
        finally:
            replies.close()
            with anyio.CancelScope(shield=True):
                await to_thread.run_sync(thread.shutdown)
                llama.close()
