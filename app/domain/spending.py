"""Prices of replies and speech, what a spent budget means for each of them, and the spending of the day."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from app.domain.routing.cost import Budgets, BudgetScope

CHARACTERS_PER_TOKEN = 4
"""Average in English, as OpenAI states it; used where a server does not report its count."""


@dataclass(frozen=True, slots=True)
class TokenUsage:
    """Tokens of one reply: the prompt, and what was generated."""

    prompt: int
    generated: int
    is_estimate: bool = False
    """Derived from the number of characters, because the server reported no count."""

    def __add__(self, other: "TokenUsage") -> "TokenUsage":
        """Of both calls; an estimate where either is."""
        return TokenUsage(
            self.prompt + other.prompt, self.generated + other.generated, self.is_estimate or other.is_estimate
        )


@dataclass(frozen=True, slots=True)
class TokenPrice:
    """What a reply engine charges, in US dollars per million tokens."""

    usd_per_million_prompt: float = 0.0
    usd_per_million_generated: float = 0.0

    @property
    def is_free(self) -> bool:
        return self.usd_per_million_prompt == self.usd_per_million_generated == 0

    def bill(self, usage: TokenUsage) -> float:
        prompt = usage.prompt * self.usd_per_million_prompt
        return (prompt + usage.generated * self.usd_per_million_generated) / 1e6


@dataclass(frozen=True, slots=True)
class CharacterPrice:
    """What a speech synthesizer charges, in US dollars per million characters."""

    usd_per_million: float = 0.0

    @property
    def is_free(self) -> bool:
        return self.usd_per_million == 0

    def bill(self, characters: int) -> float:
        return characters * self.usd_per_million / 1e6


class Prompted(Protocol):
    """A message of a prompt."""

    @property
    def characters(self) -> int: ...


def estimate_usage(conversation: Sequence[Prompted], generated_characters: int) -> TokenUsage:
    """Tokens by the number of characters, rounded up."""
    prompt_characters = sum(message.characters for message in conversation)
    return TokenUsage(_tokens(prompt_characters), _tokens(generated_characters), is_estimate=True)


def _tokens(characters: int) -> int:
    return -(-characters // CHARACTERS_PER_TOKEN)


_BUDGETS = {
    BudgetScope.SESSION: "this session's budget",
    BudgetScope.TENANT: "this tenant's budget of the day",
    BudgetScope.DAY: "the service's budget of the day",
}


def budget_sentence(scope: BudgetScope, consequence: str) -> str:
    """For the client: which budget is spent, and what follows from it."""
    return f"{_BUDGETS[scope]} is spent: {consequence}"


@dataclass(frozen=True, slots=True)
class TenantSpending:
    """What one tenant has spent today, and may spend."""

    tenant: str
    usd: float
    budget_usd: float | None
    """None: no limit of its own."""

    @property
    def remaining_usd(self) -> float | None:
        return remaining(self.usd, self.budget_usd)


def remaining(usd: float, budget_usd: float | None) -> float | None:
    """What is left of a budget, never less than nothing; None where there is no limit."""
    return None if budget_usd is None else max(0.0, budget_usd - usd)


def spending_by_tenant(
    spent: Mapping[str, float], budgets: Budgets, own_budgets: Mapping[str, float | None]
) -> tuple[TenantSpending, ...]:
    """Every tenant that is configured or has spent, the one that spent most first.

    `spent` has the service's own spending under the empty name; it has no tenant's budget, and is left out.
    """
    names = sorted((own_budgets.keys() | spent.keys()) - {""}, key=lambda name: (-spent.get(name, 0.0), name))
    return tuple(
        TenantSpending(name, spent.get(name, 0.0), budgets.for_tenant(own_budgets.get(name)).tenant) for name in names
    )
