"""Whatever bytes a parser reads, its answer is a value or the one error that it promises."""

import asyncio
import json
import pickle
from pathlib import Path

import msgspec
import pytest
from hypothesis import strategies as st

from app.domain.errors import BlobNotFound, BlobUnreadable, ClientError, SettingsError
from app.domain.recording.byte_range import RangeNotSatisfiable, parse_range
from app.domain.recording.manifest import ArchivedChunk, ArchivedFinal, ArchivedReply, Manifest
from app.domain.recording.session_id import date_of, parse_session_id
from app.domain.trusted_proxies import client_address, parse_networks
from app.models.catalogue import BUILT_IN, load_catalogue
from app.policy.routes_file import read_routes
from app.policy.rules_file import SHIPPED, read_rules
from app.policy.scenario import read_scenario
from app.policy.tenants_file import read_tenants
from app.runtime.recording import journal
from app.runtime.recording.recording_store import RecordingStore
from app.web.browser.origin import is_allowed_host, is_allowed_origin, is_loopback_host
from app.web.parley.messages import Order, decode, order
from app.web.parley.packets import pack, unpack
from providers.local.receiver.frames import FRAMINGS, HEADER_BYTES, UnreadableAnswer, answer, missing_bytes
from storage.session_log import DiskSessionLog
from tests.fakes import MemoryBlobStore, MemorySessionLog
from tests.fuzz.generate import JSON, SNIPPETS, damaged, effort, try_inputs

SESSION = "01932c5e0a7b7def8123456789abcdef"
FOLDER = "sessions/2024-11-14"


def accept(read, error: type[Exception] | tuple[type[Exception], ...], value):
    """What `read` answers; None where it refuses the value as it promises."""
    try:
        return read(value)
    except error:
        return None


@effort
def test_packet_is_read_or_a_client_error(inputs):
    packets = damaged(
        pack(b'{"sampleRate":16000}', b"\1\0" * 40), pack(b'{"sampleRate":48000.0,"start":9,"x":[{}]}', b"")
    )

    try_inputs(inputs, packets, lambda frame: accept(unpack, ClientError, frame))


def _read(text: str) -> Order:
    return order(decode(text))


@effort
def test_control_message_is_read_or_a_client_error(inputs):
    messages = damaged(
        b'{"type":"configure","language":"en","reply":true,"speak":true,"archive":false,"deadlineMs":3000,"person":"7"}',
        b'{"type":"say","text":"hello \\ud83d\\ude00"}',
        b'{"type":"end","seq":3}',
        b'{"type":"played","turn":1,"samples":4000}',
        b'{"type":"received","message":41}',
        b'{"type":"resume","token":"0000","received":41}',
    )

    try_inputs(inputs, messages, lambda raw: accept(_read, ClientError, raw.decode("utf-8", errors="surrogateescape")))


@effort
@pytest.mark.filterwarnings("ignore:invalid escape sequence:DeprecationWarning")  # of a name that is listed, not loaded
@pytest.mark.parametrize("name", FRAMINGS)
def test_answer_of_a_receiver_is_a_text_or_unreadable(inputs, name):
    def read(body: bytes) -> None:
        received = len(body).to_bytes(HEADER_BYTES, "big") + body
        assert missing_bytes(received) == 0
        text = answer(FRAMINGS[name], received)
        assert text.encode().decode() == text

    bodies = [json.dumps("hello \ud83d\ude00").encode(), json.dumps({"text": "hello"}).encode()]
    if name == "pickle":
        bodies = [pickle.dumps(each, protocol=p) for p in range(6) for each in ("hello \u20ac", ["hello"], b"hello")]
    try_inputs(inputs, damaged(*bodies), lambda body: accept(read, UnreadableAnswer, body))


MANIFEST = msgspec.json.encode(
    Manifest(
        SESSION,
        "2026-11-14T10:00:00.000+00:00",
        "2026-11-14T10:01:00.000+00:00",
        samples=960,
        chunks=(ArchivedChunk(f"{FOLDER}/{SESSION}/k", 0, 960, "0" * 64, ((10, 20),)),),
        finals=(ArchivedFinal(0, 960, "hello", 1, 1, (0, 900), "local", "en", 200),),
        replies=(ArchivedReply(1, "yes", key=f"{FOLDER}/{SESSION}/r", samples=10, sha256="0" * 64),),
        person="visitor 17",
    )
)


@effort
def test_manifest_is_read_or_unreadable(inputs):
    blobs = MemoryBlobStore()
    store = RecordingStore(blobs)

    with asyncio.Runner() as runner:

        def read(blob: bytes) -> object:
            blobs.blobs = dict.fromkeys([f"{FOLDER}/{SESSION}/manifest.json"], blob)
            return accept(lambda _: runner.run(store.manifest(SESSION)), (BlobUnreadable, BlobNotFound), blob)

        assert read(MANIFEST).session == SESSION
        try_inputs(inputs, damaged(MANIFEST) | JSON.map(msgspec.json.encode), read)


ENTRIES = [
    journal.encode(entry)
    for entry in (
        journal.SessionOpened(SESSION, "2026-11-14T10:00:00.000+00:00", "flac"),
        journal.FinalLogged(ArchivedFinal(0, 960, "hello", 1, 1)),
        journal.ReplyLogged(1, ArchivedReply(1, "yes")),
        journal.ChunkStored(ArchivedChunk("k", 0, 960, "0" * 64)),
        journal.ReplyStored(1, "r", 10, "0" * 64),
        journal.SessionEnded("2026-11-14T10:01:00.000+00:00"),
    )
]


@effort
def test_journal_is_read_and_gives_a_manifest_or_is_no_journal(inputs):
    session_log = MemorySessionLog()

    with asyncio.Runner() as runner:

        def read(entries: list[bytes]) -> object:
            session_log.records = {SESSION: {journal.JOURNAL: [ENTRIES[0], *entries]}}
            found = runner.run(journal.read_journal(session_log, SESSION))
            return found.manifest(is_live=True), found.manifest(is_live=False)

        entries = st.lists(damaged(*ENTRIES), max_size=5)
        try_inputs(inputs, entries, lambda each: accept(read, BlobUnreadable, each))


@effort
def test_damaged_session_log_gives_whole_records_only_and_can_be_continued(inputs, tmp_path):
    with asyncio.Runner() as runner:

        def read(damage: bytes) -> None:
            path = tmp_path / SESSION / "audio-0"
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(damage)
            log = DiskSessionLog(tmp_path, limit=1 << 30, fsync="never", cipher=None)
            try:
                found = runner.run(log.read(SESSION, "audio-0"))
            except BlobUnreadable:
                assert {b"PLYs", b"PLYk"} & {damage[at : at + 4] for at in range(len(damage))}
                return  # damage that makes a record look encrypted: nothing is passed off as audio

            runner.run(log.append(SESSION, "audio-0", [b"appended"]))

            assert set(found) <= {*RECORDS, b""}  # because a mark before eight zeros is an empty record
            assert runner.run(log.read(SESSION, "audio-0")) == [*found, b"appended"]

        writer = DiskSessionLog(tmp_path, limit=1 << 30, fsync="never", cipher=None)
        runner.run(writer.append("intact", "audio-0", RECORDS))
        try_inputs(inputs, damaged((tmp_path / "intact" / "audio-0").read_bytes()), read)


RECORDS = [b"first", b"PLYr" * 9, bytes(200), b"last"]

ROUTES = b"""
[local]
engine = "local"
at_once = 2

[cloud]
engine = "openai"
place = "cloud"
base_url = "https://example.org/v1"
languages = ["en", "de"]
usd_per_minute = 0.006

[far]
engine = "aws"
region = "eu-west-1"
"""
TENANTS = b"[acme]\nkeys = ['sha256:%s']\noperator = true\nbudget_usd_per_day = 1.5\nkeep_days = 3\n" % (b"0" * 64)
SCENARIO = b"""
seconds = 5
policies = ["fastest"]
[routes.a]
place = "on_prem"
p50_ms = 100
p95_ms = 200
[[troubles]]
route = "a"
at = 1
until = 2
state = "fails"
"""

VALUES = [
    b"[" * 3000,
    b"{a=" * 3000,
    b"9" * 5000,
    b"0x" + b"f" * 5000,
    b"inf",
    b"nan",
    b"1979-05-27",
    b'"\\uD800"',
    b"[[]]",
]


def with_hostile_value(text: bytes) -> st.SearchStrategy[bytes]:
    """The same file with one of its values exchanged."""
    lines = text.split(b"\n")

    def exchanged(at: int, value: bytes) -> bytes:
        return b"\n".join([*lines[:at], lines[at].partition(b"=")[0] + b"= " + value, *lines[at + 1 :]])

    return st.builds(exchanged, st.integers(0, len(lines) - 1), st.sampled_from(VALUES))


@effort
@pytest.mark.parametrize(
    ("read", "valid"),
    [
        (read_rules, (SHIPPED / "private-first.toml").read_bytes()),
        (read_routes, ROUTES),
        (read_tenants, TENANTS),
        (read_scenario, SCENARIO),
        (load_catalogue, BUILT_IN.read_bytes()[:3000]),
    ],
    ids=["rules", "routes", "tenants", "scenario", "catalogue"],
)
def test_toml_file_is_read_or_a_settings_error(inputs, read, valid, tmp_path):
    path = tmp_path / "hostile.toml"

    def check(text: bytes) -> object:
        path.write_bytes(text)
        return accept(read, SettingsError, path)

    try_inputs(inputs // 3, damaged(valid) | damaged(valid).flatmap(with_hostile_value), check)


@effort
def test_range_lies_within_the_file_or_is_ignored_or_not_satisfiable(inputs):
    headers = damaged(b"bytes=0-99", b"bytes=-5", b"bytes=7-", b"bytes=1-2,3-4").map(lambda raw: raw.decode("latin-1"))

    def check(header: str) -> None:
        asked = accept(lambda value: parse_range(value, 1000), RangeNotSatisfiable, header)
        assert asked is None or (0 <= asked.start < asked.stop <= 1000)

    try_inputs(inputs, headers, check)


@effort
def test_session_id_is_a_plain_name_or_refused(inputs):
    ids = damaged(SESSION.encode(), b"ffffffffffff7def8123456789abcdef").map(lambda raw: raw.decode("latin-1"))

    def check(text: str) -> None:
        found = accept(parse_session_id, BlobNotFound, text)
        assert found is None or not set(found) & set("/.\\%\0\r\n ")
        assert date_of(text) is None or found == text

    try_inputs(inputs, ids | st.text(), check)


@effort
def test_forwarded_address_is_an_address_or_the_peers_own(inputs):
    trusted = parse_networks("private")
    values = damaged(b"203.0.113.9, 10.0.0.1", b"[2001:db8::1]:443", b"::ffff:10.0.0.9").map(
        lambda raw: raw.decode("latin-1")
    )

    def check(forwarded: list[str]) -> None:
        assert client_address("198.51.100.1", forwarded, trusted) == "198.51.100.1"
        assert len(client_address("10.0.0.2", forwarded, trusted)) < 64

    try_inputs(inputs, st.lists(values, max_size=3), check)


@effort
def test_no_damaged_host_or_origin_is_taken_for_ours(inputs):
    names = (damaged(b"voice.example.org:443", b"http://voice.example.org", b"[::1]:8000") | SNIPPETS).map(
        lambda raw: raw.decode("latin-1")
    )

    def check(name: str) -> None:
        if is_allowed_host(name, ("voice.example.org",)):
            assert "evil" not in name
        is_loopback_host(name)
        is_allowed_origin(name, "https://voice.example.org", ())

    try_inputs(inputs, names | names.map(lambda name: f"{name}.evil.example"), check)


def test_the_shipped_files_and_these_examples_are_valid(tmp_path):
    """Damage to what is not valid to begin with would reach no further than the first line."""
    readers = {"routes": (read_routes, ROUTES), "tenants": (read_tenants, TENANTS), "s": (read_scenario, SCENARIO)}
    for name, (read, text) in readers.items():
        (tmp_path / name).write_bytes(text)

        assert read(tmp_path / name)

    assert isinstance(Path(BUILT_IN).read_bytes(), bytes)
