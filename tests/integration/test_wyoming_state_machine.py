"""Random Wyoming clients against a real service: never a crash, always a legal order of server events."""

from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import asynccontextmanager
from dataclasses import dataclass

import anyio
import msgspec
import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal
from anyio.streams.buffered import BufferedByteReceiveStream
from anyio.streams.stapled import StapledObjectStream
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from app.data.conversation_log import ConversationLog
from app.data.database import open_database
from app.domain.errors import ProviderDown
from app.domain.residency import Place
from app.domain.routing.route import Route
from app.runtime.authentication import Peer
from app.runtime.conversations.chat import Chat
from app.runtime.dialog.engines import Engines
from app.wyoming.connection import WyomingConnection
from app.wyoming.frames import WyomingEvent, encoded
from tests.fakes import ScriptedDetector, ScriptedGenerator, ScriptedSynthesizer, ScriptedTranscriber, SingleRouteFinals
from tests.integration.conversation_service import scripted_engine
from tests.serving import scripted_service, served
from tests.unit.wyoming_order import WyomingOrder

GONE = ProviderDown("local", "asked to fail")
AUDIO = {"rate": 16000, "width": 2, "channels": 1}
FORMATS = st.sampled_from([AUDIO, AUDIO, {**AUDIO, "rate": 8000}, {**AUDIO, "rate": 48000}])
WRONG_FORMATS = st.sampled_from([{}, {**AUDIO, "width": 4}, {**AUDIO, "rate": "x"}, {**AUDIO, "rate": 10**9}])
TEXTS = st.sampled_from(["", "...", "Yes.", "One thing. And another", "no end in sight"])
NONSENSE = st.sampled_from([b"no json\n", b'{"type":7}\n', b"[]\n", b"\xff\n", b'{"type":"a","data_length":-1}\n'])


@dataclass
class Box:
    """A service, and the thread of its event loop."""

    portal: BlockingPortal
    service: object
    transcriber: ScriptedTranscriber
    synthesizer: ScriptedSynthesizer


class RandomHome(RuleBasedStateMachine):
    """A client that sends whatever it likes, in pieces, and reads when a rule says so."""

    def __init__(self, box: Box) -> None:
        super().__init__()
        self.box, self.pings = box, 0
        self.connect()

    def connect(self) -> None:
        self.order = WyomingOrder()
        self.outgoing, incoming = anyio.create_memory_object_stream[bytes](1000)
        outgoing, self.receiving = anyio.create_memory_object_stream[bytes](1000)
        self.incoming = BufferedByteReceiveStream(self.receiving)
        self.done: Future = self.box.portal.start_task_soon(self.serve, StapledObjectStream(outgoing, incoming))

    async def serve(self, stream: StapledObjectStream) -> None:
        peer = Peer("192.0.2.7")
        principal = await self.box.service.authenticator.authenticate(None, peer)
        async with stream:
            await WyomingConnection(self.box.service, stream, principal, peer).serve()

    def send(self, kind: str, payload: bytes = b"", *, is_valid: bool = True, cut: int = 0, **data: object) -> None:
        self.order.sent(kind, is_valid=is_valid, text=str(data.get("text", "")))
        frame = encoded(WyomingEvent(kind, data, payload))
        for piece in filter(None, (frame[:cut], frame[cut:])):
            self.box.portal.call(self.outgoing.send, piece)

    # -- the client ------------------------------------------------------------

    @rule(kind=st.sampled_from(["describe", "unknown", "audio-stop"]))
    def send_bare(self, kind: str) -> None:
        self.send(kind)

    @rule(kind=st.sampled_from(["synthesize", "synthesize-chunk", "transcript"]), text=TEXTS, cut=st.integers(0, 30))
    def send_text(self, kind: str, text: str, cut: int) -> None:
        if kind == "synthesize-chunk" and not self.order.is_streaming:
            self.box.portal.call(self.outgoing.send, encoded(WyomingEvent(kind, {"text": text})))
            return  # passed over
        self.send(kind, text=text, cut=cut)

    @rule(kind=st.sampled_from(["synthesize-start", "synthesize-stop"]), text=st.none() | TEXTS)
    def stream_text(self, kind: str, text: str | None) -> None:
        """Begin or end a text in pieces; perhaps with a piece before the end."""
        if text is not None and kind == "synthesize-stop":
            self.send_text("synthesize-chunk", text, 0)
        self.send(kind)

    @rule(language=st.sampled_from(["en", "de-DE", "xx"]))
    def choose_language(self, language: str) -> None:
        self.send("transcribe", language=language, is_valid=language != "xx")

    @rule(audio=FORMATS)
    def begin_audio(self, audio: dict) -> None:
        self.send("audio-start", **audio)

    @rule(audio=WRONG_FORMATS)
    def begin_wrong_audio(self, audio: dict) -> None:
        self.send("audio-start", is_valid=False, **audio)

    @rule(speech=st.booleans(), tenths=st.integers(1, 6), odd=st.integers(0, 1), cut=st.integers(0, 200))
    def send_audio(self, speech: bool, tenths: int, odd: int, cut: int) -> None:
        for _ in range(tenths):
            self.send("audio-chunk", (b"\1\0" if speech else b"\0\0") * 1600 + bytes(odd), cut=cut, **AUDIO)

    @rule(hears=st.booleans(), speaks=st.booleans())
    def change_engines(self, hears: bool, speaks: bool) -> None:
        """They may fail from now on, or work again."""
        self.box.transcriber.error = None if hears else GONE
        self.box.synthesizer.error = None if speaks else GONE

    @rule()
    def read(self) -> None:
        """Everything up to here is answered."""
        self.pings += 1
        self.send("ping", text=(last := f"ping {self.pings}"))
        while True:
            event = self.box.portal.call(self.next_event)
            self.order.take(event)
            if event["type"] == "pong" and event["text"] == last:
                return

    @rule(frame=NONSENSE, comes=st.integers(0, 4))
    def send_nonsense(self, frame: bytes, comes: int) -> None:
        """Seldom, because it ends the connection; then the client connects again."""
        if comes == 0:
            self.read()
            self.box.portal.call(self.outgoing.send, frame)
            assert self.box.portal.call(self.next_event)["type"] == "error"
            self.disconnect()
            self.connect()

    async def next_event(self) -> dict:
        with anyio.fail_after(20):
            head = msgspec.json.decode(await self.incoming.receive_until(b"\n", 1 << 16))
            data = await self.incoming.receive_exactly(head["data_length"]) if head.get("data_length") else b"{}"
            if head.get("payload_length"):
                await self.incoming.receive_exactly(head["payload_length"])
            return {"type": head["type"], **msgspec.json.decode(data)}

    def teardown(self) -> None:
        self.read()
        self.disconnect()
        self.change_engines(hears=True, speaks=True)

    def disconnect(self) -> None:
        """The server's side ends without an exception."""
        self.box.portal.call(self.outgoing.aclose)
        self.done.result(timeout=20)
        self.box.portal.call(self.receiving.aclose)
        self.order.finish()


@pytest.fixture
def box(tmp_path) -> Iterator[Box]:
    transcriber, synthesizer = ScriptedTranscriber(), ScriptedSynthesizer()
    engines = Engines(
        ScriptedDetector(), SingleRouteFinals(Route("local", Place.ON_PREM), transcriber), synthesizer=synthesizer
    )

    @asynccontextmanager
    async def session_engines(session, tenant):
        yield engines

    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(open_database(f"sqlite+aiosqlite:///{tmp_path}/parley.db")) as database,
    ):
        chat = Chat(ConversationLog(database), lambda *_: scripted_engine(ScriptedGenerator(("No.",))))
        service = scripted_service(session_engines=session_engines, chat=chat)
        with portal.wrap_async_context_manager(served(service)):
            yield Box(portal, service, transcriber, synthesizer)


def test_random_clients_get_a_legal_order_of_events(box):
    limits = settings(max_examples=60, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck))
    run_state_machine_as_test(lambda: RandomHome(box), settings=limits)
    assert box.service.admission.sessions == {}
