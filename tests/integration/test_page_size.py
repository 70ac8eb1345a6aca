"""How much a browser transfers before the first word."""

import re
from urllib.parse import urljoin

import httpx
import pytest

from tests.serving import scripted_service, served

pytestmark = pytest.mark.anyio


async def test_the_first_load_of_the_page_is_below_100_kilobytes():
    """The page, its styles and its modules, as they are transferred."""
    async with served(scripted_service()) as address, httpx.AsyncClient(base_url=f"http://{address}") as http:
        first = await http.get("/")
        sizes = {"/": first.num_bytes_downloaded}
        waiting = _named_in(first.text, "/")
        while waiting:
            path = waiting.pop()
            if path in sizes:
                continue
            answer = await http.get(path)
            assert answer.status_code == 200, path
            sizes[path] = answer.num_bytes_downloaded
            waiting |= _named_in(answer.text, path) if path.endswith(".js") else set()

    assert len(sizes) > 20
    assert sum(sizes.values()) < 100_000, sizes


def _named_in(text: str, path: str) -> set[str]:
    """Addresses of the files that a page or a module loads at once."""
    named = re.findall(r"""(?:src=|href=|from |new URL\()"([\w./-]+\.(?:js|css|svg))\"""", text)
    return {urljoin(path, each) for each in named}
