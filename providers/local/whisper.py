"""Whisper in this process: several sessions, one model, no thirty seconds of silence."""

from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from zlib import compress

import anyio
import ctranslate2
import numpy as np
from anyio import to_thread

from app.domain.audio import AudioChunk
from app.domain.transcript import Hypothesis
from providers.local.mel import Mel, samples_of, scaled
from providers.local.whisper_model import WhisperModel, load, translated

_FULL_CONTEXT = 3000
_MARGIN = 100
_BUCKET = 100


class WhisperEngine:
    """A Transcriber and a DraftTranscriber over one model. Inference runs in a thread, one pass at a time."""

    def __init__(self, model: WhisperModel, *, beam_size: int) -> None:
        self._model = model
        self._beam_size = beam_size
        self._turn = anyio.CapacityLimiter(1)

    @property
    def note(self) -> str:
        """What an operator should know about the device; empty when all is as wished."""
        return self._model.note

    def for_session(self) -> "WhisperEngine":
        """The engine as one session sees it: its newer draft replaces its older one."""
        return self

    async def transcribe(
        self, utterance: AsyncIterable[AudioChunk], *, language: str | None = None
    ) -> AsyncGenerator[Hypothesis, None]:
        self._model.tokenizer(language)
        pcm = bytearray()
        async for chunk in utterance:
            pcm += chunk.pcm
        text = await self._in_thread(bytes(pcm), "", language)
        yield Hypothesis(text, is_final=True, language=language)

    async def draft(self, pcm: bytes, *, stable: str = "", language: str | None = None) -> Hypothesis:
        return Hypothesis(await self._in_thread(pcm, stable, language), language=language)

    async def transcribe_recording(
        self, pcm: bytes, *, language: str | None = None
    ) -> AsyncGenerator[Hypothesis, None]:
        """A recording of any length: one final hypothesis per stretch of speech, as soon as it is known."""
        step = 30 * 32_000
        for at in range(0, len(pcm), step):
            yield Hypothesis(await self._in_thread(pcm[at : at + step], "", language), is_final=True)

    async def _in_thread(self, pcm: bytes, stable: str, language: str | None) -> str:
        return await to_thread.run_sync(self._text, pcm, stable, language, limiter=self._turn, abandon_on_cancel=True)

    def _text(self, pcm: bytes, stable: str, language: str | None) -> str:
        with translated():
            sound = samples_of(pcm)
            texts = []
            for at in range(0, len(sound), 480_000):
                part = sound[at : at + 480_000]
                if not part.any():
                    continue
                mel = self._model.filters.columns(part)
                frames = min(_FULL_CONTEXT, -(-(mel.shape[1] + _MARGIN) // _BUCKET) * _BUCKET)
                text, sane = self._decode(scaled(mel, frames), stable, language, len(part))
                if not sane and frames < _FULL_CONTEXT:
                    text, sane = self._decode(scaled(mel, _FULL_CONTEXT), "", language, len(part))
                texts.append(text)
            return " ".join(text for text in texts if text)

    def _decode(self, mel: Mel, stable: str, language: str | None, samples: int) -> tuple[str, bool]:
        tokenizer = self._model.tokenizer(language)
        prefix = tokenizer.encode(" " + stable.strip()) if stable.strip() else []
        prompt = [*tokenizer.sot_sequence, tokenizer.no_timestamps, *prefix]
        encoded = self._model.weights.encode(ctranslate2.StorageView.from_array(np.ascontiguousarray(mel[None])))
        result = self._model.weights.generate(
            encoded,
            [prompt],
            beam_size=self._beam_size,
            max_length=min(448, len(prompt) + 10 + samples // 1200),
            return_scores=True,
            return_no_speech_prob=True,
        )[0]
        said = result.sequences_ids[0]
        text = tokenizer.decode([*prefix, *said]).strip()
        if result.no_speech_prob > 0.6 and result.scores[0] < -0.8:
            return "", True
        squeezed = len(text.encode()) / len(compress(text.encode())) if text else 0.0
        return text, squeezed < 2.4 and result.scores[0] > -1.0


@asynccontextmanager
async def open_whisper(
    *, model: Path, device: str = "auto", compute_type: str = "auto", threads: int = 0, beam_size: int = 1
) -> AsyncIterator[WhisperEngine]:
    """Load the model and warm it: the first utterance is as fast as the second."""
    loaded = await to_thread.run_sync(lambda: load(model, device=device, compute_type=compute_type, threads=threads))
    engine = WhisperEngine(loaded, beam_size=beam_size)
    await engine.draft(b"\1\0" * 16_000)
    yield engine
