"""How the chat engine meets a service that fails."""

from contextlib import aclosing
from dataclasses import replace
from time import monotonic

import anyio
import pytest
from anyio import to_thread

from app.domain.dialog.conversation import Message, Role
from app.domain.errors import ProviderBusy, ProviderDown, ProviderMisbehaved, ProviderRefused
from providers.openai.chat import answers, open_chat
from tests.emulators.openai import Script, serve_openai

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
        first_token_timeout_s=0.5,
        token_timeout_s=0.3,
        retry_after_s=0.01,
    ) as opened:
        yield opened


async def answer(engine) -> str:
    async with aclosing(engine.reply(QUESTION)) as deltas:
        return "".join([delta async for delta in deltas])


async def test_the_request_says_what_was_asked(server, engine):
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
        (Script(deltas=WORDS, ends_without_finish=True), ProviderMisbehaved, 1),
        (Script(deltas=("",)), ProviderMisbehaved, 1),
        (Script(raw="data: [DONE]\n\n"), ProviderMisbehaved, 1),
        (Script(raw="data: {not json\n\n"), ProviderMisbehaved, 1),
        (Script(raw='data: {"error": {"message": "model crashed"}}\n\n'), ProviderMisbehaved, 1),
        (Script(raw="data: []\n\n"), ProviderMisbehaved, 1),
        (Script(raw='data: {"choices": [{}]}\n\n'), ProviderMisbehaved, 1),
        (Script(raw='data: {"choices": 7}\n\n'), ProviderMisbehaved, 1),
        (Script(raw='data: "\xff\xfe"\n\n'), ProviderMisbehaved, 1),
        (Script(raw="<html>sign in</html>"), ProviderMisbehaved, 1),
    ],
)
async def test_a_fault_becomes_our_error(server, engine, script, error, attempts):
    """Every fault has one of our names, and only one that may pass is tried again, once."""
    server.script = script

    with anyio.fail_after(5), pytest.raises(error):
        await answer(engine)

    assert len(server.requests) == attempts


async def test_a_service_that_recovers_is_not_noticed(server, engine):
    """One failure before the first word is made good by the second attempt."""
    server.script = Script(deltas=WORDS, status=503, fails_first=1)

    assert await answer(engine) == "It is by the door."


async def test_a_connection_serves_many_answers(server, engine):
    """An answer read to its end leaves the connection for the next one, which saves a handshake."""
    for _ in range(3):
        await answer(engine)

    assert len(server.clients) == 1


async def test_a_server_that_lingers_does_not_hold_up_the_answer(server, engine):
    """An answer that says it is finished is finished, even where the stream stays open."""
    server.script = Script(deltas=WORDS, lingers=True)

    assert await answer(engine) == "It is by the door."


async def test_what_came_before_a_fault_is_kept(server, engine):
    """The words before a broken connection reach the listener, and are not said twice."""
    server.script = Script(deltas=WORDS, cuts_after=2)

    async with aclosing(engine.reply(QUESTION)) as deltas:
        heard = [await anext(deltas), await anext(deltas)]
        with pytest.raises(ProviderDown):
            await anext(deltas)

    assert heard == ["It ", "is "]


async def test_nobody_there_is_down(server, engine):
    """An address where nothing listens is a service that is down."""
    with serve_openai() as gone:
        address = gone.base_url
    async with open_chat(provider_name="ollama", base_url=address, api_key="", model="small") as lonely:
        with pytest.raises(ProviderDown, match="ollama"):
            await answer(lonely)


@pytest.mark.parametrize("is_cancelled", [True, False])
async def test_an_abandoned_answer_closes_the_stream(server, engine, is_cancelled):
    """The service notices at once that nobody listens any more, and can stop computing."""
    server.script = Script(deltas=WORDS, stalls_after=3)

    with anyio.CancelScope() as scope:
        async with aclosing(engine.reply(QUESTION)) as deltas:
            await anext(deltas)
            if is_cancelled:
                scope.cancel()
                await anyio.sleep_forever()

    assert await to_thread.run_sync(server.disconnected.wait, 2)


async def test_a_server_that_lists_its_models_answers(server):
    """A running server is found."""
    assert await answers(server.base_url)


@pytest.mark.parametrize("script", [Script(status=401), Script(status=500), Script(stalls_after=0)], ids=repr)
async def test_a_server_that_fails_does_not_answer(server, script):
    """A server that refuses, fails or keeps silent counts as none, within the limit."""
    server.script = replace(script)
    began = monotonic()

    assert not await answers(server.base_url, within_s=0.3)
    assert monotonic() - began < 1


async def test_nobody_there_does_not_answer():
    """An address where nothing listens is no server."""
    with serve_openai() as gone:
        address = gone.base_url

    assert not await answers(address)
