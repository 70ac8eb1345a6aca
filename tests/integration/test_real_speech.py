"""End to end with real models and real speech: drafts, finals, a spoken reply and the recording."""

import base64
import io
import os
import re

import anyio
import msgspec
import numpy as np
import pytest

from app.assembly.service import open_service
from app.config import Settings
from app.media.decode import decode_trusted
from tests.browser import expect, open_browser, write_microphone
from tests.clips import COUNTRY, HANDS, HOUR, NOISE, Clip, silence, word_error_rate
from tests.models import MODELS_DIR, model
from tests.serving import served
from tests.streaming_client import StreamingClient, open_session

pytestmark = [pytest.mark.anyio, pytest.mark.models, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
async def place(tmp_path_factory):
    """A server on the default models, and the folder it archives in."""
    for name in ("whisper-tiny.en", "whisper-base", "smart-turn-v3", "piper-en_US-joe-medium", "smollm2-135m-instruct"):
        model(name)
    recordings = tmp_path_factory.mktemp("recordings")
    settings = Settings(
        models_dir=MODELS_DIR,
        audio_storage_dir=recordings,
        database_url=f"sqlite+aiosqlite:///{recordings}/parley.db",
        reply_provider="embedded",
        reply_max_tokens=40,
        max_sessions=8,
    )
    async with open_service(settings) as service, served(service) as address:
        yield f"ws://{address}/ws/transcribe", recordings


def words(talk: StreamingClient) -> str:
    return " ".join(final.message["text"] for final in talk.messages("fullSentence"))


@pytest.mark.parametrize("clip", [HANDS, HOUR, COUNTRY], ids=lambda clip: clip.name)
async def test_real_speech_end_to_end(place, clip: Clip):
    """Drafts come while they speak, right finals when they pause, then a spoken reply; the archive holds it all."""
    url, recordings = place
    async with open_session(url) as talk:
        await talk.send_audio(silence(0.3) + clip.pcm)
        drafted_by = talk.received[-1].at_s
        drafts = list(talk.messages("realtime"))
        await talk.send_audio(silence(2))
        assert await talk.wait_until(lambda t: t.messages("server_response"), timeout_s=60)

    assert drafts
    assert drafts[0].at_s < drafted_by
    assert word_error_rate(clip.words, words(talk)) <= 0.2
    response = talk.messages("server_response")[-1].message
    turn = response["turn"]
    deltas = [d.message["text"] for d in talk.messages("replyDelta") if d.message["turn"] == turn]
    assert response["message"] == "".join(deltas).strip()
    streamed = b"".join(r.pcm for r in talk.messages("replyAudio") if r.message["turn"] == turn)
    spoken = b"".join(decode_trusted(io.BytesIO(base64.b64decode(response["audio"]))))
    assert len(spoken) == pytest.approx(len(streamed), rel=0.1)
    assert np.abs(np.frombuffer(spoken, "<i2").astype(np.float32)).mean() > 100

    manifest = await _manifest(recordings, talk)
    sent = silence(0.3) + clip.pcm + silence(2)
    stored = b"".join(b"".join(decode_trusted(recordings / chunk["key"])) for chunk in manifest["chunks"])
    assert stored == sent
    assert _is_tiled(manifest["finals"], manifest["samples"])
    assert " ".join(f["text"] for f in manifest["finals"] if f["text"]) == words(talk)


async def test_silence_and_noise_give_no_text(place):
    """Nobody speaks, so nothing is written and nothing answers."""
    url, _ = place
    async with open_session(url) as talk:
        await talk.send_audio(silence(5) + NOISE.pcm + silence(5), pace=4)
        await talk.send_message(type="end")
        await talk.send_message(
            type="say", text="Done."
        )  # the answer to this proves that all audio before it was handled
        assert await talk.wait_until(lambda t: t.messages("server_response"), timeout_s=60)

    assert words(talk).strip() == ""
    assert [d.message["text"] for d in talk.messages("realtime")] == []


async def test_concurrent_sessions_do_not_mix(place):
    """Each session gets its own words."""
    url, _ = place
    async with open_session(url) as one, open_session(url) as other:
        async with anyio.create_task_group() as tasks:
            for talk, clip in ((one, HANDS), (other, HOUR)):
                await talk.send_message(type="configure", reply=False)
                tasks.start_soon(talk.send_audio, clip.pcm + silence(1.5))
        assert await one.wait_until(lambda t: t.messages("fullSentence"), timeout_s=30)
        assert await other.wait_until(lambda t: t.messages("fullSentence"), timeout_s=30)

    assert word_error_rate(HANDS.words, words(one)) <= 0.2
    assert word_error_rate(HOUR.words, words(other)) <= 0.2


async def test_disconnect_in_mid_word_is_transcribed_and_recorded(place):
    """The archive has the audio up to the break, and the words of it."""
    url, recordings = place
    half = HOUR.pcm[: 2 * 16_000 * 3]
    async with open_session(url) as talk:
        await talk.send_audio(half, pace=2)
        await talk.wait_until(lambda t: t.messages("realtime"), timeout_s=10)
        talk.socket.transport.abort()

    manifest = await _manifest(recordings, talk)

    transcript = " ".join(f["text"] for f in manifest["finals"])
    assert "full hour" in transcript.lower()
    assert _is_tiled(manifest["finals"], manifest["samples"])


async def test_page_with_real_speech_end_to_end(place, tmp_path_factory):
    """Speech into the browser's microphone becomes a draft, a final with its route, a reply and its sound."""
    url, _ = place
    microphone = write_microphone(tmp_path_factory.mktemp("microphone") / "speech.wav")
    complaints: list[str] = []
    async with open_browser(microphone) as browser:
        context = await browser.new_context(permissions=["microphone"])
        page = await context.new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda line: complaints.append(line.text) if line.type == "error" else None)
        await page.goto(url.replace("ws://", "http://").replace("/ws/transcribe", "/"))

        await page.get_by_role("button", name="Talk", exact=True).click()

        await expect(page.locator("[data-certainty=draft]").first).to_be_visible(timeout=30_000)
        final = page.locator("[data-certainty=final]").first
        await expect(final).to_contain_text(re.compile("fellow america", re.IGNORECASE), timeout=60_000)
        await expect(final.locator(".badge")).to_be_visible()
        await expect(page.locator(".reply-text").first).not_to_be_empty(timeout=60_000)
        if pictures := os.environ.get("PARLEY_PICTURES"):
            await page.screenshot(path=f"{pictures}/real.png")
        await context.close()
    assert complaints == []


def _is_tiled(finals: list[dict], samples: int) -> bool:
    edges = [0, *(f["end"] for f in finals)]
    return [f["start"] for f in finals] == edges[:-1] and edges[-1] == samples


async def _manifest(recordings, talk: StreamingClient) -> dict:
    """The session's manifest, once it is complete."""
    session = talk.messages("session")[0].message["id"]
    with anyio.fail_after(30):
        while True:
            for path in recordings.glob(f"sessions/*/{session}/manifest.json"):
                manifest = msgspec.json.decode(path.read_bytes())
                if manifest["ended"]:
                    return manifest
            await anyio.sleep(0.05)
