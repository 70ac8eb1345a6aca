"""Replies from several engines in an order: timeouts, failover, budgets, and what is no part of a reply."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field

import anyio
import structlog

from app.domain.dialog.conversation import Message, Role
from app.domain.dialog.reply_text import ReplyText
from app.domain.errors import (
    ParleyError,
    ProviderDown,
    ProviderMisbehaved,
    RequestRefused,
)
from app.domain.ports import UsageReporting
from app.domain.routing.cost import BudgetScope
from app.domain.routing.engine_failover import FailedCall, next_call
from app.domain.spending import CHARACTERS_PER_TOKEN, TokenPrice, TokenUsage, estimate_usage
from app.domain.tools import ToolCall
from app.runtime.routing.engine_health import EngineHealth
from app.runtime.routing.session_budget import SessionBudget
from app.runtime.supervision import report_defect

NO_REPLY = "there is no reply"
PROBE = (Message(Role.USER, "Answer with the word yes."),)

_log = structlog.get_logger("parley.replies")


@dataclass(frozen=True, slots=True)
class ReplyTimeouts:
    first_token_s: float = 15.0
    """From the request to the first text of the reply, thinking included."""
    token_s: float = 5.0
    """Between two texts."""


@dataclass(frozen=True, slots=True)
class ReplyEngine:
    """An open reply engine and what it costs."""

    name: str
    generator: UsageReporting
    price: TokenPrice = TokenPrice()
    timeouts: ReplyTimeouts = ReplyTimeouts()
    max_tokens: int = 120
    """Longest reply: reserved when one begins."""
    is_reserve: bool = False
    """It serves only once a budget is spent."""
    is_repeatable: bool = True
    """False: it may act on what it is asked, so it is never asked the same again."""


@dataclass(frozen=True, slots=True)
class ReplyPool:
    """The reply engines, in their order; shared by all sessions."""

    engines: Sequence[ReplyEngine]
    health: EngineHealth
    begins_thinking: set[str] = field(default_factory=set)
    """Engines whose output was seen to begin inside of thinking."""

    def order(self, exhausted: BudgetScope | None) -> Sequence[str]:
        """Raises BudgetExhausted where a budget is spent and every engine costs money."""
        return self.health.order(self.engines, exhausted, NO_REPLY)


async def probe_engine(engine: ReplyEngine, budget: SessionBudget) -> bool:
    """Read the first text of a reply that nobody gets. False where it costs money and the budget is spent.

    Raises a ProviderError or RequestRefused.
    """
    if not engine.price.is_free and budget.exhausted() is not None:
        return False
    usage = TokenUsage(0, 0)

    def accept(counted: TokenUsage) -> None:
        nonlocal usage
        usage = counted

    try:
        async with aclosing(engine.generator.reply(PROBE, report_usage=accept)) as deltas:
            await anext(deltas)
    finally:
        budget.charge_probe(engine.name, engine.price.bill(usage))
    return True


@dataclass(frozen=True, slots=True)
class FailoverReplies:
    """A ReplyGenerator of one session: the first engine that gives a text writes the reply.

    Nothing is asked twice once a text has been passed on, because the user would be told the beginning again: an engine
    that fails behind it fails the reply.
    """

    pool: ReplyPool
    budget: SessionBudget

    async def reply(self, conversation: Sequence[Message]) -> AsyncGenerator[str | ToolCall, None]:
        """The reply without thinking and control tokens. Raises a ProviderError, RequestRefused or BudgetExhausted."""
        engines = {each.name: each for each in self.pool.engines}
        order = self.pool.order(self.budget.exhausted())
        never_repeat = {each.name for each in self.pool.engines if not each.is_repeatable}
        failed: list[FailedCall] = []
        while call := next_call(order, failed, never_repeat=never_repeat):
            await anyio.sleep(call.after_s)
            began, is_begun = anyio.current_time(), False
            try:
                async with aclosing(ReplyCall(self, engines[call.engine], conversation).parts()) as parts:
                    async for part in parts:
                        is_begun = True
                        yield part
            except ParleyError as error:
                failed.append(FailedCall(call.engine, error, anyio.current_time() - began))
                following = None if is_begun else next_call(order, failed, never_repeat=never_repeat)
                if following is None:
                    raise
                code = getattr(error, "code", "internal_error")
                _log.warning("reply engine failed", engine=call.engine, code=code, next=following.engine)
            else:
                return


@dataclass(slots=True)
class ReplyCall:
    """One engine at work on one reply."""

    replies: FailoverReplies
    engine: ReplyEngine
    conversation: Sequence[Message]
    text: ReplyText = field(init=False)
    began: float = field(default_factory=anyio.current_time)
    first_ms: float | None = None
    """From the call to the first text."""
    characters: int = 0
    """Received, thinking included."""
    usage: TokenUsage | None = None
    error: ParleyError | None = None

    def __post_init__(self) -> None:
        self.text = ReplyText(begins_thinking=self.engine.name in self.replies.pool.begins_thinking)

    async def parts(self) -> AsyncGenerator[str | ToolCall, None]:
        """The text that is part of the reply, and calls of tools. Raises a ProviderError, or RequestRefused."""
        longest = estimate_usage(self.conversation, self.engine.max_tokens * CHARACTERS_PER_TOKEN)
        reservation = self.replies.budget.reserve(self.engine.price.bill(longest))
        try:
            async with aclosing(self._deltas()) as deltas:
                async for delta in deltas:
                    if isinstance(delta, ToolCall):
                        self._count_first()
                        yield delta
                        continue
                    self.text, shown = self.text.push(delta)
                    if shown:
                        yield self._counted(shown)
                    if self.text.is_over:
                        break
            if rest := self.text.finish():
                yield self._counted(rest)
            self._check()
        except ParleyError as error:
            self.error = error
            raise
        except Exception as error:
            report_defect("reply_engine", error, engine=self.engine.name)
            self.error = ProviderMisbehaved(self.engine.name, "raised an unexpected error")
            raise self.error from error
        finally:
            usage = self._final_usage()
            reservation.settle(self.engine.price.bill(usage))
            if usage.prompt or usage.generated:
                self.replies.budget.record_reply(self.engine.name, usage, reservation.usd)
            self._report_health()

    async def _deltas(self) -> AsyncGenerator[str | ToolCall, None]:
        """What the engine generates, under the timeouts."""
        timeouts = self.engine.timeouts
        generated = self.engine.generator.reply(self.conversation, report_usage=self._accept_usage)
        async with aclosing(generated) as deltas:
            while True:
                now = anyio.current_time()
                due = self.began + timeouts.first_token_s if self.first_ms is None else now + timeouts.token_s
                try:
                    with anyio.fail_after(due - now):
                        delta = await anext(deltas, None)
                except TimeoutError as error:
                    raise ProviderDown(self.engine.name, "went silent") from error
                if delta is None:
                    return
                self.characters += len(delta.arguments if isinstance(delta, ToolCall) else delta)
                yield delta

    def _check(self) -> None:
        if self.first_ms is None:
            what = "used its whole answer for thinking" if self.text.has_thought else "answered with nothing"
            raise ProviderMisbehaved(self.engine.name, what)

    def _counted(self, text: str) -> str:
        self._count_first()
        return text

    def _count_first(self) -> None:
        if self.first_ms is None:
            self.first_ms = (anyio.current_time() - self.began) * 1000

    def _accept_usage(self, usage: TokenUsage) -> None:
        self.usage = usage

    def _final_usage(self) -> TokenUsage:
        """As the engine reported it, or an estimate; nothing for a call that failed before anything came."""
        if self.usage is not None:
            return self.usage
        if self.error is not None and not self.characters:
            return TokenUsage(0, 0)
        return estimate_usage(self.conversation, self.characters)

    def _report_health(self) -> None:
        pool, name = self.replies.pool, self.engine.name
        if self.text.lacks_opening and name not in pool.begins_thinking:
            pool.begins_thinking.add(name)
            _log.warning(
                "thinking without an opening tag; replies now wait for its end: turn on the server's reasoning parser",
                engine=name,
            )
        if self.error is not None and not isinstance(self.error, RequestRefused):
            pool.health.failed(name)
        elif self.first_ms is not None:
            pool.health.answered(name, self.first_ms)
        elif self.error is None:
            pool.health.abandoned(name, (anyio.current_time() - self.began) * 1000)
