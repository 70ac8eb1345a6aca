"""Paid reply engines and synthesizers under a session's budgets: each use is counted; none once a budget is spent."""

from collections.abc import AsyncGenerator, AsyncIterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from app.domain.audio import AudioChunk
from app.domain.dialog.conversation import Message
from app.domain.errors import BudgetExhausted, ParleyError
from app.domain.ports import ReplyGenerator, SpeechSynthesizer, UsageReporting
from app.domain.routing.decision import ExpenseKind
from app.domain.spending import (
    CHARACTERS_PER_TOKEN,
    CharacterPrice,
    EngineChoice,
    TokenPrice,
    TokenUsage,
    budget_sentence,
    choose_engine,
    estimate_usage,
)
from app.runtime.routing.session_budget import SessionBudget

NO_REPLY = "there is no reply"
TEXT_ONLY = "replies are text only"
NOT_SPOKEN = "this text is not spoken"


@dataclass(frozen=True, slots=True)
class BudgetedReplies:
    """A ReplyGenerator: the paid engine while the budgets last, then the free one; without one BudgetExhausted."""

    provider: str
    paid: UsageReporting
    price: TokenPrice
    max_tokens: int
    """Longest reply: reserved when one begins."""
    budget: SessionBudget
    free: ReplyGenerator | None = None

    async def reply(self, conversation: Sequence[Message]) -> AsyncGenerator[str, None]:
        exhausted = self.budget.exhausted()
        match choose_engine(exhausted, has_free=self.free is not None):
            case EngineChoice.PAID:
                deltas = self._paid(conversation)
            case EngineChoice.FREE:
                assert self.free is not None
                deltas = self.free.reply(conversation)
            case EngineChoice.NONE:
                assert exhausted is not None
                raise BudgetExhausted(budget_sentence(exhausted, NO_REPLY))
        async with aclosing(deltas):
            async for delta in deltas:
                yield delta

    async def _paid(self, conversation: Sequence[Message]) -> AsyncGenerator[str, None]:
        usage = list[TokenUsage]()
        characters, failed = 0, False
        longest = estimate_usage(conversation, self.max_tokens * CHARACTERS_PER_TOKEN)
        reservation = self.budget.reserve(self.price.bill(longest))
        try:
            async with aclosing(self.paid.reply(conversation, report_usage=usage.append)) as deltas:
                async for delta in deltas:
                    characters += len(delta)
                    yield delta
        except ParleyError:
            failed = True
            raise
        finally:
            if usage:
                counted = usage[-1]
            elif failed and not characters:
                counted = TokenUsage(0, 0)
            else:  # cut off before the count arrived, or the server sends none
                counted = estimate_usage(conversation, characters)
            reservation.settle(self.price.bill(counted))
            kind = ExpenseKind.REPLY_ESTIMATE if counted.is_estimate else ExpenseKind.REPLY
            self.budget.record(self.provider, kind, reservation.usd)


@dataclass(frozen=True, slots=True)
class BudgetedSpeech:
    """A SpeechSynthesizer: the paid engine while the budgets last, then the free one; without one BudgetExhausted."""

    provider: str
    paid: SpeechSynthesizer
    price: CharacterPrice
    budget: SessionBudget
    free: SpeechSynthesizer | None = None

    async def synthesize(
        self, text: AsyncIterable[str], *, voice: str | None = None
    ) -> AsyncGenerator[AudioChunk, None]:
        exhausted = self.budget.exhausted()
        match choose_engine(exhausted, has_free=self.free is not None):
            case EngineChoice.PAID:
                speech = self._paid(text, voice)
            case EngineChoice.FREE:
                assert self.free is not None
                speech = self.free.synthesize(text)  # because the voice is one of the paid engine's
            case EngineChoice.NONE:
                assert exhausted is not None
                raise BudgetExhausted(budget_sentence(exhausted, TEXT_ONLY))
        async with aclosing(speech):
            async for chunk in speech:
                yield chunk

    async def _paid(self, text: AsyncIterable[str], voice: str | None) -> AsyncGenerator[AudioChunk, None]:
        characters, reservation = 0, self.budget.reserve(0.0)

        async def counted() -> AsyncGenerator[str, None]:
            nonlocal characters
            async for piece in text:
                characters += len(piece)
                reservation.settle(self.price.bill(characters))
                yield piece

        try:
            async with aclosing(counted()) as pieces, aclosing(self.paid.synthesize(pieces, voice=voice)) as speech:
                async for chunk in speech:
                    yield chunk
        finally:
            self.budget.record(self.provider, ExpenseKind.SPEECH, reservation.usd)

    def error(self) -> BudgetExhausted | None:
        """Why a text of the client's choice is not spoken now; None where it may be."""
        return None if self.free is not None else self.budget.error(NOT_SPOKEN)
