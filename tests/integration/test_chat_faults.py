"""Chat replies from a service that fails: errors, retries, timeouts, cancellation."""

from contextlib import aclosing

import anyio
import pytest
from anyio import to_thread

from app.domain.dialog.conversation import Message, Role
from app.domain.errors import (
    AnswerWithheld,
    ProviderBusy,
    ProviderDown,
    ProviderMisbehaved,
    ProviderRefused,
    RequestRefused,
)
from app.runtime.routing.reply_failover import ReplyEngine, ReplyTimeouts
from providers.openai.chat import open_chat
from tests.emulators.openai import Script, serve_openai
from tests.reply_engines import Wallet

pytestmark = pytest.mark.anyio

QUESTION = (Message(Role.SYSTEM, "Be brief."), Message(Role.USER, "Where is the light switch?"))
WORDS = ("It ", "is ", "by ", "the ", "door.")


@pytest.fixture
def server():
    with serve_openai() as emulator:
        yield emulator


@pytest.fixture
async def engine(server, anyio_backend):
    async with open_chat(
        provider_name="openai",
        base_url=server.base_url,
        api_key="sk-test",
        model="small",
        max_tokens=50,
    ) as opened:
        yield Wallet().replies(ReplyEngine("openai", opened, timeouts=ReplyTimeouts(1.1, 0.3)))


async def answer(engine) -> str:
    async with aclosing(engine.reply(QUESTION)) as deltas:
        return "".join([delta async for delta in deltas])


async def test_the_request_carries_model_limit_key_and_messages(server, engine):
    """Model, limit, key and every message reach the service; no temperature is sent unless one is set."""
    await answer(engine)

    assert server.keys == ["Bearer sk-test"]
    assert server.requests == [
        {
            "model": "small",
            "max_tokens": 50,
            "stream": True,
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": "Where is the light switch?"},
            ],
        }
    ]


@pytest.mark.parametrize(
    ("script", "error", "attempts"),
    [
        (Script(status=400), ProviderRefused, 1),
        (Script(status=401), ProviderRefused, 1),
        (Script(status=403), ProviderRefused, 1),
        (Script(status=404), ProviderRefused, 1),
        (Script(status=429), ProviderBusy, 2),
        (Script(status=429, retry_after="30"), ProviderBusy, 1),
        (Script(status=429, error_code="insufficient_quota"), ProviderRefused, 1),
        (Script(status=500), ProviderDown, 2),
        (Script(status=503), ProviderDown, 2),
        (Script(deltas=WORDS, cuts_after=0), ProviderDown, 2),
        (Script(deltas=WORDS, cuts_after=2), ProviderDown, 1),
        (Script(deltas=WORDS, stalls_after=0), ProviderDown, 1),
        (Script(deltas=WORDS, stalls_after=2), ProviderDown, 1),
        (Script(deltas=WORDS, first_after_s=5), ProviderDown, 1),
        (Script(deltas=WORDS, ends_without_finish=True), ProviderDown, 1),
        (Script(deltas=("",)), ProviderMisbehaved, 1),
        (Script(status=503, retry_after="1"), ProviderBusy, 2),
        (Script(status=503, retry_after="2"), ProviderBusy, 1),
        (Script(status=400, error_code="context_length_exceeded"), RequestRefused, 1),
        (Script(raw="data: [DONE]\n\n"), ProviderMisbehaved, 1),
        (Script(raw="data: {not json\n\n"), ProviderMisbehaved, 1),
        (Script(raw='data: {"error": {"message": "model crashed"}}\n\n'), ProviderMisbehaved, 1),
        (Script(raw="data: []\n\n"), ProviderMisbehaved, 1),
        (Script(raw='data: {"choices": [{}]}\n\n'), ProviderDown, 2),
        (Script(raw=": nothing else\n\n"), ProviderDown, 2),
        (Script(raw='data: {"choi'), ProviderDown, 2),
        (Script(deltas=("<think>", "Hm.")), ProviderMisbehaved, 1),
        (Script(deltas=("<think>Hm.",), stalls_after=1), ProviderDown, 1),
        (Script(status=400, error_code="content_filter"), AnswerWithheld, 1),
        (Script(raw='data: {"choices": 7}\n\n'), ProviderMisbehaved, 1),
        (Script(raw='data: "\xff\xfe"\n\n'), ProviderMisbehaved, 1),
        (Script(raw="<html>sign in</html>"), ProviderMisbehaved, 1),
    ],
)
async def test_a_fault_becomes_our_error_and_is_retried_where_it_may_pass(server, engine, script, error, attempts):
    """Every fault has one of our names, and only one that may pass is tried again, once."""
    server.script = script

    with anyio.fail_after(5), pytest.raises(error):
        await answer(engine)

    assert len(server.requests) == attempts


async def test_a_retry_hides_one_failure_before_the_first_delta(server, engine):
    """One failure before the first word is made good by the second attempt."""
    server.script = Script(deltas=WORDS, status=503, fails_first=1)

    assert await answer(engine) == "It is by the door."


async def test_a_connection_is_reused_by_the_next_reply(server, engine):
    """An answer read to its end leaves the connection for the next one, which saves a handshake."""
    for _ in range(3):
        await answer(engine)

    assert len(server.clients) == 1


async def test_a_stream_left_open_does_not_delay_the_end_of_a_reply(server, engine):
    """A finish reason ends the reply, even where the stream stays open."""
    server.script = Script(deltas=WORDS, lingers=True)

    assert await answer(engine) == "It is by the door."


async def test_deltas_before_a_fault_are_kept_and_not_retried(server, engine):
    """The deltas before a broken connection are yielded once."""
    server.script = Script(deltas=WORDS, cuts_after=2)

    async with aclosing(engine.reply(QUESTION)) as deltas:
        received = [await anext(deltas), await anext(deltas)]
        with pytest.raises(ProviderDown):
            await anext(deltas)

    assert received == ["It ", "is "]


async def test_a_closed_port_is_provider_down(server, engine):
    """Nothing listens there."""
    with serve_openai() as gone:
        address = gone.base_url
    async with open_chat(provider_name="ollama", base_url=address, api_key="", model="small") as lonely:
        with pytest.raises(ProviderDown, match="ollama"):
            await answer(Wallet().replies(ReplyEngine("ollama", lonely)))


@pytest.mark.parametrize("is_cancelled", [True, False])
async def test_a_cancelled_reply_closes_the_stream(server, engine, is_cancelled):
    """The service notices at once, and can stop computing."""
    server.script = Script(deltas=WORDS, stalls_after=3)

    with anyio.CancelScope() as scope:
        async with aclosing(engine.reply(QUESTION)) as deltas:
            await anext(deltas)
            if is_cancelled:
                scope.cancel()
                await anyio.sleep_forever()

    assert await to_thread.run_sync(server.disconnected.wait, 2)
