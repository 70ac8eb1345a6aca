"""Speech from Amazon Polly."""

from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from typing import Any, Literal

import aioboto3
from botocore.config import Config

from app.domain.audio import BYTES_PER_SAMPLE, SAMPLE_RATE, AudioChunk, ms
from providers.aws.errors import translate_errors
from providers.aws.ssml import split_text, ssml_document
from providers.aws.voices import VOICES, voice_for

PROVIDER = "polly"
_CHUNK_BYTES = ms(100) * BYTES_PER_SAMPLE


class PollySynthesizer:
    """A SpeechSynthesizer over one cached client."""

    def __init__(self, client: Any, *, voice: str, engine: str, voices: Mapping[str, str]) -> None:
        self._client = client
        self._voice = voice
        self._engine = engine
        self._voices = voices

    async def synthesize(
        self, text: AsyncIterable[str], *, voice: str | None = None
    ) -> AsyncGenerator[AudioChunk, None]:
        """16 kHz PCM as it arrives. `voice` is one of Polly's names, or a locale or language to choose one for.

        Raises a ProviderError, or RequestRefused for a language without a voice.
        """
        voice_id = voice_for(voice, default=self._voice, voices=self._voices)
        position = 0
        async for part in text:
            async with aclosing(self._speak(part, voice_id)) as pcm:
                async for samples in _whole_samples(pcm):
                    yield AudioChunk(samples, position)
                    position += len(samples) // BYTES_PER_SAMPLE

    async def _speak(self, text: str, voice_id: str) -> AsyncGenerator[bytes, None]:
        for piece in split_text(text):
            with translate_errors(PROVIDER):
                response = await self._client.synthesize_speech(
                    Text=ssml_document(piece),
                    TextType="ssml",
                    OutputFormat="pcm",
                    SampleRate=str(SAMPLE_RATE),
                    VoiceId=voice_id,
                    Engine=self._engine,
                )
                body = response["AudioStream"]
                async with body:  # because `as` would give another object, which cannot be read in chunks
                    async for data in body.iter_chunks(_CHUNK_BYTES):
                        yield data


async def _whole_samples(pcm: AsyncIterable[bytes]) -> AsyncGenerator[bytes, None]:
    """The same bytes, never split within a sample."""
    pending = b""
    async for data in pcm:
        pending += data
        end = len(pending) - len(pending) % BYTES_PER_SAMPLE
        if end:
            yield pending[:end]
        pending = pending[end:]


@asynccontextmanager
async def open_polly(
    *,
    region: str,
    endpoint_url: str | None = None,
    voice: str = "Joanna",
    engine: Literal["neural", "standard"] = "neural",
    voices: Mapping[str, str] = VOICES,
    connect_timeout_s: float = 2.0,
    read_timeout_s: float = 5.0,
) -> AsyncIterator[PollySynthesizer]:
    """The synthesizer, for as long as the context lasts.

    Credentials, and the endpoint where none is given (`AWS_ENDPOINT_URL_POLLY`), come from the SDK's own chain.
    `voices` maps languages and locales to voices.
    """
    config = Config(
        connect_timeout=connect_timeout_s,
        read_timeout=read_timeout_s,
        retries={"mode": "standard", "total_max_attempts": 1},  # because a late retry is of no use to a listener
        max_pool_connections=50,
    )
    session = aioboto3.Session(region_name=region)
    async with session.client("polly", endpoint_url=endpoint_url, config=config) as client:
        yield PollySynthesizer(client, voice=voice, engine=engine, voices=voices)
