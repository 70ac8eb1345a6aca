"""Finals over OpenAI's transcription protocol: what goes up, what comes back, what can go wrong."""

import wave
from contextlib import aclosing
from io import BytesIO

import anyio
import pytest

from app.domain.audio import AudioChunk
from app.domain.errors import ProviderBusy, ProviderDown, ProviderMisbehaved, ProviderRefused, RequestRefused
from providers.openai.transcription import open_transcription
from tests.clips import HANDS
from tests.emulators.transcriptions import Script, serve_transcriptions

pytestmark = pytest.mark.anyio


async def chunks(pcm: bytes, size: int = 960):
    for at in range(0, len(pcm), size):
        yield AudioChunk(pcm[at : at + size], at // 2)


async def final(server, pcm: bytes = HANDS.pcm, *, language: str | None = "en", **options):
    options = {"provider_name": "jetson", "base_url": server.base_url, "api_key": "k", "model": "small", **options}
    async with (
        open_transcription(**options) as engine,
        aclosing(engine.transcribe(chunks(pcm), language=language)) as hypotheses,
    ):
        return [h async for h in hypotheses]


async def test_an_utterance_is_uploaded_as_one_wav_and_its_text_returned():
    """As one WAV file of the same samples, with model, language and prompt."""
    async with serve_transcriptions(text=" Hello. ") as server:
        hypotheses = await final(server, prompt="Parley")

    upload = server.uploads[0]
    with wave.open(BytesIO(upload.sound)) as sound:
        assert sound.getframerate() == 16_000
        assert sound.readframes(10**9) == HANDS.pcm
    assert upload.fields == {"model": "small", "language": "en", "prompt": "Parley", "response_format": "json"}
    assert upload.key == "Bearer k"
    assert [(h.text, h.is_final, h.language) for h in hypotheses] == [("Hello.", True, "en")]


async def test_silence_is_not_sent():
    """No sound, no words, no price."""
    async with serve_transcriptions() as server:
        hypotheses = await final(server, bytes(32_000))

    assert [(h.text, h.is_final) for h in hypotheses] == [("", True)]
    assert server.uploads == []


@pytest.mark.parametrize(
    ("script", "error"),
    [
        (Script(status=429), ProviderBusy),
        (Script(status=429, error_code="insufficient_quota"), ProviderRefused),
        (Script(status=503, retry_after="3"), ProviderBusy),
        (Script(status=503), ProviderDown),
        (Script(status=500), ProviderDown),
        (Script(status=401), ProviderRefused),
        (Script(status=400), ProviderRefused),
        (Script(status=400, error_code="invalid_language_format"), RequestRefused),
        (Script(status=422, error_code="unsupported_language"), RequestRefused),
        (Script(status=400, error_code="request_refused"), RequestRefused),
        (Script(cuts=True), ProviderDown),
        (Script(raw="<html>"), ProviderMisbehaved),
        (Script(raw='{"words": []}'), ProviderMisbehaved),
        (Script(raw='{"text": 7}'), ProviderMisbehaved),
        (Script(stalls=True), ProviderDown),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else "",
)
async def test_a_fault_becomes_our_error_after_one_request(script, error):
    """In our words, after one request."""
    async with serve_transcriptions() as server:
        server.script = script
        with anyio.fail_after(10), pytest.raises(error, match=r"^jetson: "):
            await final(server, response_timeout_s=1.0)

    assert len(server.uploads) == 1


async def test_a_closed_port_is_provider_down():
    """A closed port is down."""
    async with serve_transcriptions() as server:
        pass

    with pytest.raises(ProviderDown):
        await final(server)


async def test_a_cancelled_transcription_disconnects():
    """The server sees its client leave."""
    async with serve_transcriptions(stalls=True) as server, anyio.create_task_group() as tasks:
        tasks.start_soon(final, server)
        await server.arrived.wait()
        tasks.cancel_scope.cancel()
        with anyio.CancelScope(shield=True), anyio.fail_after(5):
            await server.hung_up.wait()


async def test_concurrent_utterances_do_not_mix():
    """Each gets the answer to its own upload."""
    async with serve_transcriptions() as server, anyio.create_task_group() as tasks:
        for _ in range(4):
            tasks.start_soon(final, server)

    assert {len(u.sound) for u in server.uploads} == {len(HANDS.pcm) + 44}
