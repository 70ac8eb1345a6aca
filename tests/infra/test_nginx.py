"""NGINX, as it is shipped, in front of the real server."""

import ssl
import subprocess
from contextlib import asynccontextmanager
from http.client import HTTPSConnection
from urllib.error import HTTPError
from urllib.request import HTTPRedirectHandler, Request, build_opener, urlopen

import anyio
import msgspec
import pytest
from anyio import to_thread
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from app.web.listener import GracefulServer, bound_socket
from app.web.page_files import page_paths
from app.web.parley.packets import MAX_PCM_BYTES, pack
from app.web.public_routes import operator_paths
from app.web.server import create_app
from tests.eventually import until
from tests.fakes import SILENCE, SPEECH
from tests.infra.dns import resolver
from tests.infra.nginx import fronted, nginx_command, write_configuration
from tests.infra.test_public_routes import example, spellings
from tests.serving import scripted_service

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def behind_nginx(folder, *, ping_seconds=20.0, **options):
    """NGINX, and the server behind it."""
    with bound_socket("127.0.0.1", 0) as listening:
        app = create_app(scripted_service())
        listener = GracefulServer(app, turn_seconds=0, drain_seconds=5, ping_seconds=ping_seconds)
        listener.app = app
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(listener.serve, [listening])
            await listener.listening.wait()
            try:
                upstream = f"127.0.0.1:{listening.getsockname()[1]}"
                async with fronted(folder, upstream, **options) as front:
                    yield front, listener
            finally:
                listener.should_exit = True


def trusting(front) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=front.certificate)


def speaking(front, path="/ws/transcribe", **options):
    return connect(f"wss://localhost:{front.https_port}{path}", ssl=trusting(front), proxy=None, **options)


async def test_nginx_passes_a_conversation_over_tls(tmp_path):
    """The upgrade goes through, and so does every word, both ways."""
    async with behind_nginx(tmp_path) as (front, _), speaking(front, "/ws/raw") as socket:
        await socket.send(SPEECH * 20 + SILENCE * 30)
        with anyio.fail_after(10):
            kinds = []
            while "server_response" not in kinds:
                message = await socket.recv()
                if isinstance(message, str):
                    kinds.append(msgspec.json.decode(message)["type"])

    assert kinds[0] == "session"
    assert kinds.index("fullSentence") < kinds.index("server_response")


async def test_nginx_passes_the_origin_of_its_own_page(tmp_path):
    """The gateway sees the host the browser sees, so its own page is its own page."""
    async with behind_nginx(tmp_path) as (front, _):
        own, foreign = f"https://localhost:{front.https_port}", "https://evil.example"
        async with speaking(front, origin=own) as socket:
            first = msgspec.json.decode(await socket.recv())
        async with speaking(front, origin=foreign) as socket:
            refused = msgspec.json.decode(await socket.recv())

    assert first["type"] == "session"
    assert refused["code"] == "origin_refused"


async def test_nginx_redirects_http_to_https(tmp_path):
    """Port 80 answers with the same address, encrypted."""

    class Still(HTTPRedirectHandler):
        def redirect_request(self, *_):
            return None

    async with behind_nginx(tmp_path) as (front, _):
        with pytest.raises(HTTPError) as answer:
            await to_thread.run_sync(build_opener(Still).open, f"http://localhost:{front.http_port}/health?deep=1")
        answer.value.close()

    assert answer.value.code == 301
    assert answer.value.headers["Location"] == "https://localhost/health?deep=1"


async def test_nginx_serves_health_and_page_over_tls(tmp_path):
    """Plain requests go through as well."""
    async with behind_nginx(tmp_path) as (front, _):
        base = f"https://localhost:{front.https_port}"
        get = lambda path: urlopen(base + path, timeout=5, context=trusting(front)).read()  # noqa: E731
        health = msgspec.json.decode(await to_thread.run_sync(get, "/health"))
        page = await to_thread.run_sync(get, "/")

    assert health["status"] == "ok"
    assert b"<html" in page.lower()


async def test_nginx_forwards_every_public_route_and_no_spelling_of_another(tmp_path):
    """What is not forwarded is NGINX's own 404; the private listener forwards everything."""
    async with behind_nginx(tmp_path) as (front, listener):
        operators, pages = operator_paths(listener.app), sorted(page_paths())
        public = {example(route.path) for route in listener.app.routes} - {example(path) for path in operators}
        public -= {example("/{file_path:path}")}
        hidden = sorted({each for path in operators for each in spellings(example(path)) if "\\" not in each})
        answers = await to_thread.run_sync(lambda: asked(front, front.https_port, [*sorted(public), *pages]))
        refused = await to_thread.run_sync(lambda: asked(front, front.https_port, hidden))
        private = await to_thread.run_sync(
            lambda: asked(front, front.operator_port, [example(path) for path in operators])
        )

    assert {path for path, answer in answers.items() if "nginx" in answer} == set()
    assert {path for path, answer in refused.items() if answer not in ("404 nginx", "400 nginx")} == set()
    assert {path for path, answer in private.items() if "nginx" in answer} == set()


def asked(front, port: int, paths: list[str]) -> dict[str, str]:
    """Status of each path, sent as it is, and `nginx` where NGINX itself answered."""
    found = {}
    for path in paths:
        connection = HTTPSConnection("localhost", port, context=trusting(front), timeout=5)
        connection.putrequest("GET", path, skip_host=True, skip_accept_encoding=True)
        connection.putheader("Host", f"localhost:{port}")
        connection.endheaders()
        answer = connection.getresponse()
        body = answer.read()
        found[path] = f"{answer.status} nginx" if b"<center>nginx</center>" in body else str(answer.status)
        connection.close()
    return found


async def test_nginx_refuses_a_body_that_is_too_large(tmp_path):
    """Before the gateway has any of it."""
    async with behind_nginx(tmp_path, largest_body="1k") as (front, _):
        request = Request(f"https://localhost:{front.https_port}/recordings", data=bytes(2000), method="POST")
        with pytest.raises(HTTPError) as answer:
            await to_thread.run_sync(lambda: urlopen(request, timeout=5, context=trusting(front)))
        answer.value.close()

    assert answer.value.code == 413


async def test_nginx_limits_the_requests_of_one_address(tmp_path):
    """Beyond 50 in a second, and 200 at once, the answer is 429."""
    async with behind_nginx(tmp_path) as (front, _):
        path = [f"/health?{number}" for number in range(400)]
        answers = await to_thread.run_sync(lambda: pipelined(front, path))

    assert answers[:150] == [200] * 150
    assert 429 in answers


def pipelined(front, paths: list[str]) -> list[int]:
    """Statuses of requests that follow each other on one connection."""
    connection = HTTPSConnection("localhost", front.https_port, context=trusting(front), timeout=10)
    statuses = []
    for path in paths:
        connection.request("GET", path)
        answer = connection.getresponse()
        answer.read()
        statuses.append(answer.status)
    connection.close()
    return statuses


async def answers_health(front) -> bool:
    return (await to_thread.run_sync(asked, front, front.https_port, ["/health"])) == {"/health": "200"}


async def test_nginx_finds_a_gateway_that_comes_back_with_another_address(tmp_path):
    """The name is resolved again: without a restart of NGINX."""
    async with resolver({"gateway.test": "127.0.0.1"}) as (names, address):
        with bound_socket("127.0.0.1", 0) as first, bound_socket("127.0.0.2", first.getsockname()[1]) as second:
            async with fronted(
                tmp_path, f"gateway.test:{first.getsockname()[1]}", resolver=f"{address} valid=1s ipv6=off"
            ) as front:
                answers = []
                for listening in (first, second):
                    names["gateway.test"] = listening.getsockname()[0]
                    listener = GracefulServer(create_app(scripted_service()), turn_seconds=0, drain_seconds=1)
                    async with anyio.create_task_group() as tasks:
                        tasks.start_soon(listener.serve, [listening])
                        await listener.listening.wait()
                        await until(lambda: answers_health(front))
                        answers.append(listening.getsockname()[0])
                        listener.should_exit = True

    assert answers == ["127.0.0.1", "127.0.0.2"]


async def test_nginx_passes_large_frames(tmp_path):
    """A frame above the limit reaches the gateway, which refuses it; eight hundred kilobytes are transcribed."""
    async with behind_nginx(tmp_path) as (front, _), speaking(front) as socket:
        await socket.recv()
        await socket.send(pack(b'{"sampleRate":16000}', bytes(MAX_PCM_BYTES + 2)))
        error = msgspec.json.decode(await socket.recv())
        await socket.send(pack(b'{"sampleRate":16000}', SPEECH * 400 + bytes(410_000)))
        with anyio.fail_after(20):
            while True:
                message = await socket.recv()
                if isinstance(message, str) and msgspec.json.decode(message)["type"] == "fullSentence":
                    break

    assert error["code"] == "frame_too_large"


async def test_nginx_keeps_a_silent_socket_that_is_pinged(tmp_path):
    """Silence longer than the timeout, and nothing is cut: a ping counts."""
    async with (
        behind_nginx(tmp_path, idle_timeout="1s", ping_seconds=0.3) as (front, _),
        speaking(front, ping_interval=None) as socket,
    ):
        await socket.recv()
        with anyio.move_on_after(2.5) as silent:
            await socket.recv()

    assert silent.cancelled_caught


async def test_nginx_closes_a_socket_without_pings_at_the_idle_timeout(tmp_path):
    """Whoever has been silent for longer than the timeout is gone."""
    async with (
        behind_nginx(tmp_path, idle_timeout="1s", ping_seconds=60) as (front, _),
        speaking(front, ping_interval=None) as socket,
    ):
        await socket.recv()
        with pytest.raises(ConnectionClosed), anyio.fail_after(5):
            await socket.recv()

    assert socket.close_code == 1006


async def test_nginx_passes_the_close_code_of_a_stopping_gateway(tmp_path):
    """The client sees 1012, by which it knows to come back, and not a broken line."""
    async with behind_nginx(tmp_path) as (front, listener), speaking(front) as socket:
        await socket.recv()
        listener.should_exit = True
        with pytest.raises(ConnectionClosed), anyio.fail_after(5):
            while True:
                await socket.recv()

    assert socket.close_code == 1012


async def test_nginx_accepts_its_configuration(tmp_path):
    """`nginx -t`, without a warning."""
    command = nginx_command(tmp_path, "-t", "-q")
    await to_thread.run_sync(write_configuration, tmp_path, "127.0.0.1:8000")

    checked = await to_thread.run_sync(lambda: subprocess.run(command, capture_output=True, text=True, check=False))

    assert (checked.returncode, checked.stderr) == (0, "")
