"""Profiles over HTTP: chosen for a conversation, a message or a chat, kept, restricted, and taken by voice sessions."""

from contextlib import asynccontextmanager

import pytest

from tests.emulators.openai import Script
from tests.eventually import until
from tests.integration.conversation_service import bearer
from tests.integration.profile_service import COOK, profile_server
from tests.streaming_client import open_session

pytestmark = pytest.mark.anyio


@pytest.fixture
def sqlite(tmp_path) -> str:
    return f"sqlite+aiosqlite:///{tmp_path}/parley.db"


@asynccontextmanager
async def talking(server, query="", **configuration):
    async with open_session(f"ws://{server.address}/ws/transcribe{query}", key="acme-key") as talk:
        if configuration:
            await talk.send_message(type="configure", **configuration)
        yield talk


async def answered(talk) -> None:
    assert await talk.wait_until(lambda t: t.messages("server_response"), timeout_s=20), talk.received


@pytest.mark.parametrize("way", ["body", "address"])
async def test_conversation_keeps_its_profile(url, tmp_path, way):
    """Its instructions, its engine and model; also for messages that name none."""
    async with profile_server(url, tmp_path, Script(("Yes.",))) as server:
        query, body = ("?profile=code", {}) if way == "address" else ("?profile=cook", {"profile": "code"})
        begun = (await server.http.post(f"/conversations{query}", json=body)).json()
        answer = await server.say(begun["id"], "Sort it.")
        listed = (await server.http.get("/conversations")).json()["conversations"]

    assert (begun["profile"], listed[0]["profile"]) == ("code", "code")
    assert answer["reply"]["engine"] == "openai/large"
    assert server.openai.requests[0]["model"] == "large"
    assert server.prompt()[0] == {"role": "system", "content": "You write code."}


async def test_profile_of_a_conversation_can_be_changed(url, tmp_path):
    """For the replies from then on; with a title in the same request, or back to the default."""
    async with profile_server(url, tmp_path, Script(("Yes.",)), Script(("No.",))) as server:
        begun = await server.begin(profile="cook")
        path = f"/conversations/{begun['id']}"
        await server.say(begun["id"], "Boil it.")
        changed = await server.http.patch(path, json={"profile": "code", "title": "Eggs"})
        await server.say(begun["id"], "Sort it.")
        refused = [
            await server.http.patch(path, json=body)
            for body in ({"profile": "pirate", "title": "Ahoy"}, {}, {"text": "a"})
        ]
        kept = (await server.http.get(path)).json()
        default = (await server.http.patch(path, json={"profile": None})).json()
        begun_without = await server.begin()

    assert (changed.status_code, changed.json()["profile"], changed.json()["title"]) == (200, "code", "Eggs")
    assert [request["model"] for request in server.openai.requests] == ["small", "large"]
    assert [(each.status_code, each.json()["code"]) for each in refused] == [
        (404, "unknown_profile"),
        (400, "bad_message"),
        (400, "bad_message"),
    ]
    assert (kept["profile"], kept["title"]) == ("code", "Eggs")
    assert (default["profile"], default["title"]) == (begun_without["profile"], "Eggs")


@pytest.mark.parametrize("way", ["body", "address"])
async def test_message_with_a_profile_has_it_for_its_own_reply_alone(sqlite, tmp_path, way):
    async with profile_server(sqlite, tmp_path, Script(("Yes.",)), Script(("No.",))) as server:
        begun = await server.begin(profile="cook")
        path = f"/conversations/{begun['id']}/messages"
        if way == "body":
            await server.say(begun["id"], "Sort it.", profile="code")
        else:
            await server.http.post(f"{path}?profile=code", json={"text": "Sort it."})
        await server.say(begun["id"], "Boil it.")

    assert [request["model"] for request in server.openai.requests] == ["large", "small"]
    assert [server.prompt(number)[0]["content"] for number in (0, 1)] == ["You write code.", "You cook."]


async def test_window_of_a_profile_is_in_tokens(sqlite, tmp_path):
    """Ten tokens are the last question and the exchange before it; without a profile everything fits."""
    async with profile_server(sqlite, tmp_path, Script(("Yes.",))) as server:
        for profile in ("cook", "code"):
            begun = await server.begin(profile=profile)
            for text in ("Boil eggs.", "Fry two eggs.", "Peel an egg."):
                await server.say(begun["id"], text)

    assert [message["content"] for message in server.prompt(2)] == [
        "You cook.",
        "Fry two eggs.",
        "Yes.",
        "Peel an egg.",
    ]
    assert len(server.prompt(5)) == 6


@pytest.mark.parametrize("keep", [False, True])
async def test_chat_has_the_profile_that_it_names(sqlite, tmp_path, keep):
    async with profile_server(sqlite, tmp_path, Script(("Yes.",))) as server:
        body = {"text": "Sort it.", "profile": "code", "keep": keep}
        answer = (await server.http.post("/chat", json=body)).json()
        kept = (await server.http.get("/conversations")).json()["conversations"]

    assert answer["reply"]["engine"] == "openai/large"
    assert [each["profile"] for each in kept] == (["code"] if keep else [])


async def test_default_profile_is_that_of_new_conversations_and_stays(sqlite, tmp_path):
    async with profile_server(sqlite, tmp_path, Script(("Yes.",)), default="cook") as server:
        begun = await server.begin()
        await server.http.post("/chat", json={"text": "Boil it."})

    assert begun["profile"] == "cook"
    assert server.prompt()[0]["content"] == "You cook."


async def test_without_a_default_the_settings_hold(sqlite, tmp_path):
    async with profile_server(sqlite, tmp_path, Script(("Yes.",))) as server:
        begun = await server.begin()
        await server.say(begun["id"], "Hello.")

    assert begun["profile"] is None
    assert server.prompt()[0]["content"] == "Be brief."


@pytest.mark.parametrize(
    ("method", "body"),
    [
        ("/conversations", {"profile": "pirate"}),
        ("/conversations?profile=pirate", {}),
        ("/chat", {"text": "Hello.", "profile": "pirate"}),
        ("/conversations/{id}/messages", {"text": "Hello.", "profile": "pirate"}),
        ("/conversations/{id}/messages?profile=pirate", {"text": "Hello."}),
    ],
)
async def test_unknown_profile_is_refused_with_a_code_and_nothing_is_kept(sqlite, tmp_path, method, body):
    async with profile_server(sqlite, tmp_path) as server:
        begun = await server.begin()
        answer = await server.http.post(method.format(**begun), json=body)
        found = (await server.http.get("/conversations")).json()["conversations"]

    assert (answer.status_code, answer.json()["code"]) == (404, "unknown_profile")
    assert "cook" in answer.json()["message"]
    assert [each["messages"] for each in found] == [0]


async def test_tenant_may_use_its_own_profiles_alone(sqlite, tmp_path):
    """The first of them is its default."""
    async with profile_server(sqlite, tmp_path) as server:
        kiosk = bearer("kiosk-key")
        refused = await server.http.post("/conversations", json={"profile": "code"}, headers=kiosk)
        begun = await server.http.post("/conversations", headers=kiosk)

    assert (refused.status_code, refused.json()["code"]) == (404, "unknown_profile")
    assert begun.json()["profile"] == "cook"


async def test_conversation_whose_profile_is_gone_refuses_messages_that_name_none(sqlite, tmp_path):
    async with profile_server(sqlite, tmp_path, Script(("Yes.",))) as server:
        begun = await server.begin(profile="code")
        del server.chat.profiles.profiles()["code"]
        refused = await server.http.post(f"/conversations/{begun['id']}/messages", json={"text": "Hello."})
        answer = await server.say(begun["id"], "Hello.", profile="cook")

    assert (refused.status_code, refused.json()["code"]) == (404, "unknown_profile")
    assert answer["reply"]["text"] == "Yes."


@pytest.mark.parametrize(
    ("query", "configuration", "instructions"),
    [
        ("", {}, "You write code."),
        ("?profile=cook", {}, "You cook."),
        ("", {"profile": "cook"}, "You cook."),
    ],
)
async def test_voice_session_takes_the_profile_of_its_conversation_unless_it_names_one(
    sqlite, tmp_path, query, configuration, instructions
):
    """The conversation keeps its own."""
    async with profile_server(sqlite, tmp_path, Script(("Yes.",))) as server:
        begun = await server.begin(profile="code")
        async with talking(server, query, conversation=begun["id"], **configuration) as talk:
            assert await talk.wait_until(lambda t: t.messages("conversation"), timeout_s=10)
            await talk.send_message(type="text", text="Hello.")
            await answered(talk)
        found = (await server.http.get(f"/conversations/{begun['id']}")).json()

    assert server.prompt()[0]["content"] == instructions
    assert found["profile"] == "code"


async def test_voice_session_is_told_that_the_profile_of_its_conversation_is_gone_and_goes_on(sqlite, tmp_path):
    async with profile_server(sqlite, tmp_path, Script(("Yes.",))) as server:
        begun = await server.begin(profile="code")
        del server.chat.profiles.profiles()["code"]
        async with talking(server, conversation=begun["id"]) as talk:
            assert await talk.wait_until(lambda t: t.messages("error"), timeout_s=10)
            await talk.send_message(type="text", text="Hello.")
            await answered(talk)
            assert talk.messages("error")[0].message["code"] == "unknown_profile"

    assert server.prompt()[0]["content"] == "Be brief."


@pytest.mark.parametrize(("query", "configuration"), [("?profile=cook", {}), ("", {"profile": "cook"})])
async def test_conversation_that_a_voice_session_begins_keeps_its_profile(sqlite, tmp_path, query, configuration):
    async with profile_server(sqlite, tmp_path, Script(("Yes.",)), profiles={"cook": COOK}) as server:
        async with talking(server, query, **configuration) as talk:
            await talk.send_message(type="text", text="Hello.")
            await answered(talk)

        async def is_there() -> bool:
            return bool((await server.http.get("/conversations")).json()["conversations"])

        await until(is_there, seconds=20)
        (found,) = (await server.http.get("/conversations")).json()["conversations"]

    assert found["profile"] == "cook"


async def test_reply_in_a_voice_session_has_engine_tokens_and_cost_as_one_in_text(url, tmp_path):
    script = Script(("Yes.",), usage=(12, 2))
    async with profile_server(url, tmp_path, script) as server:
        begun = await server.begin(profile="code")
        await server.say(begun["id"], "Hello.")
        async with talking(server, conversation=begun["id"]) as talk:
            assert await talk.wait_until(lambda t: t.messages("conversation"), timeout_s=10)
            await talk.send_message(type="text", text="Hello.")
            await answered(talk)

        async def is_kept() -> bool:
            return len(await server.messages(begun["id"])) == 4

        await until(is_kept, seconds=20)
        _, typed, _, spoken = await server.messages(begun["id"])

    billed = {"engine": "openai/large", "promptTokens": 12, "replyTokens": 2, "costUsd": pytest.approx(14)}
    assert {name: typed[name] for name in billed} == billed
    assert {name: spoken[name] for name in billed} == billed


async def test_reply_in_a_voice_session_that_is_cancelled_has_what_it_has_cost(sqlite, tmp_path):
    """The server is left before it says how much; so it is an estimate."""
    script = Script(("Once ", "upon ", "a ", "time."), stalls_after=2)
    async with profile_server(sqlite, tmp_path, script) as server:
        begun = await server.begin()
        async with talking(server, conversation=begun["id"]) as talk:
            assert await talk.wait_until(lambda t: t.messages("conversation"), timeout_s=10)
            await talk.send_message(type="text", text="Tell me a story.")
            assert await talk.wait_until(lambda t: len(t.messages("replyDelta")) >= 2, timeout_s=20)
            await talk.send_message(type="cancel")

            async def is_billed() -> bool:
                messages = await server.messages(begun["id"])
                return len(messages) == 2 and "engine" in messages[1]

            await until(is_billed, seconds=20)
            _, reply = await server.messages(begun["id"])

    assert (reply["engine"], reply["cancelled"]) == ("openai", "cancelled")
    assert reply["replyTokens"] > 0
    assert reply["costUsd"] > 0
