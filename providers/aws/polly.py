"""Amazon Polly: speech from the cloud."""

from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from typing import Any, Literal

import aioboto3
from botocore.config import Config

from app.domain.audio import BYTES_PER_SAMPLE, SAMPLE_RATE, AudioChunk, ms
from providers.aws.errors import in_our_words
from providers.aws.ssml import document, pieces
from providers.aws.voices import VOICES, voice_for

PROVIDER = "polly"
_CHUNK_BYTES = ms(100) * BYTES_PER_SAMPLE
_MP3_CHUNK_BYTES = 4096


class PollySynthesizer:
    """Speaks with one cached client."""

    def __init__(
        self, client: Any, *, voice: str, engine: str, voices: Mapping[str, str], rate_percent: int | None
    ) -> None:
        self._client = client
        self._voice = voice
        self._engine = engine
        self._voices = voices
        self._rate_percent = rate_percent

    async def synthesize(
        self, text: AsyncIterable[str], *, voice: str | None = None
    ) -> AsyncGenerator[AudioChunk, None]:
        """PCM as it arrives. `voice` is one of Polly's names, or a language or locale to choose one for."""
        position = 0
        async for part in text:
            async with aclosing(self._speak(part, voice, "pcm", str(SAMPLE_RATE), _CHUNK_BYTES)) as pcm:
                async for samples in _whole_samples(pcm):
                    yield AudioChunk(samples, position)
                    position += len(samples) // BYTES_PER_SAMPLE

    async def mp3(self, text: str, *, voice: str | None = None) -> AsyncGenerator[bytes, None]:
        """The same speech as mp3 at 24 kHz, in pieces of any length."""
        async with aclosing(self._speak(text, voice, "mp3", "24000", _MP3_CHUNK_BYTES)) as mp3:
            async for data in mp3:
                yield data

    async def _speak(
        self, text: str, voice: str | None, output: str, rate: str, chunk_bytes: int
    ) -> AsyncGenerator[bytes, None]:
        speaker = voice_for(voice, default=self._voice, voices=self._voices)
        for piece in pieces(text):
            with in_our_words(PROVIDER):
                response = await self._client.synthesize_speech(
                    Text=document(piece, rate_percent=self._rate_percent),
                    TextType="ssml",
                    OutputFormat=output,
                    SampleRate=rate,
                    VoiceId=speaker,
                    Engine=self._engine,
                )
                body = response["AudioStream"]
                async with body:  # because `as` would give another object, which cannot be read in chunks
                    async for data in body.iter_chunks(chunk_bytes):
                        yield data


async def _whole_samples(pcm: AsyncIterable[bytes]) -> AsyncGenerator[bytes, None]:
    """The same bytes, never cut within a sample."""
    odd = b""
    async for data in pcm:
        whole = odd + data
        cut = len(whole) - len(whole) % BYTES_PER_SAMPLE
        odd = whole[cut:]
        if cut:
            yield whole[:cut]


@asynccontextmanager
async def open_polly(
    *,
    region: str,
    endpoint_url: str | None = None,
    voice: str = "Joanna",
    engine: Literal["neural", "standard"] = "neural",
    voices: Mapping[str, str] = VOICES,
    rate_percent: int | None = None,
    connect_within_s: float = 2.0,
    read_within_s: float = 5.0,
) -> AsyncIterator[PollySynthesizer]:
    """The synthesizer, for as long as the context lasts.

    Credentials, and the endpoint where none is given (`AWS_ENDPOINT_URL_POLLY`), come from the SDK's own chain.
    `voices` says who speaks a language; `rate_percent` speaks faster or slower than 100.
    """
    config = Config(
        connect_timeout=connect_within_s,
        read_timeout=read_within_s,
        retries={"mode": "standard", "total_max_attempts": 1},  # because the one retry loop is ours
        max_pool_connections=50,
    )
    session = aioboto3.Session(region_name=region)
    async with session.client("polly", endpoint_url=endpoint_url, config=config) as client:
        yield PollySynthesizer(client, voice=voice, engine=engine, voices=voices, rate_percent=rate_percent)
