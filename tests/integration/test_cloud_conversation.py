"""End to end with Transcribe and Polly, by configuration alone, against emulators of their wire protocols."""

from shutil import which

import numpy as np
import pytest

from app.assembly.service import open_service
from app.config import Settings
from tests.clips import HANDS, HOUR, silence, word_error_rate
from tests.emulators.account import aws_account
from tests.emulators.certificates import Certificates
from tests.emulators.polly import PollyEmulator
from tests.emulators.transcribe import TranscribeEmulator
from tests.emulators.transcribe_script import Script
from tests.emulators.transcribe_words import LOUD
from tests.models import MODELS_DIR, model
from tests.serving import served
from tests.streaming_client import StreamingClient, open_session
from tests.strict import missing

pytestmark = [pytest.mark.anyio, pytest.mark.models, pytest.mark.timeout(300)]

ROUTES = """
[amazon]
engine = "aws"
region = "eu-central-1"

[local]
engine = "local"
"""


@pytest.fixture
def transcribe(certificates: Certificates):
    """Transcribe with the clips' words, one for each stretch of sound; test_aws_words.py has a real recogniser."""
    words = tuple(f"{HANDS.words} {HOUR.words}".split())
    sound_ms = sum(loud_ms(clip.pcm) for clip in (HANDS, HOUR))
    with TranscribeEmulator(
        certificates, script=Script(words=words, word_ms=10 * (sound_ms // 10 // len(words)))
    ) as emulator:
        yield emulator


def loud_ms(pcm: bytes) -> int:
    """Milliseconds of sound, as the emulator's recogniser counts them."""
    frames = np.frombuffer(pcm, np.int16)[: len(pcm) // 320 * 160].reshape(-1, 160)
    return 10 * int((frames.max(axis=1) >= LOUD).sum())


@pytest.fixture
def settings(tmp_path, transcribe: TranscribeEmulator) -> Settings:
    for name in ("whisper-tiny.en", "whisper-base", "smart-turn-v3", "smollm2-135m-instruct"):
        model(name)
    if which("espeak-ng") is None:
        missing("espeak-ng")
    (tmp_path / "routes.toml").write_text(ROUTES)
    return Settings(
        models_dir=MODELS_DIR,
        audio_storage_dir=tmp_path / "recordings",
        database_url=f"sqlite+aiosqlite:///{tmp_path / 'parley.db'}",
        routes=tmp_path / "routes.toml",
        policy="cloud-first",
        aws_endpoint_url_transcribe_streaming=transcribe.url,
        reply_provider="embedded",
        reply_max_tokens=30,
        speech_provider="polly",
    )


def cloud(certificates: Certificates, polly: PollyEmulator):
    """The emulators' account, and Polly's address as the SDK's own variable."""
    keys = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing"}
    return aws_account(certificates, AWS_ENDPOINT_URL_POLLY=polly.url, **keys)


async def one_turn(talk: StreamingClient, pcm: bytes, replies: int) -> None:
    await talk.send_audio(pcm + silence(2.5))
    assert await talk.wait_until(lambda t: len(t.messages("server_response")) >= replies, timeout_s=60)


async def test_conversation_with_transcribe_and_polly(settings: Settings, certificates: Certificates, transcribe):
    """Two turns: finals from Transcribe on one stream, the voice from Polly, the words right, the route named."""
    with PollyEmulator() as polly, cloud(certificates, polly):
        async with (
            open_service(settings) as service,
            served(service) as address,
            open_session(f"ws://{address}/ws/transcribe") as talk,
        ):
            await one_turn(talk, HANDS.pcm, 1)
            await one_turn(talk, HOUR.pcm, 2)

    finals = [final.message for final in talk.messages("fullSentence") if final.message["text"]]
    assert {final["route"]["name"] for final in finals} == {"amazon"}
    assert {final["route"]["place"] for final in finals} == {"cloud"}
    assert word_error_rate(f"{HANDS.words} {HOUR.words}", " ".join(final["text"] for final in finals)) <= 0.25
    assert len(talk.messages("replyAudio")) > 2
    assert all(response.message["audio"] for response in talk.messages("server_response"))
    # Both turns share a stream, unless this machine took longer than `FinalizationTimeouts.flush_after_s`: then the
    # stream was ended to obtain the words. That utterances share one is tested in test_aws_reuse.py.
    assert all(stream.was_ended for stream in transcribe.streams[:-1])
    assert len(transcribe.streams) <= len(talk.messages("fullSentence"))


async def test_on_prem_only_session_sends_no_audio_to_the_cloud(settings: Settings, certificates, transcribe):
    """A session that says on_prem_only gets its words from the model in this process, and Amazon gets no sound."""
    with PollyEmulator() as polly, cloud(certificates, polly):
        async with (
            open_service(settings) as service,
            served(service) as address,
            open_session(f"ws://{address}/ws/transcribe") as talk,
        ):
            await talk.send_message(type="configure", place="on_prem_only", reply=False)
            await talk.send_audio(HANDS.pcm + silence(1.5))
            assert await talk.wait_until(lambda t: t.messages("fullSentence"), timeout_s=30)

    (final,) = [final.message for final in talk.messages("fullSentence")]
    assert (final["route"]["name"], final["route"]["place"]) == ("local", "on_prem")
    assert transcribe.streams == []
