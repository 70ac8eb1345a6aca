"""Two writers of one conversation: a voice session and messages in text, on SQLite and PostgreSQL."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import anyio
import anyio.lowlevel
import httpx
import pytest

from app.data import conversation_log, conversations
from app.data.conversation_log import conversation_log_in
from app.data.conversations import SESSION_LEASE, ConversationTable
from app.data.database import open_database
from app.domain.conversations.message import Conversation, StoredMessage
from app.domain.dialog import effects as do
from app.domain.dialog.conversation import Message, Role
from app.domain.errors import ConversationBusy, ConversationNotFound
from app.domain.tenant import Tenant
from app.runtime.conversations.session_conversation import SessionConversation
from app.runtime.dialog.engines import Engines
from app.runtime.ids import new_id, new_row_number
from tests.eventually import until
from tests.fakes import ScriptedDetector, ScriptedGenerator, ScriptedTranscriber, SingleRouteFinals
from tests.integration.conversation_service import ACME, ConversationServer, conversation_server
from tests.routes import LOCAL
from tests.streaming_client import StreamingClient, open_session

pytestmark = pytest.mark.anyio
NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
AT = NOON.isoformat(timespec="milliseconds")


@dataclass
class GatedGenerator:
    """Gives one word, and the other when it is told to."""

    is_begun: anyio.Event = field(default_factory=anyio.Event)
    goes_on: anyio.Event = field(default_factory=anyio.Event)

    async def reply(self, conversation: Sequence[Message]) -> AsyncGenerator[str, None]:
        yield "Well "
        self.is_begun.set()
        await self.goes_on.wait()
        yield "done."


@asynccontextmanager
async def talking(server: ConversationServer, **configuration) -> AsyncGenerator[StreamingClient, None]:
    async with open_session(f"ws://{server.address}/ws/transcribe", key="acme-key") as talk:
        assert await talk.wait_until(lambda t: t.messages("session"), timeout_s=10)
        if configuration:
            await talk.send_message(type="configure", **configuration)
        yield talk


async def resumed(talk: StreamingClient) -> None:
    assert await talk.wait_until(lambda t: t.messages("conversation"), timeout_s=20), talk.received


async def say(talk: StreamingClient, text: str, replies: int = 1) -> None:
    """And wait for so many replies in all."""
    await talk.send_message(type="text", text=text)
    assert await talk.wait_until(lambda t: len(t.messages("server_response")) >= replies, timeout_s=20), talk.received


async def say_in_text(server: ConversationServer, conversation: str, text: str) -> None:
    """Once the session that spoke in it is over."""

    async def is_answered() -> bool:
        return (await server.say(conversation, text)).status_code == 200

    await until(is_answered, seconds=20)


async def texts(server: ConversationServer, conversation: str) -> list[tuple[int, str, str]]:
    return [(each["turn"], each["role"], each["text"]) for each in await server.messages(conversation)]


# -- the table ------------------------------------------------------------------------


@pytest.fixture
async def table(url):
    async with open_database(url) as database:
        yield ConversationTable(database)


@pytest.fixture
async def conversation(table):
    begun = Conversation(new_id(), "acme", AT, AT)
    await table.create(begun)
    return begun.id


def said(text: str, role: Role = Role.USER) -> StoredMessage:
    return StoredMessage(new_row_number(), role, text, AT)


async def begin(table: ConversationTable, conversation: str, *, now: datetime = NOON) -> StoredMessage:
    return await table.begin_reply(conversation, said("Hello."), now=now, until=now + timedelta(seconds=150))


async def test_session_and_message_in_text_exclude_each_other(table, conversation):
    await begin(table, conversation)
    with pytest.raises(ConversationBusy, match="being answered"):
        await table.begin_session(conversation, "s1", now=NOON)
    await table.end_reply(conversation, said("Hi.", Role.ASSISTANT))
    await table.begin_session(conversation, "s1", now=NOON)

    with pytest.raises(ConversationBusy, match="a voice session speaks"):
        await begin(table, conversation)


async def test_second_session_takes_the_conversation_over_where_it_says_so(table, conversation):
    """The end and the renewal of the first one change nothing."""
    await table.begin_session(conversation, "s1", now=NOON)
    with pytest.raises(ConversationBusy, match="a voice session speaks"):
        await table.begin_session(conversation, "s2", now=NOON)
    await table.begin_session(conversation, "s2", now=NOON, takes_over=True)
    await table.keep_sessions({"s1"}, now=NOON + timedelta(days=1))

    with pytest.raises(ConversationBusy):
        await begin(table, conversation)
    await begin(table, conversation, now=NOON + SESSION_LEASE + timedelta(seconds=1))


async def test_claim_of_a_session_whose_process_died_runs_out(table, conversation):
    await table.begin_session(conversation, "s1", now=NOON)
    await table.keep_sessions({"s1"}, now=NOON + timedelta(seconds=30))
    late = NOON + SESSION_LEASE + timedelta(seconds=1)
    with pytest.raises(ConversationBusy):
        await begin(table, conversation, now=late)

    await begin(table, conversation, now=late + timedelta(seconds=30))


async def test_late_end_of_a_message_in_text_does_not_free_the_conversation_of_a_session(table, conversation):
    """The database was away for longer than the claim of the message."""
    first = await begin(table, conversation)
    later = NOON + timedelta(minutes=5)
    await table.begin_session(conversation, "s1", now=later)
    await table.end_reply(conversation, said("Hi.", Role.ASSISTANT))
    await table.withdraw(conversation, first)

    with pytest.raises(ConversationBusy, match="a voice session speaks"):
        await begin(table, conversation, now=later)


async def test_session_in_no_conversation_is_refused(table):
    with pytest.raises(ConversationNotFound):
        await table.begin_session(new_id(), "s1", now=NOON)


# -- end to end -----------------------------------------------------------------------


@pytest.mark.parametrize("of", ["another", "its own"])
async def test_message_in_text_is_refused_while_a_session_speaks_and_taken_when_it_is_over(url, of):
    async with conversation_server(url) as server:
        continued = await server.begin()
        async with talking(server, **({"conversation": continued} if of == "another" else {})) as talk:
            if of == "another":
                await resumed(talk)
            await say(talk, "Hello.")
            conversation = continued if of == "another" else talk.messages("session")[0].message["conversation"]

            async def is_there() -> bool:
                answer = await server.http.get(f"/conversations/{conversation}")
                return answer.status_code == 200 and len(answer.json()["messages"]) == 2

            await until(is_there, seconds=20)
            refused = await server.say(conversation, "And I?")
        await say_in_text(server, conversation, "Now?")
        found = await texts(server, conversation)

    assert (refused.status_code, refused.json()["code"]) == (409, "conversation_busy")
    assert "voice session" in refused.json()["message"]
    assert [(turn, role) for turn, role, _ in found] == [(1, "user"), (1, "assistant"), (2, "user"), (2, "assistant")]


async def test_session_waits_for_the_reply_to_a_message_in_text(url):
    """What is said meanwhile follows it: neither is lost, and no half stands between question and reply."""
    engine = GatedGenerator()
    async with conversation_server(url, engine) as server, anyio.create_task_group() as tasks:
        conversation = await server.begin()
        tasks.start_soon(server.say, conversation, "In text.")
        await engine.is_begun.wait()
        async with talking(server, conversation=conversation) as talk:
            await say(talk, "In the session.")
            assert not talk.messages("conversation")
            engine.goes_on.set()
            await resumed(talk)
            await say(talk, "Once more.", replies=2)
        await say_in_text(server, conversation, "In text again.")
        found = await texts(server, conversation)

    assert [text for _, role, text in found if role == "user"] == [
        "In text.",
        "In the session.",
        "Once more.",
        "In text again.",
    ]
    assert [turn for turn, _, _ in found] == [1, 1, 2, 2, 3, 3, 4, 4]


async def test_session_whose_conversation_stays_busy_goes_on_in_its_own(url):
    async with open_database(url) as database, conversation_log_in(database) as log:
        busy = Conversation(new_id(), "acme", AT, AT)
        await log.table.create(busy)
        await begin(log.table, busy.id, now=datetime.now(UTC))
        recorder = SimpleNamespace(enabled=True, opened=SimpleNamespace(person=None))
        session = SessionConversation(log, new_id(), ACME, recorder, now=lambda: AT, wait_for_reply_s=0)
        with pytest.raises(ConversationBusy, match="being answered"):
            await session.resume(busy.id)
        session.record(do.RecordUserText(1, "In the session."))
        assert await log.rows.flush()

        assert [each.text for each in await log.table.messages(busy.id, limit=9)] == ["Hello."]
        assert [each.text for each in await log.table.messages(session.session, limit=9)] == ["In the session."]


async def test_session_that_follows_another_one_waits_for_its_last_words(url):
    """They are on their way to the database when the next session begins."""
    async with open_database(url) as database, conversation_log_in(database) as log:
        recorder = SimpleNamespace(enabled=True, opened=SimpleNamespace(person=None))
        first, second = [SessionConversation(log, new_id(), ACME, recorder, now=lambda: AT) for _ in range(2)]
        first.record(do.RecordUserText(1, "One."))
        assert await log.rows.flush()
        first.record(do.RecordUserText(2, "Two."))
        history = []

        async def resume() -> None:
            history.extend((await second.resume(first.session)).history)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(resume)
            await anyio.lowlevel.checkpoint()
            first.finish()
            assert await log.rows.flush()

    assert [each.text for each in history] == ["One.", "Two."]


async def test_session_takes_over_from_one_that_does_not_end(url):
    """As after a connection that broke off: the server has not noticed yet."""
    async with open_database(url) as database, conversation_log_in(database) as log:
        recorder = SimpleNamespace(enabled=True, opened=SimpleNamespace(person=None))
        first, second = [SessionConversation(log, new_id(), ACME, recorder, now=lambda: AT) for _ in range(2)]
        first.record(do.RecordUserText(1, "One."))
        assert await log.rows.flush()
        continued = await second.resume(first.session)
        first.finish()
        assert await log.rows.flush()

        assert [each.text for each in continued.history] == ["One."]
        with pytest.raises(ConversationBusy, match="a voice session speaks"):
            await begin(log.table, first.session, now=datetime.now(UTC))


@pytest.fixture
def short_claims(monkeypatch):
    """A session is idle after a fifth of a second, and its conversation free after half a second."""
    monkeypatch.setattr(conversations, "SESSION_LEASE", timedelta(seconds=0.5))
    monkeypatch.setattr(conversation_log, "RENEW_EVERY_S", 0.1)
    monkeypatch.setattr(conversation_log, "CLAIMED_S", 0.2)


@pytest.mark.parametrize("of", ["another", "its own"])
async def test_idle_session_leaves_its_conversation_to_messages_in_text_and_knows_them_afterwards(
    url, short_claims, of
):
    """It is asked again in text, whose reply waits for what was said meanwhile; turns have one order."""
    spoken = ScriptedGenerator(("Yes.",))

    @asynccontextmanager
    async def engines(session: str, tenant: Tenant):
        yield Engines(ScriptedDetector(), SingleRouteFinals(LOCAL, ScriptedTranscriber()), generator=spoken)

    async with conversation_server(url, session_engines=engines) as server:
        continued = await server.begin()
        async with talking(server, **({"conversation": continued} if of == "another" else {})) as talk:
            if of == "another":
                await resumed(talk)
            await say(talk, "First.")
            conversation = continued if of == "another" else talk.messages("session")[0].message["conversation"]
            await say_in_text(server, conversation, "Second.")
            await say(talk, "Third.", replies=2)
            refused = await server.say(conversation, "Fourth?")
        await say_in_text(server, conversation, "Fifth.")
        found = await texts(server, conversation)

    prompt = [(message.role, message.text) for message in spoken.asked[-1] if message.role is not Role.SYSTEM]
    assert prompt == [
        (Role.USER, "First."),
        (Role.ASSISTANT, "Yes."),
        (Role.USER, "Second."),
        (Role.ASSISTANT, "You said it. Well done."),
        (Role.USER, "Third."),
    ]
    assert refused.json()["code"] == "conversation_busy"
    assert [(turn, role) for turn, role, _ in found] == [
        (turn, role) for turn in (1, 2, 3, 4) for role in ("user", "assistant")
    ]


async def test_what_is_said_in_an_idle_session_while_a_message_is_answered_follows_the_reply(url, short_claims):
    async with open_database(url) as database, conversation_log_in(database) as log:
        recorder = SimpleNamespace(enabled=True, opened=SimpleNamespace(person=None))
        session = SessionConversation(log, new_id(), ACME, recorder, now=lambda: AT)
        session.record(do.RecordUserText(1, "One."))
        assert await log.rows.flush()
        await anyio.sleep(0.3)
        assert session.may_be_behind
        await begin(log.table, session.session, now=datetime.now(UTC) + timedelta(seconds=1))
        caught_up = []

        async def catch_up() -> None:
            caught_up.extend(await session.catch_up())

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(catch_up)
            await anyio.sleep(0.1)
            session.record(do.RecordUserText(2, "Three."))
            assert await log.rows.flush()
            await log.table.end_reply(session.session, said("Two.", Role.ASSISTANT))
        assert await log.rows.flush()
        stored = await log.table.messages(session.session, limit=9)

    assert [message.text for message in caught_up] == ["Hello.", "Two."]
    assert [(each.turn, each.text) for each in stored] == [(1, "One."), (2, "Hello."), (2, "Two."), (3, "Three.")]


async def test_session_that_is_not_behind_catches_up_with_nothing(url):
    async with open_database(url) as database, conversation_log_in(database) as log:
        recorder = SimpleNamespace(enabled=True, opened=SimpleNamespace(person=None))
        session = SessionConversation(log, new_id(), ACME, recorder, now=lambda: AT)
        before = session.may_be_behind, await session.catch_up()
        session.record(do.RecordUserText(1, "One."))
        assert await log.rows.flush()

        assert before == (False, ())
        assert (session.may_be_behind, await session.catch_up()) == (False, ())


async def test_session_that_is_not_recorded_claims_nothing(url):
    async with conversation_server(url) as server:
        conversation = await server.begin()
        async with talking(server, archive=False, conversation=conversation) as talk:
            await resumed(talk)
            answer = await server.say(conversation, "Hello.")

    assert answer.status_code == 200


async def test_many_writers_part_no_question_from_its_reply_and_lose_nothing(url):
    """Three clients send in text as often as they can, while sessions come and go."""
    async with conversation_server(url) as server:
        conversation = await server.begin()
        taken, is_over = list[str](), anyio.Event()

        async def write(name: str) -> None:
            number = 0
            while not is_over.is_set():
                number += 1
                answer: httpx.Response = await server.say(conversation, f"{name}{number}")
                assert answer.status_code in (200, 409), answer.text
                if answer.status_code == 200:
                    taken.append(f"{name}{number}")
                else:
                    await anyio.sleep(0.01)

        async with anyio.create_task_group() as tasks:
            for name in "abc":
                tasks.start_soon(write, name)
            for number in range(3):
                async with talking(server, conversation=conversation) as talk:
                    await resumed(talk)
                    for each in range(2):
                        await say(talk, f"session {number} {each}", replies=each + 1)
                        taken.append(f"session {number} {each}")
            is_over.set()
        await say_in_text(server, conversation, "last")
        stored = (await server.http.get(f"/conversations/{conversation}?limit=1000")).json()["messages"]

    pairs = list(zip(stored[::2], stored[1::2], strict=True))
    assert all((asked["role"], reply["role"]) == ("user", "assistant") for asked, reply in pairs)
    assert all(asked["turn"] == reply["turn"] for asked, reply in pairs)
    assert sorted(each["text"] for each in stored if each["role"] == "user") == sorted([*taken, "last"])
