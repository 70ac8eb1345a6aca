"""Contract of every ReplyGenerator."""

from contextlib import aclosing

import anyio
import pytest

from app.domain.dialog.conversation import Message, Role
from app.domain.ports import UsageReporting
from app.domain.spending import TokenUsage
from tests.contracts.reply_cases import NEEDS_MODELS, REPLY_CASES

pytestmark = pytest.mark.anyio

FRANCE = (Message(Role.USER, "What is the capital of France?"),)
ITALY = (Message(Role.USER, "What is the capital of Italy?"),)


@pytest.fixture(
    scope="module",
    params=[pytest.param(name, marks=[pytest.mark.models] * (name in NEEDS_MODELS)) for name in sorted(REPLY_CASES)],
)
async def engine(request, anyio_backend):
    async with REPLY_CASES[request.param]() as opened:
        yield opened


async def answer(engine: UsageReporting, conversation: tuple[Message, ...]) -> list[str]:
    async with aclosing(engine.reply(conversation)) as deltas:
        return [delta async for delta in deltas]


async def test_reply_answers_a_question(engine):
    """The deltas together are the answer."""
    assert "France" in "".join(await answer(engine, FRANCE))


async def test_reply_is_streamed_in_deltas(engine):
    """An answer of several words comes in several deltas, none of them empty."""
    deltas = await answer(engine, FRANCE)

    assert len(deltas) > 1
    assert all(deltas)


async def test_reply_answers_the_last_message(engine):
    """Instructions and earlier messages may stand before the question."""
    conversation = (
        Message(Role.SYSTEM, "Answer in one sentence."),
        *FRANCE,
        Message(Role.ASSISTANT, "The capital of France is Paris."),
        *ITALY,
    )

    assert "Italy" in "".join(await answer(engine, conversation))


async def test_concurrent_replies_do_not_mix(engine):
    """Two conversations at once each get their own answer."""
    replies = {}

    async def ask(country: str, conversation: tuple[Message, ...]) -> None:
        replies[country] = "".join(await answer(engine, conversation))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ask, "France", FRANCE)
        tasks.start_soon(ask, "Italy", ITALY)

    assert "France" in replies["France"]
    assert "Italy" not in replies["France"]
    assert "Italy" in replies["Italy"]
    assert "France" not in replies["Italy"]


async def test_closed_reply_frees_the_engine(engine):
    """Closed after its first delta, an answer does not stand in the way of the next one."""
    async with aclosing(engine.reply(FRANCE)) as deltas:
        await anext(deltas)

    with anyio.fail_after(5):
        assert "Italy" in "".join(await answer(engine, ITALY))


async def test_reply_reports_its_tokens_once_or_never(engine):
    """Counted or estimated, when it has ended; an engine that knows of no tokens reports none."""
    reported: list[TokenUsage] = []

    async with aclosing(engine.reply(FRANCE, report_usage=reported.append)) as deltas:
        await anext(deltas)
        assert reported == []
        async for _ in deltas:
            pass

    assert len(reported) <= 1
    assert all(usage.prompt > 0 and usage.generated > 0 for usage in reported)


async def test_reply_that_is_left_reports_its_tokens_at_most_once(engine):
    """What was generated until then is paid for."""
    reported: list[TokenUsage] = []

    async with aclosing(engine.reply(FRANCE, report_usage=reported.append)) as deltas:
        await anext(deltas)

    assert len(reported) <= 1


@pytest.mark.parametrize("heard", [0, 1])
async def test_cancelled_reply_frees_the_engine(engine, heard):
    """Cancelled before or behind its first delta, an answer does not stand in the way of the next one."""
    with anyio.CancelScope() as scope:
        async with aclosing(engine.reply(FRANCE)) as deltas:
            for _ in range(heard):
                await anext(deltas)
            scope.cancel()
            await (anyio.sleep_forever() if heard else anext(deltas))

    assert scope.cancelled_caught
    with anyio.fail_after(5):
        assert "Italy" in "".join(await answer(engine, ITALY))
