"""What a deletion leaves of words in the files of an SQLite database, after the full-text index is purged."""

import stat
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from app.assembly.conversations import open_chat
from app.assembly.full_text import purging_full_text
from app.config import Settings
from app.data.conversations import ConversationTable
from app.data.database import open_database
from app.data.full_text_purge import WORDS_REMAIN, FullTextPurge
from app.data.recording_index import RecordingIndexTable
from app.domain.conversations.message import Conversation, StoredMessage
from app.domain.dialog.conversation import Role
from app.domain.recording.listing import RecordingFilter
from app.domain.recording.text_search import parse_search
from app.runtime.ids import new_id, new_row_number
from app.runtime.profiles import ProfileCatalogue
from app.runtime.recording.uploader import Uploader
from app.runtime.supervision import run_in_background
from tests.eventually import until
from tests.fakes import MemoryBlobStore, MemorySessionLog
from tests.integration.conversation_service import conversation_server
from tests.manifests import NOON, manifest

pytestmark = pytest.mark.anyio
WORD = "xylozzzq"
AT = "2026-11-20T12:00:00.000+00:00"


@asynccontextmanager
async def database_in(folder: Path, journal: str) -> AsyncGenerator[AsyncEngine, None]:
    """With an index of several segments, as writers leave it."""
    async with open_database(f"sqlite+aiosqlite:///{folder}/parley.db") as database:
        async with database.connect() as connection:
            await connection.execute(text(f"PRAGMA journal_mode = {journal}"))
        index = RecordingIndexTable(database)
        for number in range(20):
            await index.write([manifest(f"common words of {number}", number=number)])
        yield database


def files_with_the_word(folder: Path) -> list[str]:
    return [file.name for file in folder.iterdir() if WORD.encode() in file.read_bytes()]


async def delete_recording(database: AsyncEngine) -> None:
    """One whose words grew while it was live."""
    index, said = RecordingIndexTable(database), manifest("begins", WORD, number=21)
    await index.write([replace(said, ended=None)])
    await index.write([said, manifest("another one", number=22)])
    await index.begin_deletion(said.session, said.tenant, NOON)
    await index.finish_deletion(said.session)


async def delete_conversation(database: AsyncEngine) -> None:
    """With the word in its title as well."""
    table, conversation = ConversationTable(database), Conversation(new_id(), "acme", AT, AT)
    await table.create(conversation)
    message = StoredMessage(new_row_number(), Role.USER, f"What is {WORD}?", AT)
    await table.begin_reply(conversation.id, message, now=NOON, until=NOON)
    await table.end_reply(conversation.id, StoredMessage(new_row_number(), Role.ASSISTANT, f"{WORD} is odd.", AT))
    await table.delete(conversation.id)


async def erase_session(database: AsyncEngine) -> None:
    """The words of a voice session in a conversation that stays."""
    table, conversation = ConversationTable(database), Conversation(new_id(), "acme", AT, AT)
    await table.create(conversation)
    for said, session in ((WORD, "spoken"), ("typed", "")):
        message = StoredMessage(new_row_number(), Role.USER, said, AT, session=session)
        await table.begin_reply(conversation.id, message, now=NOON, until=NOON)
        await table.end_reply(conversation.id, None)
    await table.erase_session("spoken")


@pytest.mark.parametrize("journal", ["DELETE", "WAL"])
@pytest.mark.parametrize("delete", [delete_recording, delete_conversation, erase_session])
async def test_purge_leaves_no_deleted_word_in_any_file(tmp_path, delete, journal):
    """Which the deletion alone does not."""
    async with database_in(tmp_path, journal) as database:
        await delete(database)
        before = files_with_the_word(tmp_path)
        await FullTextPurge(database).purge()
        after = files_with_the_word(tmp_path)

    assert before != []
    assert (after, files_with_the_word(tmp_path)) == ([], [])


async def test_purge_leaves_what_is_not_deleted_to_be_found(tmp_path):
    async with database_in(tmp_path, "DELETE") as database:
        await delete_recording(database)
        await FullTextPurge(database).purge()
        page = await RecordingIndexTable(database).find(RecordingFilter(terms=parse_search("common"), limit=50))
        async with database.connect() as connection:
            await connection.execute(text("INSERT INTO recording_words (recording_words) VALUES ('integrity-check')"))

    assert len(page.recordings) == 20


async def test_purge_runs_at_the_start_and_soon_after_each_request(tmp_path):
    async def has_no_word() -> bool:
        return files_with_the_word(tmp_path) == []

    async with database_in(tmp_path, "WAL") as database:
        await delete_recording(database)
        purge = FullTextPurge(database, soon_s=0.01)
        async with run_in_background({"purge": purge.run}):
            await until(has_no_word)
            await delete_conversation(database)
            was_there = not await has_no_word()
            await purge.request()
            await until(has_no_word)

    assert was_there


async def test_purge_waits_for_a_reader_of_the_write_ahead_log(tmp_path):
    """Whose snapshot needs the log; it is emptied when he is done."""
    async with database_in(tmp_path, "WAL") as database, open_database(str(database.url)) as other:
        purge = FullTextPurge(database, soon_s=0.01)
        async with other.connect() as reader:
            await reader.exec_driver_sql("BEGIN")
            await reader.execute(text("SELECT count(*) FROM recordings"))
            await delete_recording(database)
            with pytest.raises(Exception, match="another connection is reading"):
                await purge.purge()
        await purge.purge()
        assert files_with_the_word(tmp_path) == []


async def test_receipts_say_that_words_and_copies_of_the_database_remain(tmp_path):
    """Of a conversation and of a recording; a copy is from before an upgrade, or damaged."""
    url = f"sqlite+aiosqlite:///{tmp_path}/parley.db"
    names = ["parley.db.before-0005", "parley.db.damaged-1770000000"]
    copies = [f"the copy {name} beside the database: until you delete it" for name in names]
    async with conversation_server(url) as server:
        purge = FullTextPurge(server.table.engine)
        server.chat.after_deletion = server.service.uploader.after_deletion = purge.request
        conversations = [await server.begin() for _ in range(2)]
        first = await server.http.delete(f"/conversations/{conversations[0]}?receipt=true")
        for name in names:
            (tmp_path / name).touch()
        second = await server.http.delete(f"/conversations/{conversations[1]}?receipt=true")

    assert first.json()["remaining"] == [WORDS_REMAIN]
    assert second.json()["remaining"] == [WORDS_REMAIN, *copies]


async def test_service_purges_and_is_told_of_every_deletion(tmp_path):
    """What the process before has deleted, at the start; the archive and the conversations ask for it later."""

    async def has_no_word() -> bool:
        return files_with_the_word(tmp_path) == []

    uploader = Uploader(MemorySessionLog(), MemoryBlobStore())
    async with database_in(tmp_path, "DELETE") as database:
        await delete_recording(database)
        was_there = not await has_no_word()
        engines = SimpleNamespace(replies=None)
        async with (
            open_chat(Settings(), database, engines, uploader, ProfileCatalogue()) as chat,
            purging_full_text(database, uploader, chat),
        ):
            await until(has_no_word)
            told = [await hook() for hook in (chat.after_deletion, uploader.after_deletion) if hook]

    assert was_there
    assert told == [(WORDS_REMAIN,)] * 2


async def test_database_is_for_its_owner_alone(tmp_path):
    """The log beside it, too; an existing file keeps its permissions."""
    async with database_in(tmp_path, "WAL") as database:
        await delete_recording(database)
        modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()}

    assert modes == dict.fromkeys(("parley.db", "parley.db-wal", "parley.db-shm"), 0o600)
