"""Replies from several engines: which one writes, what of its output is passed on, what is recorded."""

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field

import anyio
import pytest
from structlog.testing import capture_logs

from app.domain.dialog import effects as do
from app.domain.dialog.conversation import Message, Role
from app.domain.errors import (
    AnswerWithheld,
    ParleyError,
    ProviderBusy,
    ProviderDown,
    ProviderMisbehaved,
    ProviderRefused,
    RequestRefused,
)
from app.domain.routing.circuit_breaker import BreakerState, CircuitBreakerRules
from app.domain.spending import TokenPrice, TokenUsage
from app.runtime.routing.reply_failover import PROBE, FailoverReplies, ReplyEngine, ReplyTimeouts, probe_engine
from app.runtime.supervision import defects
from tests.fakes import Browser
from tests.reply_engines import Wallet, health_of
from tests.unit.test_session import TURN, SessionUnderTest

pytestmark = pytest.mark.anyio

QUESTION = (Message(Role.USER, "When?"),)
DOWN = ProviderDown("a", "asked to fail")


@dataclass
class FaultyGenerator:
    """Gives its deltas, then its error, its defect, silence or its end."""

    deltas: Sequence[str] = ("At ", "noon.")
    error: Exception | None = None
    stalls: bool = False
    fails_first: int = 1000
    """So many calls fail, later ones give "At noon."."""
    usage: TokenUsage | None = None
    asked: list[Sequence[Message]] = field(default_factory=list)
    closed: int = 0

    async def reply(
        self, conversation: Sequence[Message], *, report_usage: Callable[[TokenUsage], None]
    ) -> AsyncGenerator[str, None]:
        self.asked.append(conversation)
        is_faulty = len(self.asked) <= self.fails_first
        try:
            for delta in self.deltas if is_faulty else ("At noon.",):
                yield delta
            if self.stalls and is_faulty:
                await anyio.sleep_forever()
            if self.error and is_faulty:
                raise self.error
        finally:
            self.closed += 1
            if self.usage:
                report_usage(self.usage)


def engine(name: str, generator: FaultyGenerator, **options) -> ReplyEngine:
    return ReplyEngine(name, generator, timeouts=ReplyTimeouts(0.05, 0.05), **options)


async def written(replies: FailoverReplies) -> str:
    async with aclosing(replies.reply(QUESTION)) as texts:
        return "".join([text async for text in texts])


# -- failover --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "first",
    [
        FaultyGenerator((), DOWN),
        FaultyGenerator((), ProviderRefused("a", "quota")),
        FaultyGenerator((), ProviderMisbehaved("a", "nonsense")),
        FaultyGenerator((), RequestRefused("a", "too long")),
        FaultyGenerator((), KeyError("a defect")),
        FaultyGenerator((), stalls=True),
        FaultyGenerator(()),
        FaultyGenerator(("  ", "\n")),
        FaultyGenerator(("<think>", "Hm.")),
        FaultyGenerator(("<think>Hm.</think>\n",), DOWN),
        FaultyGenerator(("<think>Hm.",), stalls=True),
        FaultyGenerator((" ",), DOWN),
    ],
)
async def test_an_engine_that_fails_before_its_first_text_is_followed_by_the_next(first):
    """Whatever the fault: nothing of it is passed on, and it is closed before the next is asked."""
    second = FaultyGenerator()

    with capture_logs() as lines:
        assert await written(Wallet().replies(engine("a", first), engine("b", second))) == "At noon."

    assert (len(first.asked), first.closed, second.asked) == (1, 1, [QUESTION])
    assert [line["next"] for line in lines if line["event"] == "reply engine failed"] == ["b"]


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (FaultyGenerator(("At ",), DOWN), ProviderDown),
        (FaultyGenerator(("At ",), stalls=True), ProviderDown),
        (FaultyGenerator(("At ",), KeyError("a defect")), ProviderMisbehaved),
        (FaultyGenerator(("At <think>Hm.",), ProviderBusy("a", "asked to fail")), ProviderBusy),
    ],
)
async def test_an_engine_that_fails_behind_its_first_text_fails_the_reply(fault, kind):
    """The user would be told the beginning twice."""
    second = FaultyGenerator()

    async with aclosing(Wallet().replies(engine("a", fault), engine("b", second)).reply(QUESTION)) as texts:
        assert await anext(texts) == "At "
        with pytest.raises(kind):
            await anext(texts)

    assert second.asked == []


async def test_the_error_of_the_last_engine_is_raised_where_all_fail():
    gone = ProviderRefused("b", "quota")

    with pytest.raises(ProviderRefused):
        await written(Wallet().replies(engine("a", FaultyGenerator((), DOWN)), engine("b", FaultyGenerator((), gone))))


async def test_the_only_engine_is_asked_once_more():
    """A kept connection may have been closed by the server in the meantime."""
    generator = FaultyGenerator((), DOWN, fails_first=1)

    assert await written(Wallet().replies(engine("a", generator))) == "At noon."

    assert len(generator.asked) == 2


async def test_an_engine_that_may_act_on_what_it_is_asked_is_asked_once():
    generator = FaultyGenerator((), DOWN)

    with pytest.raises(ProviderDown):
        await written(Wallet().replies(engine("a", generator, is_repeatable=False)))

    assert len(generator.asked) == 1


async def test_an_answer_withheld_by_one_engine_is_not_asked_of_another():
    second = FaultyGenerator()

    with pytest.raises(AnswerWithheld):
        withheld = FaultyGenerator((), AnswerWithheld("a", "held back its answer"))
        await written(Wallet().replies(engine("a", withheld), engine("b", second)))

    assert second.asked == []


async def test_a_defect_of_an_engine_is_counted_and_named():
    before = defects["reply_engine"]

    with pytest.raises(ProviderMisbehaved, match="a: raised an unexpected error"):
        await written(Wallet().replies(engine("a", FaultyGenerator((), KeyError("x")))))

    assert defects["reply_engine"] == before + 1


# -- circuit breaker -------------------------------------------------------------------------


async def test_an_engine_that_keeps_failing_is_passed_over():
    """After three failures in three replies the second engine is asked first."""
    first, second = FaultyGenerator((), DOWN), FaultyGenerator()
    engines = (engine("a", first), engine("b", second))
    replies = Wallet().replies(*engines)

    for _ in range(5):
        assert await written(replies) == "At noon."

    assert (len(first.asked), len(second.asked)) == (3, 5)
    assert replies.pool.health.state("a") is BreakerState.OPEN


async def test_an_engine_that_breaks_off_its_replies_is_passed_over():
    """Its first words came soon, and the reply failed all the same."""
    engines = (engine("a", FaultyGenerator(("At ",), DOWN)), engine("b", FaultyGenerator()))
    replies = Wallet().replies(*engines)
    for _ in range(3):
        with pytest.raises(ProviderDown):
            await written(replies)

    assert await written(replies) == "At noon."


async def test_a_request_that_is_refused_says_nothing_about_the_engine():
    replies = Wallet().replies(engine("a", FaultyGenerator((), RequestRefused("a", "too long"))))
    for _ in range(4):
        with pytest.raises(RequestRefused):
            await written(replies)

    assert replies.pool.health.state("a") is BreakerState.CLOSED


async def test_users_who_interrupt_a_silent_engine_do_not_keep_it_in_use():
    """Nobody waits for its timeout; it was slow."""
    engines = (ReplyEngine("a", FaultyGenerator((), stalls=True)),)
    replies = Wallet().replies(*engines, health=health_of(engines, CircuitBreakerRules(slow_ms=1)))
    for _ in range(3):
        with anyio.move_on_after(0.05):
            await written(replies)

    assert replies.pool.health.state("a") is BreakerState.OPEN


async def test_a_probe_reads_one_text_and_is_an_expense_of_the_service():
    """Nobody gets it; the engine is closed behind it."""
    wallet, generator = Wallet(), FaultyGenerator(usage=TokenUsage(8, 1))

    assert await probe_engine(engine("a", generator, price=TokenPrice(1e6, 1e6)), wallet.budget)

    assert (generator.asked, generator.closed) == ([PROBE], 1)
    assert [(e.route, e.kind, e.usd) for e in wallet.expenses] == [("a", "probe", 9)]


async def test_an_engine_that_costs_money_is_not_probed_once_the_budget_is_spent():
    generator = FaultyGenerator()

    assert not await probe_engine(engine("a", generator, price=TokenPrice(1, 1)), Wallet(usd=0).budget)

    assert generator.asked == []


# -- what is passed on -----------------------------------------------------------------------


async def test_thinking_is_neither_passed_on_nor_kept():
    """Tags that are split over deltas, in a session: not shown, not spoken, not in the manifest, not in the history."""
    generator = FaultyGenerator(("<th", "ink>The user wants", " the time.</thi", "nk>\n\nAt ", "noon.<|im_end|>", "x"))
    session = SessionUnderTest(generator=Wallet().replies(engine("a", generator)))

    browser = await session.run(Browser(*TURN, do.ShowReply))

    assert "".join(delta.text for delta in browser.got(do.ShowReplyDelta)) == "At noon."
    assert browser.got(do.ShowReply) == [do.ShowReply(1, "At noon.")]
    assert session.synthesizer.spoken == ["At noon."]
    assert [reply["text"] for reply in session.manifest["replies"]] == ["At noon."]


async def test_a_reply_that_is_only_thinking_ends_with_an_error():
    """It is over, with a reason, and not waited for."""
    session = SessionUnderTest(generator=Wallet().replies(engine("a", FaultyGenerator(("<think>Hm.",)))))

    browser = await session.run(Browser(*TURN, do.ShowReplyCancelled))

    assert [str(shown.error) for shown in browser.got(do.ShowError)] == ["a: used its whole answer for thinking"]
    assert browser.got(do.ShowReplyDelta) == []


async def test_an_engine_that_thinks_without_an_opening_tag_is_remembered():
    """What was passed on before the closing tag cannot be taken back; the next reply is held until then."""
    generator = FaultyGenerator(("Hm, the time. ", "</think>", "At noon."))
    replies = Wallet().replies(engine("a", generator))

    with capture_logs() as lines:
        assert await written(replies) == "Hm, the time. At noon."
        assert await written(replies) == "At noon."

    assert len([line for line in lines if "reasoning parser" in line["event"]]) == 1


async def test_a_reply_ends_at_the_control_token_that_ends_it():
    """The rest is not waited for."""
    generator = FaultyGenerator(("At noon.<|eot_id|>",), stalls=True)

    assert await written(Wallet().replies(engine("a", generator))) == "At noon."
    assert generator.closed == 1


# -- what is recorded ------------------------------------------------------------------------


async def test_each_call_of_an_engine_is_recorded_with_its_tokens():
    """Also where it failed, and where it costs nothing."""
    wallet = Wallet()
    thinking = FaultyGenerator(("<think>Hm.",), DOWN, usage=TokenUsage(90, 40))
    first = engine("a", thinking, price=TokenPrice(1e6, 2e6))
    free = engine("b", FaultyGenerator(usage=TokenUsage(90, 3)))

    await written(wallet.replies(first, free))

    assert [(e.route, e.kind, e.usd, e.prompt_tokens, e.generated_tokens) for e in wallet.expenses] == [
        ("a", "reply", 170, 90, 40),
        ("b", "reply", 0, 90, 3),
    ]
    assert wallet.spent == 170


async def test_an_engine_that_reports_no_tokens_is_estimated_thinking_included():
    wallet = Wallet()

    await written(wallet.replies(engine("a", FaultyGenerator(("<think>12345678</think>", "four")))))

    assert [(e.kind, e.prompt_tokens, e.generated_tokens) for e in wallet.expenses] == [("reply_estimate", 2, 7)]


async def test_a_call_that_never_began_is_not_recorded():
    wallet = Wallet()

    with pytest.raises(ParleyError):
        await written(wallet.replies(engine("a", FaultyGenerator((), ProviderRefused("a", "no such key")))))

    assert (wallet.expenses, wallet.spent) == ([], 0)
