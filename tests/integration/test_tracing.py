"""Traces: one per turn, across servers, of routes and requests, never of words; and where they are sent."""

import gzip
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import aclosing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import anyio
import httpx
import httpx2
import pytest
from anyio import to_thread
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from app.domain.audio import AudioChunk
from app.domain.errors import ProviderDown
from app.domain.residency import Residency
from app.domain.tenant import Tenant
from app.runtime.routing.session_finals import SessionFinals
from app.runtime.tracing import tracer
from providers.openai.client import open_client
from tests.eventually import until
from tests.fakes import SILENCE, SPEECH
from tests.routes import CHUNK, JETSON, LOCAL, RouteEngine, scripted_routes
from tests.serving import scripted_service, served
from tests.spans import recorded_spans
from tests.streaming_client import open_session

pytestmark = pytest.mark.anyio
TURN = SPEECH * 20 + SILENCE * 30


@pytest.fixture
def spans():
    with recorded_spans() as recorded:
        yield recorded


def turn_is_over(spans):
    async def check() -> bool:
        return bool(spans.named("turn"))

    return check


async def test_a_turn_is_one_trace_of_what_waited_for_what(spans):
    async with served(scripted_service()) as address, open_session(f"ws://{address}/ws/transcribe") as talk:
        await talk.send_audio(TURN, pace=0)
        assert await talk.wait_until(lambda t: t.messages("server_response"), timeout_s=5)
        await until(turn_is_over(spans))

    turn = spans.one("turn")
    children = [span for span in spans.all() if span.parent and span.parent.span_id == turn.context.span_id]
    assert turn.parent is None
    assert {span.context.trace_id for span in children} == {turn.context.trace_id}
    assert {"speech", "draft", "final", "endpoint_wait", "reply"} <= {span.name for span in children}
    reply = spans.one("reply")
    assert {span.parent.span_id for span in (spans.one("first_token"), spans.one("first_sound"))} == {
        reply.context.span_id
    }
    wait = spans.one("endpoint_wait")
    assert wait.start_time < wait.end_time <= turn.end_time
    final = spans.one("final")
    assert (final.attributes["parley.route"], final.attributes["parley.outcome"]) == ("local", "answered")
    assert {"parley.session", "parley.turn", "parley.finals", "parley.ttfs_ms", "parley.voice_to_voice_ms"} <= set(
        turn.attributes
    )


async def test_no_span_has_words(spans):
    async with served(scripted_service()) as address, open_session(f"ws://{address}/ws/transcribe") as talk:
        await talk.send_audio(TURN, pace=0)
        assert await talk.wait_until(lambda t: t.messages("server_response"), timeout_s=5)
        await until(turn_is_over(spans))

    written = " ".join(span.to_json() for span in spans.all())
    assert spans.all()
    assert "hello" not in written
    assert "You said it" not in written


async def test_each_route_that_is_asked_is_a_span_of_the_final(spans):
    """The first route fails, and the next one answers."""
    scripted = scripted_routes(JETSON, LOCAL, jetson=RouteEngine(None, error=ProviderDown("jetson", "is away")))
    request = SessionFinals(scripted.routes, "s", Tenant("t")).open(1, "en", Residency.CLOUD_OK)
    request.confirm_endpoint()

    async def audio():
        yield AudioChunk(CHUNK, 0)

    async def finalize() -> None:
        with tracer.start_as_current_span("final"):
            async with aclosing(request.transcribe(audio(), language="en")) as hypotheses:
                assert [each async for each in hypotheses]

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(finalize)
        await scripted.advance(2)

    final, routes = spans.one("final"), spans.named("route")
    assert {span.parent.span_id for span in routes} == {final.context.span_id}
    assert {span.attributes["parley.route"]: span.attributes["parley.outcome"] for span in routes} == {
        "jetson": "failed",
        "local": "answered",
    }


async def test_requests_to_other_servers_carry_the_trace(spans):
    """W3C trace context: the spans of a worker belong to the turn that asked it."""
    seen = []

    class Server(BaseHTTPRequestHandler):
        def do_GET(self):
            seen.append(self.headers.get("traceparent"))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            pass

    with serving(Server) as url:
        async with open_client("openai", url, "sk", connect_timeout_s=5) as client:
            with tracer.start_as_current_span("final") as span:
                await client.get("/models", cast_to=httpx2.Response)

    context = span.get_span_context()
    assert [header.rpartition("-")[0] for header in seen] == [f"00-{context.trace_id:032x}-{context.span_id:016x}"]


async def test_a_request_is_a_span_of_its_route_and_has_nothing_of_its_address(spans):
    headers = {"traceparent": f"00-{'a' * 32}-{'b' * 16}-01"}
    async with served(scripted_service()) as address, httpx.AsyncClient(base_url=f"http://{address}") as http:
        await http.get("/recordings/0123456789abcdef0123456789abcdef/manifest?text=secret", headers=headers)
        await http.get("/health/live")

    span = spans.one("GET /recordings/{session}/manifest")
    assert (span.attributes["http.response.status_code"], span.status.is_ok) == (400, True)
    assert f"{span.context.trace_id:x}" == "a" * 32
    written = " ".join(each.to_json() for each in spans.all())
    assert "secret" not in written
    assert "0123456789abcdef" not in written
    assert "health" not in written


# -- export ----------------------------------------------------------------------------------

EXPORT = """
import sys
from app.assembly.otlp import export_spans
stop = export_spans(sys.argv[1])
from app.runtime.tracing import tracer
with tracer.start_as_current_span("turn"):
    pass
stop()
"""
"""A process of its own, because one has one provider."""


async def test_spans_are_sent_to_the_collector_with_the_service_that_made_them():
    received = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self):
            received.append((self.path, gzip_or_plain(self.rfile.read(int(self.headers["content-length"])))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            pass

    with serving(Collector) as url:
        await to_thread.run_sync(export, url)

    ((path, body),) = received
    (resource,) = ExportTraceServiceRequest.FromString(body).resource_spans
    names = {pair.key: pair.value.string_value for pair in resource.resource.attributes}
    assert path == "/v1/traces"
    assert names["service.name"] == "parley"
    assert [span.name for scope in resource.scope_spans for span in scope.spans] == ["turn"]


async def test_a_collector_that_swallows_requests_delays_the_stop_by_seconds_at_most():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        began = time.monotonic()
        await to_thread.run_sync(export, f"http://127.0.0.1:{silent.getsockname()[1]}")

    assert time.monotonic() - began < 30


def gzip_or_plain(body: bytes) -> bytes:
    return gzip.decompress(body) if body.startswith(b"\x1f\x8b") else body


@contextmanager
def serving(handler) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def export(url: str) -> None:
    """A process that makes one span, and sends it there."""
    subprocess.run([sys.executable, "-c", EXPORT, url], check=True, timeout=60, capture_output=True)
