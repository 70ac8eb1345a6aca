"""A page on another origin that imports the modules of Parley's page, as docs/clients.md has it, in a real browser."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from pathlib import Path

import httpx
import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from app.domain.tenant import Tenant, fingerprint
from app.runtime.authentication import AnyOf, TenantKeys
from app.runtime.session_tokens import SessionTokens
from tests.browser import Browser, expect, open_browser, write_microphone
from tests.serving import scripted_service, served
from tests.source import ROOT

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

KEY = "acme-key"
TIMEOUT_MS = 15_000


@pytest.fixture(scope="module")
async def browser(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Browser]:
    microphone = write_microphone(tmp_path_factory.mktemp("microphone") / "speech.wav")
    async with open_browser(microphone) as opened:
        yield opened


class ForeignSite:
    """Another server, whose only page is this."""

    page = ""
    origin = ""

    async def respond(self, _connection: ServerConnection, _request: Request) -> Response:
        return Response(
            HTTPStatus.OK, "OK", Headers({"Content-Type": "text/html; charset=utf-8"}), self.page.encode("utf-8")
        )


@asynccontextmanager
async def foreign_site() -> AsyncIterator[ForeignSite]:
    site = ForeignSite()

    async def no_socket(socket: ServerConnection) -> None:
        await socket.close()

    async with serve(no_socket, "127.0.0.1", 0, process_request=site.respond) as server:
        site.origin = f"http://localhost:{server.sockets[0].getsockname()[1]}"
        yield site


def documented_page(address: str, token: str) -> str:
    """The example of the documentation, for this server and this token."""
    [page] = re.findall(r"```html\n(.*?)```", Path(ROOT / "docs/clients.md").read_text("utf-8"), re.DOTALL)
    assert '"TOKEN"' in page
    return page.replace("localhost:8000", address).replace("TOKEN", token)


def guarded_service(*origins: str):
    keys = TenantKeys(lambda: (Tenant("acme", (fingerprint(KEY),)),))
    tokens = SessionTokens(lambda: {"one": b"s" * 64}, [keys])
    return scripted_service(
        authenticator=AnyOf([keys, tokens]), session_tokens=tokens, allowed_origins=origins, resume_s=20.0
    )


async def session_token(address: str) -> str:
    """As a page's own server asks for it."""
    async with httpx.AsyncClient(base_url=f"http://{address}", headers={"authorization": f"Bearer {KEY}"}) as http:
        answer = await http.post("/auth/session-tokens", json={"scopes": ["speak"], "ttl_s": 600})
    return answer.json()["token"]


async def test_page_of_another_origin_speaks_and_is_answered(browser: Browser) -> None:
    """It imports the modules, is allowed by its origin, and has a session token in place of a key."""
    async with foreign_site() as site, served(guarded_service(site.origin)) as address:
        site.page = documented_page(address, await session_token(address))
        context = await browser.new_context(permissions=["microphone"])
        page = await context.new_page()
        problems: list[str] = []
        page.on("console", lambda line: problems.append(line.text) if line.type in {"error", "warning"} else None)
        page.on("pageerror", lambda error: problems.append(str(error)))
        await page.goto(site.origin)
        await page.get_by_role("button", name="Talk").click()
        await expect(page).to_have_title("Talk: ready", timeout=TIMEOUT_MS)
        await expect(page.locator("#words")).not_to_be_empty(timeout=TIMEOUT_MS)
        await page.get_by_role("button", name="Stop").click()
        await expect(page.locator("#words")).to_have_text("hello", timeout=TIMEOUT_MS)
        await expect(page.locator("#reply")).to_have_text("You said it. Well done.", timeout=TIMEOUT_MS)
        await context.close()

    assert problems == []


async def test_page_of_an_origin_that_is_not_allowed_gets_neither_modules_nor_a_socket(browser: Browser) -> None:
    """The browser itself keeps the modules from it, and the server says why it gets no session."""
    async with foreign_site() as site, served(guarded_service("https://app.example.org")) as address:
        site.page = documented_page(address, await session_token(address))
        context = await browser.new_context(permissions=["microphone"])
        page = await context.new_page()
        problems: list[str] = []
        page.on("console", lambda line: problems.append(line.text) if line.type == "error" else None)
        await page.goto(site.origin)
        socket_says = await page.evaluate(
            """(address) => new Promise((resolve) => {
              new WebSocket(address).onmessage = ({ data }) => resolve(JSON.parse(data).code);
            })""",
            f"ws://{address}/ws/transcribe",
        )
        await context.close()

    assert socket_says == "origin_refused"
    assert any("CORS" in problem for problem in problems)
