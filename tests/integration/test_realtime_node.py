"""`/v1/realtime` with the clients of npm: @openai/agents-realtime, and `openai`, which needs TLS."""

import pytest

from tests.client_environments import node_client
from tests.emulators.openai import Script
from tests.fakes import ScriptedGenerator, ScriptedSynthesizer
from tests.integration.profile_service import profile_server
from tests.integration.test_realtime import service_with, types
from tests.proven_features import proves
from tests.serving import served
from tests.tls import behind_tls
from tests.unit.realtime_order import assert_legal

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="session")
def agents():
    return node_client("agents-realtime", "@openai/agents-realtime@0.20.0", "zod@4")


@pytest.fixture(scope="session")
def node_realtime():
    return node_client("openai-realtime", "openai@6.49.0", "ws@8")


@proves("openai-realtime", "@openai/agents-realtime 0.20", "items in text", "function calls")
async def test_agents_perform_a_function_and_get_the_answer(agents, tmp_path):
    """Every event passes their validation; the history is that of the conversation."""
    function = {"name": "dial", "arguments": '{"who": "Bob"}'}
    call = ({"index": 0, "id": "c1", "type": "function", "function": function},)
    turns = (Script(tool_calls=(call,), usage=(10, 2)), Script(("Bob ", "is there.")))
    async with profile_server(f"sqlite+aiosqlite:///{tmp_path}/parley.db", tmp_path, *turns) as server:
        url = f"ws://{server.address}/v1/realtime?model=gpt-realtime"
        told = await agents.run("agents_realtime.mjs", url, "acme-key")

    assert (told["called"], told["errors"]) == (["Bob"], [])
    assert told["history"] == [
        ["message", "user", [{"type": "input_text", "text": "call Bob"}]],
        ["function_call", "dial", "Bob is there"],
        ["message", "assistant", [{"type": "output_text", "text": "Bob is there."}]],
    ]


@proves(
    "openai-realtime",
    "@openai/agents-realtime 0.20",
    "conversation in audio",
    "turns by server_vad or semantic_vad",
    "interruption by speech",
    "conversation.item.truncate",
)
async def test_agents_talk_and_are_interrupted(agents):
    """With their own settings, `semantic_vad` among them; they truncate the reply at what was played."""
    async with served(service_with(ScriptedGenerator(), ScriptedSynthesizer(forever=True))) as address:
        told = await agents.run("agents_realtime_audio.mjs", f"ws://{address}/v1/realtime?model=gpt-realtime", "any")

    kinds = told["kinds"]
    assert told["errors"] == []
    assert told["bytes"] > 0
    assert told["response"]["status_details"] == {"type": "cancelled", "reason": "turn_detected"}
    assert kinds.index("response.done") < len(kinds) - 1 - kinds[::-1].index("input_audio_buffer.speech_started")
    assert "conversation.item.truncated" in kinds


@proves(
    "openai-realtime",
    "openai (npm) 6.49",
    "conversation in audio",
    "turns by server_vad or semantic_vad",
    "error of an event",
)
async def test_npm_client_talks_over_tls(node_realtime, tmp_path):
    """It knows `wss` alone; an error names its event."""
    async with (
        served(service_with(ScriptedGenerator(), ScriptedSynthesizer())) as address,
        behind_tls(address, tmp_path) as (front, certificate),
    ):
        trust = {"NODE_EXTRA_CA_CERTS": str(certificate)}
        events = await node_realtime.run("openai_realtime.mjs", f"https://{front}/v1", "any", variables=trust)

    assert_legal(events)
    completed = next(e for e in events if e["type"] == "conversation.item.input_audio_transcription.completed")
    assert completed["transcript"] == "hello"
    assert "response.output_audio.delta" in types(events)
    assert (events[-1]["error"]["code"], events[-1]["error"]["event_id"]) == ("response_cancel_not_active", "mine")
