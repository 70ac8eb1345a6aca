"""One reply to a message in text, from its first delta to its end; whoever reads it may leave at any time."""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import anyio
import anyio.lowlevel
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from app.domain.conversations.message import StoredMessage
from app.domain.dialog.conversation import Message
from app.domain.errors import ParleyError, ProviderDown
from app.domain.ports import ReplyGenerator
from app.domain.spending import TokenUsage, estimate_usage
from app.domain.tools import Tool, ToolCall, shortened
from app.runtime.supervision import report_defect

REPLY_TIMEOUT_S = 120.0
"""The longest reply."""
DELTAS_AHEAD = 512
"""Deltas that a reader may be behind; then the engine waits."""
DISCONNECTED, FAILED = "disconnected", "failed"
"""Why a reply is cut, as it is stored."""


@dataclass(slots=True)
class ReplyBill:
    """What the engines counted for one reply: several calls, where the first one failed or the model called tools."""

    engine: str = ""
    """The last of them, which wrote the reply."""
    usage: TokenUsage | None = None
    usd: float = 0.0

    def add(self, engine: str, usage: TokenUsage, usd: float) -> None:
        self.engine, self.usd = engine, self.usd + usd
        self.usage = usage if self.usage is None else self.usage + usage


@dataclass(frozen=True, slots=True)
class ClientTools:
    """Tools of the client's own: a call of one ends the reply, and the client performs it."""

    tools: Sequence[Tool]
    may_call: bool = True
    """False: the model knows them, and is to answer in text."""


@dataclass(frozen=True, slots=True)
class ChatEngine:
    """The reply engine for one message, under the budgets of its tenant."""

    generator: ReplyGenerator
    bill: ReplyBill
    """Filled in by the end of the reply."""
    max_characters: int = 8 * 4096
    """Length at which a reply is ended, for engines that ignore their own limit of tokens."""
    close: Callable[[], None] = lambda: None
    """Called once, when the reply is over."""
    places: anyio.CapacityLimiter = field(default_factory=lambda: anyio.CapacityLimiter(1))
    """Of replies that these engines generate at once for messages in text; by default none but this one."""


@dataclass(frozen=True, slots=True)
class GeneratedReply:
    """A reply as far as it was generated."""

    text: str
    engine: str
    usage: TokenUsage
    usd: float
    cancelled: str | None = None
    """Why it ended early; None: it is whole."""
    tool_calls: tuple[ToolCall, ...] = ()
    """Tools that were called for it and have answered, shortened as they are kept."""


@dataclass(frozen=True, slots=True)
class DeltaGenerated:
    text: str


@dataclass(frozen=True, slots=True)
class ToolCalled:
    """The model calls a tool; the same call comes again with its result."""

    call: ToolCall


@dataclass(frozen=True, slots=True)
class ReplyKept:
    """The end: the reply is whole, and stored where it belongs to a conversation."""

    reply: GeneratedReply
    message: StoredMessage | None


@dataclass(frozen=True, slots=True)
class ReplyBroken:
    """The end: there is no reply, or it is cut here."""

    error: Exception


RunEvent: TypeAlias = DeltaGenerated | ToolCalled | ReplyKept | ReplyBroken


@dataclass(slots=True)
class ReplyRun:
    """`run` generates, in a task of its own; `next_event` is for the one reader."""

    prompt: tuple[Message, ...]
    engine: ChatEngine
    keep: Callable[[GeneratedReply], Awaitable[StoredMessage | None]]
    """Stores what there is of the reply; called once, whatever happens. Raises a ParleyError."""
    timeout_s: float = REPLY_TIMEOUT_S
    """Waiting for a place included."""
    calls_are_whole: bool = False
    """Calls of tools are shown as the model wrote them, because the reader performs them; else as they are kept."""
    _scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    _send: MemoryObjectSendStream[RunEvent] = field(init=False)
    _receive: MemoryObjectReceiveStream[RunEvent] = field(init=False)
    _text: str = ""
    _tool_calls: tuple[ToolCall, ...] = ()

    def __post_init__(self) -> None:
        self._send, self._receive = anyio.create_memory_object_stream[RunEvent](DELTAS_AHEAD)

    async def next_event(self, timeout_s: float | None = None) -> RunEvent | None:
        """The next event; None where there is none yet after so long. The last one is a ReplyKept or ReplyBroken."""
        with anyio.move_on_after(timeout_s):
            return await self._receive.receive()
        return None

    async def finished(self) -> ReplyKept:
        """Read to the end. Raises why the reply is broken; cancelled, it leaves."""
        try:
            while True:
                match await self.next_event():
                    case ReplyKept() as kept:
                        return kept
                    case ReplyBroken(error):
                        raise error
                    case _:
                        pass
        finally:
            self.leave()

    def leave(self) -> None:
        """Nobody reads any more: where it still goes on, generation stops, and what there is of the reply is kept."""
        self._scope.cancel()
        self._receive.close()

    async def run(self) -> None:
        """Generate and keep the reply. Raises nothing; cancelled, it keeps what there is."""
        with self._send:
            try:
                end: ReplyKept | ReplyBroken = await self._result()
            except ParleyError as error:
                end = ReplyBroken(error)
            except Exception as error:  # noqa: BLE001 because one defective reply must not end the others
                report_defect("reply", error)
                end = ReplyBroken(error)
            finally:
                self.engine.close()
            with suppress(anyio.BrokenResourceError):  # because the reader may have left
                await self._send.send(end)

    async def _result(self) -> ReplyKept | ReplyBroken:
        failure: ParleyError | None = None
        cancelled: str | None = DISCONNECTED
        try:
            with self._scope, anyio.fail_after(self.timeout_s):
                async with self.engine.places:
                    await self._generate()
                cancelled = None
        except TimeoutError:
            cancelled = FAILED
            failure = ProviderDown("replies", f"the reply took longer than {self.timeout_s:g} s")
        except ParleyError as error:
            cancelled, failure = FAILED, error
        except Exception:  # because a defect, too, marks the reply as cut before it goes on to `run`
            cancelled = FAILED
            raise
        finally:
            with anyio.CancelScope(shield=True):
                reply = self._reply(cancelled)
                message = await self.keep(reply)
        return ReplyBroken(failure) if failure else ReplyKept(reply, message)

    async def _generate(self) -> None:
        left = self.engine.max_characters
        async with aclosing(self.engine.generator.reply(self.prompt)) as deltas:
            async for delta in deltas:
                if isinstance(delta, ToolCall):
                    await self._emit(ToolCalled(self._kept(delta)))
                    continue
                piece = delta[:left]
                left -= len(piece)
                self._text += piece
                await self._emit(DeltaGenerated(piece))
                if not left:
                    return

    def _kept(self, call: ToolCall) -> ToolCall:
        """The call as it is kept and shown; with its result it is part of the reply."""
        if self.calls_are_whole:
            return call
        if call.result is None:
            return replace(shortened(call), result=None)
        kept = shortened(call)
        self._tool_calls = (*self._tool_calls, kept)
        return kept

    async def _emit(self, event: RunEvent) -> None:
        try:
            await self._send.send(event)
        except anyio.BrokenResourceError:  # the reader has left
            self._scope.cancel()
            await anyio.lowlevel.checkpoint()

    def _reply(self, cancelled: str | None) -> GeneratedReply:
        bill = self.engine.bill
        usage = bill.usage or estimate_usage(self.prompt, len(self._text))
        return GeneratedReply(self._text.strip(), bill.engine, usage, bill.usd, cancelled, self._tool_calls)
