"""What a foreign web page can do through a visitor's browser, and which headers protect our own page."""

import json
import os
import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from app.domain.tenant import Tenant, fingerprint
from app.runtime.service import Service
from app.web.page_files import FOLDER, page_paths
from tests.serving import scripted_service, served

pytestmark = pytest.mark.anyio

APP = "https://app.example"
ACME = Tenant("acme", (fingerprint("parley_acme"),))
CLOSED_ROUTES = [
    ("GET", "/recordings"),
    ("GET", "/recordings/x/manifest"),
    ("DELETE", "/recordings/x"),
    ("POST", "/recordings"),
    ("POST", "/recordings/uploads"),
    ("PATCH", "/recordings/uploads/x"),
    ("GET", "/metrics"),
    ("GET", "/policy/decisions"),
    ("GET", "/admin/sessions"),
    ("POST", "/admin/drain"),
]


@pytest.fixture
async def address():
    async with served(scripted_service()) as served_at:
        yield served_at


@pytest.fixture
async def http(address):
    async with httpx.AsyncClient(base_url=f"http://{address}") as client:
        yield client


@asynccontextmanager
async def asking(service: Service) -> AsyncGenerator[httpx.AsyncClient, None]:
    """A client of this service."""
    async with served(service) as served_at, httpx.AsyncClient(base_url=f"http://{served_at}") as client:
        yield client


@pytest.mark.parametrize(("method", "path"), [*CLOSED_ROUTES, ("GET", "/health"), ("GET", "/"), ("OPTIONS", "/")])
async def test_dns_rebinding_is_refused_on_every_route(http, method, path):
    """The page of a name that was rebound to this address has the same origin as we, but not our name."""
    rebound = {"Host": "evil.example:8000", "Origin": "http://evil.example:8000"}

    response = await http.request(method, path, headers=rebound)

    assert (response.status_code, response.json()["code"]) == (400, "host_refused")


@pytest.mark.parametrize("path", ["/ws/transcribe", "/ws/raw"])
async def test_dns_rebinding_is_refused_on_sockets(address, path):
    host, port = address.split(":")
    rebound = f"evil.example:{port}"

    async with connect(f"ws://{rebound}{path}", host=host, port=int(port), origin=f"http://{rebound}") as socket:
        error = json.loads(await socket.recv())
        with pytest.raises(ConnectionClosed) as closed:
            await socket.recv()

    assert (error["code"], error["fatal"], closed.value.rcvd.code) == ("host_refused", True, 1008)


async def test_a_balancer_may_ask_for_health_by_address(http):
    assert (await http.get("/health", headers={"Host": "10.0.3.7:8000"})).status_code == 200


async def test_a_server_has_the_names_of_its_setting():
    async with asking(scripted_service(server_names=("voice.example.org",))) as named:
        ours = await named.get("/recordings", headers={"Host": "voice.example.org"})
        other = await named.get("/recordings", headers={"Host": "evil.example"})

    assert (ours.status_code, other.status_code) == (200, 400)


@pytest.mark.parametrize(("method", "path"), CLOSED_ROUTES)
async def test_a_foreign_page_may_not_use_any_route_that_is_not_public(http, method, path):
    foreign = await http.request(method, path, headers={"Origin": "https://evil.example"})

    assert (foreign.status_code, foreign.json()["code"]) == (403, "origin_refused")
    assert "access-control-allow-origin" not in foreign.headers


async def test_an_http_page_may_not_use_the_https_host(address, http):
    """A proxy that ends TLS says so; a page that was not loaded over TLS could be anybody's in the network."""
    behind_tls = {"X-Forwarded-Proto": "https", "Host": "127.0.0.1"}

    http_page = await http.get("/profiles", headers={**behind_tls, "Origin": "http://127.0.0.1"})
    https_page = await http.get("/profiles", headers={**behind_tls, "Origin": "https://127.0.0.1"})
    without_tls = await http.get("/profiles", headers={"Origin": f"https://{address}"})

    assert [each.status_code for each in (http_page, https_page, without_tls)] == [403, 200, 403]


@pytest.mark.parametrize(("method", "path"), [*CLOSED_ROUTES, ("GET", "/health")])
async def test_cors_preflight_is_answered_before_authentication(method, path):
    asks = {"Origin": APP, "Access-Control-Request-Method": method, "Access-Control-Request-Headers": "authorization"}
    async with asking(scripted_service(allowed_origins=(APP,), tenants=lambda: (ACME,))) as client:
        response = await client.options(path, headers=asks)
        foreign = await client.options(path, headers={**asks, "Origin": "https://evil.example"})

    assert response.status_code == 204
    assert response.headers["access-control-allow-origin"] == APP
    assert method in response.headers["access-control-allow-methods"]
    assert "authorization" in response.headers["access-control-allow-headers"]
    assert "access-control-allow-credentials" not in response.headers
    assert foreign.status_code == 403
    assert "access-control-allow-origin" not in foreign.headers


async def test_cors_lets_an_allowed_page_read_answers_and_errors():
    page = {"Origin": APP}
    async with asking(scripted_service(allowed_origins=(APP,), tenants=lambda: (ACME,))) as client:
        listed = await client.get("/recordings", headers={**page, "Authorization": "Bearer parley_acme"})
        refused = await client.get("/recordings", headers=page)
        missing = await client.get("/nothing-here", headers=page)

    assert [each.status_code for each in (listed, refused, missing)] == [200, 401, 404]
    for response in (listed, refused, missing):
        assert response.headers["access-control-allow-origin"] == APP
        assert "origin" in response.headers["vary"].lower()
        assert "upload-offset" in response.headers["access-control-expose-headers"]


@pytest.mark.parametrize(
    "path", ["/", "/main.js", "/health", "/metrics", "/recordings", "/recordings/x/manifest", "/nothing", "/policy/x"]
)
async def test_every_response_has_the_security_headers(http, path):
    response = await http.get(path)

    policy = response.headers["content-security-policy"]
    assert {"default-src 'self'", "frame-ancestors 'none'", "object-src 'none'"} <= set(policy.split("; "))
    assert "unsafe" not in policy
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["referrer-policy"] == "no-referrer"
    assert response.headers["permissions-policy"].startswith("microphone=(self)")
    assert response.headers["cross-origin-opener-policy"] == "same-origin"
    assert response.headers["cross-origin-resource-policy"] == "same-origin"


async def test_nothing_but_the_page_may_be_cached(http):
    paths = ["/health", "/metrics", "/recordings", "/recordings/x/audio", "/nothing"]
    answers = [await http.get(path) for path in paths]
    page = [await http.get(path) for path in ("/", "/main.js")]

    assert {answer.headers["cache-control"] for answer in answers} == {"no-store"}
    assert all("no-store" not in response.headers.get("cache-control", "") for response in page)


async def test_the_page_is_served_without_its_tests_and_package_file(http):
    hidden = ["/package.json", "/tests/pcm.test.js", "/PROTOCOL.md", "/tests", "/.env", "/..%2fREADME.md", "/%00"]
    statuses = {path: (await http.get(path)).status_code for path in hidden}

    assert set(statuses.values()) == {404}, statuses
    assert {(await http.get(path)).status_code for path in page_paths()} == {200}


def test_the_files_that_are_served_are_those_that_the_pages_use():
    pages = [Path(each) for each in ("index.html", "schema.html", "recordings.html", "operate.html")]

    assert page_paths() == {"/", *(f"/{page}" for page in pages)}.union(*map(_used_by, pages))


def _used_by(file: Path) -> set[str]:
    """The files that this one names, and those that they name."""
    text = (FOLDER / file).read_text()
    named = re.findall(r"""(?:src=|href=|from |import\(|new URL\()"([\w./-]+\.(?:js|css|svg))\"""", text)
    used = {Path(os.path.normpath(file.parent / each)) for each in named}
    paths = {f"/{each.as_posix()}" for each in used}
    return paths.union(*(_used_by(each) for each in used if each.suffix == ".js")) if used else set()


@pytest.mark.parametrize(
    "header",
    [
        "Via",
        "Forwarded",
        "X-Forwarded-For",
        "X-Forwarded-Host",
        "X-Forwarded-Proto",
        "X-Real-IP",
        "CF-Connecting-IP",
        "True-Client-IP",
    ],
)
async def test_visitor_behind_a_proxy_on_this_machine_is_no_administrator(http, header):
    """Whichever header the proxy writes; without one it is this machine's own client."""
    forwarded = {header: "203.0.113.7"}
    own = [(await http.get(path)).status_code for path in ("/admin/sessions", "/recordings")]
    visitor = [(await http.get(path, headers=forwarded)).status_code for path in ("/admin/sessions", "/recordings")]

    assert (own, visitor) == ([200, 200], [403, 403])
