"""Speaks with a Piper voice inside this process.

Each piece of text is synthesised when it arrives, in a worker thread, and resampled from the
voice's own rate. At most `max_at_once` pieces are computed at a time, over all replies; further
ones wait their turn. A reply that is abandoned stops its computation at the next operation.
"""

import asyncio
import copy
import json
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import soxr
from anyio import to_thread
from piper.config import PiperConfig, SynthesisConfig
from piper.voice import PiperVoice

from app.domain.audio import BYTES_PER_SAMPLE, SAMPLE_RATE, AudioChunk, ms
from app.domain.errors import ModelUnavailable, ProviderMisbehaved, ProviderRefused
from providers.local.low_priority import yielding_threads
from providers.local.onnx import FAILURES, open_network, options

PROVIDER = "piper"
_FAILURES: tuple[type[Exception], ...] = (ValueError, RuntimeError, *FAILURES)
_CHUNK_BYTES = ms(100) * BYTES_PER_SAMPLE


class _Stoppable:
    """A session whose computation another thread may end; one for each reply."""

    def __init__(self, session: onnxruntime.InferenceSession) -> None:
        self._session = session
        self._options = onnxruntime.RunOptions()

    def run(self, names: list[str] | None, inputs: dict[str, Any]) -> Any:
        return self._session.run(names, inputs, self._options)

    def stop(self) -> None:
        self._options.terminate = True


class PiperSynthesizer:
    """A SpeechSynthesizer with one voice, named like its model."""

    def __init__(self, voice: PiperVoice, name: str, threads: ThreadPoolExecutor, *, speed: float) -> None:
        self._voice = voice
        self._name = name
        self._style = SynthesisConfig(length_scale=voice.config.length_scale / speed)
        self._threads = threads

    async def synthesize(
        self, text: AsyncIterable[str], *, voice: str | None = None
    ) -> AsyncGenerator[AudioChunk, None]:
        if voice not in {None, self._name}:
            raise ProviderRefused(PROVIDER, f"has no voice {voice!r}, only {self._name!r}")
        session = _Stoppable(self._voice.session)
        own = copy.copy(self._voice)
        own.session = session
        position = 0
        try:
            async for piece in text:
                sentences = self._speak(own, piece)
                while pcm := await self._next(sentences):
                    for start in range(0, len(pcm), _CHUNK_BYTES):
                        chunk = AudioChunk(pcm[start : start + _CHUNK_BYTES], position)
                        yield chunk
                        position = chunk.end
        finally:
            session.stop()

    async def warm(self) -> None:
        sentences = self._speak(self._voice, "Hello, can you hear me?")
        await self._next(sentences)

    async def _next(self, sentences: Iterator[bytes]) -> bytes:
        """The sound of one more sentence; empty behind the last. Whoever is cancelled does not wait for it."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, next, sentences, b"")

    def _speak(self, voice: PiperVoice, piece: str) -> Iterator[bytes]:
        """PCM for each sentence of a piece; runs in a worker thread."""
        # Double brackets would switch Piper's text to raw phonemes.
        try:
            for sentence in voice.synthesize(piece.replace("[[", "[ ["), self._style):
                pcm = _pcm(sentence.audio_float_array, sentence.sample_rate)
                if pcm:
                    yield pcm
        except _FAILURES as error:
            raise ProviderMisbehaved(PROVIDER, "could not speak a piece of text") from error


def _pcm(sound: np.ndarray[Any, Any], rate: int) -> bytes:
    """A whole sentence at once: it begins and ends in silence, so nothing is carried over to the next."""
    resampled = soxr.resample(sound, rate, SAMPLE_RATE)
    samples: bytes = (np.clip(resampled, -1.0, 1.0) * 32767).astype("<i2").tobytes()
    return samples


def _load(folder: Path, threads: int) -> tuple[str, PiperVoice]:
    found = sorted(folder.glob("*.onnx"))
    if len(found) != 1:
        raise ModelUnavailable(f"{folder} should be a folder with exactly one .onnx file")
    weights = found[0]
    wanted = options(threads, arena=True)
    # Patterns are kept for every length of sentence there ever was, and no two are alike: memory for nothing.
    wanted.enable_mem_pattern = False
    try:
        config = PiperConfig.from_dict(json.loads(weights.with_name(f"{weights.name}.json").read_text("utf-8")))
    except (OSError, ValueError, KeyError) as error:
        raise ModelUnavailable(f"{weights} is no Piper voice: it needs a whole .onnx and its .onnx.json") from error
    return weights.stem, PiperVoice(session=open_network(weights, wanted), config=config)


@asynccontextmanager
async def open_piper(
    *, model: Path, speed: float = 1.0, threads: int = 1, max_at_once: int = 2
) -> AsyncIterator[PiperSynthesizer]:
    """Load the voice in this folder, one .onnx with its .onnx.json, and speak once to warm it."""
    name, voice = await to_thread.run_sync(_load, model, threads)
    workers = yielding_threads(max_at_once, "piper")
    try:
        synthesizer = PiperSynthesizer(voice, name, workers, speed=speed)
        await synthesizer.warm()
        yield synthesizer
    finally:
        workers.shutdown(wait=False, cancel_futures=True)
