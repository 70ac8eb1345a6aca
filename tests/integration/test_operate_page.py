"""The operation page in a real browser: keys, session tokens, live sessions, and who may see none of it."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx
import pytest

from tests.accessibility import axe_script, violations
from tests.browser import Browser, Page, expect, open_browser, write_microphone
from tests.fakes import SILENCE, SPEECH
from tests.integration.whole_service import Site, open_site
from tests.pictures import keep_picture
from tests.streaming_client import open_session

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.timeout(300)]

SIZES = {"desk": (1280, 800), "phone": (390, 844), "narrow": (320, 568)}
TURN = SPEECH * 20 + SILENCE * 30
Open = Callable[..., Awaitable[Page]]


@pytest.fixture(scope="module")
async def browser(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Browser]:
    async with open_browser(write_microphone(tmp_path_factory.mktemp("microphone") / "speech.wav")) as opened:
        yield opened


@pytest.fixture(scope="module")
def axe() -> str:
    return axe_script()


@pytest.fixture
async def site(tmp_path) -> AsyncIterator[Site]:
    async with open_site(tmp_path) as opened:
        yield opened


@pytest.fixture
async def open_page(browser: Browser, site: Site) -> AsyncIterator[Open]:
    """Opens the page with a key; at the end, the console has no error but of requests that are refused."""
    said, contexts = [], []

    async def open_at(key: str | None, **options: Any) -> Page:
        contexts.append(await browser.new_context(**{"locale": "en-GB", **options}))
        page = await contexts[-1].new_page()
        page.on("console", lambda line: said.append(line.text) if line.type == "error" else None)
        page.on("pageerror", lambda error: said.append(str(error)))
        await page.goto(f"{site.http.base_url}/operate.html".replace("//operate", "/operate"))
        if key is not None:
            await page.locator(".key-question input").fill(key)
            await page.keyboard.press("Enter")
        return page

    yield open_at
    for context in contexts:
        await context.close()
    assert [line for line in said if "Failed to load resource" not in line] == []


async def status_of(site: Site, path: str, key: str) -> int:
    async with httpx.AsyncClient(base_url=site.http.base_url, headers={"authorization": f"Bearer {key}"}) as http:
        return (await http.get(path)).status_code


async def test_a_key_is_created_shown_once_and_revoked(open_page: Open, site: Site) -> None:
    """The secret is that of a key that works; after the revocation it does not."""
    page = await open_page(site.key)
    await expect(page.locator("#keys tbody tr")).to_have_count(1)

    await page.get_by_label("Name", exact=True).first.fill("kiosk")
    await page.locator("#key-tenant").fill("acme")
    await page.get_by_role("checkbox", name="recordings:read").first.check()
    await page.get_by_role("button", name="Create key").click()
    secret = await page.locator("input.secret").input_value()
    assert await status_of(site, "/recordings", secret) == 200
    await page.get_by_role("button", name="Close").click()
    await expect(page.locator("#keys tbody tr", has_text="kiosk")).to_contain_text("recordings:read, speak")
    assert secret not in await page.content()

    await page.get_by_role("button", name="Revoke the key kiosk").click()
    await page.get_by_role("dialog").get_by_role("button", name="Revoke").click()
    await expect(page.locator("#status")).to_have_text("The key kiosk is revoked.")
    await expect(page.locator("#keys tbody tr", has_text="kiosk")).to_have_count(0)
    assert await status_of(site, "/recordings", secret) == 401


async def test_a_session_token_opens_a_session(open_page: Open, site: Site) -> None:
    """For another page: it speaks, and is not for what it has no scope for."""
    page = await open_page(site.key)

    await page.locator("#token-name").fill("door phone")
    await page.get_by_role("button", name="Create token").click()
    token = await page.locator("input.secret").input_value()

    assert await status_of(site, "/recordings", token) == 403
    async with open_session(site.socket, key=token) as talk:
        assert await talk.wait_until(lambda t: t.messages("session"), timeout_s=10)


async def test_a_live_session_is_shown_and_ended(open_page: Open, site: Site) -> None:
    """Its client is closed with the reason; the list is empty then."""
    page = await open_page(site.key)
    await expect(page.locator("#sessions")).to_contain_text("Nobody is talking")
    async with open_session(site.socket, key=site.key) as talk:
        await talk.send_audio(TURN)
        assert await talk.wait_until(lambda t: t.messages("fullSentence"), timeout_s=10)
        await expect(page.locator("#sessions tbody tr")).to_have_count(1, timeout=15_000)
        await expect(page.locator("#sessions tbody tr")).to_contain_text("root")

        await page.get_by_role("button", name="End the session of root").click()
        await page.get_by_role("dialog").get_by_role("button", name="End").click()

        await expect(page.locator("#status")).to_have_text("The session has ended.")
        assert await talk.wait_until(lambda t: t.closed, timeout_s=10)
        assert talk.messages("error")[-1].message["code"] == "session_ended_by_admin"
    await expect(page.locator("#sessions")).to_contain_text("Nobody is talking", timeout=15_000)
    await expect(page.locator("#errors")).to_contain_text("session_ended_by_admin", timeout=15_000)


async def test_whoever_is_no_administrator_sees_why(open_page: Open, site: Site) -> None:
    """A wrong key, a key without the scope, then an administrator's; and the proxy that keeps the routes private."""
    made = await site.http.post("/admin/keys", json={"name": "speaker", "scopes": ["speak"], "tenant": "acme"})
    page = await open_page("parley_wrong")
    await expect(page.locator(".problem")).to_have_text("This is not a key of this server.")

    await page.locator(".key-question input").fill(made.json()["key"])
    await page.keyboard.press("Enter")
    await expect(page.locator("[data-state=forbidden]")).to_contain_text("Only administrators operate the server.")
    await expect(page.locator("#panels")).to_be_hidden()
    await page.locator(".key-question input").fill(site.key)
    await page.keyboard.press("Enter")
    await expect(page.locator("#figures")).to_contain_text("Ready")

    await page.route("**/admin/sessions", lambda route: route.fulfill(status=404, body=""))
    await expect(page.locator("[data-state=private]")).to_contain_text("private listener", timeout=15_000)


async def test_a_server_that_is_gone_is_said_and_asked_again(open_page: Open, site: Site) -> None:
    """While nobody answers there is a button; then the page goes on."""
    page = await open_page(site.key)
    await expect(page.locator("#figures")).to_contain_text("Ready")

    await page.route("**/admin/sessions", lambda route: route.abort())
    await expect(page.locator("[data-state=offline]")).to_be_visible(timeout=15_000)
    await page.unroute("**/admin/sessions")
    await page.get_by_role("button", name="Try again").click()

    await expect(page.locator("#figures")).to_be_visible()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
async def test_operation_is_accessible_and_within_the_window(
    open_page: Open, site: Site, axe: str, theme: Any, size: str
) -> None:
    """No violation by axe-core in either theme, at any width; in German as well."""
    width, height = SIZES[size]
    page = await open_page(
        None, viewport={"width": width, "height": height}, color_scheme=theme, reduced_motion="reduce"
    )
    found: dict[str, list[str]] = {}

    async def look(name: str) -> None:
        await keep_picture(page, f"operate-{name}-{size}-{theme}", scale=0.5)
        found[name] = await violations(page, axe)

    await page.locator(".key-question").wait_for()
    await look("key")
    await site.http.post("/admin/keys", json={"name": "kiosk", "scopes": ["speak", "chat"], "tenant": "acme"})
    async with open_session(site.socket, key=site.key) as talk:
        await talk.send_audio(TURN)
        assert await talk.wait_until(lambda t: t.messages("fullSentence"), timeout_s=10)
        await page.locator(".key-question input").fill(site.key)
        await page.keyboard.press("Enter")
        await expect(page.locator("#sessions tbody tr")).to_have_count(1)
        await look("panels")
        await page.locator("#key-name").scroll_into_view_if_needed()
        await look("keys")
        await page.locator("#key-name").fill("door phone")
        await page.get_by_role("button", name="Create key").click()
        await page.locator("input.secret").wait_for()
        await look("secret")
        await page.evaluate("localStorage.setItem('parley-settings', JSON.stringify({interface: 'de'}))")
        await page.reload()
        await page.locator(".key-question input").fill(site.key)
        await page.keyboard.press("Enter")
        await expect(page.locator("#sessions tbody tr")).to_have_count(1)
        await look("german")

    assert {name: each for name, each in found.items() if each} == {}
