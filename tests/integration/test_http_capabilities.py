"""What clients learn of a resource before they use it: the version of tus, and whether there are byte ranges."""

import httpx
import pytest

from tests.fakes import SILENCE, SPEECH
from tests.serving import scripted_service, served, stored_manifest
from tests.streaming_client import open_session

pytestmark = pytest.mark.anyio


async def test_options_of_uploads_names_version_extensions_and_largest_file():
    """As tus 1.0 wants it."""
    service = scripted_service()
    async with served(service) as address, httpx.AsyncClient(base_url=f"http://{address}") as http:
        answer = await http.options("/recordings/uploads")

    assert answer.status_code == 204
    assert (answer.headers["tus-resumable"], answer.headers["tus-version"]) == ("1.0.0", "1.0.0")
    assert answer.headers["tus-extension"] == "creation,termination"
    assert int(answer.headers["tus-max-size"]) == service.uploads.limits.largest_file


async def test_audio_says_whether_it_has_byte_ranges():
    """WAV has; what is encoded while it is sent has none, and a Range gets the whole."""
    service = scripted_service()
    async with served(service) as address, httpx.AsyncClient(base_url=f"http://{address}", timeout=20) as http:
        async with open_session(f"ws://{address}/ws/transcribe") as client:
            await client.send_audio(SPEECH * 30 + SILENCE * 80, pace=0)
            assert await client.wait_until(lambda heard: heard.messages("server_response"), timeout_s=20)
            session = client.messages("session")[0].message["id"]
        await stored_manifest(service, session)
        found = {
            form: await http.get(f"/recordings/{session}/audio?format={form}", headers={"range": "bytes=0-1"})
            for form in ("wav", "mp3", "flac")
        }

    assert (found["wav"].status_code, found["wav"].headers["accept-ranges"]) == (206, "bytes")
    for form in ("mp3", "flac"):
        assert (found[form].status_code, found[form].headers["accept-ranges"]) == (200, "none")
