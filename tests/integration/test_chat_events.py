"""Replies as server-sent events, and what becomes of one that is cut: by its client, its engine or the database."""

import json
import socket
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import anyio
import httpx
import pytest

from app.data.conversations import ConversationTable
from app.data.database import open_database
from app.domain.dialog.conversation import Message
from app.domain.errors import BudgetExhausted, ProviderDown, RequestRefused
from app.domain.profile import Profile
from app.domain.spending import TokenPrice, TokenUsage
from app.domain.tenant import Tenant
from app.runtime.conversations.chat import MAX_REPLIES_PER_TENANT
from app.runtime.conversations.reply_run import ChatEngine, ReplyBill
from app.runtime.jobs.batch_transcription import BatchTranscriber
from app.runtime.routing.reply_failover import ReplyEngine
from app.web.conversations import answer as answering
from providers.local.llm.embedded import open_embedded
from providers.openai.chat import open_chat
from tests.clips import HANDS
from tests.emulators.openai import Script, serve_openai
from tests.eventually import until
from tests.fakes import ScriptedDetector, ScriptedGenerator, ScriptedTranscriber
from tests.integration.conversation_service import bearer, conversation_server
from tests.integration.test_start_without_database import forwarded
from tests.models import model
from tests.postgres import new_database
from tests.reply_engines import Wallet
from tests.serving import stored_manifest
from tests.unit.test_reply_budgets import CountingGenerator

pytestmark = pytest.mark.anyio
EVENTS = {"accept": "text/event-stream"}


@dataclass
class SteppedGenerator:
    """Gives its deltas one at a time, when it is told to; then it waits."""

    steps: list[str] = field(default_factory=list)
    more: anyio.Event = field(default_factory=anyio.Event)
    running: int = 0
    most: int = 0
    """Replies at once."""

    def give(self, delta: str) -> None:
        self.steps.append(delta)
        self.more.set()

    async def reply(self, conversation: Sequence[Message]) -> AsyncGenerator[str, None]:
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            while True:
                while not self.steps:
                    self.more = anyio.Event()
                    await self.more.wait()
                yield self.steps.pop(0)
        finally:
            self.running -= 1


@pytest.fixture
def sqlite(tmp_path) -> str:
    return f"sqlite+aiosqlite:///{tmp_path}/parley.db"


def events_in(text: str) -> list[tuple[str, dict]]:
    """The events of a stream, without its comments."""
    found = []
    for block in text.split("\n\n"):
        lines = dict(line.split(": ", 1) for line in block.split("\n") if line and not line.startswith(":"))
        if lines:
            found.append((lines["event"], json.loads(lines["data"])))
    return found


@asynccontextmanager
async def streaming(server, conversation: str) -> AsyncGenerator[httpx.Response, None]:
    where = f"/conversations/{conversation}/messages"
    async with server.http.stream("POST", where, json={"text": "Hello."}, headers=EVENTS) as response:
        yield response


# -- events ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "query", "is_stream"),
    [(EVENTS, "", True), ({}, "?stream=true", True), (EVENTS, "?stream=false", False), ({}, "", False)],
)
async def test_reply_comes_as_events_where_accept_or_stream_asks_for_it(sqlite, headers, query, is_stream):
    async with conversation_server(sqlite) as server:
        conversation = await server.begin()
        where = f"/conversations/{conversation}/messages{query}"
        answer = await server.http.post(where, json={"text": "Hello."}, headers=headers)

    assert answer.headers["content-type"].startswith("text/event-stream") is is_stream
    if is_stream:
        names, data = zip(*events_in(answer.text), strict=True)
        assert names == ("delta", "delta", "done")
        assert "".join(each["text"] for each in data[:2]) == "You said it. Well done."
        assert data[2].keys() == {"conversation", "message", "reply", "usage", "costUsd"}
        assert data[2]["reply"]["number"] == 2


async def test_text_of_any_kind_stays_in_one_line_of_data(sqlite):
    """A delta may have line breaks, and what looks like another event."""
    hostile = "a\n\nevent: done\ndata: {}\n\n\r\u2028b"
    async with conversation_server(sqlite, ScriptedGenerator((hostile,))) as server:
        answer = await server.http.post("/chat?stream=true", json={"text": "Hello."})

    assert events_in(answer.text)[0] == ("delta", {"text": hostile})


async def test_one_shot_chat_keeps_nothing_unless_it_is_asked_to(sqlite):
    async with conversation_server(sqlite) as server:
        once = await server.http.post("/chat", json={"text": "Hello."})
        none = (await server.http.get("/conversations")).json()["conversations"]
        kept = await server.http.post("/chat", json={"text": "Hello.", "keep": True})
        (one,) = (await server.http.get("/conversations")).json()["conversations"]

    assert (once.json()["reply"]["text"], none) == ("You said it. Well done.", [])
    assert (kept.json()["conversation"], one["messages"]) == (one["id"], 2)


async def test_comments_keep_the_connection_alive_while_the_engine_thinks(sqlite, monkeypatch):
    monkeypatch.setattr(answering.answer_response, "__kwdefaults__", {"heartbeat_s": 0.01})
    engine = SteppedGenerator()
    async with conversation_server(sqlite, engine) as server:
        conversation = await server.begin()
        async with streaming(server, conversation) as response, aclosing(response.aiter_lines()) as lines:
            first = await anext(lines)
            engine.give("Hi.")
            async for line in lines:
                if line.startswith("event"):
                    break

    assert first == ": the reply goes on"
    assert line == "event: delta"


# -- a reply that is cut ----------------------------------------------------------------


async def test_client_that_leaves_stops_the_reply_and_what_was_written_is_kept(url):
    engine = SteppedGenerator()
    async with conversation_server(url, engine) as server:
        conversation = await server.begin()
        async with streaming(server, conversation) as response, aclosing(response.aiter_lines()) as lines:
            engine.give("It is ")
            assert await anext(lines) == "event: delta"

        async def is_kept() -> bool:
            return len(await server.messages(conversation)) == 2

        await until(is_kept, seconds=20)
        reply = (await server.messages(conversation))[1]
        following = await server.table.begin_reply(
            conversation, server.chat.user_message("And now?"), now=server.chat.now(), until=server.chat.now()
        )

    assert (reply["text"], reply["cancelled"], engine.running) == ("It is", "disconnected", 0)
    assert following.number == 3


async def test_second_message_is_409_while_the_first_is_answered(url):
    engine = SteppedGenerator()
    async with conversation_server(url, engine) as server:
        conversation, other = await server.begin(), await server.begin()
        async with streaming(server, conversation) as response, aclosing(response.aiter_lines()) as lines:
            engine.give("It is ")
            await anext(lines)
            refused = await server.say(conversation, "Are you there?")
            async with streaming(server, other) as another:
                status = another.status_code

    assert (refused.status_code, refused.json()["code"], status) == (409, "conversation_busy", 200)


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (ProviderDown("openai", "went away"), 503, "provider_down"),
        (RequestRefused("openai", "held back its answer"), 400, "request_refused"),
        (BudgetExhausted("this tenant's budget of the day is spent: there is no reply"), 429, "budget_exhausted"),
        (ValueError("a defect"), 500, "internal_error"),
    ],
)
async def test_engine_that_fails_is_an_error_and_frees_the_conversation(sqlite, error, status, code):
    engine = ScriptedGenerator(("It ",), error=error)
    async with conversation_server(sqlite, engine) as server:
        conversation = await server.begin()
        answer = await server.say(conversation, "Hello.")
        where = f"/conversations/{conversation}/messages"
        streamed = await server.http.post(where, json={"text": "Hello."}, headers=EVENTS)
        messages = await server.messages(conversation)

    assert (answer.status_code, answer.json()["code"]) == (status, code)
    (_, (name, data)) = events_in(streamed.text)
    assert (name, data["code"], data["conversation"]) == ("error", code, conversation)
    assert [(m["role"], m["text"], m.get("cancelled")) for m in messages] == [
        ("user", "Hello.", None),
        ("assistant", "It", "failed"),
    ] * 2


async def test_message_that_gets_no_word_of_a_reply_is_stored_once_when_it_is_sent_again(sqlite):
    """As JSON and as events; the conversation keeps its count, and is named by what it holds."""
    engine = ScriptedGenerator((), error=ProviderDown("openai", "went away"))
    async with conversation_server(sqlite, engine) as server:
        conversation = await server.begin()
        where = f"/conversations/{conversation}"
        failed = await server.say(conversation, "Refused.")
        streamed = await server.http.post(f"{where}/messages", json={"text": "Refused."}, headers=EVENTS)
        empty = (await server.http.get(where)).json()
        engine.deltas, engine.error = ("Well done.",), None
        answered = await server.say(conversation, "Hello.")
        found = (await server.http.get(where)).json()

    ((_, data),) = events_in(streamed.text)
    assert (failed.status_code, data["code"]) == (503, "provider_down")
    assert (empty["messages"], empty["title"]) == ([], "")
    assert answered.status_code == 200
    assert [(m["number"], m["turn"], m["text"]) for m in found["messages"]] == [(1, 1, "Hello."), (2, 1, "Well done.")]
    assert found["title"] == "Hello."


async def test_message_taken_back_leaves_what_a_session_said_meanwhile(sqlite):
    """And no number is given twice."""
    async with conversation_server(sqlite) as server:
        conversation = await server.begin()
        now, message = datetime.now(UTC), server.chat.user_message("Refused.")
        taken = await server.table.begin_reply(conversation, message, now=now, until=now + timedelta(minutes=1))
        await server.table.end_reply(conversation, server.chat.user_message("Spoken meanwhile."))
        await server.table.withdraw(conversation, taken)
        answer = await server.say(conversation, "Hello.")
        messages = await server.messages(conversation)

    assert answer.status_code == 200
    assert [(m["number"], m["text"]) for m in messages][:2] == [(2, "Spoken meanwhile."), (3, "Hello.")]


async def test_reply_that_takes_too_long_is_cut(sqlite):
    engine = SteppedGenerator(["It is "])
    async with conversation_server(sqlite, engine) as server:
        server.chat.reply_timeout_s = 0.2
        conversation = await server.begin()
        answer = await server.say(conversation, "Hello.")

        assert (answer.status_code, answer.json()["code"]) == (503, "provider_down")
        assert (await server.messages(conversation))[1]["cancelled"] == "failed"


async def test_service_that_stops_keeps_what_was_written(sqlite):
    engine = SteppedGenerator(["It is "])
    async with conversation_server(sqlite, engine) as server:
        conversation = await server.begin()
        answer = await server.chat.answer(
            await server.table.get(conversation), server.chat.user_message("Hello."), Tenant("acme")
        )
        assert (await answer.run.next_event()).text == "It is "
    answer.run.leave()
    async with open_database(sqlite) as database:
        (_, reply) = await ConversationTable(database).messages(conversation, limit=9)

    assert (reply.text, reply.cancelled) == ("It is", "disconnected")


async def test_replies_of_one_tenant_leave_room_for_the_others(sqlite):
    """Its surplus messages are refused; another tenant's are taken, and wait for a place at the engine."""
    stepped = SteppedGenerator()
    async with conversation_server(sqlite, stepped) as server, anyio.create_task_group() as tasks:
        server.engine.places.total_tokens = 2

        async def ask(answers: list[httpx.Response], key: str) -> None:
            answers.append(await server.http.post("/chat", json={"text": "Hello."}, headers=bearer(key)))

        acme, globex = list[httpx.Response](), list[httpx.Response]()
        for _ in range(MAX_REPLIES_PER_TENANT + 1):
            tasks.start_soon(ask, acme, "acme-key")

        async def one_is_refused() -> bool:
            return len(acme) == 1

        async def all_others_wait() -> bool:
            return server.engine.places.statistics().tasks_waiting == MAX_REPLIES_PER_TENANT - 1

        await until(one_is_refused)
        tasks.start_soon(ask, globex, "globex-key")
        await until(all_others_wait)
        tasks.cancel_scope.cancel()

    (refused,) = acme
    assert (refused.status_code, refused.json()["code"], refused.headers["retry-after"]) == (503, "provider_busy", "1")
    assert (globex, stepped.most) == ([], 2)


@dataclass
class Cable:
    """Between the service and its PostgreSQL; it can be unplugged."""

    port: int
    to: int
    plugged: anyio.Event = field(default_factory=anyio.Event)
    unplugged: anyio.Event = field(default_factory=anyio.Event)

    async def run(self) -> None:
        while True:
            await self.plugged.wait()
            self.unplugged = anyio.Event()
            async with forwarded(self.port, self.to):
                await self.unplugged.wait()
                self.plugged = anyio.Event()

    async def is_through(self) -> bool:
        try:
            async with await anyio.connect_tcp("127.0.0.1", self.port):
                return True
        except OSError:
            return False


async def test_database_that_is_away_is_503_and_the_service_recovers_by_itself(postgres):
    with socket.create_server(("127.0.0.1", 0)) as free:
        closed_port = free.getsockname()[1]
    url = new_database(postgres)
    port = int(url.rpartition(":")[2].partition("/")[0])
    cable = Cable(closed_port, port)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(cable.run)
        cable.plugged.set()
        await until(cable.is_through)
        async with conversation_server(url.replace(f":{port}/", f":{closed_port}/")) as server:
            conversation = await server.begin()
            cable.unplugged.set()
            refused = [
                await server.http.get("/conversations"),
                await server.http.post("/conversations"),
                await server.say(conversation, "Hello."),
            ]
            once = await server.http.post("/chat", json={"text": "Hello."})
            cable.plugged.set()

            async def is_back() -> bool:
                return (await server.http.get("/conversations")).status_code == 200

            await until(is_back, seconds=30)
            answered = await server.say(conversation, "Hello.")
        tasks.cancel_scope.cancel()

    assert [(answer.status_code, answer.json()["code"]) for answer in refused] == [(503, "provider_busy")] * 3
    assert (once.status_code, answered.status_code) == (200, 200)


# -- engines ----------------------------------------------------------------------------


async def test_budgets_of_a_tenant_hold_for_chat_and_its_cost_is_told(sqlite):
    """The engine reports 17 tokens at a cent each; the second message is over the budget."""
    cent = TokenPrice(10_000, 10_000)
    engine = ReplyEngine("openai", CountingGenerator(("Well done.",), TokenUsage(14, 3)), cent, max_tokens=50)
    wallet = Wallet(0.1)

    def open_engine(tenant: Tenant, profile: Profile | None) -> ChatEngine:
        bill = ReplyBill()
        wallet.budget = replace(wallet.budget, on_reply=bill.add)
        return ChatEngine(wallet.replies(engine), bill)

    async with conversation_server(sqlite) as server:
        server.chat.open_engine = open_engine
        conversation = await server.begin()
        first, second = await server.say(conversation, "one"), await server.say(conversation, "two")

    assert first.json()["usage"] == {"promptTokens": 14, "replyTokens": 3, "isEstimate": False}
    assert (first.json()["costUsd"], first.json()["reply"]["costUsd"]) == (0.17, 0.17)
    assert first.json()["reply"]["engine"] == "openai"
    assert (second.status_code, second.json()["code"]) == (429, "budget_exhausted")


async def test_server_of_the_chat_protocol_that_breaks_off_leaves_a_cut_reply(sqlite):
    with serve_openai(script=Script(deltas=("It ", "is "), cuts_after=2)) as upstream:
        async with (
            open_chat(provider_name="ollama", base_url=upstream.base_url, api_key="", model="small") as engine,
            conversation_server(sqlite, engine) as server,
        ):
            conversation = await server.begin()
            answer = await server.say(conversation, "Hello.")
            (_, reply) = await server.messages(conversation)

    assert (answer.status_code, reply["text"], reply["cancelled"]) == (503, "It is", "failed")


@pytest.mark.models
async def test_small_model_answers_in_the_light_of_earlier_messages(sqlite):
    async with (
        open_embedded(model=model("smollm2-135m-instruct"), temperature=0.0, max_tokens=40) as engine,
        conversation_server(sqlite, engine) as server,
    ):
        conversation = await server.begin()
        first = await server.say(conversation, "What is the capital of France?")
        second = await server.say(conversation, "And in which country is that city?")

    assert "Paris" in first.json()["reply"]["text"]
    assert "France" in second.json()["reply"]["text"]


async def test_first_delta_is_passed_on_within_milliseconds(sqlite):
    """The engine's time is not counted. A bench has the figure; here the order of magnitude."""
    engine, took = SteppedGenerator(), []
    async with conversation_server(sqlite, engine) as server:
        for _ in range(5):
            conversation = await server.begin()
            async with streaming(server, conversation) as response, aclosing(response.aiter_lines()) as lines:
                given = anyio.current_time()
                engine.give("Hi.")
                assert await anext(lines) == "event: delta"
                took.append(anyio.current_time() - given)

    assert min(took) < 0.05


# -- audio ------------------------------------------------------------------------------


async def test_file_is_transcribed_and_answered_and_not_kept(sqlite):
    transcriber = BatchTranscriber(ScriptedDetector(), ScriptedTranscriber("Will it rain?"), None)
    async with conversation_server(sqlite, batch_transcriber=transcriber) as server:
        conversation = await server.begin()
        file = {"file": ("hands.wav", HANDS.path.read_bytes())}
        answer = await server.http.post(f"/conversations/{conversation}/audio", files=file)
        message = answer.json()["message"]

        assert message["kind"] == "voice"
        assert set(message["text"].replace("Will it rain?", "").split()) == set()
        assert answer.json()["reply"]["text"] == "You said it. Well done."
        assert server.service.uploader.session_log.records == {}


async def test_recording_of_the_tenant_is_answered_and_referred_to(sqlite):
    async with conversation_server(sqlite) as server:
        recording = (await server.http.post("/recordings", content=HANDS.path.read_bytes())).json()["id"]
        await stored_manifest(server.service, recording)
        conversation = await server.begin()
        where = f"/conversations/{conversation}/audio"
        answer = await server.http.post(where, json={"recording": recording})
        foreign = (await server.http.post("/conversations", headers=bearer("globex-key"))).json()["id"]
        refused = await server.http.post(
            f"/conversations/{foreign}/audio", json={"recording": recording}, headers=bearer("globex-key")
        )
        receipt = await server.http.delete(f"/conversations/{conversation}?receipt=true")

    assert (answer.json()["message"]["session"], refused.status_code) == (recording, 404)
    assert answer.json()["message"]["start"] < answer.json()["message"]["end"]
    assert recording in receipt.json()["remaining"][0]


@pytest.mark.parametrize(
    ("options", "status", "code"),
    [
        ({"files": {"file": ("x.wav", b"no audio")}}, 415, "bad_audio"),
        ({"files": {"other": ("x.wav", b"")}}, 400, "bad_message"),
        ({"json": {}}, 400, "bad_message"),
        ({"json": {"recording": "x", "url": "y"}}, 400, "bad_message"),
        ({"json": {"recording": "x"}}, 404, "not_found"),
        ({"json": {"url": "https://drive.google.com/file/d/1234567890ab"}}, 403, "forbidden"),
    ],
)
async def test_audio_that_cannot_be_answered_is_refused(sqlite, options, status, code):
    async with conversation_server(sqlite) as server:
        conversation = await server.begin()
        answer = await server.http.post(f"/conversations/{conversation}/audio", **options)

        assert (answer.status_code, answer.json()["code"]) == (status, code)
        assert await server.messages(conversation) == []
