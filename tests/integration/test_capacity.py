"""Session limit from the self-test: sessions above the capacity are refused."""

from contextlib import AsyncExitStack

import httpx
import pytest

from app.assembly.service import open_service
from app.config import Settings
from app.domain.capacity import ModelSpeed, capacity
from app.runtime.speech_capacity import SpeechCapacity, SpeechModel
from tests.models import MODELS_DIR, model
from tests.serving import scripted_service, served
from tests.streaming_client import open_session

pytestmark = pytest.mark.anyio

SLOW = ModelSpeed(sound_s=2.7, final_s=0.5, draft_s=0.05)


async def one_too_many(address, capacity):
    """Fill the server; what the guest beyond it gets, and what /health says then."""
    async with AsyncExitStack() as inside:
        for _ in range(capacity):
            talk = await inside.enter_async_context(open_session(f"ws://{address}/ws/transcribe"))
            assert await talk.wait_until(lambda t: t.messages("session"), timeout_s=10)
        outside = await inside.enter_async_context(open_session(f"ws://{address}/ws/transcribe"))
        await outside.wait_until(lambda t: t.closed, timeout_s=10)
        async with httpx.AsyncClient() as client:
            return outside, (await client.get(f"http://{address}/health")).json()


async def test_session_beyond_the_capacity_is_refused_with_1013():
    """1013 to the guest, "full" to whoever asks, and the figures behind it."""
    found = capacity(finals=SLOW, drafts=SLOW, replies_here=True)
    models = (
        SpeechModel(
            "finals", "whisper-base", "cpu", "int8", "no GPU here", SLOW, "int7, the cheapest that is right here"
        ),
    )
    service = scripted_service(max_sessions=found, speech_capacity=SpeechCapacity(found, models, lambda: 3))

    async with served(service) as address:
        outside, health = await one_too_many(address, found)

    assert outside.closed[0] == 1013
    assert "every place is taken" in outside.messages("error")[0].message["message"]
    assert (health["status"], health["maxSessions"]) == ("full", found)
    assert health["capacity"] == {
        "sessions": found,
        "queued": 3,
        "models": {
            "finals": {
                "model": "whisper-base",
                "device": "cpu",
                "precision": "int8",
                "note": "no GPU here",
                "encoder": "int7, the cheapest that is right here",
                "rtf": 0.185,
                "finalMs": 500.0,
                "draftMs": 50.0,
            }
        },
    }


@pytest.mark.models
@pytest.mark.timeout(120)
async def test_self_test_sets_the_session_limit(tmp_path):
    """Nobody has set a number; what was measured at start is what is let in."""
    for name in ("whisper-tiny.en", "smart-turn-v3"):
        model(name)
    settings = Settings(
        models_dir=MODELS_DIR,
        transcription_model_id="whisper-tiny.en",
        audio_storage_dir=tmp_path,
        database_url=f"sqlite+aiosqlite:///{tmp_path}/parley.db",
        reply_provider="none",
        speech_provider="none",
    )

    async with open_service(settings) as service, served(service) as address:
        outside, health = await one_too_many(address, service.admission.max_sessions)

    assert outside.closed[0] == 1013
    assert health["maxSessions"] == health["capacity"]["sessions"] == service.admission.max_sessions
    assert 1 <= service.admission.max_sessions <= 200
    assert set(health["capacity"]["models"]) == {"drafts", "finals"}
    assert all(0 < one["rtf"] < 2 for one in health["capacity"]["models"].values())
    assert dict(service.components)["sessions"].startswith(
        f"{service.admission.max_sessions} at most: the capacity by self-test"
    )
