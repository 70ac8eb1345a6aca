"""Voice sessions and conversations: continued, of their own, mixed with text, and while the database is away."""

import io
import json
from contextlib import asynccontextmanager
from dataclasses import replace
from types import SimpleNamespace
from zipfile import ZipFile

import anyio
import anyio.lowlevel
import pytest

from app.data.conversation_log import ConversationLog
from app.data.database import open_database
from app.data.row_log import QUEUE_LENGTH
from app.domain.dialog import effects as do
from app.domain.dialog.conversation import Message, Role
from app.domain.residency import Place
from app.domain.routing.route import Route
from app.domain.spending import TokenUsage
from app.domain.tenant import Tenant
from app.domain.transcript import Hypothesis, Word
from app.runtime.conversations.session_conversation import SessionConversation
from app.runtime.dialog.engines import Engines
from app.runtime.ids import new_id
from tests.eventually import until
from tests.fakes import (
    SILENCE,
    SPEECH,
    ScriptedDetector,
    ScriptedGenerator,
    ScriptedSynthesizer,
    ScriptedTranscriber,
    SingleRouteFinals,
)
from tests.integration.conversation_service import bearer, conversation_server
from tests.serving import stored_manifest
from tests.streaming_client import open_session

pytestmark = pytest.mark.anyio
TURN = SPEECH * 20 + SILENCE * 60
AT = "2026-01-02T12:00:00.000+00:00"


@pytest.fixture
def sqlite(tmp_path) -> str:
    return f"sqlite+aiosqlite:///{tmp_path}/parley.db"


@asynccontextmanager
async def talking(server, **configuration):
    """A session of acme, configured."""
    async with open_session(f"ws://{server.address}/ws/transcribe", key="acme-key") as talk:
        assert await talk.wait_until(lambda t: t.messages("session"), timeout_s=10)
        if configuration:
            await talk.send_message(type="configure", **configuration)
        yield talk


async def answered(talk, times: int = 1) -> None:
    assert await talk.wait_until(lambda t: len(t.messages("server_response")) >= times, timeout_s=20)


async def kept(server, conversation: str, count: int) -> list[dict]:
    """Its messages, once there are so many."""

    async def are_there() -> bool:
        answer = await server.http.get(f"/conversations/{conversation}")
        return answer.status_code == 200 and len(answer.json()["messages"]) >= count

    await until(are_there, seconds=20)
    messages = await server.messages(conversation)
    assert len(messages) == count
    return messages


def session_of(talk) -> dict:
    return dict(talk.messages("session")[0].message)


# -- end to end -----------------------------------------------------------------------


async def test_recorded_session_has_a_conversation_of_its_own_whose_id_it_is_told(url):
    async with conversation_server(url) as server:
        async with talking(server) as talk:
            await talk.send_audio(TURN, pace=0)
            await answered(talk)
        conversation = session_of(talk)["conversation"]
        said, reply = await kept(server, conversation, 2)

    assert (said["role"], said["text"], said["kind"], said["engine"]) == ("user", "hello", "voice", "local")
    assert (said["session"], said["turn"], reply["turn"]) == (session_of(talk)["id"], 1, 1)
    assert 0 <= said["start"] < said["end"] <= 1
    assert (reply["role"], reply["text"], reply["session"]) == (
        "assistant",
        "You said it. Well done.",
        session_of(talk)["id"],
    )


async def test_session_continues_a_conversation_and_the_engine_knows_what_was_said(url):
    engine = ScriptedGenerator(("Yes.",))
    spoken = ScriptedGenerator(("Yes.",))

    @asynccontextmanager
    async def session_engines(session: str, tenant: Tenant):
        finals = SingleRouteFinals(Route("local", Place.ON_PREM), ScriptedTranscriber())
        yield Engines(ScriptedDetector(), finals, generator=spoken, synthesizer=ScriptedSynthesizer())

    async with conversation_server(url, engine, session_engines=session_engines) as server:
        conversation = await server.begin()
        await server.say(conversation, "My name is Ann.")
        async with talking(server, conversation=conversation) as talk:
            await resumed(talk)
            await talk.send_audio(TURN, pace=0)
            await answered(talk)
        messages = await kept(server, conversation, 4)

    assert [(message.role, message.text) for message in spoken.asked[-1]] == [
        ("user", "My name is Ann."),
        ("assistant", "Yes."),
        ("user", "hello"),
    ]
    assert [(m["number"], m["turn"], m["kind"]) for m in messages] == [
        (1, 1, "text"),
        (2, 1, "text"),
        (3, 2, "voice"),
        (4, 2, "voice"),
    ]


async def resumed(talk) -> None:
    """The conversation was loaded."""
    assert await talk.wait_until(lambda t: t.messages("conversation"), timeout_s=10)


async def test_text_on_the_socket_is_answered_and_kept_like_speech(url):
    async with conversation_server(url) as server:
        async with talking(server) as talk:
            await talk.send_message(type="text", text="Will it rain?")
            await answered(talk)
            await talk.send_audio(TURN, pace=0)
            await answered(talk, 2)
        messages = await kept(server, session_of(talk)["conversation"], 4)

    assert talk.messages("replyStart")[0].message["text"] == "Will it rain?"
    assert [(m["role"], m["kind"], m["turn"]) for m in messages] == [
        ("user", "text", 1),
        ("assistant", "voice", 1),
        ("user", "voice", 2),
        ("assistant", "voice", 2),
    ]


@pytest.mark.parametrize("way", ["configure", "tenant"])
async def test_session_that_is_not_recorded_keeps_nothing(sqlite, way):
    async with conversation_server(sqlite) as server:
        server.service.uploader.archive_by_default = way != "tenant"
        async with talking(server, **({"archive": False} if way == "configure" else {})) as talk:
            await talk.send_message(type="text", text="Will it rain?")
            await answered(talk)
            await talk.send_audio(TURN, pace=0)
            await answered(talk, 2)
        await server.chat.log.rows.flush()

        assert (await server.http.get("/conversations")).json()["conversations"] == []
        assert ("conversation" in session_of(talk)) is (way == "configure")


@pytest.mark.parametrize(
    ("key", "of", "code"), [("acme-key", "nobody", "not_found"), ("acme-key", "globex", "not_found")]
)
async def test_conversation_that_is_not_there_is_an_error_and_the_session_goes_on_in_its_own(sqlite, key, of, code):
    async with conversation_server(sqlite) as server:
        foreign = (await server.http.post("/conversations", headers=bearer("globex-key"))).json()["id"]
        async with talking(server, conversation=foreign if of == "globex" else new_id()) as talk:
            assert await talk.wait_until(lambda t: t.messages("error"), timeout_s=10)
            await talk.send_message(type="text", text="Will it rain?")
            await answered(talk)
        await kept(server, session_of(talk)["conversation"], 2)

        assert talk.messages("error")[0].message["code"] == code
        assert await server.table.messages(foreign, limit=9) == []


async def test_conversation_must_be_named_before_the_first_audio_and_the_first_text(sqlite):
    async with conversation_server(sqlite) as server:
        conversation = await server.begin()
        async with talking(server) as talk:
            await talk.send_message(type="text", text="Will it rain?")
            await talk.send_message(type="configure", conversation=conversation)
            assert await talk.wait_until(lambda t: t.messages("error"), timeout_s=10)

    assert "before the first audio" in talk.messages("error")[0].message["message"]


async def test_texts_beyond_their_rate_are_not_answered(sqlite):
    async with conversation_server(sqlite) as server, talking(server) as talk:
        for number in range(7):
            await talk.send_message(type="text", text=f"question {number}")
        assert await talk.wait_until(lambda t: t.messages("error"), timeout_s=10)

    assert talk.messages("error")[0].message["code"] == "text_too_often"


async def test_deleted_recording_is_erased_from_the_conversation(sqlite):
    """What is queued, too: the deletion writes it first."""
    async with conversation_server(sqlite) as server:
        conversation = await server.begin()
        await server.say(conversation, "Typed.")
        async with talking(server, conversation=conversation) as talk:
            await resumed(talk)
            await talk.send_audio(TURN, pace=0)
            await answered(talk)
        await kept(server, conversation, 4)
        session = session_of(talk)["id"]

        async def is_deleted() -> bool:
            return (await server.http.delete(f"/recordings/{session}")).status_code == 204

        await until(is_deleted, seconds=20)
        messages = await server.messages(conversation)

    assert [m["text"] for m in messages] == ["Typed.", "You said it. Well done.", "", ""]
    assert not any("session" in m or "start" in m for m in messages)


async def test_export_of_a_recording_has_its_messages(sqlite):
    async with conversation_server(sqlite) as server:
        async with talking(server) as talk:
            await talk.send_audio(TURN, pace=0)
            await answered(talk)
        session = session_of(talk)["id"]
        await kept(server, session, 2)
        await stored_manifest(server.service, session)
        export = await server.http.get(f"/recordings/{session}/export")

    messages = json.loads(ZipFile(io.BytesIO(export.content)).read(f"{session}/messages.json"))
    assert [(m["conversation"], m["role"], m["text"]) for m in messages] == [
        (session, "user", "hello"),
        (session, "assistant", "You said it. Well done."),
    ]


# -- what is kept of effects --------------------------------------------------------------


@pytest.fixture
async def log(url):
    async with open_database(url) as database:
        yield ConversationLog(database)


def of_session(log, **changes) -> SessionConversation:
    recorder = SimpleNamespace(enabled=True, opened=SimpleNamespace(person="ann"))
    return SessionConversation(log, new_id(), Tenant("acme"), recorder, now=lambda: AT, **changes)


def final(turn: int, text: str, **fields) -> do.ShowFinal:
    return do.ShowFinal(
        turn, turn, Hypothesis(text, is_final=True, **fields), 100, 900, 1000, Route("aws", Place.CLOUD)
    )


async def stored(log, session: SessionConversation):
    assert await log.rows.flush()
    return await log.table.messages(session.session, limit=99)


async def test_cut_reply_is_kept_with_what_was_played_of_it(log):
    session = of_session(log)
    for effect in (
        final(1, "Hello.", words=(Word("Hello.", 0, 800),), language="en"),
        do.ShowReplyStart(1, "Hello."),
        do.ShowReplyDelta(1, "One. "),
        do.ShowReplyDelta(1, "Two."),
        do.ShowReplyCancelled(1, "barge_in", "One."),
        do.ShowReplyStart(2, ""),
        do.ShowReplyDelta(2, "Three. Four."),
        do.ShowReply(2, "Three. Four."),
        do.StopPlayback(2, "cancelled", "Three."),
        do.ShowReplyStart(3, ""),
        do.RecordReplyCancelled(3, "disconnected", ""),
    ):
        session.record(effect)

    said, cut, interrupted = await stored(log, session)

    assert (said.words, said.language, said.engine, said.start, said.end) == (
        (Word("Hello.", 0, 800),),
        "en",
        "aws",
        100,
        900,
    )
    assert (cut.text, cut.played, cut.cancelled) == ("One. Two.", "One.", "barge_in")
    assert (interrupted.text, interrupted.played, interrupted.cancelled) == ("Three. Four.", "Three.", "cancelled")
    assert (await log.table.get(session.session)).person == "ann"


async def test_speaker_labels_are_kept_with_their_messages_and_behind_them(log):
    session = of_session(log)
    session.record(replace(final(1, "Hello."), speaker=1))
    session.record(final(2, "Good morning."))
    session.record(final(3, "And you?"))
    session.record(do.ShowSpeaker(2, 2, 2))
    session.record(do.ShowSpeaker(9, 9, 1))
    assert [message.speaker for message in await stored(log, session)] == [1, 2, None]

    session.record(do.ShowSpeaker(3, 3, 1))  # it is stored already

    assert [message.speaker for message in await stored(log, session)] == [1, 2, 1]


async def test_reply_has_engine_tokens_and_cost_whether_whole_or_cut(log):
    """Of a cut one they are known when its engine has stopped; of a second engine, or a second round, they add up."""
    session = of_session(log)
    session.record(do.StartReply(1, (), speak=False))
    session.record(do.ShowReplyStart(1, "Hello."))
    session.record(do.ReleaseReply(1))
    session.record_cost(1, "ollama", TokenUsage(10, 0), 0.0)
    session.record_cost(1, "openai", TokenUsage(10, 3), 0.5)
    session.record(do.ShowReply(1, "Whole."))
    session.record(do.StartReply(2, (), speak=False))
    session.record(do.ShowReplyStart(2, "And?"))
    session.record(do.ReleaseReply(2))
    session.record(do.ShowReplyDelta(2, "Cut off."))
    session.record(do.ShowReplyCancelled(2, "barge_in", "Cut"))
    session.record_cost(2, "openai", TokenUsage(20, 4), 0.25)
    whole, cut = await stored(log, session)

    assert (whole.engine, whole.usd, whole.prompt_tokens, whole.reply_tokens) == ("openai", 0.5, 20, 3)
    assert (cut.engine, cut.usd, cut.prompt_tokens, cut.reply_tokens) == ("openai", 0.25, 20, 4)


async def test_eager_reply_that_nobody_got_and_the_text_that_a_client_had_spoken_cost_no_message(log):
    session = of_session(log)
    session.record(do.StartReply(1, (), speak=False))
    session.record_cost(1, "openai", TokenUsage(10, 3), 0.5)
    session.record(do.ShowReplyStart(1, ""))
    session.record(do.ReleaseReply(2))
    session.record(do.ShowReply(1, "Welcome."))
    (spoken,) = await stored(log, session)

    assert (spoken.engine, spoken.usd, spoken.prompt_tokens) == ("", 0, None)


async def test_cost_that_comes_while_the_conversation_is_loaded_is_that_of_its_message(log):
    before, session = of_session(log), of_session(log, see_tenant="acme")
    before.record(do.RecordUserText(1, "earlier"))
    await stored(log, before)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(session.resume, before.session)
        await anyio.lowlevel.checkpoint()
        session.record(do.StartReply(1, (), speak=False))
        session.record(do.ReleaseReply(1))
        session.record(do.ShowReply(1, "Well."))
        session.record_cost(1, "openai", TokenUsage(10, 3), 0.5)
    _, reply = await stored(log, before)

    assert (reply.text, reply.engine, reply.reply_tokens) == ("Well.", "openai", 3)


async def test_messages_beyond_the_queue_are_missing_and_the_next_one_says_so(log):
    """The database is away: nothing is written, and nobody waits."""
    session = of_session(log)
    for number in range(QUEUE_LENGTH + 3):
        session.record(do.RecordUserText(1, f"text {number}"))
    first = len(log.rows._queue)
    assert await log.rows.flush()
    session.record(do.RecordUserText(2, "back again"))
    assert await log.rows.flush()
    newest = await log.table.messages(session.session, limit=2)

    assert first == QUEUE_LENGTH
    assert [(m.text, m.missing) for m in newest] == [(f"text {QUEUE_LENGTH - 1}", 0), ("back again", 3)]


async def test_gap_at_the_end_of_a_session_is_marked(log):
    session = of_session(log)
    session.record(do.RecordUserText(1, "text"))
    session._missing = 2
    session.finish()

    assert [(m.role, m.text, m.missing) for m in await stored(log, session)][1] == (Role.SYSTEM, "", 2)


async def test_write_that_is_repeated_stores_each_message_once(log):
    """A commit may succeed although its answer is lost."""
    session = of_session(log)
    session.record(do.RecordUserText(1, "text"))
    queued = list(log.rows._queue)
    assert await log.rows.flush()
    log.rows._queue.extend(queued)

    assert [message.text for message in await stored(log, session)] == ["text"]


async def test_conversation_that_is_deleted_during_the_session_does_not_come_back(log):
    session = of_session(log)
    session.record(do.RecordUserText(1, "one"))
    await stored(log, session)
    await log.table.delete(session.session)
    session.record(do.RecordUserText(2, "two"))

    assert await stored(log, session) == []
    assert log.rows.dropped == 1


async def test_what_is_said_while_the_conversation_is_loaded_follows_it(log):
    """The first words of a session may be final before the database has answered."""
    before, session = of_session(log), of_session(log, see_tenant="acme")
    before.record(do.RecordUserText(1, "earlier"))
    await stored(log, before)
    history = []

    async def resume() -> None:
        history.extend((await session.resume(before.session)).history)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(resume)
        await anyio.lowlevel.checkpoint()
        session.record(do.RecordUserText(1, "while it is loaded"))
        assert history == []

    assert history == [Message(Role.USER, "earlier")]
    assert [(m.text, m.turn) for m in await stored(log, before)] == [("earlier", 1), ("while it is loaded", 2)]
