"""Replies and speech under budgets: what they cost is reserved, settled and recorded; a spent budget refuses them."""

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass

import pytest

from app.domain.audio import AudioChunk
from app.domain.dialog import effects as do
from app.domain.dialog import events as ev
from app.domain.dialog.conversation import Message, Role
from app.domain.errors import BudgetExhausted, ParleyError, ProviderDown
from app.domain.spending import CharacterPrice, TokenPrice, TokenUsage
from app.runtime.dialog.session import SAY_BURST
from app.runtime.routing.reply_failover import ReplyEngine
from app.runtime.routing.speech_failover import FailoverSpeech, Voice
from tests.fakes import Browser, ScriptedGenerator, ScriptedSynthesizer
from tests.reply_engines import Wallet
from tests.unit.test_session import TURN, SessionUnderTest

pytestmark = pytest.mark.anyio

PROMPT = (Message(Role.USER, "x" * 400),)
"""100 tokens, by its characters."""
A_DOLLAR_A_TOKEN = TokenPrice(1e6, 1e6)
A_DOLLAR_A_CHARACTER = CharacterPrice(1e6)


@dataclass
class CountingGenerator:
    """Answers with its deltas, then reports its usage, where it has one, and raises its error, where it has one."""

    deltas: Sequence[str] = ("Four", "four")
    usage: TokenUsage | None = None
    error: ParleyError | None = None

    async def reply(
        self, conversation: Sequence[Message], *, report_usage: Callable[[TokenUsage], None]
    ) -> AsyncGenerator[str, None]:
        for delta in self.deltas:
            yield delta
        if self.usage:
            report_usage(self.usage)
        if self.error:
            raise self.error


def paid(generator: CountingGenerator) -> ReplyEngine:
    return ReplyEngine("openai", generator, A_DOLLAR_A_TOKEN, max_tokens=50)


def free(generator: ScriptedGenerator) -> ReplyEngine:
    return ReplyEngine("ollama", generator, is_reserve=True)


def paid_voice(synthesizer: ScriptedSynthesizer) -> Voice:
    return Voice("polly", synthesizer, A_DOLLAR_A_CHARACTER)


async def pieces(*text: str) -> AsyncGenerator[str, None]:
    for piece in text:
        yield piece


async def spoken(speech: FailoverSpeech, *text: str) -> list[AudioChunk]:
    async with aclosing(pieces(*text)) as given, aclosing(speech.synthesize(given)) as chunks:
        return [chunk async for chunk in chunks]


# -- replies ---------------------------------------------------------------------------------


async def test_a_reply_costs_what_its_server_counted():
    """The longest reply is reserved while it is generated; the count replaces it, and is an expense."""
    wallet = Wallet()

    async with aclosing(wallet.replies(paid(CountingGenerator(usage=TokenUsage(90, 3)))).reply(PROMPT)) as deltas:
        await anext(deltas)
        reserved = wallet.spent
        assert [delta async for delta in deltas] == ["four"]

    assert reserved == 100 + 50
    assert wallet.spent == 93
    assert wallet.booked == [("openai", "reply", 93, "s", "t")]


async def test_a_reply_without_a_count_is_an_estimate():
    """By the characters of prompt and answer; its expense says that it is one."""
    wallet = Wallet()

    async with aclosing(wallet.replies(paid(CountingGenerator())).reply(PROMPT)) as deltas:
        assert [delta async for delta in deltas] == ["Four", "four"]

    assert wallet.booked == [("openai", "reply_estimate", 102, "s", "t")]
    assert wallet.spent == 102


async def test_a_reply_that_is_cut_off_is_an_estimate():
    """What was generated until then counts."""
    wallet = Wallet()

    async with aclosing(wallet.replies(paid(CountingGenerator(usage=TokenUsage(90, 3)))).reply(PROMPT)) as deltas:
        await anext(deltas)

    assert wallet.booked == [("openai", "reply_estimate", 101, "s", "t")]
    assert wallet.spent == 101


async def test_a_reply_that_never_began_costs_nothing():
    """What was reserved is released."""
    wallet = Wallet()

    with pytest.raises(ProviderDown):
        async with aclosing(
            wallet.replies(paid(CountingGenerator((), error=ProviderDown("openai", "gone")))).reply(PROMPT)
        ) as deltas:
            await anext(deltas)

    assert (wallet.spent, wallet.booked) == (0, [])


async def test_a_spent_budget_refuses_replies():
    """The budget is exceeded by one reply at most: the next one is refused with a sentence."""
    wallet = Wallet(usd=50)
    replies = wallet.replies(paid(CountingGenerator()))
    async with aclosing(replies.reply(PROMPT)) as deltas:
        assert [delta async for delta in deltas]

    with pytest.raises(BudgetExhausted, match="the service's budget of the day is spent: there is no reply"):
        async with aclosing(replies.reply(PROMPT)) as deltas:
            await anext(deltas)

    assert wallet.spent == 102


async def test_a_reply_in_flight_counts_against_the_budget():
    """Two at once do not both take the last dollar."""
    wallet = Wallet(usd=120)
    replies = wallet.replies(paid(CountingGenerator()))

    async with aclosing(replies.reply(PROMPT)) as first, aclosing(replies.reply(PROMPT)) as second:
        await anext(first)
        with pytest.raises(BudgetExhausted):
            await anext(second)


async def test_the_free_engine_replies_once_a_budget_is_spent():
    """Where there is one; it costs nothing."""
    wallet, reserve = Wallet(usd=0), ScriptedGenerator(("Free.",))

    async with aclosing(wallet.replies(paid(CountingGenerator()), free(reserve)).reply(PROMPT)) as deltas:
        assert [delta async for delta in deltas] == ["Free."]

    assert wallet.booked == [("ollama", "reply_estimate", 0, "s", "t")]


# -- speech ----------------------------------------------------------------------------------


async def test_speech_costs_its_characters():
    """Each piece as it is synthesized; one expense for the whole."""
    wallet = Wallet()

    chunks = await spoken(wallet.speech(paid_voice(ScriptedSynthesizer())), "Four.", "Six six.")

    assert len(chunks) == 2
    assert wallet.booked == [("polly", "speech", 13, "s", "t")]
    assert wallet.spent == 13


async def test_speech_that_is_cut_off_costs_the_pieces_it_took():
    """The piece that was not asked for is not paid."""
    wallet = Wallet()

    async with (
        aclosing(pieces("Four.", "Never.")) as given,
        aclosing(wallet.speech(paid_voice(ScriptedSynthesizer())).synthesize(given)) as chunks,
    ):
        await anext(chunks)

    assert wallet.booked == [("polly", "speech", 5, "s", "t")]


async def test_the_free_voice_speaks_once_a_budget_is_spent():
    """And texts of the client's choice are not refused."""
    wallet, reserve, polly = Wallet(usd=0), ScriptedSynthesizer(), ScriptedSynthesizer()
    speech = wallet.speech(paid_voice(polly), Voice("piper", reserve, is_reserve=True))

    chunks = await spoken(speech, "Hello.")

    assert len(chunks) == 1
    assert (reserve.spoken, polly.spoken) == (["Hello."], [])
    assert wallet.booked == [("piper", "speech", 0, "s", "t")]
    assert speech.error() is None


# -- in a session ----------------------------------------------------------------------------


async def test_a_session_over_budget_gets_an_error_and_no_reply():
    """Once in each turn: error, then replyCancelled. The finals are shown."""
    wallet = Wallet(usd=0)
    session = SessionUnderTest(generator=wallet.replies(paid(CountingGenerator())))

    browser = await session.run(Browser(*TURN, do.ShowReplyCancelled))

    assert [final.hypothesis.text for final in browser.got(do.ShowFinal)] == ["hello"]
    assert [type(error.error) for error in browser.got(do.ShowError)] == [BudgetExhausted]
    assert browser.got(do.ShowReplyCancelled) == [do.ShowReplyCancelled(1, "failed")]


async def test_speech_over_budget_leaves_replies_as_text():
    """The turn is answered in words, and an error says why there is no audio."""
    wallet = Wallet(usd=0)
    session = SessionUnderTest(synthesizer=wallet.speech(paid_voice(ScriptedSynthesizer())))

    browser = await session.run(Browser(*TURN, do.ShowReply))

    assert browser.got(do.ShowReply) == [do.ShowReply(1, "You said it. Well done.")]
    assert browser.got(do.PlayAudio) == []
    assert [str(error.error) for error in browser.got(do.ShowError)] == [
        "the service's budget of the day is spent: replies are text only"
    ]


async def test_say_over_budget_is_refused():
    """Nothing begins: an error, and no reply."""
    wallet = Wallet(usd=0)
    voice = ScriptedSynthesizer()
    speech = wallet.speech(paid_voice(voice))
    session = SessionUnderTest(synthesizer=speech, refuse_speech=speech.error)

    browser = await session.run(Browser(ev.ClientRequestedSpeech("Read this."), do.ShowError))

    assert [str(error.error) for error in browser.got(do.ShowError)] == [
        "the service's budget of the day is spent: this text is not spoken"
    ]
    assert browser.got(do.ShowReplyStart) == []
    assert voice.spoken == []


async def test_say_several_times_a_second_is_refused():
    """After a burst; the clock of this session stands still, so nothing flows back."""
    session = SessionUnderTest()
    orders = [ev.ClientRequestedSpeech(f"Text {number}.") for number in range(int(SAY_BURST) + 3)]

    browser = await session.run(Browser(*orders, do.ShowError))

    assert len(browser.got(do.ShowReplyStart)) == SAY_BURST
    assert [error.error.code for error in browser.got(do.ShowError)] == ["say_too_often"] * 3
