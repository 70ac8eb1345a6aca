"""Finals over `POST /audio/transcriptions`: OpenAI itself, a Parley worker, or any compatible server.

The whole utterance goes up as one WAV file when it has ended; there are no interims. Nothing is
tried again here: the router replays an utterance elsewhere sooner than a retry would help.
"""

import wave
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import anyio
import openai

from app.domain.audio import BYTES_PER_SAMPLE, SAMPLE_RATE, AudioChunk, ms
from app.domain.errors import ProviderMisbehaved, ProviderRefused
from app.domain.routing.load import EngineLoad
from app.domain.transcript import Hypothesis
from providers.openai.errors import our_errors

_SHORTEST = ms(200) * BYTES_PER_SAMPLE
"""OpenAI refuses files of less than a tenth of a second."""


@dataclass(frozen=True, slots=True)
class UploadingTranscriber:
    """A Transcriber over one HTTP client."""

    client: openai.AsyncOpenAI
    provider: str
    model: str
    prompt: str
    answer_timeout_s: float

    async def load(self) -> EngineLoad | None:
        """What a Parley worker's `/health` says; None where the server has no such page."""
        root = str(self.client.base_url).rstrip("/").removesuffix("/v1")
        told: Any = None
        try:
            with our_errors(self.provider):
                told = await self.client.with_options(base_url=root).get("/health", cast_to=object)
        except (ProviderRefused, ProviderMisbehaved):
            return None
        match told:
            case {"queue": int(queue), "atOnce": int(at_once)} if at_once > 0:
                p50, p95 = (ms if isinstance(ms, float) else None for ms in map(told.get, ("p50Ms", "p95Ms")))
                return EngineLoad(queue, at_once, p50, p95)
        return None

    async def transcribe(
        self, utterance: AsyncIterable[AudioChunk], *, language: str | None = None
    ) -> AsyncGenerator[Hypothesis, None]:
        pcm = bytearray()
        async for chunk in utterance:
            pcm += chunk.pcm
        if not any(pcm):
            yield Hypothesis("", is_final=True, language=language)
            return
        options: dict[str, Any] = {"language": language} if language else {}
        if self.prompt:
            options["prompt"] = self.prompt
        with our_errors(self.provider), anyio.fail_after(self.answer_timeout_s):
            answer = await self.client.audio.transcriptions.create(
                file=("utterance.wav", _wav(pcm), "audio/wav"), model=self.model, response_format="json", **options
            )
        text = getattr(answer, "text", None)
        if not isinstance(text, str):
            raise ProviderMisbehaved(self.provider, "sent something that is no transcript")
        confidence = getattr(answer, "confidence", None)  # a Parley worker adds it
        known = confidence if isinstance(confidence, float) else None
        yield Hypothesis(text.strip(), is_final=True, language=language, confidence=known)


def _wav(pcm: bytearray) -> bytes:
    file = BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(BYTES_PER_SAMPLE)
        out.setframerate(SAMPLE_RATE)
        out.writeframes(bytes(pcm.ljust(_SHORTEST, b"\0")))
    return file.getvalue()


@asynccontextmanager
async def open_transcription(
    *,
    provider_name: str,
    base_url: str,
    api_key: str,
    model: str,
    prompt: str = "",
    connect_timeout_s: float = 2.0,
    answer_timeout_s: float = 30.0,
) -> AsyncIterator[UploadingTranscriber]:
    """A client for one model behind one address; a server without keys takes any `api_key`."""
    timeout = openai.Timeout(None, connect=connect_timeout_s)
    key = api_key or "none"  # because the SDK insists on one
    async with openai.AsyncOpenAI(base_url=base_url, api_key=key, timeout=timeout, max_retries=0) as client:
        yield UploadingTranscriber(client, provider_name, model, prompt, answer_timeout_s)
