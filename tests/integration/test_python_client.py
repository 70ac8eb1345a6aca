"""`parley_client` against a real server: typed events, orders, errors, and a session that is resumed."""

import re
import shutil
import subprocess
import sys
import venv
import wave
import zipfile
from pathlib import Path

import anyio
import pytest
import websockets
from anyio import to_thread
from parley_client import (
    Draft,
    EventsUnread,
    Final,
    ReplyAudio,
    ReplyCancelled,
    ReplyDone,
    ReplyStarted,
    ReplyText,
    RequestFailed,
    ServerUnreachable,
    Session,
    SessionEnded,
    SessionError,
    SessionRefused,
    SessionResumed,
    SessionStarted,
    TurnEnded,
    paced,
    session,
)
from websockets.asyncio.server import serve

from app.domain.audio import SAMPLE_RATE
from app.domain.errors import ClientError, ClientFault
from app.domain.tenant import Tenant, fingerprint
from tests.clips import silence
from tests.emulators.wire import Drop, wire_to
from tests.fakes import SILENCE, SPEECH, ScriptedGenerator, ScriptedSynthesizer
from tests.integration.test_dropped_connections import digesting_service, recording_of
from tests.integration.test_realtime import service_with
from tests.serving import scripted_service, served
from tests.source import ROOT

pytestmark = pytest.mark.anyio
TURN = SPEECH * 20 + SILENCE * 30


@pytest.fixture
async def url():
    async with served(scripted_service(resume_s=20.0)) as address:
        yield f"ws://{address}"


async def until(opened: Session, *kinds: type) -> list:
    """The events up to the first of these kinds."""
    seen = []
    with anyio.fail_after(15):
        async for event in opened:
            seen.append(event)
            if isinstance(event, kinds):
                return seen
    raise AssertionError(f"the session ended after {seen}")


def of_kind(events: list, kind: type) -> list:
    return [event for event in events if isinstance(event, kind)]


async def test_a_turn_is_drafts_a_final_and_a_reply_in_text_and_audio(url):
    """The address needs no path."""
    async with Session(url, language="en", words=True, events=True) as talk:
        async for packet in paced(SPEECH * 20, SAMPLE_RATE, pace=2):
            await talk.send(packet)
        events = await until(talk, Draft)
        await talk.send(SILENCE * 30)
        await talk.end()
        events += await until(talk, ReplyDone)

    assert events[0] == SessionStarted(talk.id, archive=True, conversation=None)
    assert of_kind(events, Draft)[0].turn == 1
    (final,) = of_kind(events, Final)
    assert (final.text, final.turn, final.utterance, final.route.name) == ("hello", 1, 1, "local")
    assert 0 <= final.start < final.end <= len(TURN) / 2 / SAMPLE_RATE
    assert isinstance(final.words, tuple)
    assert of_kind(events, TurnEnded) == [TurnEnded(1, "hello")]
    assert "".join(piece.text for piece in of_kind(events, ReplyText)) == events[-1].text == "You said it. Well done."
    assert {piece.sample_rate for piece in of_kind(events, ReplyAudio)} == {SAMPLE_RATE}
    assert events[-1].mp3


async def test_audio_may_have_any_sample_rate(url):
    """By session, and by packet; a second of audio is a second whatever its rate."""
    async with Session(url, sample_rate=48_000, reply=False) as talk:
        await talk.send(SPEECH * 60)
        await talk.send(SILENCE * 30, 16_000)
        (final,) = of_kind(await until(talk, Final), Final)

    assert final.text == "hello"
    assert final.end == pytest.approx(len(SPEECH * 60) / 2 / 48_000, abs=0.1)


async def test_text_is_answered_and_a_text_is_spoken(url):
    async with Session(url) as talk:
        await talk.text("What is the weather?")
        answered = await until(talk, ReplyDone)
        await talk.say("Good bye.")
        spoken = await until(talk, ReplyDone)

    assert of_kind(answered, ReplyStarted)[0].text == "What is the weather?"
    assert (of_kind(spoken, ReplyStarted)[0].text, spoken[-1].text) == ("", "Good bye.")


async def test_a_reply_is_interrupted():
    service = service_with(ScriptedGenerator(), ScriptedSynthesizer(forever=True))
    async with served(service) as address, Session(f"ws://{address}") as talk:
        await talk.text("Go on for ever.")
        first = (await until(talk, ReplyAudio))[-1]
        await talk.played(first.turn, 10)
        await talk.interrupt()
        events = await until(talk, ReplyCancelled)

    assert events[-1] == ReplyCancelled(first.turn, "cancelled")


async def test_what_the_server_refuses_within_a_session_is_an_event(url):
    async with Session(url) as talk:
        await talk.configure(language="no such language")
        events = await until(talk, RequestFailed)
        await talk.send(TURN)
        await talk.end()

        assert events[-1].code == "unknown_language"
        assert (await until(talk, Final))[-1].text == "hello"


async def test_half_a_sample_is_refused_here(url):
    async with Session(url) as talk:
        with pytest.raises(ValueError, match="16-bit"):
            await talk.send(b"\0")


async def test_a_server_that_wants_a_key_refuses_with_its_code():
    acme = Tenant("acme", (fingerprint("acme-key"),))
    async with served(scripted_service(tenants=lambda: (acme,))) as address:
        with pytest.raises(SessionRefused) as refused:
            async with Session(f"ws://{address}"):
                pass
        async with Session(f"ws://{address}", key="acme-key") as talk:
            assert talk.id

    assert refused.value.code == "unauthorized"


async def test_a_full_server_refuses_with_its_code():
    async with served(scripted_service(max_sessions=1)) as address, Session(f"ws://{address}"):
        with pytest.raises(SessionRefused) as refused:
            async with Session(f"ws://{address}"):
                pass

    assert refused.value.code == "no_capacity"


async def test_a_server_that_never_answers_is_given_up():
    async def say_nothing(socket) -> None:
        await socket.wait_closed()

    async with serve(say_nothing, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(ServerUnreachable, match="no session began"):
            async with Session(f"ws://127.0.0.1:{port}", timeout_s=0.2):
                pass


async def test_a_session_that_the_server_ends_raises_where_it_is_read_and_where_it_is_sent():
    service = scripted_service()
    async with served(service) as address, Session(f"ws://{address}") as talk:
        await until(talk, SessionStarted)
        service.running_sessions.sessions[talk.id].end(ClientError(ClientFault.ENDED_BY_ADMIN, "enough", fatal=True))
        with pytest.raises(SessionEnded) as read, anyio.fail_after(5):
            async for _ in talk:
                pass
        with pytest.raises(SessionEnded) as sent:
            await talk.send(SILENCE)

    assert read.value.code == sent.value.code == "session_ended_by_admin"
    assert read.value.close_code == 1008


@pytest.mark.parametrize(
    "frames", [["no JSON"], ['{"type": "session", "id": "a"}', '{"type": "realtime"}'], [b"\1\0\0\0{"]]
)
async def test_frames_that_no_server_sends_end_the_session_with_an_error(frames):
    async def send_them(socket) -> None:
        for frame in frames:
            await socket.send(frame)
        await socket.wait_closed()

    async with serve(send_them, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(SessionError, match="cannot be read"):
            async with Session(f"ws://127.0.0.1:{port}") as talk:
                await until(talk, Draft)


async def test_types_and_fields_of_later_versions_are_passed_over():
    async def send_them(socket) -> None:
        await socket.send('{"type": "session", "id": "a", "archive": false, "mood": "good"}')
        await socket.send('{"type": "weather", "text": "fine"}')
        await socket.send('{"type": "turnEnd", "turn": 1, "text": "hi", "mood": "better"}')
        await socket.wait_closed()

    async with serve(send_them, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with Session(f"ws://127.0.0.1:{port}") as talk:
            events = await until(talk, TurnEnded)

    assert events == [SessionStarted("a", archive=False), TurnEnded(1, "hi")]


async def test_events_that_nobody_reads_are_an_error_and_not_kept_for_ever(monkeypatch):
    monkeypatch.setattr(session, "MAX_EVENTS", 20)

    async def send_many(socket) -> None:
        await socket.send('{"type": "session", "id": "a"}')
        for n in range(40):
            await socket.send(f'{{"type": "ack", "seconds": {n}}}')
        await socket.wait_closed()

    async with serve(send_many, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with Session(f"ws://127.0.0.1:{port}") as talk:
            with pytest.raises(EventsUnread), anyio.fail_after(5):
                while True:
                    await talk.send(SILENCE)
                    await anyio.sleep(0.01)


@pytest.mark.parametrize("how", list(Drop))
async def test_a_lost_connection_is_an_event_and_costs_nothing(how):
    """Every sample is recorded once, and the final is that of the whole utterance."""
    service = digesting_service(resume_s=20.0)
    pcm = SPEECH * 20 + silence(1.5)
    async with (
        served(service) as address,
        wire_to(int(address.rpartition(":")[2])) as wire,
        Session(f"ws://localhost:{wire.port}", reply=False) as talk,
    ):
        talk._connection.resumption.silence_s = 0.5
        await talk.send(pcm[:20_000])
        await until(talk, SessionStarted)
        wire.drop(how)
        await talk.send(pcm[20_000:])
        events = await until(talk, Final)
        with anyio.fail_after(10):
            while not of_kind(events, SessionResumed):
                events += await until(talk, SessionResumed)

    assert of_kind(events, SessionResumed) == [SessionResumed(talk.id)]
    assert of_kind(events, Final)[0].text
    assert await recording_of(service, talk.id) == pcm


async def test_a_server_that_is_gone_ends_the_session_when_its_time_is_over():
    service = digesting_service(resume_s=0.5)
    async with (
        served(service) as address,
        wire_to(int(address.rpartition(":")[2])) as wire,
        Session(f"ws://localhost:{wire.port}") as talk,
    ):
        await until(talk, SessionStarted)
        wire.is_away = True
        wire.drop(Drop.RESET)
        with pytest.raises(SessionEnded) as ended, anyio.fail_after(10):
            async for _ in talk:
                pass

    assert (ended.value.code, ended.value.close_code) == ("", 1006)


@pytest.fixture(scope="session")
def installed(tmp_path_factory) -> Path:
    """The interpreter of an environment with Parley's wheel and `websockets`, and nothing else."""
    folder = tmp_path_factory.mktemp("client")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (wheel,) = folder.glob("*.whl")
    venv.create(folder / "venv")
    (packages,) = folder.glob("venv/lib/python*/site-packages")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(packages)
    shutil.copytree(Path(websockets.__file__).parent, packages / "websockets")
    return folder / "venv" / "bin" / "python"


async def test_wheel_has_the_client_as_a_typed_package_that_imports_nothing_of_the_service(installed):
    """In an environment without the service's dependencies."""
    program = "import sys, parley_client; print(parley_client.__file__); print(*sorted(sys.modules))"
    done = await to_thread.run_sync(lambda: _run(installed, "-I", "-W", "error", "-c", program))
    assert done.returncode == 0, done.stderr
    file, modules = done.stdout.splitlines()
    loaded = {name.partition(".")[0] for name in modules.split()}

    assert Path(file).parent.parent.name == "site-packages"
    assert Path(file).with_name("py.typed").exists()
    assert not (Path(file).parents[1] / "app" / "client").exists()
    assert "websockets" in loaded
    assert loaded & {"app", "providers", "storage", "anyio", "msgspec", "numpy"} == set()


async def test_example_of_the_documentation_runs_with_the_wheel(installed, tmp_path):
    """As it is printed in docs/clients.md."""
    [example] = re.findall(r"```python\n(.*?)```", (ROOT / "docs/clients.md").read_text("utf-8"), re.DOTALL)
    program, recording = tmp_path / "talk.py", tmp_path / "speech.wav"
    program.write_text(example)
    with wave.open(str(recording), "wb") as audio:
        audio.setnchannels(1)
        audio.setsampwidth(2)
        audio.setframerate(SAMPLE_RATE)
        audio.writeframes(TURN)
    async with served(scripted_service()) as address:
        done = await to_thread.run_sync(lambda: _run(installed, "-I", str(program), f"ws://{address}", str(recording)))

    lines = done.stdout.splitlines()
    assert {"Final hello", "reply You said it. Well done."} <= set(lines), done.stderr
    assert [line for line in lines if line.startswith("audio ")]


def _run(python: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(python), *arguments], capture_output=True, text=True, timeout=60, check=False)
