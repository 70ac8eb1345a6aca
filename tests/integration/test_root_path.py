"""A server under a path: with the prefix, or with it taken off by the proxy."""

import httpx
import msgspec
import pytest

from app.config import Settings
from tests.serving import scripted_service, served
from tests.streaming_client import open_session

pytestmark = pytest.mark.anyio
TUS = {"Tus-Resumable": "1.0.0", "Upload-Length": "4", "Upload-Metadata": "filename YS53YXY="}


async def test_every_kind_of_address_works_under_the_root_path():
    """Page, files, schema and sockets, in both ways; what only begins like it is something else."""
    async with (
        served(scripted_service(), root_path="/voice") as address,
        httpx.AsyncClient(base_url=f"http://{address}") as http,
    ):
        found = {
            path: (await http.get(path)).status_code
            for path in ("/voice/", "/voice/main.js", "/voice/health", "/health", "/voice/schema", "/voicex/health")
        }
        page = await http.get("/voice")
        document = msgspec.json.decode((await http.get("/voice/schema/openapi.json")).content)
        plain = msgspec.json.decode((await http.get("/schema/openapi.json")).content)
        async with open_session(f"ws://{address}/voice/ws/transcribe") as talk:
            assert await talk.wait_until(lambda t: t.messages("session"), timeout_s=5)

    assert found == {path: 404 if "voicex" in path else 200 for path in found}
    assert (page.status_code, page.headers["location"]) == (308, "/voice/")
    assert document["servers"] == plain["servers"] == [{"url": "/voice/"}]


async def test_addresses_in_answers_have_the_root_path():
    """So that a client that goes on there reaches this server."""
    async with (
        served(scripted_service(), root_path="/voice") as address,
        httpx.AsyncClient(base_url=f"http://{address}") as http,
    ):
        created = await http.post("/voice/recordings/uploads", headers=TUS)
        head = await http.head(created.headers["location"], headers={"Tus-Resumable": "1.0.0"})

    assert created.headers["location"].startswith("/voice/recordings/uploads/")
    assert (head.status_code, head.headers["upload-offset"]) == (200, "0")


async def test_without_a_root_path_nothing_has_a_prefix():
    async with served(scripted_service()) as address, httpx.AsyncClient(base_url=f"http://{address}") as http:
        created = await http.post("/recordings/uploads", headers=TUS)

    assert created.headers["location"].startswith("/recordings/uploads/")


@pytest.mark.parametrize(("given", "kept"), [("", ""), ("/", ""), ("/voice/", "/voice"), ("/a/b.c", "/a/b.c")])
def test_root_path_ends_without_a_slash(given, kept):
    assert Settings(root_path=given).root_path == kept


@pytest.mark.parametrize("wrong", ["voice", "/a b", "//voice", "/a?b", "https://example.org/voice"])
def test_a_root_path_that_is_none_is_refused(wrong):
    with pytest.raises(ValueError, match="/voice"):
        Settings(root_path=wrong)
