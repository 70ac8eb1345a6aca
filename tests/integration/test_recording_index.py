"""The recordings index on SQLite and PostgreSQL: lists, filters, full-text search, deletion, late writers."""

import random
from dataclasses import replace
from datetime import timedelta

import anyio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select, text

from app.data import recording_query, recording_search
from app.data.database import open_database, transaction
from app.data.leases import LeaseTable
from app.data.recording_index import RecordingIndexTable
from app.data.recording_tables import RecordingRow, UtteranceRow
from app.domain.recording.listing import RecordingFilter, RecordingRef, RecordingState
from app.domain.recording.text_search import SearchTerm, fold_words, indexed_words, parse_search
from tests.manifests import NOON, manifest, session_at

pytestmark = pytest.mark.anyio


@pytest.fixture
async def index(url):
    async with open_database(url) as database:
        yield RecordingIndexTable(database)


async def found(index: RecordingIndexTable, **criteria) -> list[str]:
    return [each.session for each in (await index.find(RecordingFilter(**criteria))).recordings]


async def searched(index: RecordingIndexTable, asked: str, **criteria) -> list[str]:
    return await found(index, terms=parse_search(asked), **criteria)


async def rows_of(index: RecordingIndexTable, session: str) -> int:
    """Rows that say something of this recording."""
    async with transaction(index.engine) as connection:
        recordings = select(func.count()).where(RecordingRow.session == session, RecordingRow.day > "")
        finals = select(func.count()).where(UtteranceRow.session == session)
        return await connection.scalar(recordings) + await connection.scalar(finals)


async def test_index_lists_what_a_manifest_says(index):
    said = manifest("Guten Morgen.", "", "How are you?", tenant="acme")

    await index.write([said])
    (listed,) = (await index.find(RecordingFilter())).recordings

    assert (listed.session, listed.tenant, listed.started, listed.ended) == (
        said.session,
        "acme",
        said.started,
        said.ended,
    )
    assert (listed.state, listed.seconds, listed.utterances, listed.languages) == (RecordingState.ENDED, 6.0, 2, ["en"])
    assert listed.text == "Guten Morgen. How are you?"


async def test_index_has_each_utterance_with_its_samples(index):
    await index.write([manifest("one", "", "two")])

    async with transaction(index.engine) as connection:
        columns = UtteranceRow.position, UtteranceRow.start_sample, UtteranceRow.end_sample, UtteranceRow.text
        rows = (await connection.execute(select(*columns, UtteranceRow.route, UtteranceRow.ttfs_ms))).all()

    assert sorted(map(tuple, rows)) == [
        (0, 0, 32_000, "one", "local", 250),
        (2, 64_000, 96_000, "two", "local", 250),
    ]


async def test_index_pages_through_all_recordings_once_the_newest_first(index):
    """Also where several began in one millisecond, and where one is deleted between two pages."""
    moments = [NOON + timedelta(days=day, milliseconds=day % 3) for day in range(5) for _ in range(5)]
    written = [manifest("word", at=at, number=number) for number, at in enumerate(moments)]
    random.Random(1).shuffle(written)
    await index.write(written)

    pages, before = [], None
    while True:
        page = await index.find(RecordingFilter(limit=4, before=before))
        pages.append([each.session for each in page.recordings])
        if len(pages) == 2:
            await index.begin_deletion(pages[-1][-1], "default", NOON)
        if page.next is None:
            break
        before = page.next

    assert [session for page in pages for session in page] == sorted((each.session for each in written), reverse=True)


@pytest.mark.parametrize("common", [0, 5000])
async def test_index_narrows_the_list(index, monkeypatch, common):
    """Whether matches are looked up, or recordings are read one after the other."""
    monkeypatch.setattr(recording_search, "COMMON", common)
    live = {"ended": None, "number": 2}
    await index.write(
        [
            manifest("hello", tenant="acme", number=1),
            manifest("hello", tenant="globex", at=NOON + timedelta(days=1), **live),
            manifest("hello", at=NOON + timedelta(days=2), number=3, ended=None, recovered=True, route="cloud"),
        ]
    )
    acme, globex, default = (
        session_at(NOON, 1),
        session_at(NOON + timedelta(days=1), 2),
        session_at(NOON + timedelta(days=2), 3),
    )

    assert await found(index) == [default, globex, acme]
    assert await found(index, tenant="acme") == [acme]
    assert await found(index, tenant="nobody") == []
    assert await found(index, kind="live") == [globex]
    assert await found(index, kind="recovered") == [default]
    assert await found(index, kind="ended") == [acme]
    assert await found(index, route="cloud") == [default]
    assert await found(index, route="local") == [globex, acme]
    assert await found(index, since="2026-11-21") == [default, globex]
    assert await found(index, until="2026-11-20") == [acme]
    assert await found(index, since="2026-11-21", until="2026-11-21") == [globex]
    assert await searched(index, "hello", tenant="acme") == [acme]
    assert await searched(index, "hello", route="cloud", since="2026-11-22", kind="recovered") == [default]


async def test_index_writes_the_same_manifest_any_number_of_times(index):
    said = manifest("once", "twice")

    for _ in range(3):
        await index.write([said, said])

    assert await searched(index, "twice") == [said.session]
    assert await rows_of(index, said.session) == 3


async def test_index_follows_a_live_session_to_its_end(index):
    """An older manifest that comes late replaces nothing: another process may be reading what this one has written."""
    first, later = manifest("one", ended=None), manifest("one", "two", ended=None)
    over = manifest("one", "two", "three")

    await index.write([later])
    await index.write([first])
    assert await searched(index, "two") == [later.session]
    await index.write([over])
    await index.write([later])

    (listed,) = (await index.find(RecordingFilter())).recordings
    assert (listed.state, listed.seconds) == (RecordingState.ENDED, 6.0)
    assert await searched(index, "three") == [over.session]


async def test_index_forgets_words_that_a_newer_manifest_no_longer_has(index):
    await index.write([manifest("first words", ended=None)])
    await index.write([manifest("other ones")])

    assert await searched(index, "first") == []
    assert await searched(index, "other") == [manifest().session]


async def test_deleted_recording_is_in_no_list_and_no_search(index):
    said, other = manifest("secret plan"), manifest("secret other", number=1)
    await index.write([said, other])

    count = await index.begin_deletion(said.session, "default", NOON)
    await index.finish_deletion(said.session)

    assert count == 2
    assert await found(index) == await searched(index, "secret") == [other.session]
    assert await rows_of(index, said.session) == 0
    async with transaction(index.engine) as connection:
        mark = select(RecordingRow.words, RecordingRow.text, RecordingRow.tenant, RecordingRow.person)
        assert tuple((await connection.execute(mark.where(RecordingRow.session == said.session))).one()) == (
            "",
            "",
            "",
            None,
        )


@pytest.mark.parametrize("written_before", [True, False])
async def test_late_writer_does_not_bring_a_deleted_recording_back(index, written_before):
    """Neither while its blobs are being deleted nor afterwards; the writer is told."""
    said = manifest("late words")
    if written_before:
        await index.write([said])

    await index.begin_deletion(said.session, "default", NOON)
    refused = [await index.write([said, manifest("other", number=1)])]
    await index.finish_deletion(said.session)
    refused.append(await index.write([said]))
    await index.write_unread({RecordingRef("2026-11-20", said.session): RecordingState.UNREADABLE})

    assert refused == [{said.session}] * 2
    assert await searched(index, "late") == []
    assert await rows_of(index, said.session) == 0


async def test_writers_and_a_deletion_at_once_leave_nothing(index):
    """Whatever their order: two writers of live and final manifests race with a deletion."""
    for number in range(8):
        live, over = manifest("race", ended=None, number=number), manifest("race", "over", number=number)

        async def write(what) -> None:
            with anyio.fail_after(20):
                while True:
                    try:
                        await index.write([what])
                    except Exception as error:  # noqa: BLE001 because SQLite may be locked for a moment
                        assert "unavailable" in str(error)  # noqa: PT017 because it is tried again
                    else:
                        return

        async def delete(session: str) -> None:
            await index.begin_deletion(session, "default", NOON)
            await index.finish_deletion(session)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(write, live)
            tasks.start_soon(delete, live.session)
            tasks.start_soon(write, over)

        assert await rows_of(index, live.session) == 0


async def test_removed_recording_may_be_written_again(index):
    """As an uploaded file is whose first attempt failed."""
    said = manifest("again")
    await index.write([said])

    await index.remove(said.session)
    assert await rows_of(index, said.session) == 0
    await index.write([said])

    assert await searched(index, "again") == [said.session]


async def test_remove_leaves_the_mark_of_a_deletion(index):
    said = manifest("gone")
    await index.begin_deletion(said.session, "default", NOON)

    await index.remove(said.session)

    assert await index.write([said]) == {said.session}


async def test_half_deleted_recordings_are_found_until_the_deletion_is_finished(index):
    said = manifest("half", tenant="acme")
    await index.write([said])

    await index.begin_deletion(said.session, "acme", NOON)
    assert await index.half_deleted() == [RecordingRef("2026-11-20", said.session, "acme")]
    await index.finish_deletion(said.session)

    assert await index.half_deleted() == []


async def test_marks_of_deletions_are_forgotten_when_no_writer_can_be_that_late(index):
    old, new = manifest("old"), manifest("new", number=1)
    for said, at in ((old, NOON), (new, NOON + timedelta(days=10))):
        await index.begin_deletion(said.session, "default", at)
        await index.finish_deletion(said.session)

    await index.forget_deleted(NOON + timedelta(days=5))

    assert await index.write([old, new]) == {new.session}


async def test_unreadable_recordings_are_counted_not_listed(index):
    """Only where nothing is asked for that their manifest would tell; one without a manifest is no recording yet."""
    good, bad, begun = manifest("good"), session_at(NOON, 1), session_at(NOON, 2)
    await index.write([good])
    await index.write_unread(
        {
            RecordingRef("2026-11-20", bad): RecordingState.UNREADABLE,
            RecordingRef("2026-11-20", begun): RecordingState.BEGUN,
        }
    )

    page, narrowed = await index.find(RecordingFilter()), await index.find(RecordingFilter(kind="ended"))

    assert ([each.session for each in page.recordings], page.unreadable) == ([good.session], 1)
    assert ([each.session for each in narrowed.recordings], narrowed.unreadable) == ([good.session], 0)


async def test_begun_recording_is_replaced_by_its_manifest(index):
    said = manifest("now it speaks", ended=None)
    ref = RecordingRef("2026-11-20", said.session)

    await index.write_unread({ref: RecordingState.BEGUN})
    await index.write([said])
    await index.write_unread({ref: RecordingState.BEGUN})

    assert await searched(index, "speaks") == [said.session]


async def test_expired_recordings_follow_each_tenants_day(index):
    """The oldest first, in pages; deleted ones and recordings without a manifest count as their day says."""
    days = [NOON - timedelta(days=days) for days in (40, 20, 5)]
    await index.write(
        [
            manifest("x", tenant=tenant, at=at, number=number)
            for number, (tenant, at) in enumerate((tenant, at) for tenant in ("acme", "globex") for at in days)
        ]
    )
    begun = RecordingRef("2026-10-11", session_at(days[0], 9), "globex")
    await index.write_unread({begun: RecordingState.BEGUN})
    await index.begin_deletion(session_at(days[0], 0), "acme", NOON)

    first = await index.expired("2026-10-21", {"acme": "2026-11-10"}, None, 2)
    rest = await index.expired("2026-10-21", {"acme": "2026-11-10"}, first[-1], 10)
    kept = await index.expired("", {"acme": "2026-11-10"}, None, 10)

    assert [ref.session for ref in first] == [session_at(days[0], 3), begun.session]
    assert [ref.session for ref in rest] == [session_at(days[1], 1)]
    assert [ref.session for ref in kept] == [session_at(days[1], 1)]


@pytest.mark.parametrize(
    "asked",
    [
        'unclosed "quote',
        "AND OR NOT NEAR(",
        "words:hello ^hello -hello +hello",
        "*",
        '"" "*" *',
        "hello' & ! | ( ) <-> :*",
        "\\ \\' '' ;--",
        "\0hello",
        "\N{PILE OF POO} \N{FULLWIDTH QUOTATION MARK}",
        "a" * 100_000,
        '"' * 1000,
        "x* " * 1000,
    ],
)
async def test_no_search_is_a_syntax_error(index, asked):
    await index.write([manifest("hello")])

    await searched(index, asked)

    assert await searched(index, "hello") == [manifest().session]


async def test_filters_with_a_nul_find_nothing(index):
    await index.write([manifest("hello")])

    for criteria in ({"tenant": "a\0"}, {"route": "\0"}, {"before": ("2027-01-01", "\0")}, {"person": "\0"}):
        assert await found(index, **criteria) == []


@pytest.mark.parametrize(
    ("asked", "matches"),
    [
        ("café", True),
        ("CAFE", True),
        ("straße", True),
        ("strasse", True),
        ("caf", False),
        ("caf*", True),
        ('"the green door"', True),
        ('"door green"', False),
        ('"gre* door"', False),
        ('"the green do"*', True),
        ('"the gr"* 42', True),
        ("door 42 nowhere", False),
        ("don't", True),
        ('"t shut"', True),
        ("3.14", True),
        ("3.1", False),
        ("foo@example.com", True),
        ("example", True),
        ("door shut", True),
        ('"example com don"', True),
        ("अंधेरा", True),
        ("!!!", False),
    ],
)
async def test_search_finds_words_phrases_and_prefixes(index, asked, matches):
    """Without case and diacritics; a phrase may go on from one utterance to the next."""
    said = manifest("The green Door 42, at a Café in Straße 3.14:", "mail foo@example.com", "Don't shut it! अंधेरा")
    await index.write([said, manifest("something else entirely", number=1)])

    assert await searched(index, asked) == ([said.session] if matches else [])


WORDS = ["alpha", "beta", "gamma", "Été", "x1", "al", "be"]


def contains(words: list[str], term: SearchTerm) -> bool:
    """The definition of a match, word by word."""
    size = len(term.words)
    for at in range(len(words) - size + 1):
        *head, last = words[at : at + size]
        if tuple(head) == term.words[:-1] and (
            last.startswith(term.words[-1]) if term.is_prefix else last == term.words[-1]
        ):
            return True
    return False


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    spoken=st.lists(st.lists(st.sampled_from(WORDS), min_size=1, max_size=8), min_size=3, max_size=6),
    asked=st.lists(st.sampled_from([*WORDS, '"', "a*", "be*", '"alpha be"*', '"beta gamma"']), min_size=1, max_size=4),
    is_common=st.booleans(),
)
async def test_search_agrees_with_the_definition(url, spoken, asked, is_common):
    """Also where recordings are read one after the other, because the words are common."""
    terms = parse_search(" ".join(asked))
    said = [manifest(" ".join(words), number=number) for number, words in enumerate(spoken)]
    expected = {
        each.session
        for each, words in zip(said, spoken, strict=True)
        if terms and all(contains(fold_words(" ".join(words)), term) for term in terms)
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recording_search, "COMMON", 0 if is_common else 5000)
        async with open_database(url) as database:
            index = RecordingIndexTable(database)
            async with transaction(database) as connection:
                await connection.execute(text("DELETE FROM recordings"))
            await index.write(said)

            assert set(await found(index, terms=terms)) == expected


@pytest.mark.parametrize("asked", ['"one two"', "one two", "two*"])
async def test_search_for_common_words_reads_a_limited_number_of_recordings_for_a_page(index, monkeypatch, asked):
    """What it does not find among them is on the pages behind, each match once."""
    monkeypatch.setattr(recording_search, "COMMON", 0)
    monkeypatch.setattr(recording_query, "MAX_READ", 3)
    said = [manifest("one two" if number in {1, 7, 8, 9} else "one then", number=number) for number in range(11)]
    await index.write(said)

    pages, before = [], None
    while True:
        page = await index.find(RecordingFilter(terms=parse_search(asked), limit=2, before=before))
        pages.append([said.index(each) for each in said for one in page.recordings if one.session == each.session])
        if page.next is None:
            break
        before = page.next

    assert pages == [[8, 9], [7], [], [1]]


async def test_search_of_a_long_recording_finds_its_last_phrase(index):
    """Beyond the positions that a tsvector keeps, and behind hundreds of the same word."""
    said = manifest(*["the word " * 500] * 40, "the last door")
    await index.write([said])

    assert await searched(index, '"the last door"') == [said.session]
    assert await searched(index, '"last the"') == []


async def test_recording_with_more_words_than_the_index_takes_is_found_by_the_first(index):
    said = manifest(" ".join(f"word{number}" for number in range(200_000)))

    await index.write([said])

    assert await searched(index, "word7") == [said.session]
    assert await searched(index, "word199999") == []


def test_indexed_words_are_whole_words():
    words = indexed_words(["é" * 99 + " "] * 10_000)

    assert len(words.encode()) <= 1_000_000
    assert {len(word) for word in words.split(" ")} == {99}


async def test_text_with_a_nul_is_written(index):
    """An engine may send one; PostgreSQL has no such text."""
    await index.write([manifest("a\0b \ud800 c", route="lo\0cal")])

    assert await searched(index, "c") == [manifest().session]


async def test_lease_is_held_by_one_process_until_it_is_over(url):
    async with open_database(url) as database:
        one, other = LeaseTable(database), LeaseTable(database)

        assert [await one.take("work", 60), await other.take("work", 60)] == [True, False]
        assert await one.take("work", 60, progress=7)
        await other.release("work", completed=True)
        status = await other.status("work")
        assert (status.was_completed, status.progress) == (False, 7)
        await one.release("work", completed=True)
        assert (await other.status("work")).was_completed
        assert [await other.take("work", -1), await one.take("work", 60)] == [True, True]
        assert (await other.status("work")).was_completed


async def test_list_says_that_older_recordings_are_being_added_until_they_are(url):
    async with open_database(url) as database:
        index, leases = RecordingIndexTable(database), LeaseTable(database)

        before = (await index.find(RecordingFilter())).is_indexing
        await leases.take("recordings_indexing", 60)
        await leases.release("recordings_indexing", completed=True)
        after = (await index.find(RecordingFilter())).is_indexing

    assert (before, after) == (True, False)


async def test_list_is_refused_while_the_database_is_away_and_served_again_behind_it(index):
    """Its tables are made anew where they are gone."""
    if index.engine.dialect.name == "postgresql":
        pytest.skip("the file of SQLite is what can be deleted")
    await index.write([manifest("hello")])
    said = replace(manifest("hello again"), tenant="acme")

    await anyio.Path(index.engine.url.database).unlink()
    for _ in range(2):
        try:
            await index.write([said])
        except Exception as error:  # noqa: BLE001 because the first answer may be that it is away
            assert "unavailable" in str(error)  # noqa: PT017

    assert await found(index) == [said.session]
