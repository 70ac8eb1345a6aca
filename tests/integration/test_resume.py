"""Coming back to a session: by its own client alone, within its time, and over the newest connection."""

import json
from contextlib import asynccontextmanager
from dataclasses import dataclass

import anyio
import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from app.domain.audit import AuditAction, AuditEntry, AuditFilter, AuditOutcome
from app.domain.client_limits import ClientLimits
from app.domain.tenant import Tenant, fingerprint
from app.web.parley.packets import pack
from tests.eventually import until
from tests.fakes import SILENCE, SPEECH
from tests.serving import scripted_service, served, stored_manifest
from tests.streaming_client import open_session

pytestmark = pytest.mark.anyio
ACME = Tenant("acme", (fingerprint("acme-key"), fingerprint("second-key")))
GLOBEX = Tenant("globex", (fingerprint("globex-key"),))
OPS = Tenant("ops", (fingerprint("ops-key"),), operator=True)
TURN = SPEECH * 20 + SILENCE * 30


class Client:
    """One connection, frame by frame."""

    def __init__(self, socket) -> None:
        self.socket = socket
        self.texts: list[dict] = []

    async def next(self, *kinds: str) -> dict:
        """The next message of these types."""
        with anyio.fail_after(5):
            while True:
                frame = await self.socket.recv()
                if isinstance(frame, bytes):
                    continue
                self.texts.append(json.loads(frame))
                if self.texts[-1]["type"] in kinds:
                    return self.texts[-1]

    async def say(self, **message) -> None:
        await self.socket.send(json.dumps(message))

    async def audio(self, pcm: bytes, start: int) -> None:
        await self.socket.send(pack(json.dumps({"sampleRate": 16_000, "start": start}).encode(), pcm))

    async def closed(self) -> tuple[int, str]:
        with anyio.fail_after(5):
            try:
                while True:
                    await self.socket.recv()
            except ConnectionClosed:
                return self.socket.close_code, self.socket.close_reason

    def lose(self) -> None:
        self.socket.transport.abort()


@asynccontextmanager
async def connected(address: str, resume: str | None, key: str = "acme-key"):
    query = "" if resume is None else f"?resume={resume}"
    headers = {"Authorization": f"Bearer {key}"}
    async with connect(f"ws://{address}/ws/transcribe{query}", additional_headers=headers) as socket:
        yield Client(socket)


@pytest.fixture
async def service():
    service = scripted_service(tenants=lambda: (ACME, GLOBEX, OPS), resume_s=20.0)
    service.running_sessions.check_every_s = 0.02
    return service


@pytest.fixture
async def address(service):
    async with served(service) as where:
        yield where


async def lost(address: str, *, ends: bool = False) -> tuple[str, str]:
    """A session whose connection was lost, in speech or at the end of a turn: its id and its token."""
    async with connected(address, "new") as client:
        session = await client.next("session")
        await client.audio(TURN, 0)
        if ends:
            await client.say(type="end", seq=1)
        while (await client.next("received"))["messages"] < ends:
            pass
        client.lose()
    return session["id"], session["resume"]["token"]


async def resumed(client: Client, token: str, received: int = 0) -> dict:
    await client.say(type="resume", token=token, received=received)
    return await client.next("session", "error")


async def test_without_being_asked_for_a_session_ends_with_its_connection(address, service):
    async with connected(address, None) as client:
        session = await client.next("session")
        client.lose()

    assert "resume" not in session
    await until(lambda: _has_ended(service))


async def _has_ended(service) -> bool:
    return not service.running_sessions.sessions


async def test_a_client_goes_on_from_the_last_sample(address, service):
    """What overlaps is dropped by its position; one recording has everything once."""
    session, token = await lost(address)
    samples = len(TURN) // 2

    async with connected(address, session) as client:
        answer = await resumed(client, token)
        assert (answer["id"], answer["resume"]["samples"]) == (session, samples)
        await client.audio(TURN, samples - 4800)
        await client.say(type="end", seq=1)
        await client.next("fullSentence")
        await client.next("server_response")

    manifest = await stored_manifest(service, session)
    assert manifest["samples"] == 2 * samples - 4800


async def test_the_same_session_continues_and_gives_back_what_was_shown_meanwhile(address):
    """Finals, reply text and reply sound from number 1 on; a draft is not sent again."""
    session, token = await lost(address, ends=True)

    async with connected(address, session) as client:
        await resumed(client, token)
        await client.next("server_response")

    numbers = [message["seq"] for message in client.texts if "seq" in message]
    kinds = [message["type"] for message in client.texts]
    assert numbers[0] == 1
    assert kinds.count("fullSentence") == 1
    assert "realtime" not in kinds


async def test_a_message_sent_again_is_carried_out_once(address):
    """`end` and `say` have numbers."""
    async with connected(address, "new") as client:
        session = await client.next("session")
        await client.say(type="say", text="Hello.", seq=1)
        await client.next("server_response")
        client.lose()

    async with connected(address, session["id"]) as client:
        answer = await resumed(client, session["resume"]["token"])
        assert answer["resume"]["messages"] == 1
        await client.say(type="say", text="Hello.", seq=1)
        await client.say(type="say", text="Goodbye.", seq=2)
        turns = [(await client.next("server_response"))["turn"] for _ in range(2)]

    assert turns == [1, 2]


WRONG = {
    "another session": ("0" * 32, None, "acme-key"),
    "a session id that is none": ("..%2F..", None, "acme-key"),
    "a wrong token": (None, "wrong", "acme-key"),
    "an empty token": (None, "", "acme-key"),
    "another tenant's key": (None, None, "globex-key"),
    "another key of the same tenant": (None, None, "second-key"),
}


@pytest.mark.parametrize("what", WRONG)
async def test_whatever_is_wrong_the_answer_is_the_same(address, what):
    """Nobody learns whether a session exists; its own client still comes back."""
    session, token = await lost(address)
    other_session, other_token, key = WRONG[what]

    async with connected(address, other_session or session, key) as client:
        answer = await resumed(client, token if other_token is None else other_token)
        closed = await client.closed()

    assert {name: answer[name] for name in ("type", "code", "fatal")} == {
        "type": "error",
        "code": "resume_refused",
        "fatal": True,
    }
    assert (
        answer["message"]
        == "there is no session of yours with this id and token that waits to be resumed; begin a new one"
    )
    assert closed == (1008, "resume_refused")
    async with connected(address, session) as client:
        assert (await resumed(client, token))["type"] == "session"


async def test_an_old_token_is_refused_once_the_next_was_used(address):
    session, first = await lost(address)
    async with connected(address, session) as client:
        second = (await resumed(client, first))["resume"]["token"]
        await client.say(type="configure", seq=1)
        await client.next("received")
        client.lose()

    async with connected(address, session) as client:
        assert (await resumed(client, first))["code"] == "resume_refused"
    async with connected(address, session) as client:
        assert (await resumed(client, second))["type"] == "session"


async def test_a_token_whose_answer_was_lost_can_be_used_again(address):
    session, token = await lost(address)
    for _ in range(3):
        async with connected(address, session) as client:
            assert (await resumed(client, token))["type"] == "session"
            client.lose()


async def test_the_newer_of_two_connections_wins(address):
    """Also where the older one is alive: it gets a code of its own, and is closed."""
    async with connected(address, "new") as older:
        session = await older.next("session")
        await older.audio(TURN, 0)
        await older.next("received")
        async with connected(address, session["id"]) as newer:
            await resumed(newer, session["resume"]["token"])
            assert await older.closed() == (1008, "session_resumed")
            await newer.say(type="end", seq=1)
            assert (await newer.next("fullSentence"))["text"] == "hello"


@pytest.mark.parametrize(
    "first", ['{"type":"end"}', "hello", '{"type":"resume"}', '{"type":"resume","token":7,"received":0}']
)
async def test_what_does_not_begin_with_resume_is_refused(address, first):
    session, _ = await lost(address)

    async with connected(address, session) as client:
        await client.socket.send(first)

        assert await client.closed() == (1008, "resume_refused")


async def test_a_session_whose_client_stays_away_ends_and_is_recorded(address, service):
    service.resume_s = 0.5
    session, token = await lost(address)

    manifest = await stored_manifest(service, session)

    assert manifest["samples"] == len(TURN) // 2
    async with connected(address, session) as client:
        assert (await resumed(client, token))["code"] == "resume_refused"


async def test_a_client_that_is_away_keeps_its_place_beyond_the_limit_of_standby(service):
    service.client_limits = service.running_sessions.limits = ClientLimits(session_standby_s=0.05)
    async with served(service) as address:
        session, _ = await lost(address)
        await anyio.sleep(0.3)

        assert session in service.admission.sessions
        async with httpx.AsyncClient(headers={"Authorization": "Bearer ops-key"}) as http:
            listed = (await http.get(f"http://{address}/admin/sessions")).json()["sessions"]
        assert [one["state"] for one in listed] == ["detached"]


async def test_limits_administrators_and_keys_end_a_session_whose_client_is_away(address, service):
    session, token = await lost(address)

    async with httpx.AsyncClient(headers={"Authorization": "Bearer ops-key"}) as http:
        await http.delete(f"http://{address}/admin/sessions/{session}")

    await until(lambda: _has_ended(service), seconds=10)
    async with connected(address, session) as client:
        assert (await resumed(client, token))["code"] == "resume_refused"


async def test_a_session_ends_while_its_client_is_away_when_its_key_is_revoked(service):
    tenants = [ACME, GLOBEX, OPS]
    service.tenants = lambda: tuple(tenants)
    service.resume_s = 30.0
    async with served(service) as address:
        await lost(address)
        tenants.remove(ACME)

        await until(lambda: _has_ended(service), seconds=5)


async def test_a_server_that_stops_does_not_wait_for_a_client_that_is_away(service):
    """Nor for its thirty seconds; what was said is in the recording."""
    service.resume_s = 30.0
    with anyio.fail_after(10):
        async with served(service) as address:
            session, _ = await lost(address)

    assert (await stored_manifest(service, session))["samples"] == len(TURN) // 2


async def test_audio_that_was_never_sent_is_told_and_the_rest_goes_on(address):
    async with connected(address, "new") as client:
        await client.next("session")
        await client.audio(SPEECH * 10, 0)
        await client.audio(SPEECH * 10, 100_000)
        error = await client.next("error")
        await client.audio(SILENCE * 30, 100_000 + len(SPEECH) * 5)
        await client.next("fullSentence")

    assert (error["code"], error["fatal"]) == ("audio_gap", False)


async def test_a_session_that_cannot_be_resumed_where_it_is_turned_off():
    async with served(scripted_service(resume_s=0.0)) as address, connected(address, "new") as client:
        assert "resume" not in await client.next("session")


async def test_a_client_of_a_server_that_resumes_nothing_keeps_nothing():
    """More audio than a client keeps is sent without a wait for confirmations that never come."""
    async with (
        served(scripted_service(resume_s=0.0)) as address,
        open_session(f"ws://{address}/ws/transcribe", resume=True) as talk,
    ):
        assert await talk.wait_until(lambda t: t.messages("session"), timeout_s=5)
        with anyio.fail_after(20):
            await talk.send_audio(SILENCE * 1100, pace=0)
            await talk.send_audio(TURN, pace=0)
            await talk.send_message(type="end")

        assert await talk.wait_until(lambda t: t.messages("server_response"), timeout_s=10)


async def test_end_twice_and_before_any_audio_changes_nothing(address):
    """One final and one reply, as after one `end`."""
    async with connected(address, "new") as client:
        await client.next("session")
        for _ in range(3):
            await client.say(type="end")
        await client.audio(SPEECH * 20, 0)
        for _ in range(3):
            await client.say(type="end")
        await client.next("server_response")
        await client.say(type="say", text="Goodbye.")
        await client.next("server_response")

    kinds = [message["type"] for message in client.texts]
    assert kinds.count("fullSentence") == 1
    assert kinds.count("server_response") == 2
    assert "error" not in kinds


@pytest.mark.parametrize("ends", [False, True])
async def test_say_during_speech_and_right_behind_end_is_spoken_or_refused(address, ends):
    """It never vanishes."""
    async with connected(address, "new") as client:
        await client.next("session")
        await client.audio(SPEECH * 20, 0)
        if ends:
            await client.say(type="end")
        await client.say(type="say", text="Hello.")
        first = await client.next("error", "replyStart")
        if first["type"] == "error":
            assert first["code"] == "say_refused"
        else:
            await client.next("server_response", "replyCancelled")


async def test_a_flood_of_configure_ends_the_session_with_a_stable_code(service):
    """Each is cheap, and their number is limited like that of any message."""
    service.client_limits = service.running_sessions.limits = ClientLimits(messages_per_s=20)
    async with served(service) as address, connected(address, "new") as client:
        await client.next("session")
        for number in range(300):
            await client.say(type="configure", language="en", place="on_prem_only", reply=bool(number % 2))

        assert await client.closed() == (1008, "too_many_messages")


async def test_the_recording_keeps_an_interrupted_reply_up_to_the_word_that_was_heard(address, service):
    """Whether the reply was complete or not: text and sound are what was sent, `played` what was heard."""
    async with connected(address, "new") as client:
        session = (await client.next("session"))["id"]
        await client.audio(SPEECH * 20, 0)
        await client.say(type="end")
        await client.next("server_response")
        await client.say(type="played", turn=1, samples=1600)
        await client.say(type="cancel")
        await client.next("replyInterrupted")

    (reply,) = (await stored_manifest(service, session))["replies"]
    assert (reply["text"], reply["played"], reply["cancelled"]) == ("You said it. Well done.", "You said it.", None)


async def test_who_comes_back_and_who_is_refused_is_in_the_audit_log(address, service):
    """With the key and the address of the connection that claims the session."""
    entries: list[AuditEntry] = []
    service.audit.store = Entries(entries)
    session, token = await lost(address)

    async with connected(address, session, "globex-key") as client:
        await resumed(client, token)
    async with connected(address, session) as client:
        await resumed(client, token)

    resumes = [entry for entry in entries if entry.action is AuditAction.SESSION_RESUMED]
    assert [(entry.tenant, entry.outcome, entry.target, entry.peer) for entry in resumes] == [
        ("globex", AuditOutcome.REFUSED, session, "127.0.0.1"),
        ("acme", AuditOutcome.DONE, session, "127.0.0.1"),
    ]


@dataclass
class Entries:
    """An AuditStore in a list."""

    entries: list[AuditEntry]

    def record(self, entry: AuditEntry) -> None:
        self.entries.append(entry)

    async def find(self, criteria: AuditFilter) -> list[AuditEntry]:
        return self.entries
