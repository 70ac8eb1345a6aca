"""Wyoming over TCP: Home Assistant's three sequences with the `wyoming` library, frames by hand, the announcement."""

from contextlib import asynccontextmanager
from functools import partial
from socket import gethostname

import anyio
import anyio.streams.buffered
import msgspec
import pytest
from structlog.testing import capture_logs
from zeroconf.asyncio import AsyncServiceBrowser, AsyncServiceInfo, AsyncZeroconf

from app.data.conversation_log import conversation_log_in
from app.data.database import open_database
from app.domain.errors import ProviderDown
from app.domain.residency import Place
from app.domain.routing.route import Route
from app.domain.tenant import Tenant, fingerprint
from app.runtime.conversations.chat import Chat
from app.runtime.dialog.engines import Engines
from app.wyoming.announcement import SERVICE_TYPE, can_be_found, instance_name
from app.wyoming.server import NO_KEY, serve_wyoming
from tests.client_environments import python_client
from tests.fakes import ScriptedDetector, ScriptedGenerator, ScriptedSynthesizer, ScriptedTranscriber, SingleRouteFinals
from tests.integration.conversation_service import scripted_engine
from tests.proven_features import BY_HAND, proves
from tests.serving import scripted_service, served

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="session")
def wyoming_library():
    return python_client("wyoming", "wyoming==1.10.2")


@asynccontextmanager
async def listening(transcriber=None, synthesizer=None, *, tenant="", is_announced=False, **changes):
    """The port of a Wyoming server over a scripted service."""
    engines = Engines(
        ScriptedDetector(),
        SingleRouteFinals(Route("local", Place.ON_PREM), transcriber or ScriptedTranscriber("hello")),
        synthesizer=synthesizer or ScriptedSynthesizer(),
    )

    @asynccontextmanager
    async def session_engines(session, tenant):
        yield engines

    service = scripted_service(session_engines=session_engines, **changes)
    async with served(service), anyio.create_task_group() as tasks:
        ports, bound = [], anyio.Event()

        def on_listening(port: int) -> None:
            ports.append(port)
            bound.set()

        options = {"tenant": tenant, "is_announced": is_announced, "on_listening": on_listening}
        tasks.start_soon(partial(serve_wyoming, service, "127.0.0.1", 0, **options))
        await bound.wait()
        yield ports[0]
        tasks.cancel_scope.cancel()


async def ask(port: int, *frames: bytes, events: int) -> list[dict]:
    """So many events behind these frames; fewer where the server closes."""
    found: list[dict] = []
    with anyio.fail_after(20):
        async with await anyio.connect_tcp("127.0.0.1", port) as stream:
            await stream.send(b"".join(frames))
            reader = anyio.streams.buffered.BufferedByteReceiveStream(stream)
            while len(found) < events:
                try:
                    head = msgspec.json.decode(await reader.receive_until(b"\n", 1 << 16))
                except (anyio.IncompleteRead, anyio.BrokenResourceError):  # it was closed, perhaps unread
                    return found
                data = await reader.receive_exactly(head["data_length"]) if head.get("data_length") else b"{}"
                if head.get("payload_length"):
                    await reader.receive_exactly(head["payload_length"])
                found.append({"type": head["type"], **msgspec.json.decode(data)})
    return found


def line(kind: str, **data) -> bytes:
    return msgspec.json.encode({"type": kind, "data": data}) + b"\n"


@proves(
    "wyoming",
    "wyoming (Python) 1.10",
    "describe",
    "ping",
    "unknown events are passed over",
    "transcribe, streamed, several on one connection",
    "synthesize",
    "synthesize, streamed",
    "handle",
)
async def test_home_assistants_sequences(wyoming_library, tmp_path):
    async with (
        open_database(f"sqlite+aiosqlite:///{tmp_path}/parley.db") as database,
        conversation_log_in(database) as log,
        listening(chat=Chat(log, lambda *_: scripted_engine(ScriptedGenerator(("No.",))))) as port,
    ):
        found = await wyoming_library.run("wyoming_home.py", "127.0.0.1", str(port))

    assert found["info"] == {
        "asr": "parley",
        "languages": ["en"],
        "tts": "parley",
        "handle": ["parley"],
        "pong": "are you there",
    }
    for events in found["transcripts"]:
        kinds = [event["type"] for event in events]
        assert kinds == ["transcript-start", "transcript-chunk", "transcript-chunk", "transcript", "transcript-stop"]
        chunks = "".join(event["text"] for event in events if event["type"] == "transcript-chunk")
        assert chunks == events[-2]["text"] == "hello hello"
    assert found["speech"][0]["type"] == "audio-start"
    assert sum(event["bytes"] for event in found["speech"]) == 6400
    assert [event["type"] for event in found["streamed"]] == [
        *["audio-start", "audio-chunk", "audio-stop"] * 2,
        "synthesize-stopped",
    ]
    assert found["handled"] == {"type": "handled", "text": "No."}


@proves("wyoming", BY_HAND, "silence is an empty transcript")
async def test_silence_is_an_empty_transcript():
    audio = {"rate": 16000, "width": 2, "channels": 1}
    async with listening() as port:
        events = await ask(port, line("audio-start", **audio), line("audio-stop"), events=3)

    assert [event["type"] for event in events] == ["transcript-start", "transcript", "transcript-stop"]
    assert events[1]["text"] == ""


@proves("wyoming", BY_HAND, "error, and the connection goes on")
@pytest.mark.parametrize(
    ("frames", "code"),
    [
        (line("audio-start", rate=16000, width=4, channels=1), "bad_audio"),
        (line("audio-start", rate="x", width=2, channels=1), "bad_audio"),
        (line("transcribe", language="xx"), "unknown_language"),
    ],
)
async def test_mistake_is_an_error_and_the_connection_goes_on(frames, code):
    async with listening() as port:
        events = await ask(port, frames, line("ping", text="x"), events=2)

    assert (events[0]["type"], events[0]["code"]) == ("error", code)
    assert events[1] == {"type": "pong", "text": "x"}


@proves("wyoming", BY_HAND, "synthesize, streamed", "error, and the connection goes on")
async def test_voice_that_fails_is_an_error_and_a_stream_is_still_stopped():
    voice = ScriptedSynthesizer(error=ProviderDown("piper", "is gone"))
    stream = [line("synthesize-start"), line("synthesize-chunk", text="One."), line("synthesize-stop")]
    async with listening(synthesizer=voice) as port:
        events = await ask(port, *stream, events=3)

    assert [event["type"] for event in events] == ["audio-start", "error", "synthesize-stopped"]
    assert events[1]["code"] == "provider_down"


@pytest.mark.parametrize(
    "frames", [b"no json\n", b'{"type":1}\n', b"x" * (1 << 17), b'{"type":"a","data_length":-1}\n']
)
async def test_what_is_no_event_ends_the_connection_or_is_an_error(frames):
    with capture_logs() as logs:
        async with listening() as port:
            events = await ask(port, frames, line("describe"), events=2)
            alive = await ask(port, line("describe"), events=1)

    assert [event["type"] for event in events] in ([], ["error"])
    assert [log for log in logs if log["log_level"] == "error"] == []
    assert alive[0]["type"] == "info"


@proves("wyoming", BY_HAND, "error of a full server")
async def test_full_server_and_one_that_needs_a_key_say_so():
    audio = {"rate": 16000, "width": 2, "channels": 1}
    async with listening(max_sessions=0) as port:
        full = await ask(port, line("audio-start", **audio), line("audio-stop"), events=2)
    async with listening(tenants=lambda: (Tenant("acme", (fingerprint("k"),)),)) as port:
        closed = await ask(port, line("describe"), events=2)

    assert (full[1]["type"], full[1]["code"]) == ("error", "no_capacity")
    assert [(event["type"], event["code"]) for event in closed] == [("error", "unauthorized")]


@proves("wyoming", BY_HAND, "clients without a key on a server that asks for one")
async def test_clients_are_of_the_tenant_that_the_setting_names_without_a_key():
    """Its limits hold."""
    audio = {"rate": 16000, "width": 2, "channels": 1}
    frames = line("audio-start", **audio), line("audio-stop")
    tenants = (Tenant("home", (fingerprint("k"),)), Tenant("full", (fingerprint("l"),), max_sessions=0))
    async with listening(tenants=lambda: tenants, tenant="home") as port:
        served_events = await ask(port, line("describe"), *frames, events=4)
    async with listening(tenants=lambda: tenants, tenant="full") as port:
        refused = await ask(port, *frames, events=2)

    assert [event["type"] for event in served_events] == ["info", "transcript-start", "transcript", "transcript-stop"]
    assert (refused[1]["type"], refused[1]["code"]) == ("error", "no_capacity")


# -- Announcement --------------------------------------------------------------------------------------


@asynccontextmanager
async def browsing():
    """What zeroconf's own browser finds on the loopback interface, and the socket it asks by."""
    sends, changes = anyio.create_memory_object_stream(16)
    found = AsyncZeroconf(interfaces=["127.0.0.1"])

    def on_change(zeroconf, service_type, name, state_change):
        sends.send_nowait((name, state_change.name))

    browser = AsyncServiceBrowser(found.zeroconf, SERVICE_TYPE, handlers=[on_change])
    with sends, changes:
        yield changes, found
        await browser.async_cancel()
        await found.async_close()


async def change_of(changes, name: str) -> str:
    """The next one of this instance: others may be announced on this machine."""
    with anyio.fail_after(15):
        while True:
            each, change = await changes.receive()
            if each == name:
                return change


@proves("wyoming", "zeroconf (Python) 0.154", "announcement, and its end")
async def test_port_is_announced_while_the_server_listens():
    name = f"{instance_name(gethostname())}.{SERVICE_TYPE}"
    async with browsing() as (changes, found):
        async with listening(is_announced=True) as port:
            appeared = await change_of(changes, name)
            info = AsyncServiceInfo(SERVICE_TYPE, name)
            assert await info.async_request(found.zeroconf, 5000)
        vanished = await change_of(changes, name)

    assert (appeared, vanished) == ("Added", "Removed")
    assert (info.parsed_addresses(), info.port) == (["127.0.0.1"], port)


async def test_second_server_of_the_same_name_listens_unannounced():
    """Home Assistant would take it for the first."""
    with capture_logs() as logged:
        async with listening(is_announced=True), listening(is_announced=True) as port:
            events = await ask(port, line("describe"), events=1)

    assert [entry["event"] for entry in logged if "announced" in entry["event"]] == [
        "wyoming is announced",
        "wyoming is not announced",
    ]
    assert events[0]["type"] == "info"


async def test_server_that_would_refuse_its_clients_is_not_announced():
    tenants = (Tenant("home", (fingerprint("k"),)),)
    with capture_logs() as logged:
        async with (
            listening(tenants=lambda: tenants, is_announced=True),
            listening(tenants=lambda: tenants, tenant="home", is_announced=True),
        ):
            pass

    told = [(entry["event"], entry.get("reason")) for entry in logged if "announced" in entry["event"]]
    assert told == [("wyoming is not announced", NO_KEY), ("wyoming is announced", None)]


@pytest.mark.parametrize(
    ("host_name", "name"),
    [("box", "parley-box"), ("Küche.local", "parley-k-che-local"), ("", "parley"), ("x" * 99, None)],
)
def test_instance_name_is_one_label_and_always_the_same(host_name, name):
    made = instance_name(host_name)

    assert made == (name or made)
    assert made == instance_name(host_name)
    assert len(made) <= 63


@pytest.mark.parametrize(
    ("host", "is_found"), [("0.0.0.0", True), ("192.0.2.7", True), ("127.0.0.1", False), ("::1", False)]
)
def test_loopback_address_is_not_announced(host, is_found):
    assert can_be_found(host) == is_found
