"""`parley worker` asks for PARLEY_WORKER_KEY, and the gateway sends it."""

import httpx
import pytest

from app.assembly.authentication import worker_authenticator
from app.assembly.routing import route_key
from app.config import Settings
from app.domain.errors import SettingsError
from app.domain.residency import Place
from app.policy.routes_file import OpenAIRoute
from app.runtime.admission_queue import AdmissionQueue
from app.runtime.clock import SystemClock
from app.runtime.worker import Worker
from app.web.openai.worker import create_worker
from tests.clips import HANDS
from tests.fakes import ScriptedDetector, ScriptedTranscriber
from tests.serving import serving

pytestmark = pytest.mark.anyio
KEY = "w" * 32


@pytest.fixture
async def client():
    engine, queue = ScriptedTranscriber(), AdmissionQueue("worker", SystemClock(), 1, 1)
    authenticator = worker_authenticator(Settings(host="0.0.0.0", worker_key=KEY))
    worker = Worker("tiny", engine, engine, ScriptedDetector(), queue, "en", authenticator=authenticator)
    async with serving(create_worker(worker)) as address, httpx.AsyncClient(base_url=f"http://{address}") as client:
        yield client


@pytest.mark.parametrize("path", ["/v1/models", "/v1//models", "//v1/models/", "/v1/%6dodels"])
@pytest.mark.parametrize("headers", [{}, {"authorization": "Bearer wrong"}])
async def test_worker_with_a_key_refuses_whoever_has_none(client, path, headers):
    answer = await client.get(f"{client.base_url}{path}", headers=headers)

    assert answer.status_code == 401
    assert "owned_by" not in answer.text


async def test_worker_refuses_a_file_without_its_key_and_transcribes_it_with_the_key(client):
    file = {"file": ("a.flac", HANDS.path.read_bytes())}

    without = await client.post("/v1/audio/transcriptions", files=file)
    with_key = await client.post("/v1/audio/transcriptions", files=file, headers={"authorization": f"Bearer {KEY}"})

    assert (without.status_code, without.json()["error"]["code"]) == (401, "invalid_api_key")
    assert (with_key.status_code, with_key.json()["text"]) == (200, "hello")


async def test_health_of_a_worker_needs_no_key(client):
    assert [(await client.get(path)).status_code for path in ("/health", "/health/live")] == [200, 200]


def test_worker_without_a_key_starts_on_loopback_alone():
    with pytest.raises(SettingsError, match="set PARLEY_WORKER_KEY"):
        worker_authenticator(Settings(host="0.0.0.0"))

    worker_authenticator(Settings(host="127.0.0.1"))
    worker_authenticator(Settings(host="0.0.0.0", auth="none"))


@pytest.mark.parametrize(
    ("route", "expected"),
    [
        (OpenAIRoute(), "openai"),
        (OpenAIRoute(base_url="https://api.openai.com/v1"), "openai"),
        (OpenAIRoute(base_url="http://worker:8001/v1", place=Place.ON_PREM), KEY),
        (OpenAIRoute(base_url="http://worker:8001/v1", place=Place.ON_PREM, api_key="own"), "own"),
        (OpenAIRoute(base_url="https://elsewhere.example/v1"), ""),
        (OpenAIRoute(base_url="https://elsewhere.example/v1", place=Place.CLOUD), ""),
    ],
)
def test_keys_are_sent_to_their_own_routes_alone(route, expected):
    """OpenAI's to OpenAI, the worker's on the premises."""
    assert route_key(Settings(openai_api_key="openai", worker_key=KEY), route) == expected
