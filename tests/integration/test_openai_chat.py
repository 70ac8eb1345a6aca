"""`POST /v1/chat/completions` with OpenAI's own clients, over replies of an emulated OpenAI."""

import base64

import anyio
import msgspec
import pytest

from tests.clips import HANDS
from tests.emulators.openai import Script
from tests.integration.profile_service import profile_server
from tests.proven_features import proves

pytestmark = pytest.mark.anyio

KEY = "acme-key"
ANSWER = Script(("It is ", "sunny."), usage=(20, 4))
ARGUMENTS = '{"city": "%s"}' % ("Bonn" * 200)
"""Longer than what is kept of a call in a conversation."""


@pytest.fixture
async def url(tmp_path):
    return f"sqlite+aiosqlite:///{tmp_path}/parley.db"


def asks() -> Script:
    """An answer that asks for the weather."""
    function = {"name": "weather", "arguments": ARGUMENTS}
    return Script(
        (), tool_calls=(({"index": 0, "id": "c0", "type": "function", "function": function},),), usage=(10, 2)
    )


def text_of(chunks: list[dict]) -> str:
    return "".join(choice["delta"].get("content") or "" for chunk in chunks for choice in chunk["choices"])


@proves(
    "openai",
    "openai (Python) 3.57",
    "chat: whole answer with usage",
    "chat: streamed with usage",
    "chat: tools of the client",
    "chat: stream that breaks",
    "errors with status, code and param",
)
async def test_python_client_gets_replies_and_calls_of_its_tools(url, tmp_path, python_openai):
    broken = Script(("It is ", "sunny."), cuts_after=1)
    turns = (asks(), ANSWER, asks(), *[ANSWER] * 4, broken)
    async with profile_server(url, tmp_path, *turns) as server:
        found = await python_openai.run("openai_chat.py", f"http://{server.address}/v1", KEY)
        prompts = [request["messages"] for request in server.openai.requests]
        offered = [request.get("tools") for request in server.openai.requests]

    call = {"id": "c0", "type": "function", "function": {"name": "weather", "arguments": ARGUMENTS}}
    (choice,) = found["called"]["choices"]
    assert (choice["message"]["tool_calls"], choice["finish_reason"]) == ([call], "tool_calls")
    assert [tool["function"]["name"] for tool in offered[0]] == ["weather"]
    assert found["answered"]["choices"][0]["message"]["content"] == "It is sunny."
    assert [message["role"] for message in prompts[1]][-3:] == ["user", "assistant", "tool"]
    assert prompts[1][-1]["content"] == "rain"
    *_, last = found["called in chunks"]
    pieces = [
        each for chunk in found["called in chunks"] for each in chunk["choices"][0]["delta"].get("tool_calls", ())
    ]
    assert pieces == [{"index": 0, **call}]
    assert last["choices"][0]["finish_reason"] == "tool_calls"

    whole = found["whole"]
    assert whole["object"] == "chat.completion"
    assert (whole["choices"][0]["message"]["content"], whole["choices"][0]["finish_reason"]) == ("It is sunny.", "stop")
    assert whole["usage"] == {"prompt_tokens": 20, "completion_tokens": 4, "total_tokens": 24}
    assert prompts[3] == [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hi"}]
    assert found["short"]["choices"][0]["finish_reason"] == "length"
    assert len(found["short"]["choices"][0]["message"]["content"]) <= 4
    assert text_of(found["chunks"]) == text_of(found["no usage"]) == "It is sunny."
    assert found["chunks"][0]["choices"][0]["delta"]["role"] == "assistant"
    assert (found["chunks"][-1]["choices"], found["chunks"][-1]["usage"]["total_tokens"]) == ([], 24)
    assert all("usage" not in chunk for chunk in found["no usage"])
    assert len({chunk["id"] for chunk in found["chunks"]}) == 1
    assert found["broken"][0].strip() == "It is"
    assert found["broken"][1:] == ["provider_down", "server_error"]
    assert found["refused"] == {
        "messages": [400, "bad_message", "messages"],
        "role": [400, "bad_message", "messages[0].role"],
        "image": [400, "bad_message", "messages[0].content[0].type"],
        "n": [400, "bad_message", "n"],
        "tool choice": [400, "bad_message", "tool_choice"],
        "result of no call": [400, "bad_message", "messages[1].tool_call_id"],
    }


@proves("openai", "openai (npm) 7.57", "chat: whole answer with usage", "chat: streamed with usage")
async def test_node_client_gets_replies(url, tmp_path, node_openai):
    async with profile_server(url, tmp_path, ANSWER, ANSWER) as server:
        found = await node_openai.run("openai_replies.mjs", f"http://{server.address}/v1", KEY, "chat")

    assert found["whole"]["choices"][0]["message"]["content"] == text_of(found["chunks"]) == "It is sunny."
    assert found["chunks"][-1]["usage"] == {"prompt_tokens": 20, "completion_tokens": 4, "total_tokens": 24}


async def test_model_that_is_a_profile_replies_with_its_instructions(url, tmp_path):
    """Unless the client has instructions of its own; any other model is the usual one."""
    ask = {"messages": [{"role": "user", "content": "Hi"}]}
    own = {"messages": [{"role": "developer", "content": "Sing."}, *ask["messages"]]}
    async with profile_server(url, tmp_path, ANSWER, ANSWER, ANSWER) as server:
        for body in ({"model": "cook", **ask}, {"model": "cook", **own}, {"model": "gpt-4o", **ask}):
            assert (await server.http.post("/v1/chat/completions", json=body)).status_code == 200
        listed = [model["id"] for model in (await server.http.get("/v1/models")).json()["data"]]
        prompts = [request["messages"][0]["content"] for request in server.openai.requests]

    assert prompts[:2] == ["You cook.", "Sing."]
    assert "You cook." not in prompts[2]
    assert {"cook", "code"} <= {*listed}


async def test_audio_in_a_message_is_transcribed(url, tmp_path):
    audio = {"data": base64.b64encode(HANDS.path.read_bytes()).decode(), "format": "wav"}
    content = [{"type": "text", "text": "I say:"}, {"type": "input_audio", "input_audio": audio}]
    async with profile_server(url, tmp_path, ANSWER) as server:
        answer = await server.http.post(
            "/v1/chat/completions", json={"messages": [{"role": "user", "content": content}]}
        )
        bad = [{"type": "input_audio", "input_audio": {"data": "?", "format": "wav"}}]
        garbage = await server.http.post("/v1/chat/completions", json={"messages": [{"role": "user", "content": bad}]})
        prompt = server.prompt()

    assert answer.status_code == 200
    assert prompt[-1]["content"] == "I say:\nhello"
    assert garbage.json()["error"]["param"] == "messages[0].content[0].input_audio.data"


async def test_client_that_leaves_stops_the_engine(url, tmp_path):
    slow = Script(("word ", "word "), stalls_after=1)
    async with profile_server(url, tmp_path, slow) as server:
        body = {"stream": True, "messages": [{"role": "user", "content": "Hi"}]}
        async with server.http.stream("POST", "/v1/chat/completions", json=body) as answer:
            await anext(answer.aiter_lines())
        assert await anyio.to_thread.run_sync(server.openai.disconnected.wait, 5)


async def test_engine_that_fails_before_its_first_word_is_an_error_response(url, tmp_path):
    async with profile_server(url, tmp_path, Script(status=500), Script(status=500)) as server:
        body = {"messages": [{"role": "user", "content": "Hi"}]}
        whole = await server.http.post("/v1/chat/completions", json=body)
        stream = await server.http.post("/v1/chat/completions", json={**body, "stream": True})

    assert {whole.status_code, stream.status_code} <= {502, 503}
    assert msgspec.json.decode(stream.content)["error"]["type"] == "server_error"
