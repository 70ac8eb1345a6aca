"""Control characters in queries are refused, on every route and socket, with one code."""

import httpx
import pytest
from structlog.testing import capture_logs

from tests.serving import scripted_service, served
from tests.streaming_client import open_session

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/recordings?language=en%0d%0aset-cookie:%20a"),
        ("POST", "/recordings?wait=false&person=ann%0a"),
        ("POST", "/recordings/uploads?language=%00"),
        ("GET", "/recordings?text=a%1b[2J"),
        ("GET", "/recordings?language%0a=en"),
        ("GET", "/recordings?text=a%c2%85b"),
        ("GET", "/policy/decisions?route=a%7f"),
        ("GET", "/?a=%09"),
        ("GET", "/nothing?a=%0a"),
    ],
)
async def test_control_character_in_a_query_is_refused_on_every_route(method, path):
    async with served(scripted_service()) as address, httpx.AsyncClient(base_url=f"http://{address}") as http:
        with capture_logs() as logs:
            answer = await http.request(method, path, content=b"")

    assert (answer.status_code, answer.json()["code"]) == (400, "bad_message")
    assert not [log for log in logs if log["log_level"] == "error"]


async def test_control_character_in_the_query_of_a_socket_is_refused_in_its_protocol():
    async with (
        served(scripted_service()) as address,
        open_session(f"ws://{address}/ws/raw?profile=code%0a") as talk,
    ):
        assert await talk.wait_until(lambda t: t.closed, timeout_s=10)

    assert talk.messages("error")[0].message["code"] == "bad_message"
    assert talk.closed[0] == 1008


async def test_text_of_any_language_is_no_control_character():
    async with served(scripted_service()) as address, httpx.AsyncClient(base_url=f"http://{address}") as http:
        answer = await http.get(
            "/recordings", params={"text": "gr\u00fc\u00dfe \u4f60\u597d \U0001f600 \u05e9\u05dc\u05d5\u05dd"}
        )

    assert answer.status_code == 200
