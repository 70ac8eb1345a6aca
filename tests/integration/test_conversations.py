"""Conversations over HTTP, on SQLite and PostgreSQL: begun, answered, listed, searched, renamed, exported, deleted."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from urllib.parse import quote

import anyio
import pytest

from app.data import conversation_search
from app.data.api_keys import KeyStore
from app.data.conversations import MAX_MESSAGES, ConversationFilter, ConversationTable
from app.data.database import open_database, transaction
from app.data.tables import ConversationRow
from app.domain.conversations.message import MAX_TEXT_CHARACTERS, Conversation, MessageKind, StoredMessage
from app.domain.dialog.conversation import Role
from app.domain.errors import ConversationBusy, ConversationFull, ConversationNotFound, TooManyConversations
from app.domain.principal import Scope
from app.domain.tenant import Tenant
from app.domain.transcript import Word
from app.runtime.audit import AuditLog
from app.runtime.authentication import UNKNOWN_PEER, AnyOf, DatabaseKeys, OpenAuthenticator, Peer
from app.runtime.ids import new_id, new_row_number
from app.runtime.session_tokens import SessionTokens
from app.web.request_body import MAX_BODY_BYTES
from tests.fakes import ScriptedGenerator
from tests.integration.conversation_service import ACME, GLOBEX, bearer, conversation_server

pytestmark = pytest.mark.anyio
NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
AT = NOON.isoformat(timespec="milliseconds")
LATER = NOON + timedelta(minutes=5)


@pytest.fixture
async def server(url):
    async with conversation_server(url) as running:
        yield running


@pytest.fixture
async def table(url):
    async with open_database(url) as database:
        yield ConversationTable(database)


def said(text: str, role: Role = Role.USER, **fields) -> StoredMessage:
    return StoredMessage(new_row_number(), role, text, **{"at": AT, **fields})


async def stored(table: ConversationTable, *texts: str, tenant: str = "acme", at: datetime = NOON, **fields) -> str:
    """The id of a conversation whose user has said these."""
    moment = at.isoformat(timespec="milliseconds")
    conversation = Conversation(new_id(), tenant, moment, moment, **fields)
    await table.create(conversation)
    for text in texts:
        message = said(text, at=moment)
        await table.begin_reply(conversation.id, message, now=at, until=at + timedelta(minutes=1))
        await table.end_reply(conversation.id, None)
    return conversation.id


async def found(table: ConversationTable, **criteria) -> list[str]:
    return [each.id for each in await table.find(ConversationFilter(**criteria))]


# -- the table ----------------------------------------------------------------------


async def test_message_is_stored_without_what_no_database_has_in_a_text(table):
    """What is spoken may come from an engine that writes NUL or half a surrogate pair."""
    conversation = await stored(table)
    spoken = said("Will\0 it rain \ud83d?", words=(Word("Will\0", 0, 10, 0.5),))

    appended = await table.begin_reply(conversation, spoken, now=NOON, until=LATER)
    (read,) = await table.messages(conversation, limit=10)

    assert (appended.text, read.text, read.words[0].text) == ("Will it rain ??", "Will it rain ??", "Will")
    assert (await found(table, tenant="acme"))[0] == conversation


async def test_message_is_read_as_it_was_stored_with_its_number_and_turn(table):
    conversation = await stored(table, "Hello.")
    spoken = said(
        "Will it rain?",
        kind=MessageKind.VOICE,
        session="s1",
        start=100,
        end=200_000_000_000,
        words=(Word("Will", 0, 10, 0.5), Word("it", 10, 20)),
        language="en",
        engine="local",
        usd=0.25,
    )
    reply = said(
        "No. Not today.",
        Role.ASSISTANT,
        engine="openai",
        played="No.",
        cancelled="barge_in",
        prompt_tokens=12,
        reply_tokens=3,
        missing=2,
    )

    first = await table.begin_reply(conversation, spoken, now=NOON, until=LATER)
    second = await table.end_reply(conversation, reply)

    assert (first, second) == (replace(spoken, number=2, turn=2), replace(reply, number=3, turn=2))
    assert (await table.messages(conversation, limit=10))[1:] == [first, second]


async def test_second_message_is_refused_until_the_first_is_answered_or_its_process_is_given_up(table):
    conversation = await stored(table)
    await table.begin_reply(conversation, said("one"), now=NOON, until=LATER)

    with pytest.raises(ConversationBusy, match="being answered"):
        await table.begin_reply(conversation, said("two"), now=NOON, until=LATER)
    late = await table.begin_reply(conversation, said("three"), now=LATER + timedelta(1), until=LATER)

    assert [message.text for message in await table.messages(conversation, limit=9)] == ["one", "three"]
    assert late.turn == 2


async def test_full_conversation_takes_no_further_message_and_stays_free(table):
    conversation = await stored(table, "one")
    async with transaction(table.engine) as connection:
        await connection.execute(ConversationRow.__table__.update().values(messages=MAX_MESSAGES))

    for _ in range(2):
        with pytest.raises(ConversationFull, match="begin another"):
            await table.begin_reply(conversation, said("two"), now=NOON, until=LATER)


async def test_message_of_no_conversation_is_refused(table):
    with pytest.raises(ConversationNotFound):
        await table.begin_reply(new_id(), said("one"), now=NOON, until=LATER)


@pytest.mark.parametrize("common", [0, 2000])
@pytest.mark.parametrize(
    ("text", "titles"),
    [
        ("rain", {"weather"}),
        ("RAI*", {"weather"}),
        ("rai", set()),
        ("it rain", {"weather"}),
        ('"it rain"', {"weather"}),
        ('"rain it"', set()),
        ("cafe", {"travel"}),
        ("rain umbrella", set()),
        ("train", {"travel"}),
        ("weather", {"weather"}),
        ("forecast", {"renamed"}),
        ("don't", {"travel"}),
        ('") OR (text', set()),
        ("%", set()),
        ("'; drop table messages; --", set()),
    ],
)
async def test_search_finds_words_phrases_and_prefixes_of_messages_and_titles(table, monkeypatch, text, titles, common):
    """Whether messages are read or the index is asked."""
    monkeypatch.setattr(conversation_search, "COMMON", common)
    names = {
        await stored(table, "What is the weather?", "Will it rain?"): "weather",
        await stored(table, "When does the train leave? I don't know the café."): "travel",
        await stored(table, "Anything."): "renamed",
        await stored(table, "rain forecast train", tenant="globex"): "another tenant's",
    }
    await table.change(next(each for each, name in names.items() if name == "renamed"), title="Forecast")

    assert {names[each] for each in await found(table, tenant="acme", text=text)} == titles


async def test_pages_of_a_search_have_every_conversation_once_whichever_way_it_is_found(table, monkeypatch):
    """A common word is in every third conversation; three of each moment, so that their ids decide the order.

    Pages of two read four conversations: some pages are full with these, for others the index is asked.
    """
    matching = []
    for number in range(30):
        texts = ["nothing", "two words" if number % 3 == 0 or number > 24 else "words two"]
        conversation = await stored(table, *texts, at=NOON + timedelta(minutes=number // 3))
        matching += [((number // 3), conversation)] * (texts[1] == "two words")
    matching += [(11, await stored(table, "two words", at=NOON + timedelta(minutes=11), person="ann"))]
    expected = [conversation for _, conversation in sorted(matching, reverse=True)]

    for common in (0, 2000):
        monkeypatch.setattr(conversation_search, "COMMON", common)
        pages, before = [], None
        while page := await table.find(ConversationFilter("acme", text='"two words"', before=before, limit=2)):
            pages += [each.id for each in page]
            before = (page[-1].updated, page[-1].id)

        assert pages == expected, common
        assert await found(table, text="two words", person="ann") == expected[:1]


async def test_join_of_conversations_and_messages_uses_the_index_of_messages(table):
    """On PostgreSQL it cannot where the two columns sort differently."""
    await stored(table, "hello")
    join = "SELECT (SELECT sum(m.number) FROM messages m WHERE m.conversation = c.id) FROM conversations c"
    is_postgresql = table.engine.dialect.name == "postgresql"
    async with transaction(table.engine) as connection:
        if is_postgresql:  # few rows are read as fast without an index
            await connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
        plan = await connection.exec_driver_sql(f"EXPLAIN {'' if is_postgresql else 'QUERY PLAN '}{join}")
        steps = [str(tuple(row)) for row in plan]

    assert any("messages_conversation" in step for step in steps), steps
    assert any(("Index Cond" in step and "c.id" in step) or "(conversation=?)" in step for step in steps), steps


async def test_search_forgets_what_is_renamed_erased_or_deleted(table):
    renamed, gone = await stored(table, "apple"), await stored(table, "banana")
    await table.change(renamed, title="cherry")
    await table.change(renamed, title="damson")
    await table.delete(gone)

    assert [await found(table, text=word) for word in ("apple", "banana", "cherry", "damson")] == [
        [renamed],
        [],
        [],
        [renamed],
    ]


async def test_list_is_paged_by_the_newest_message_whoever_has_the_same_moment(table):
    same = [await stored(table, at=NOON) for _ in range(3)]
    newest, oldest = await stored(table, at=LATER), await stored(table, at=NOON - timedelta(days=1))
    expected = [newest, *sorted(same, reverse=True), oldest]

    pages, before = [], None
    while page := await table.find(ConversationFilter(tenant="acme", before=before, limit=2)):
        pages += [each.id for each in page]
        before = (page[-1].updated, page[-1].id)

    assert pages == expected


async def test_deleted_session_is_erased_from_its_conversations(table):
    """Its words, their place in the audio and the title made of them; a conversation of its own is deleted."""
    spoken = {"session": "s1", "kind": MessageKind.VOICE, "start": 0, "end": 9, "words": (Word("secret", 0, 9),)}
    mixed, own = await stored(table), await stored(table)
    for conversation in (mixed, own):
        await table.begin_reply(conversation, said("secret", **spoken), now=NOON, until=LATER)
        await table.end_reply(conversation, said("told", Role.ASSISTANT, session="s1", played="to"))
    await table.begin_reply(mixed, said("public"), now=NOON, until=LATER)

    erased = await table.erase_session("s1")

    assert erased == {"messages": 4, "conversations": 1}
    assert await found(table, tenant="acme") == [mixed]
    assert (await table.get(mixed, "acme")).title == "public"
    assert await found(table, text="secret") == []
    for message in (await table.messages(mixed, limit=9))[:2]:
        assert (message.text, message.session, message.words, message.played, message.start) == ("", "", (), None, None)
    assert await table.erase_session("s1") == {"messages": 0, "conversations": 0}


async def test_title_that_a_client_gave_outlives_the_erased_session(table):
    conversation = await stored(table, "public")
    await table.begin_reply(conversation, said("secret", session="s1"), now=NOON, until=LATER)
    await table.change(conversation, title="Mine")
    await table.erase_session("s1")

    assert (await table.get(conversation, "acme")).title == "Mine"


# -- over HTTP ------------------------------------------------------------------------


async def test_conversation_is_begun_answered_and_read(server):
    conversation = await server.begin(person="person 7")
    answer = (await server.say(conversation, "Will it rain?")).json()
    read = (await server.http.get(f"/conversations/{conversation}")).json()

    assert answer["conversation"] == conversation
    assert answer["reply"]["text"] == "You said it. Well done."
    assert answer["usage"] == {"promptTokens": 6, "replyTokens": 6, "isEstimate": True}
    assert (read["title"], read["person"], read["next"]) == ("Will it rain?", "person 7", None)
    assert read["messages"] == [answer["message"], answer["reply"]]
    assert [(m["role"], m["turn"], m["number"], m["kind"]) for m in read["messages"]] == [
        ("user", 1, 1, "text"),
        ("assistant", 1, 2, "text"),
    ]


async def test_reply_engine_sees_instructions_and_the_messages_before(url):
    engine = ScriptedGenerator(("Yes.",))
    async with conversation_server(url, engine) as server:
        conversation = await server.begin()
        await server.say(conversation, "one")
        await server.say(conversation, "two")

    assert [(message.role, message.text) for message in engine.asked[-1]] == [
        ("system", "Be brief."),
        ("user", "one"),
        ("assistant", "Yes."),
        ("user", "two"),
    ]


async def test_messages_are_read_page_by_page_from_the_newest(server):
    conversation = await server.begin()
    for number in range(3):
        await server.say(conversation, f"question {number}")

    numbers, before = [], ""
    while True:
        page = (await server.http.get(f"/conversations/{conversation}?limit=4{before}")).json()
        numbers = [message["number"] for message in page["messages"]] + numbers
        if page["next"] is None:
            break
        before = f"&before={page['next']}"

    assert numbers == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize(
    "before",
    [
        "",
        "xyz",
        "xyz_abc",
        "20260131T120000.250Z",
        "20260131T120000.250Z_",
        "20260131T120000.250_abc",
        "20261331T120000Z_a",
    ],
)
async def test_conversations_behind_no_page_of_the_list_are_refused(server, before):
    answer = await server.http.get("/conversations", params={"before": before})

    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")
    assert answer.json()["message"].startswith("before: ")


async def test_list_over_http_is_paged_filtered_and_searched(server):
    ids = [await server.begin(person=str(number % 2)) for number in range(5)]
    await server.say(ids[0], "umbrella")

    async def listed(query: str) -> tuple[list[str], str | None]:
        page = (await server.http.get(f"/conversations?{query}")).json()
        return [ids.index(each["id"]) for each in page["conversations"]], page["next"]

    first, following = await listed("limit=2")
    second, _ = await listed(f"limit=3&before={following}")
    assert quote(following, safe="") == following
    assert (first + second, (await listed("text=umbrel*"))[0]) == ([0, 4, 3, 2, 1], [0])
    assert await listed("person=1") == ([3, 1], None)
    assert await listed("text=") == await listed("")
    assert await listed("tenant=globex") == ([], None)


async def test_token_of_a_person_sees_the_conversations_of_this_person_alone(url):
    async with open_database(url) as database:
        keys = KeyStore(database)
        await keys.load()
        own = DatabaseKeys(keys)
        tokens = SessionTokens(lambda: keys.signing_secrets, [own])
        secret, _ = await keys.create("app", "acme", frozenset({Scope.CHAT}), None)
        principal = await own.authenticate(secret, UNKNOWN_PEER)
        ann, ben = [
            bearer(tokens.issue(principal, frozenset({Scope.CHAT}), 60, "web", person=name)[0])
            for name in ("ann", "ben")
        ]
        async with conversation_server(url, tenants=None, authenticator=AnyOf([own, tokens])) as server:
            begun = await server.http.post("/conversations", headers=ann)
            forged = await server.http.post("/conversations", headers=ben, json={"person": "ann"})
            lists = [(await server.http.get("/conversations?person=ann", headers=who)).json() for who in (ann, ben)]
            read = [
                (await server.http.get(f"/conversations/{begun.json()['id']}", headers=who)).status_code
                for who in (ann, ben, bearer(secret))
            ]

    assert (begun.json()["person"], forged.status_code) == ("ann", 403)
    assert [len(page["conversations"]) for page in lists] == [1, 0]
    assert read == [200, 404, 200]


async def test_json_that_names_audio_is_as_small_as_all_json(server):
    """The same route takes files, which may be larger."""
    conversation = await server.begin()
    body = b" " * (MAX_BODY_BYTES + 1)

    answer = await server.http.post(
        f"/conversations/{conversation}/audio", content=body, headers={"Content-Type": "application/json"}
    )

    assert (answer.status_code, answer.json()["code"]) == (413, "request_too_large")


async def test_rename_changes_the_title_for_good(server):
    conversation = await server.begin()
    renamed = await server.http.patch(f"/conversations/{conversation}", json={"title": "Weather"})
    await server.say(conversation, "Will it rain?")

    assert renamed.json()["title"] == "Weather"
    assert (await server.http.get(f"/conversations/{conversation}")).json()["title"] == "Weather"


@pytest.mark.parametrize(
    ("form", "kind", "beginning"),
    [
        ("md", "text/markdown; charset=utf-8", "# Will it rain?"),
        ("markdown", "text/markdown; charset=utf-8", "# Will it rain?"),
        ("json", "application/json", '{"id":'),
        ("srt", "text/plain; charset=utf-8", "1\n00:00:00,000 --> "),
        ("vtt", "text/vtt; charset=utf-8", "WEBVTT\n"),
    ],
)
async def test_export_in_every_format(server, form, kind, beginning):
    conversation = await server.begin()
    await server.say(conversation, "Will it rain?")

    answer = await server.http.get(f"/conversations/{conversation}/export?format={form}")

    assert answer.headers["content-type"] == kind
    assert (
        answer.headers["content-disposition"]
        == f'attachment; filename="{conversation}.{form.replace("markdown", "md")}"'
    )
    assert answer.text.startswith(beginning)
    assert "Well done." in answer.text


async def test_delete_leaves_nothing_and_says_what_it_deleted(server):
    conversation = await server.begin()
    await server.say(conversation, "Will it rain?")

    receipt = await server.http.delete(f"/conversations/{conversation}?receipt=true")

    assert receipt.json()["deleted"] == {"messages": 2}
    assert (receipt.json()["conversation"], receipt.json()["remaining"]) == (conversation, [])
    assert (await server.http.get(f"/conversations/{conversation}")).status_code == 404
    assert (await server.http.delete(f"/conversations/{conversation}")).status_code == 404
    assert await server.table.messages(conversation, limit=9) == []
    assert await found(server.table, text="rain") == []


async def test_another_tenants_conversation_is_404_and_an_administrator_sees_it(server):
    conversation = await server.begin()
    for method, path in [
        ("GET", ""),
        ("PATCH", ""),
        ("DELETE", ""),
        ("GET", "/export"),
        ("POST", "/messages"),
    ]:
        body = {"json": {"title": "x"} if method == "PATCH" else {"text": "x"}} if method in ("PATCH", "POST") else {}
        where = f"/conversations/{conversation}{path}"
        answer = await server.http.request(method, where, headers=bearer("globex-key"), **body)
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found"), (method, path)
    own = await server.http.get("/conversations", headers=bearer("globex-key"))
    everyones = await server.http.get("/conversations", headers=bearer("ops-key"))

    assert own.json()["conversations"] == []
    assert [each["id"] for each in everyones.json()["conversations"]] == [conversation]


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"text": ""}, 400, "bad_message"),
        ({"text": " \n"}, 400, "bad_message"),
        ({"text": "x" * (MAX_TEXT_CHARACTERS + 1)}, 413, "text_too_long"),
        ({"text": "a\0b"}, 400, "bad_message"),
        ({"text": 7}, 400, "bad_message"),
        ({"words": "x"}, 400, "bad_message"),
        ({}, 400, "bad_message"),
    ],
)
async def test_text_that_cannot_be_answered_is_refused_with_a_sentence(server, body, status, code):
    conversation = await server.begin()

    answer = await server.http.post(f"/conversations/{conversation}/messages", json=body)

    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert await server.messages(conversation) == []


async def test_conversations_expire_with_the_days_that_their_tenant_keeps(server):
    now = datetime.now(UTC)
    server.chat.keep_days, server.chat.tenant_keep_days = 30, lambda: {"globex": 7, "forever": 0}
    ids = {
        (tenant, days): await stored(server.table, "old", tenant=tenant, at=now - timedelta(days=days))
        for tenant in ("acme", "globex", "forever")
        for days in (3, 10, 40)
    }

    deleted = await server.chat.prune()

    kept = {which for which, conversation in ids.items() if await server.table.messages(conversation, limit=1)}
    assert deleted == 3
    assert kept == set(ids) - {("acme", 40), ("globex", 10), ("globex", 40)}


async def test_every_request_is_audited_without_what_was_said(url):
    entries = []
    log = AuditLog(SimpleNamespace(record=entries.append))
    async with conversation_server(url, audit=log) as server:
        conversation = await server.begin(title="umbrella")
        await server.say(conversation, "umbrella")
        await server.http.get("/conversations?text=umbrella")
        await server.http.get(f"/conversations/{conversation}/export")
        await server.http.delete(f"/conversations/{conversation}")
        await server.http.delete(f"/conversations/{conversation}")

    assert [(entry.action, entry.outcome) for entry in entries] == [
        ("conversation_created", "done"),
        ("message_answered", "done"),
        ("conversations_listed", "done"),
        ("conversation_exported", "done"),
        ("conversation_deleted", "done"),
        ("conversation_deleted", "refused"),
    ]
    assert {entry.target for entry in entries} == {conversation, "/conversations"}
    assert "umbrella" not in repr(entries)


async def test_client_without_a_key_is_answered_and_has_no_conversations(url):
    """It shares its tenant with everyone else who has none."""

    class Strangers(OpenAuthenticator):
        async def authenticate(self, credential, peer):
            return await super().authenticate(credential, Peer("203.0.113.7"))

    async with conversation_server(url, tenants=None, authenticator=Strangers()) as server:
        conversation = await server.chat.create(Tenant("default"))
        answered = await server.http.post("/chat", json={"text": "Hello."})
        refused = [
            await server.http.get("/conversations"),
            await server.http.post("/conversations"),
            await server.http.get(f"/conversations/{conversation.id}"),
            await server.say(conversation.id, "Hello."),
            await server.http.post("/chat", json={"text": "Hello.", "keep": True}),
        ]

    assert answered.json()["reply"] == {"text": "You said it. Well done.", "engine": "scripted"}
    assert [(answer.status_code, answer.json()["code"]) for answer in refused] == [(403, "forbidden")] * 5


async def test_tenant_has_no_more_conversations_than_its_limit_until_one_is_deleted(url):
    """Those of sessions count; `POST /chat` is refused where it keeps; other tenants are not concerned."""
    async with conversation_server(url, tenants=lambda: (replace(ACME, max_conversations=2), GLOBEX)) as server:
        first = await server.begin()
        await server.table.create(Conversation(new_id(), "acme", AT, AT))
        refused = await server.http.post("/conversations")
        kept = await server.http.post("/chat", json={"text": "Hello.", "keep": True})
        unkept = await server.http.post("/chat", json={"text": "Hello."})
        foreign = await server.http.post("/conversations", headers=bearer("globex-key"))
        await server.http.delete(f"/conversations/{first}")
        again = await server.http.post("/conversations")

    assert [(answer.status_code, answer.json()["code"]) for answer in (refused, kept)] == [
        (409, "too_many_conversations")
    ] * 2
    assert "2 conversations" in refused.json()["message"]
    assert (unkept.status_code, foreign.status_code, again.status_code) == (200, 201, 201)


async def test_person_of_a_token_has_a_quarter_of_the_conversations_of_its_tenant(url):
    async with conversation_server(url) as server:
        server.chat.max_conversations = 8
        for person in ("anna", "anna", "ben"):
            await server.chat.create(ACME, person=person, by_person=True)

        with pytest.raises(TooManyConversations, match="this person has 2"):
            await server.chat.create(ACME, person="anna", by_person=True)
        await server.chat.create(ACME, person="anna")


async def test_limit_of_a_tenant_holds_for_conversations_that_are_created_at_the_same_moment(url):
    """By two processes, which have connections of their own; another tenant's are not counted."""
    created, refused = list[str](), 0

    async def create(table: ConversationTable, tenant: str) -> None:
        nonlocal refused
        begun = Conversation(new_id(), tenant, AT, AT)
        try:
            await table.create(begun, most=5)
        except TooManyConversations:
            refused += 1
        else:
            created.append(tenant)

    async with open_database(url) as one, open_database(url) as other, anyio.create_task_group() as tasks:
        for number in range(20):
            table = ConversationTable((one, other)[number % 2])
            tasks.start_soon(create, table, "globex" if number % 5 == 0 else "acme")
    async with open_database(url) as one:
        stored = await ConversationTable(one).find(ConversationFilter("acme"))

    assert (created.count("acme"), created.count("globex"), refused) == (5, 4, 11)
    assert len(stored) == 5


async def test_exports_beyond_the_queue_are_refused_and_leave_no_file(server):
    conversation = await server.begin()
    limits = server.service.limits
    limits.exports.pending = 1000
    refused = await server.http.get(f"/conversations/{conversation}/export")
    limits.exports.pending = 0
    answered = await server.http.get(f"/conversations/{conversation}/export")

    assert (refused.status_code, refused.json()["code"], answered.status_code) == (503, "provider_busy", 200)
    assert all(file.closed for file in limits.rendered_files)
