"""Tools in conversations: their calls are shown, kept with the reply, exported, and given to the model later on."""

import json

import anyio
import pytest
from anyio import to_thread

from tests.emulators.openai import Script
from tests.emulators.tool_server import ToolServer, serve_tools
from tests.eventually import until
from tests.integration.profile_service import profile_server
from tests.streaming_client import open_session

pytestmark = pytest.mark.anyio

TOOLS = """
instructions = "Use the tools."
[[tools]]
name = "weather"
description = "The weather in a city."
url = "{url}"
private = true
timeout_s = {timeout_s}
"""
ANSWER = Script(("It is ", "sunny."), usage=(20, 4))
RESULT = 'GET {"city": "Bonn"}'
CALL = {"id": "c0", "tool": "weather", "arguments": '{"city": "Bonn"}', "result": RESULT}


@pytest.fixture
def sqlite(tmp_path) -> str:
    return f"sqlite+aiosqlite:///{tmp_path}/parley.db"


@pytest.fixture
def tools():
    with serve_tools() as running:
        yield running


def profiles(tools: ToolServer, path: str = "/echo", timeout_s: float = 20) -> dict[str, str]:
    return {"tools": TOOLS.format(url=tools.url(path), timeout_s=timeout_s), "cook": 'instructions = "You cook."'}


def asks(*ids: str, text: tuple[str, ...] = ()) -> Script:
    """An answer that asks for the weather in Bonn, once for each id."""
    function = {"name": "weather", "arguments": CALL["arguments"]}
    pieces = tuple(
        ({"index": number, "id": each, "type": "function", "function": function},) for number, each in enumerate(ids)
    )
    return Script(text, tool_calls=pieces, usage=(10, 2))


def events_of(text: str) -> list[tuple[str, dict]]:
    lines = [block.split("\n") for block in text.strip().split("\n\n") if not block.startswith(":")]
    return [(name.removeprefix("event: "), json.loads(data.removeprefix("data: "))) for name, data in lines]


async def test_call_of_a_tool_is_kept_with_the_reply_that_it_was_made_for(url, tmp_path, tools):
    """Tokens and money are those of all rounds."""
    async with profile_server(url, tmp_path, asks("c0"), ANSWER, profiles=profiles(tools)) as server:
        begun = await server.begin(profile="tools")
        answer = await server.say(begun["id"], "Weather?")
        asked, reply = await server.messages(begun["id"])

    assert (reply["role"], reply["text"], reply["toolCalls"]) == ("assistant", "It is sunny.", [CALL])
    assert (reply["promptTokens"], reply["replyTokens"], reply["costUsd"]) == (30, 6, pytest.approx(36))
    assert answer["reply"] == reply
    assert "toolCalls" not in asked


async def test_later_turn_is_told_of_the_calls_in_the_form_of_openai(sqlite, tmp_path, tools):
    """Each with its result, before the reply, as in a voice session; by a process that did not make them."""
    async with profile_server(sqlite, tmp_path, asks("c0"), ANSWER, profiles=profiles(tools)) as server:
        begun = await server.begin(profile="tools")
        await server.say(begun["id"], "Weather?")
    async with profile_server(sqlite, tmp_path, ANSWER, profiles=profiles(tools)) as server:
        await server.say(begun["id"], "Are you sure?")

    function = {"name": "weather", "arguments": CALL["arguments"]}
    assert server.prompt()[1:] == [
        {"role": "user", "content": "Weather?"},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "c0", "type": "function", "function": function}]},
        {"role": "tool", "tool_call_id": "c0", "content": RESULT},
        {"role": "assistant", "content": "It is sunny."},
        {"role": "user", "content": "Are you sure?"},
    ]


async def test_calls_of_two_rounds_with_one_id_are_told_apart_in_a_later_turn(sqlite, tmp_path, tools):
    """As servers count that begin anew in each answer."""
    turns = (asks("c0"), asks("c0"), ANSWER)
    async with profile_server(sqlite, tmp_path, *turns, profiles=profiles(tools)) as server:
        begun = await server.begin(profile="tools")
        await server.say(begun["id"], "Weather?")
        await server.say(begun["id"], "Are you sure?")

    (called,) = [message for message in server.prompt() if message.get("tool_calls")]
    ids = [call["id"] for call in called["tool_calls"]]
    assert len(set(ids)) == 2
    assert [each["tool_call_id"] for each in server.prompt() if each["role"] == "tool"] == ids


async def test_model_without_tools_is_not_told_of_calls(sqlite, tmp_path, tools):
    async with profile_server(sqlite, tmp_path, asks("c0"), ANSWER, profiles=profiles(tools)) as server:
        begun = await server.begin(profile="tools")
        await server.say(begun["id"], "Weather?")
        await server.say(begun["id"], "Cook!", profile="cook")

    assert [message["role"] for message in server.prompt()] == ["system", "user", "assistant", "user"]


async def test_events_of_a_message_show_the_call_and_its_result(sqlite, tmp_path, tools):
    turns = (asks("c0", text=("Let me see.",)), ANSWER)
    async with profile_server(sqlite, tmp_path, *turns, profiles=profiles(tools)) as server:
        begun = await server.begin(profile="tools")
        path = f"/conversations/{begun['id']}/messages?stream=true"
        events = events_of((await server.http.post(path, json={"text": "Weather?"})).text)

    assert [name for name, _ in events] == ["delta", "tool", "tool", "delta", "delta", "delta", "done"]
    assert events[1][1] == {name: CALL[name] for name in ("id", "tool", "arguments")}
    assert events[2][1] == CALL
    assert events[-1][1]["reply"]["toolCalls"] == [CALL]


async def test_reply_and_call_with_what_no_database_has_in_a_text_are_kept_without_it(url, tmp_path, tools):
    """NUL and halves of surrogate pairs, which JSON can name; and the conversation is free for the next message."""
    turns = (asks("c\ud83d0\0"), Script(("It\0 is ", "sunny \ud83d.")), ANSWER)
    async with profile_server(url, tmp_path, *turns, profiles=profiles(tools)) as server:
        begun = await server.begin(profile="tools")
        path = f"/conversations/{begun['id']}/messages?stream=true"
        events = events_of((await server.http.post(path, json={"text": "Weather?"})).text)
        await server.say(begun["id"], "Are you sure?")
        kept = await server.messages(begun["id"])

    assert events[-1][1]["reply"] == kept[1]
    assert (kept[1]["text"], kept[1]["toolCalls"]) == ("It is sunny ?.", [{**CALL, "id": "c?0"}])
    assert kept[3]["text"] == "It is sunny."


async def test_chat_calls_the_tools_of_its_profile(sqlite, tmp_path, tools):
    async with profile_server(sqlite, tmp_path, asks("c0"), ANSWER, profiles=profiles(tools)) as server:
        answer = await server.http.post("/chat", json={"text": "Weather?", "profile": "tools"})

    assert answer.json()["reply"] == {"text": "It is sunny.", "engine": "openai", "toolCalls": [CALL]}


async def test_exports_have_the_calls(sqlite, tmp_path, tools):
    async with profile_server(sqlite, tmp_path, asks("c0"), ANSWER, profiles=profiles(tools)) as server:
        begun = await server.begin(profile="tools")
        await server.say(begun["id"], "Weather?")
        path = f"/conversations/{begun['id']}/export"
        as_json, markdown, captions = [
            await server.http.get(path, params={"format": form}) for form in ("json", "md", "srt")
        ]

    assert as_json.json()["messages"][1]["toolCalls"] == [CALL]
    assert f'\n\n> Tool weather, {{"city": "Bonn"}}: {RESULT}\n\nIt is sunny.\n' in markdown.text
    assert "Tool" not in captions.text


@pytest.mark.parametrize(
    ("path", "timeout_s", "result"),
    [
        ("/slow", 0.3, "error: no answer within 0.3 s"),
        ("/large", 20, "error: the answer is larger than 16384 bytes"),
        ("/redirect?to=http://evil.example/", 20, "error: a redirect is not followed"),
    ],
)
async def test_limits_of_a_tool_hold_over_http(sqlite, tmp_path, tools, path, timeout_s, result):
    """The model is told, and the reply goes on."""
    files = profiles(tools, path, timeout_s)
    async with profile_server(sqlite, tmp_path, asks("c0"), ANSWER, profiles=files) as server:
        answer = await server.http.post("/chat", json={"text": "Weather?", "profile": "tools"})

    reply = answer.json()["reply"]
    assert reply["text"] == "It is sunny."
    assert reply["toolCalls"][0]["result"].startswith(result)


async def test_reply_that_fails_after_a_call_is_kept_with_it(sqlite, tmp_path, tools):
    """The tool may have acted: sent again, it would act twice."""
    turns = (asks("c0"), Script(status=500))
    async with profile_server(sqlite, tmp_path, *turns, profiles=profiles(tools)) as server:
        begun = await server.begin(profile="tools")
        failed = await server.http.post(f"/conversations/{begun['id']}/messages", json={"text": "Weather?"})
        _, reply = await server.messages(begun["id"])

    assert failed.json()["code"] == "provider_down"
    assert (reply["text"], reply["cancelled"], reply["toolCalls"]) == ("", "failed", [CALL])


async def test_client_that_leaves_ends_the_call_of_the_tool(sqlite, tmp_path, tools):
    turns = (asks("c0"), ANSWER)
    async with profile_server(sqlite, tmp_path, *turns, profiles=profiles(tools, "/slow")) as server:
        begun = await server.begin(profile="tools")
        path = f"/conversations/{begun['id']}/messages?stream=true"
        async with server.http.stream("POST", path, json={"text": "Weather?"}) as answer:
            lines = answer.aiter_lines()
            assert await anext(lines) == "event: tool"
            assert await to_thread.run_sync(tools.arrived.wait, 10)
        assert await to_thread.run_sync(tools.left.wait, 10)


async def test_voice_session_keeps_the_calls_of_its_replies_and_the_next_session_knows_them(url, tmp_path, tools):
    turns = (asks("c0"), ANSWER)
    async with profile_server(url, tmp_path, *turns, profiles=profiles(tools)) as server:

        async def talk_in(query: str, **configuration: str) -> str:
            async with open_session(f"ws://{server.address}/ws/transcribe{query}", key="acme-key") as talk:
                if configuration:
                    await talk.send_message(type="configure", **configuration)
                    assert await talk.wait_until(lambda t: t.messages("conversation"), timeout_s=10)
                await talk.send_message(type="text", text="Weather?")
                assert await talk.wait_until(lambda t: t.messages("server_response"), timeout_s=20), talk.received
                return str(talk.messages("session")[0].message["conversation"])

        own = await talk_in("?profile=tools")

        async def is_kept() -> bool:
            answer = await server.http.get(f"/conversations/{own}")
            return answer.status_code == 200 and len(answer.json()["messages"]) == 2

        with anyio.fail_after(30):
            await until(is_kept, seconds=20)
        _, reply = await server.messages(own)
        await talk_in("", conversation=own)

    assert (reply["text"], reply["kind"], reply["toolCalls"]) == ("It is sunny.", "voice", [CALL])
    assert [message["role"] for message in server.prompt()[1:5]] == ["user", "assistant", "tool", "assistant"]
