"""Prices of replies and speech, the choice of an engine by budget, and the ledger: pure and in memory."""

import pytest

from app.assembly.prices import OPENAI_MODELS, listed_price, reply_price, speech_price
from app.assembly.replies import describe_replies
from app.config import Settings
from app.domain.dialog.conversation import Message, Role
from app.domain.routing.cost import Budgets, BudgetScope, Spent
from app.domain.spending import (
    CharacterPrice,
    TenantSpending,
    TokenPrice,
    TokenUsage,
    budget_sentence,
    estimate_usage,
    spending_by_tenant,
)
from app.runtime.routing.ledger import SpendLedger

DAY, NEXT_DAY = "2026-01-02", "2026-01-03"


# -- prices ----------------------------------------------------------------------------------


def test_a_reply_is_billed_by_its_tokens():
    """Prompt and generated tokens have prices of their own, per million."""
    price = TokenPrice(0.15, 0.60)

    assert price.bill(TokenUsage(1_000_000, 500_000)) == pytest.approx(0.45)
    assert TokenPrice().is_free
    assert not TokenPrice(0, 1).is_free


def test_speech_is_billed_by_its_characters():
    """4000 characters of a neural voice cost 6.4 cents."""
    assert CharacterPrice(16).bill(4000) == pytest.approx(0.064)


def test_usage_without_a_count_is_an_estimate_by_characters():
    """Four characters a token, rounded up, and marked as an estimate."""
    usage = estimate_usage((Message(Role.SYSTEM, "12345"), Message(Role.USER, "6789")), 7)

    assert usage == TokenUsage(3, 2, is_estimate=True)


@pytest.mark.parametrize(
    ("model", "price"),
    [
        ("gpt-4o-mini", TokenPrice(0.15, 0.60)),
        ("gpt-4o-mini-2024-07-18", TokenPrice(0.15, 0.60)),
        ("gpt-4o-2024-08-06", TokenPrice(2.50, 10.00)),
        ("gpt-4o-realtime", None),
        ("gpt-9", None),
    ],
)
def test_list_price_of_a_model_of_openai(model, price):
    """A dated version costs what its model costs; the price of another model is never taken for it."""
    assert listed_price(model) == price


@pytest.mark.parametrize(
    ("given", "provider", "price"),
    [
        ({}, "openai", OPENAI_MODELS["gpt-4o-mini"]),
        ({"openai_model": "gpt-9"}, "openai", TokenPrice(15, 120)),
        ({"reply_usd_per_million_prompt_tokens": 0.1}, "openai", TokenPrice(0.1, 0.60)),
        ({"openai_base_url": "http://10.0.0.7/v1"}, "openai", TokenPrice()),
        (
            {
                "openai_base_url": "https://api.example/v1",
                "reply_usd_per_million_prompt_tokens": 1,
                "reply_usd_per_million_generated_tokens": 2,
            },
            "openai",
            TokenPrice(1, 2),
        ),
        ({"reply_usd_per_million_prompt_tokens": 1}, "ollama", TokenPrice()),
        ({}, "embedded", TokenPrice()),
    ],
)
def test_price_of_replies(given, provider, price):
    """A setting wins; an unknown model of OpenAI costs the highest price; other servers and local models are free."""
    assert reply_price(Settings(**given), provider) == price


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "gpt-4o-mini at https://api.openai.com/v1, $0.15 and $0.6 per million tokens"),
        ({"openai_model": "gpt-9"}, "gpt-9 at https://api.openai.com/v1, $15 and $120 per million tokens (assumed)"),
        ({"openai_base_url": "http://10.0.0.7/v1"}, "gpt-4o-mini at http://10.0.0.7/v1"),
    ],
)
def test_the_price_in_force_is_shown(given, words):
    """At the start and in `/health`; one that is assumed says so."""
    assert describe_replies(Settings(**given), ["openai"]) == words


def test_price_of_speech():
    """Piper is free; Polly has a price for each kind of voice, unless it is set."""
    assert speech_price(Settings(), "piper").is_free
    assert speech_price(Settings(), "polly") == CharacterPrice(16)
    assert speech_price(Settings(polly_engine="standard"), "polly") == CharacterPrice(4)
    assert speech_price(Settings(speech_usd_per_million_characters=9), "polly") == CharacterPrice(9)


def test_the_sentence_names_the_budget_and_the_consequence():
    """It is for the client, so it says whose budget and what follows."""
    assert budget_sentence(BudgetScope.TENANT, "there is no reply") == (
        "this tenant's budget of the day is spent: there is no reply"
    )


def test_a_tenants_own_budget_replaces_that_of_the_rules():
    """The others stay."""
    assert Budgets(1, 2, 3).for_tenant(9) == Budgets(1, 9, 3)
    assert Budgets(1, 2, 3).for_tenant(None) == Budgets(1, 2, 3)


def test_spending_of_each_tenant_against_its_budget():
    """Own budget or that of the rules; whoever spent most comes first; the service's own spending has no line."""
    lines = spending_by_tenant({"u": 3.0, "t": 1.0, "": 9.0}, Budgets(tenant=2.0, day=99.0), {"t": 5.0, "idle": None})

    assert lines == (
        TenantSpending("u", 3.0, 2.0),
        TenantSpending("t", 1.0, 5.0),
        TenantSpending("idle", 0.0, 2.0),
    )
    assert [line.remaining_usd for line in lines] == [0.0, 4.0, 2.0]
    assert TenantSpending("t", 1.0, None).remaining_usd is None


# -- ledger ----------------------------------------------------------------------------------


def test_a_reservation_counts_as_spent_until_it_is_settled():
    """Afterwards what it cost counts."""
    ledger = SpendLedger(lambda: DAY)

    reservation = ledger.reserve("s", "t", 1.0)
    reserved = ledger.spent("s", "t")
    reservation.settle(0.25)

    assert reserved == Spent(1.0, 1.0, 1.0)
    assert ledger.spent("s", "t") == Spent(0.25, 0.25, 0.25)


def test_a_reservation_is_settled_on_the_day_it_was_made():
    """Settled after midnight it takes nothing from the next day."""
    days = [DAY]
    ledger = SpendLedger(lambda: days[-1])
    reservation = ledger.reserve("s", "t", 1.0)

    days.append(NEXT_DAY)
    reservation.settle(0.25)

    assert ledger.spent("s", "t") == Spent(0.25, 0.0, 0.0)
    days.append(DAY)
    assert ledger.spent("s", "t") == Spent(0.25, 0.25, 0.25)


def test_a_clock_that_jumps_over_midnight_and_back_clears_nothing():
    """Each day keeps its count."""
    day = DAY
    ledger = SpendLedger(lambda: day)
    ledger.add("", "t", 1.0)

    day = NEXT_DAY
    ledger.add("", "t", 0.5)
    after = ledger.spent("", "t").tenant
    day = DAY
    ledger.add("", "t", 2.0)

    assert after == 0.5
    assert ledger.spent("", "t").tenant == 3.0
    day = NEXT_DAY
    assert ledger.spent("", "t").tenant == 0.5


def test_the_ledger_keeps_few_days():
    """A process that runs for months does not grow."""
    days = [f"day {number:03}" for number in range(100)]
    ledger = SpendLedger(iter(days).__next__)

    for _ in days:
        ledger.add("", "t", 1.0)

    assert list(ledger.own) == ["day 097", "day 098", "day 099"]


def test_a_session_that_ended_is_not_counted_again():
    """What is settled late goes to its tenant and day alone."""
    ledger = SpendLedger(lambda: DAY)
    reservation = ledger.reserve("s", "t", 1.0)

    ledger.close("s")
    reservation.settle(0.5)

    assert ledger.sessions == {}
    assert ledger.spent("s", "t") == Spent(0.0, 0.5, 0.5)


def test_spending_of_other_processes_counts():
    """Own and others' together are the day's."""
    ledger = SpendLedger(lambda: DAY)
    ledger.add("s", "t", 1.0)

    ledger.read_others(DAY, {"t": 2.0, "u": 4.0})

    assert ledger.spent("s", "t") == Spent(1.0, 3.0, 7.0)
    assert ledger.spent_by_tenant() == {"t": 3.0, "u": 4.0}
