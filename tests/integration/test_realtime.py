"""`/v1/realtime` with OpenAI's own client, and how the handshake of any client is answered or refused."""

import json
import time
from collections.abc import AsyncGenerator, AsyncIterable
from contextlib import asynccontextmanager

import numpy as np
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from app.data.api_keys import KeyStore
from app.data.database import open_database
from app.domain.audio import AudioChunk, ScoredChunk
from app.domain.dialog.conversation import Role
from app.domain.errors import ClientError, ClientFault
from app.domain.principal import Scope
from app.domain.residency import Place
from app.domain.routing.route import Route
from app.domain.tenant import Tenant, fingerprint
from app.runtime.authentication import AnyOf, DatabaseKeys
from app.runtime.dialog.engines import Engines
from app.runtime.service import Service
from app.runtime.session_tokens import SessionTokens
from tests.client_environments import python_client
from tests.emulators.openai import Script
from tests.fakes import (
    ScriptedGenerator,
    ScriptedSynthesizer,
    ScriptedTranscriber,
    SingleRouteFinals,
)
from tests.integration.profile_service import profile_server
from tests.proven_features import proves
from tests.serving import scripted_service, served, stored_manifest

pytestmark = pytest.mark.anyio

ACME = Tenant("acme", (fingerprint("acme-key"),))
TRANSCRIPTION = "conversation.item.input_audio_transcription"


@pytest.fixture(scope="session")
def python_realtime():
    """The vendor's package, with what its Realtime needs."""
    return python_client("openai-realtime", "openai[realtime]==3.57.0")


class LoudDetector:
    """A chunk is speech when it is loud: resampled silence has dither."""

    async def score(self, audio: AsyncIterable[AudioChunk]) -> AsyncGenerator[ScoredChunk, None]:
        async for chunk in audio:
            yield ScoredChunk(chunk, float(np.abs(np.frombuffer(chunk.pcm, "<i2")).max() > 1000))


def service_with(generator: ScriptedGenerator | None = None, synthesizer: ScriptedSynthesizer | None = None) -> Service:
    generator, synthesizer = generator or ScriptedGenerator(), synthesizer or ScriptedSynthesizer()

    @asynccontextmanager
    async def session_engines(session: str, tenant: Tenant):
        finals = SingleRouteFinals(Route("local", Place.ON_PREM), ScriptedTranscriber())
        yield Engines(LoudDetector(), finals, ScriptedTranscriber("draft"), generator, synthesizer)

    return scripted_service(session_engines=session_engines)


def types(events: list[dict]) -> list[str]:
    return [event["type"] for event in events]


def no_generic(events: list[dict]) -> None:
    """The client has a class of its own for each event: one that it does not know becomes another's."""
    wrong = [e for e in events if e["class"] == "ConversationCreatedEvent"]
    assert not wrong, wrong


@proves(
    "openai-realtime",
    "openai (Python) 3.57",
    "transcription session",
    "turns by server_vad or semantic_vad",
    "turns by commit",
)
async def test_python_client_transcribes_with_server_turns_and_with_its_own(python_realtime):
    """`intent=transcription`: by silence first, then by commit."""
    async with served(service_with()) as address:
        events = await python_realtime.run("openai_realtime.py", f"http://{address}/v1", "any", "transcription")

    no_generic(events)
    completed = [event for event in events if event["type"] == f"{TRANSCRIPTION}.completed"]
    assert [event["transcript"] for event in completed] == ["hello", "hello"]
    committed = [event["item_id"] for event in events if event["type"] == "input_audio_buffer.committed"]
    assert [event["item_id"] for event in completed] == committed
    assert types(events).count("input_audio_buffer.speech_started") == 1
    assert not [kind for kind in types(events) if kind.startswith("response.")]


@proves(
    "openai-realtime",
    "openai (Python) 3.57",
    "conversation in audio",
    "turns by server_vad or semantic_vad",
    "interruption by speech",
)
async def test_python_client_talks_and_interrupts(python_realtime):
    """A spoken reply; speech over it ends the response, and its recording says so."""
    generator, synthesizer = ScriptedGenerator(), ScriptedSynthesizer(forever=True)
    service = service_with(generator, synthesizer)
    async with served(service) as address:
        events = await python_realtime.run("openai_realtime.py", f"http://{address}/v1", "any", "conversation")
        session = events[0]["session"]["id"]
        manifest = await stored_manifest(service, session)

    no_generic(events)
    assert generator.asked[0][0].text == "Be brief."
    assert [m.text for m in generator.asked[0] if m.role is Role.USER] == ["hello"]
    done = next(event for event in events if event["type"] == "response.done")
    assert done["response"]["status_details"]["reason"] == "turn_detected"
    assert types(events)[-1] == "input_audio_buffer.speech_started"
    assert manifest["finals"][0]["text"] == "hello"
    assert manifest["replies"][0]["cancelled"] == "barge_in"


@proves(
    "openai-realtime",
    "openai (Python) 3.57",
    "turns by commit",
    "items in text",
    "response.create with overrides",
    "conversation.item.truncate",
    "response.cancel",
    "error of an event",
)
async def test_python_client_commits_asks_truncates_and_cancels(python_realtime):
    """Push to talk, a message in text, a response in text; errors leave the session as it is."""
    generator = ScriptedGenerator()
    async with served(service_with(generator, ScriptedSynthesizer())) as address:
        events = await python_realtime.run("openai_realtime.py", f"http://{address}/v1", "any", "manual")

    no_generic(events)
    first, second = (event["response"] for event in events if event["type"] == "response.done")
    assert (first["metadata"], first["output"][0]["content"][0]["transcript"]) == (
        {"topic": "first"},
        "You said it. Well done.",
    )
    assert (second["output_modalities"], second["output"][0]["content"][0]["type"]) == (["text"], "output_text")
    asked = [[(m.role, m.text) for m in conversation] for conversation in generator.asked]
    assert asked[0] == [(Role.USER, "hello")]
    assert asked[1] == [
        (Role.SYSTEM, "Sing."),
        (Role.USER, "hello"),
        (Role.ASSISTANT, "You…"),
        (Role.USER, "and in text"),
    ]
    errors = [event["error"] for event in events if event["type"] == "error"]
    assert [error["code"] for error in errors] == ["response_cancel_not_active", "input_audio_buffer_commit_empty"]


@proves("openai-realtime", "openai (Python) 3.57", "function calls", "response out of band", "usage")
async def test_python_client_performs_a_function_and_asks_out_of_band(python_realtime, tmp_path):
    """The model sees the call with the client's result; what is out of band sees and leaves nothing."""
    function = {"name": "dial", "arguments": '{"who": "Bob"}'}
    call = ({"index": 0, "id": "c1", "type": "function", "function": function},)
    turns = (Script(tool_calls=(call,), usage=(10, 2)), Script(("Bob ", "is there.")), Script(("A call.",)))
    async with profile_server(f"sqlite+aiosqlite:///{tmp_path}/parley.db", tmp_path, *turns) as server:
        events = await python_realtime.run("openai_realtime.py", f"http://{server.address}/v1", "acme-key", "functions")
        prompts = [server.prompt(number) for number in range(3)]
        offered = [[tool["function"]["name"] for tool in asked.get("tools", ())] for asked in server.openai.requests]

    no_generic(events)
    first, second, third = (event["response"] for event in events if event["type"] == "response.done")
    assert [(o["type"], o["name"], o["arguments"]) for o in first["output"]] == [
        ("function_call", "dial", '{"who": "Bob"}')
    ]
    assert first["usage"]["input_tokens"] == 10
    assert second["output"][0]["content"][0]["text"] == "Bob is there."
    assert (third["metadata"], third["output"][0]["content"][0]["text"]) == ({"kind": "x"}, "A call.")
    assert [(m["role"], m.get("content")) for m in prompts[1][1:]] == [
        ("user", "call Bob"),
        ("assistant", None),
        ("tool", "Bob is there"),
    ]
    assert [m["content"] for m in prompts[2][1:]] == ["Which kind?"]
    assert offered == [["dial"], ["dial"], []]


@proves("openai-realtime", "openai (Python) 3.57", "client secrets")
async def test_python_client_makes_a_client_secret_and_connects_with_it(python_realtime, tmp_path):
    """It begins with `ek_`, and may speak."""
    async with open_database(f"sqlite+aiosqlite:///{tmp_path}/parley.db") as engine:
        store = KeyStore(engine)
        await store.load()
        key, _ = await store.create("web", "acme", frozenset({Scope.SPEAK}), None)
        keys = DatabaseKeys(store)
        tokens = SessionTokens(lambda: store.signing_secrets, [keys])
        service = scripted_service(authenticator=AnyOf([keys, tokens]), keys=store, session_tokens=tokens)
        async with served(service) as address:
            made, created = await python_realtime.run("openai_realtime.py", f"http://{address}/v1", key, "secret")

    assert made["value"].startswith("ek_")
    assert 0 < made["expires_at"] - time.time() <= 60
    assert (made["session"]["type"], made["session"]["instructions"]) == ("realtime", "Be brief.")
    assert created["type"] == "session.created"


@pytest.mark.parametrize(
    "offered",
    [
        {"additional_headers": {"Authorization": "Bearer acme-key"}},
        {"additional_headers": {"api-key": "acme-key"}},
        {"subprotocols": ["realtime", "openai-insecure-api-key.acme-key", "openai-agents-sdk.0.20"]},
    ],
)
async def test_key_comes_in_a_header_or_in_a_subprotocol(offered):
    """A browser gets `realtime` back, and never its key."""
    async with (
        served(scripted_service(tenants=lambda: (ACME,))) as address,
        connect(f"ws://{address}/v1/realtime?model=gpt-realtime", **offered) as socket,
    ):
        created = json.loads(await socket.recv())

        assert created["type"] == "session.created"
        assert socket.subprotocol == ("realtime" if "subprotocols" in offered else None)


@pytest.mark.parametrize(
    ("options", "query", "status"),
    [
        ({"additional_headers": {"Authorization": "Bearer wrong"}}, "", 401),
        ({}, "", 401),
        ({"additional_headers": {"Authorization": "Bearer acme-key"}}, "?profile=none", 404),
        ({"additional_headers": {"Authorization": "Bearer acme-key", "Origin": "http://evil.example"}}, "", 403),
    ],
)
async def test_refusal_is_the_status_of_the_handshake(options, query, status):
    """In OpenAI's shape; no socket is opened that would close again."""
    async with served(scripted_service(tenants=lambda: (ACME,))) as address:
        with pytest.raises(InvalidStatus) as refused:
            async with connect(f"ws://{address}/v1/realtime{query}", **options):
                pass

    error = json.loads(refused.value.response.body)["error"]
    assert refused.value.response.status_code == status
    assert set(error) == {"message", "type", "code", "param"}


async def test_full_server_refuses_the_handshake_and_has_room_again():
    """503 with Retry-After; the place of a session that is over is free."""
    async with served(scripted_service(max_sessions=1)) as address:
        url = f"ws://{address}/v1/realtime"
        async with connect(url) as socket:
            await socket.recv()
            with pytest.raises(InvalidStatus) as refused:
                async with connect(url):
                    pass
        assert (refused.value.response.status_code, refused.value.response.headers["retry-after"]) == (503, "1")


async def test_session_that_the_server_ends_gets_an_error_and_a_close_code():
    """The last event says why."""
    service = scripted_service()
    async with served(service) as address, connect(f"ws://{address}/v1/realtime") as socket:
        await socket.recv()
        [running] = service.running_sessions.sessions.values()

        running.end(ClientError(ClientFault.ENDED_BY_ADMIN, "ended", fatal=True))

        last = json.loads(await socket.recv())
        assert (last["type"], last["error"]["code"]) == ("error", "session_ended_by_admin")
        with pytest.raises(ConnectionClosed):
            await socket.recv()
        assert socket.close_code == 1008


async def test_client_that_sends_nothing_but_nonsense_is_closed():
    """Each event is answered with an error; fifty are too many."""
    async with served(scripted_service()) as address, connect(f"ws://{address}/v1/realtime") as socket:
        await socket.recv()
        for _ in range(50):
            await socket.send('{"type":"nonsense"}')

        errors = []
        with pytest.raises(ConnectionClosed):
            while True:
                errors.append(json.loads(await socket.recv())["error"]["code"])

        assert errors[:-1] == ["invalid_value"] * 50
        assert (errors[-1], socket.close_code) == ("bad_message", 1008)
