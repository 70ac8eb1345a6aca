"""The reference page in a real browser: it shows the whole document, and obeys the content security policy."""

import os
from pathlib import Path

import pytest

from tests.browser import expect, open_browser, write_microphone
from tests.serving import scripted_service, served

pytestmark = [pytest.mark.anyio, pytest.mark.slow]


@pytest.fixture(scope="module")
async def browser(tmp_path_factory):
    async with open_browser(write_microphone(tmp_path_factory.mktemp("microphone") / "speech.wav")) as opened:
        yield opened


@pytest.fixture(scope="module")
async def address():
    async with served(scripted_service()) as where:
        yield f"http://{where}"


@pytest.fixture
async def open_page(browser, address):
    """Opens a path in a context of its own; at the end, the console is empty and nothing came from elsewhere."""
    said, requested, contexts = [], [], []

    async def open_at(path: str, **options):
        contexts.append(await browser.new_context(**options))
        page = await contexts[-1].new_page()
        page.on("console", lambda line: said.append(line.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: requested.append(request.url))
        await page.goto(f"{address}{path}")
        return page

    yield open_at
    for context in contexts:
        await context.close()
    assert said == []
    assert [url for url in requested if not url.startswith(f"{address}/")] == []


async def screenshot(page, name: str) -> None:
    """Keep a picture where PARLEY_PICTURES names a folder, for people to look at."""
    if folder := os.environ.get("PARLEY_PICTURES"):
        await page.screenshot(path=Path(folder) / f"{name}.png")


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_schema_page_shows_every_operation_without_a_network(open_page, address, scheme):
    """Each has its address, its command and its responses; nothing is fetched from anywhere else."""
    page = await open_page("/schema#createRecording", color_scheme=scheme)
    document = await (await page.request.get(f"{address}/schema/openapi.json")).json()
    count = sum(len(methods) for methods in document["paths"].values())

    await expect(page.locator(".operation")).to_have_count(count)
    await expect(page.locator("#contents a")).to_have_count(count)
    created = page.locator("#createRecording")
    await expect(created).to_be_in_viewport()
    await expect(created.locator(".address")).to_have_text("POST/recordings")
    await expect(created.locator("pre").first).to_contain_text('curl -H "Authorization: Bearer $PARLEY_KEY"')
    await expect(created.locator(".response").first).to_contain_text("Where is the light switch?")
    await screenshot(page, f"schema-{scheme}")


async def test_schema_page_unfolds_errors_and_follows_types(open_page):
    """Errors are folded until they are wanted; a type's name leads to its fields."""
    page = await open_page("/schema")
    missing = page.locator("#getManifest .response", has_text="404")
    example = missing.locator("pre")

    await expect(example).to_be_hidden()
    await missing.locator("summary").click()
    await expect(example).to_contain_text('"code": "not_found"')
    await page.locator("#getManifest").get_by_role("link", name="Manifest", exact=True).click()
    await expect(page.locator("#type-Manifest")).to_be_in_viewport()
    await expect(page.locator("#type-Manifest tr").first).to_contain_text("session")


async def test_schema_page_fits_a_phone(open_page):
    """Nothing is wider than the screen."""
    page = await open_page("/schema", viewport={"width": 390, "height": 844})
    await expect(page.locator("#getHealth")).to_be_attached()

    assert await page.evaluate("document.documentElement.scrollWidth") == 390
    await screenshot(page, "schema-phone")


async def test_schema_page_says_that_the_document_cannot_be_had(browser, address):
    """And what to do."""
    context = await browser.new_context()
    page = await context.new_page()
    await page.route("**/openapi.json", lambda route: route.fulfill(status=503, body="{}"))
    await page.goto(f"{address}/schema")

    await expect(page.get_by_role("alert")).to_have_text(
        "The document cannot be shown: the server answered 503. Reload the page to try again."
    )
    await context.close()
