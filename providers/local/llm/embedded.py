"""Answers with a small language model inside this process.

The model writes one answer at a time, in a thread of its own; a stated number of answers may
wait, more are refused as busy. An answer is written at the model's pace, whoever listens: its
deltas wait in a stream that holds the longest answer, so a slow listener holds up nobody.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Lock

import anyio
from anyio import from_thread, to_thread
from anyio.lowlevel import current_token
from anyio.streams.memory import MemoryObjectSendStream

from app.domain.dialog.conversation import Message
from app.domain.errors import ProviderBusy, ProviderDown, ProviderError, ProviderMisbehaved
from providers.local.llm.llama import PROVIDER, Llama
from providers.local.low_priority import yielding_threads


@dataclass(slots=True, eq=False)
class _Answer:
    """One answer on its way. It fails, unless the model gets to its end."""

    conversation: tuple[Message, ...]
    deltas: MemoryObjectSendStream[str]
    error: ProviderError | None
    is_abandoned: bool = False


class EmbeddedReplies:
    """A ReplyGenerator over one loaded model."""

    def __init__(self, llama: Llama, thread: ThreadPoolExecutor, *, max_waiting: int) -> None:
        self._llama = llama
        self._thread = thread
        self._max_waiting = max_waiting
        self._answers: set[_Answer] = set()
        self._current: _Answer | None = None
        self._guard = Lock()
        self._loop = current_token()

    async def reply(self, conversation: Sequence[Message]) -> AsyncGenerator[str, None]:
        if len(self._answers) > self._max_waiting:
            raise ProviderBusy(PROVIDER, f"{len(self._answers)} answers are on their way already")
        send, receive = anyio.create_memory_object_stream[str](self._llama.max_tokens + 1)
        answer = _Answer(tuple(conversation), send, ProviderDown(PROVIDER, "was closed"))
        self._answers.add(answer)
        try:
            self._thread.submit(self._write, answer)
            with receive:
                async for delta in receive:
                    yield delta
            if answer.error:
                raise answer.error
        finally:
            self.abandon(answer)

    def abandon(self, answer: _Answer) -> None:
        """Stop writing this answer, or never begin; an answer already written stays as it is."""
        self._answers.discard(answer)
        with self._guard:
            answer.is_abandoned = True
            if self._current is answer:
                self._llama.stop()
        answer.deltas.close()

    def close(self) -> None:
        for answer in tuple(self._answers):
            self.abandon(answer)

    def _write(self, answer: _Answer) -> None:
        """Write one answer; runs in the model's thread."""
        with self._guard:
            if answer.is_abandoned:
                return
            self._current = answer
            self._llama.may_run()
        try:
            for delta in self._llama.answer(answer.conversation):
                from_thread.run_sync(answer.deltas.send_nowait, delta, token=self._loop)
            if not answer.is_abandoned:
                answer.error = None
        except (anyio.ClosedResourceError, anyio.BrokenResourceError):
            pass  # because nobody listens any more
        except ProviderError as error:
            answer.error = error
        except (ValueError, RuntimeError) as error:
            answer.error = ProviderMisbehaved(PROVIDER, "the model could not go on")
            answer.error.__cause__ = error
        finally:
            with self._guard:
                self._current = None
            from_thread.run_sync(self._finish, answer, token=self._loop)

    def _finish(self, answer: _Answer) -> None:
        self._answers.discard(answer)
        answer.deltas.close()


@asynccontextmanager
async def open_embedded(
    *,
    model: Path,
    max_tokens: int = 120,
    temperature: float = 0.3,
    context_tokens: int = 1024,
    threads: int = 1,
    max_waiting: int = 4,
    seed: int | None = None,
) -> AsyncIterator[EmbeddedReplies]:
    """Load the model, a .gguf file or a folder with one, and say a first word to warm it."""
    load = partial(
        Llama, model, max_tokens=max_tokens, temperature=temperature, context_tokens=context_tokens,
        threads=threads, seed=seed,
    )  # fmt: skip
    with yielding_threads(1, "embedded-reply") as thread:
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
