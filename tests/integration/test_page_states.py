"""Every state of the web page, in both themes and at three widths: accessible by axe-core's rules, nothing cut off.

With PARLEY_PICTURES each is also kept as a picture in the folder of that name; `docs/images/page` has them.
"""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from tests.browser import Browser, Page, open_browser, write_microphone
from tests.client_environments import node_client
from tests.emulators.page_server import PageServer, open_page_server
from tests.page_states import STATES
from tests.pictures import keep_picture

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

SIZES = {"desk": (1280, 800), "phone": (390, 844), "narrow": (320, 568)}
TIMEOUT_S = 120
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
REDUCED: Any = "reduce"
"""Motion, so that nothing is looked at while it fades."""


@pytest.fixture(scope="module")
def axe() -> str:
    """The script of axe-core, which looks for violations of the accessibility guidelines."""
    environment = node_client("axe", "axe-core@4.10.3")
    return (Path(environment.environment["CLIENT_MODULES"]) / "axe-core" / "axe.min.js").read_text()


@pytest.fixture(scope="module")
async def browser(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Browser]:
    async with open_browser(write_microphone(tmp_path_factory.mktemp("microphone") / "speech.wav")) as opened:
        yield opened


async def violations(page: Page, axe: str) -> list[str]:
    """What axe-core finds, with the elements; the console's script is not subject to the page's policy."""
    await page.evaluate(f"window.axe || (() => {{ {axe} }})()")
    found = await page.evaluate("(tags) => axe.run(document, {runOnly: tags})", TAGS)
    return [
        f"{rule['id']}: {node['html'][:160]} {node.get('failureSummary', '')[:300]}"
        for rule in found["violations"]
        for node in rule["nodes"]
    ]


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
async def test_every_state_is_accessible_and_within_the_window(
    browser: Browser, axe: str, theme: Any, size: str
) -> None:
    """No violation by axe-core, and no scrolling sideways."""
    width, height = SIZES[size]
    context = await browser.new_context(
        permissions=["microphone"],
        color_scheme=theme,
        reduced_motion=REDUCED,
        viewport={"width": width, "height": height},
    )
    page = await context.new_page()
    server: PageServer
    found: dict[str, list[str]] = {}
    async with open_page_server() as server:
        await page.goto(server.url)
        with anyio.fail_after(TIMEOUT_S):
            for name, reach in STATES.items():
                await reach(page, server)
                await keep_picture(page, f"{name}-{size}-{theme}", scale=0.5)
                sideways = await page.evaluate("document.documentElement.scrollWidth - innerWidth")
                found[name] = await violations(page, axe) + (["scrolls sideways"] if sideways > 0 else [])
        await context.close()

    assert {name: each for name, each in found.items() if each} == {}
