"""Limits of sessions on real sockets: idle, silent, too long, standby, connections, pace, floods of messages."""

from contextlib import suppress

import anyio
import httpx
import pytest
from websockets.exceptions import ConnectionClosed

from app.domain.client_limits import ClientLimits
from app.domain.tenant import Tenant, fingerprint
from app.domain.trusted_proxies import parse_networks
from tests.eventually import until
from tests.fakes import SILENCE, SPEECH
from tests.serving import scripted_service, served, stored_manifest
from tests.streaming_client import open_session

pytestmark = pytest.mark.anyio
TURN = SPEECH * 20 + SILENCE * 30


def limited(**changes):
    """A service whose limits are checked often: with `limits`, one of a few tenths of a second."""
    service = scripted_service(client_limits=ClientLimits(**changes.pop("limits")), **changes)
    service.running_sessions.check_every_s = 0.02
    return service


async def started(talk) -> str:
    assert await talk.wait_until(lambda t: t.messages("session"), timeout_s=5)
    return talk.messages("session")[0].message["id"]


async def closed(talk) -> tuple[int, str, bool]:
    """The close code, and code and `fatal` of the last error, once the server has closed."""
    await talk.wait_until(lambda t: t.closed, timeout_s=5)
    assert talk.closed
    last = talk.messages("error")[-1].message
    return talk.closed[0], last["code"], last["fatal"]


async def send_silence(talk) -> None:
    while not talk.closed:
        await talk.send_audio(SILENCE, pace=0)
        await anyio.sleep(0.02)


@pytest.mark.parametrize(
    ("limits", "code"), [({"session_idle_s": 0.4}, "session_idle"), ({"session_max_s": 0.4}, "session_too_long")]
)
async def test_session_without_audio_is_warned_and_ended_and_its_place_is_free(limits, code):
    service = limited(limits=limits)
    async with served(service) as address, open_session(f"ws://{address}/ws/transcribe") as talk:
        await started(talk)

        assert await closed(talk) == (1000, code, True)
        warning = talk.messages("error")[0].message
        await until(lambda: holds(service.admission.sessions == {}))

    assert (warning["code"], warning["fatal"], "the session ends in" in warning["message"]) == (code, False, True)
    assert len(talk.messages("error")) == 2


async def test_idle_session_is_kept_by_audio():
    """Each packet of audio begins the time anew, silence as well."""
    service = limited(limits={"session_idle_s": 1})
    async with served(service) as address, open_session(f"ws://{address}/ws/transcribe") as talk:
        await started(talk)
        for _ in range(30):
            await talk.send_audio(SILENCE, pace=0)
            await anyio.sleep(0.05)

        assert talk.closed is None


async def test_session_with_audio_and_no_word_is_ended_and_its_audio_is_archived():
    service = limited(limits={"session_silent_s": 0.5})
    async with served(service) as address, open_session(f"ws://{address}/ws/transcribe") as talk:
        session = await started(talk)
        with anyio.fail_after(5):
            await send_silence(talk)

        assert await closed(talk) == (1000, "session_silent", True)
        manifest = await stored_manifest(service, session)

    assert manifest["samples"] > 0


async def test_longest_session_ends_in_the_middle_of_speech_and_keeps_it():
    service = limited(limits={"session_max_s": 0.5})
    async with served(service) as address, open_session(f"ws://{address}/ws/transcribe") as talk:
        session = await started(talk)
        await talk.send_audio(SPEECH * 20, pace=0)

        assert await closed(talk) == (1000, "session_too_long", True)
        manifest = await stored_manifest(service, session)

    assert [(f["start"], f["end"], f["text"]) for f in manifest["finals"]] == [(0, 20 * 480, "hello")]


async def test_idle_sockets_hold_no_place_and_take_one_again_with_the_next_audio():
    """The place of a client that is silent serves another; the first goes on when that one has left."""
    service = limited(limits={"session_standby_s": 0.2}, max_sessions=1)
    async with served(service) as address, open_session(f"ws://{address}/ws/transcribe") as waiting:
        session = await started(waiting)
        await until(lambda: holds(service.admission.sessions == {}))
        async with open_session(f"ws://{address}/ws/transcribe") as other:
            await started(other)
            await other.send_audio(TURN, pace=0)
            assert await other.wait_until(lambda t: t.messages("fullSentence"), timeout_s=5)
        await until(lambda: holds(service.admission.sessions == {}))
        await waiting.send_audio(TURN, pace=0)
        assert await waiting.wait_until(lambda t: t.messages("fullSentence"), timeout_s=5)

        assert list(service.running_sessions.sessions) == [session]
        assert waiting.closed is None


async def test_session_on_standby_is_refused_with_1013_where_its_place_was_given_away():
    service = limited(limits={"session_standby_s": 1}, max_sessions=1)
    async with served(service) as address, open_session(f"ws://{address}/ws/transcribe") as waiting:
        await started(waiting)
        await until(lambda: holds(service.admission.sessions == {}))
        async with (
            open_session(f"ws://{address}/ws/transcribe") as other,
            anyio.create_task_group() as tasks,
        ):
            await started(other)
            tasks.start_soon(send_silence, other)
            await waiting.send_audio(TURN, pace=0)

            assert await closed(waiting) == (1013, "no_capacity", True)
            assert other.closed is None
            tasks.cancel_scope.cancel()


async def test_live_session_on_standby_cannot_be_deleted():
    """It has no place, and is a session all the same."""
    service = limited(limits={"session_standby_s": 0.1})
    async with (
        served(service) as address,
        httpx.AsyncClient(base_url=f"http://{address}") as http,
        open_session(f"ws://{address}/ws/transcribe") as talk,
    ):
        session = await started(talk)
        await until(lambda: holds(service.admission.sessions == {}))

        answer = await http.delete(f"/recordings/{session}")
        (listed,) = (await http.get("/admin/sessions")).json()["sessions"]
        health = (await http.get("/health")).json()

    assert (answer.status_code, answer.json()["code"]) == (409, "still_live")
    assert (listed["state"], health["sessions"], health["connections"]) == ("standby", 0, 1)


@pytest.mark.parametrize(
    ("limits", "whose"),
    [
        ({"connections": 2}, "this server"),
        ({"connections_per_address": 2}, "your address"),
        ({"connections_per_key": 2}, "your key"),
    ],
)
async def test_connections_above_the_limit_are_refused_with_1013(limits, whose):
    """Even where there are places; another address and another key are not affected by theirs."""
    acme, globex = Tenant("acme", (fingerprint("a"),)), Tenant("globex", (fingerprint("g"),))
    service = limited(
        limits=limits,
        max_sessions=10,
        tenants=lambda: (acme, globex),
        trusted_proxies=parse_networks("private"),
    )
    async with served(service) as address:
        url = f"ws://{address}/ws/transcribe"
        mine = {"key": "a", "headers": {"X-Forwarded-For": "203.0.113.7"}}
        others = {"key": "g", "headers": {"X-Forwarded-For": "203.0.113.8"}}
        async with (
            open_session(url, **mine) as one,
            open_session(url, **mine) as two,
            open_session(url, **mine) as three,
            open_session(url, **others) as other,
        ):
            await started(one)
            await started(two)
            assert await closed(three) == (1013, "no_capacity", True)
            await other.wait_until(lambda t: t.received, timeout_s=5)

    assert whose in three.messages("error")[0].message["message"]
    assert other.received[0].message["type"] == ("error" if whose == "this server" else "session")


async def test_this_machines_own_clients_have_no_limit_per_address():
    service = limited(limits={"connections_per_address": 1})
    async with (
        served(service) as address,
        open_session(f"ws://{address}/ws/transcribe") as one,
        open_session(f"ws://{address}/ws/transcribe") as two,
    ):
        await started(one)
        await started(two)


async def test_audio_faster_than_the_limit_is_taken_more_slowly_and_none_is_lost(monkeypatch):
    """By not reading: the client's own socket is full meanwhile."""
    monkeypatch.setattr("app.runtime.limited_client.BURST_AUDIO_S", 1.0)
    service = limited(limits={"audio_speed": 8})
    async with served(service) as address, open_session(f"ws://{address}/ws/transcribe") as talk:
        session = await started(talk)
        began = anyio.current_time()
        await talk.send_audio(SPEECH * 20 + SILENCE * 300, pace=0)
        await talk.send_message(type="end")
        await until(lambda: holds(service.running_sessions.sessions[session].audio_s > 9.59), seconds=10)
        took_s = anyio.current_time() - began
        assert await talk.wait_until(lambda t: t.messages("fullSentence"), timeout_s=5)
        await talk.socket.close()
        manifest = await stored_manifest(service, session)

    assert took_s > 0.9
    assert manifest["samples"] == 320 * 480


async def test_session_whose_audio_waits_can_still_be_ended(monkeypatch):
    monkeypatch.setattr("app.runtime.limited_client.BURST_AUDIO_S", 0.1)
    service = limited(limits={"audio_speed": 0.01})
    async with (
        served(service) as address,
        httpx.AsyncClient(base_url=f"http://{address}") as http,
        open_session(f"ws://{address}/ws/transcribe") as talk,
    ):
        session = await started(talk)
        await talk.send_audio(SPEECH * 20, pace=0)
        await http.delete(f"/admin/sessions/{session}")

        assert await closed(talk) == (1008, "session_ended_by_admin", True)
        await until(lambda: holds(service.running_sessions.sessions == {}))


@pytest.mark.parametrize("message", ['{"type":"cancel"}', '{"type":"say","text":"again"}', "{}"])
async def test_flood_of_messages_ends_its_session_with_1008(message):
    service = limited(limits={"messages_per_s": 4})
    async with served(service) as address, open_session(f"ws://{address}/ws/transcribe") as talk:
        await started(talk)
        with suppress(ConnectionClosed):
            for _ in range(40):
                await talk.socket.send(message)

        assert await closed(talk) == (1008, "too_many_messages", True)


async def holds(value: bool) -> bool:
    return value
