"""Every state of the web page, in both themes and at three widths: accessible by axe-core's rules, nothing cut off.

With PARLEY_PICTURES each is also kept as a picture in the folder of that name; `docs/images/page` has them.
"""

from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest

from tests.accessibility import axe_script, violations
from tests.browser import Browser, open_browser, write_microphone
from tests.emulators.page_server import PageServer, open_page_server
from tests.page_states import STATES
from tests.pictures import keep_picture

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

SIZES = {"desk": (1280, 800), "phone": (390, 844), "narrow": (320, 568)}
TIMEOUT_S = 120
REDUCED: Any = "reduce"
"""Motion, so that nothing is looked at while it fades."""


@pytest.fixture(scope="module")
def axe() -> str:
    return axe_script()


@pytest.fixture(scope="module")
async def browser(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Browser]:
    async with open_browser(write_microphone(tmp_path_factory.mktemp("microphone") / "speech.wav")) as opened:
        yield opened


async def test_the_page_is_within_the_window_from_right_to_left_and_in_forced_colours(browser: Browser) -> None:
    """As in Arabic, and with the system's own few colours: nothing scrolls sideways, and the button has an edge."""
    context = await browser.new_context(
        permissions=["microphone"], forced_colors="active", viewport={"width": 390, "height": 844}
    )
    page = await context.new_page()
    async with open_page_server() as server:
        await page.goto(server.url)
        await page.evaluate("document.documentElement.dir = 'rtl'")
        with anyio.fail_after(TIMEOUT_S):
            await STATES["conversation"](page, server)
            sideways = await page.evaluate("document.documentElement.scrollWidth - innerWidth")
            border = await page.locator("#talk").evaluate("e => getComputedStyle(e).borderTopWidth")
            reply = await page.locator(".reply").first.evaluate("e => getComputedStyle(e).borderRightWidth")
        await context.close()

    assert (sideways, border, reply) == (0, "1px", "2px")


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
                found[name] = await violations(page, axe)
        await context.close()

    assert {name: each for name, each in found.items() if each} == {}
