"""Finals over `POST /audio/transcriptions`: OpenAI itself, a Parley worker, or any compatible server.

The whole utterance goes up as one WAV file when it has ended; there are no interims. Nothing is
retried here: the router sends the utterance elsewhere sooner than a retry would help.
"""

from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import anyio
import httpx2
import openai

from app.domain.audio import BYTES_PER_SAMPLE, AudioChunk, ms
from app.domain.errors import ProviderMisbehaved, ProviderRefused
from app.domain.language import only_language
from app.domain.recording.wav import wav_header
from app.domain.routing.load import EngineLoad
from app.domain.transcript import Hypothesis
from providers.openai.client import open_client
from providers.openai.errors import translate_errors
from providers.openai.words import spoken_language, timed_words

_MIN_BYTES = ms(200) * BYTES_PER_SAMPLE
"""OpenAI refuses files of less than a tenth of a second."""


@dataclass(frozen=True, slots=True)
class UploadingTranscriber:
    """A Transcriber over one client."""

    client: openai.AsyncOpenAI
    provider: str
    model: str
    prompt: str
    response_timeout_s: float
    is_worker: bool = False
    """It may be a Parley worker, which takes several languages in one field, with commas."""
    gives_words: bool = False
    """Whether the model can say when each word was said, as whisper-1 and a worker can."""

    def with_key_terms(self, terms: Sequence[str]) -> "UploadingTranscriber":
        """The same client, with these words in the prompt."""
        return replace(self, prompt=", ".join(filter(None, (self.prompt, *terms))))

    async def load(self) -> EngineLoad | None:
        """What a Parley worker's `/health` reports; None where the server has no such page."""
        root = str(self.client.base_url).rstrip("/").removesuffix("/v1")
        try:
            with translate_errors(self.provider):
                response = await self.client.get(f"{root}/health", cast_to=httpx2.Response)
                health = response.json()
        except (ProviderRefused, ProviderMisbehaved):
            return None
        match health:
            case {"queue": int(queue), "atOnce": int(at_once)} if at_once > 0:
                p50_ms, p95_ms = (ms if isinstance(ms, float) else None for ms in map(health.get, ("p50Ms", "p95Ms")))
                return EngineLoad(queue, at_once, p50_ms, p95_ms)
        return None

    async def transcribe(
        self, utterance: AsyncIterable[AudioChunk], *, language: str | None = None
    ) -> AsyncGenerator[Hypothesis, None]:
        """One final, once the utterance has ended. Raises ProviderError, or RequestRefused for an unknown language."""
        pcm = bytearray()
        async for chunk in utterance:
            pcm += chunk.pcm
        if not any(pcm):
            yield Hypothesis("", is_final=True, language=language)
            return
        file = ("utterance.wav", _wav(pcm), "audio/wav")
        with translate_errors(self.provider), anyio.fail_after(self.response_timeout_s):
            response = await self.client.audio.transcriptions.with_raw_response.create(
                file=file,
                model=self.model,
                response_format="verbose_json" if self.gives_words else "json",
                timestamp_granularities=["word"] if self.gives_words else openai.omit,
                language=(language if self.is_worker else only_language(language)) or openai.omit,
                prompt=self.prompt or openai.omit,
            )
            body: Any = response.http_response.json()
        match body:
            case {"text": str(text)}:
                confidence = body.get("confidence")  # because a Parley worker adds it
                known = confidence if isinstance(confidence, float) else None
                spoken = only_language(language) or spoken_language(body.get("language"))
                words = tuple(timed_words(body.get("words"), confidence=1.0 if known is None else known))
                yield Hypothesis(text.strip(), is_final=True, words=words, language=spoken, confidence=known)
            case _:
                raise ProviderMisbehaved(self.provider, "sent something that is no transcript")


def _wav(pcm: bytearray) -> bytes:
    """As a WAV file, with silence behind what is too short."""
    padded = bytes(pcm.ljust(_MIN_BYTES, b"\0"))
    return wav_header(len(padded) // BYTES_PER_SAMPLE) + padded


@asynccontextmanager
async def open_transcription(
    *,
    provider_name: str,
    base_url: str,
    api_key: str,
    model: str,
    prompt: str = "",
    is_worker: bool = False,
    gives_words: bool = False,
    connect_timeout_s: float = 2.0,
    response_timeout_s: float = 30.0,
) -> AsyncIterator[UploadingTranscriber]:
    """A client for one model at one address; a server without keys needs no `api_key`. Raises SettingsError."""
    async with open_client(provider_name, base_url, api_key, connect_timeout_s=connect_timeout_s) as client:
        yield UploadingTranscriber(client, provider_name, model, prompt, response_timeout_s, is_worker, gives_words)
