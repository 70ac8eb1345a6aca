"""Speech synthesis with a Piper voice inside this process.

Each piece of text is synthesized when it arrives, in a worker thread of low priority, and resampled from the voice's
own rate to 16 kHz. At most two pieces are computed at a time, over all replies; further ones are queued. A reply that
is cancelled stops its computation at the network's next operation.
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
from app.domain.errors import ModelUnavailable, ProviderMisbehaved, RequestRefused
from providers.local.low_priority import low_priority_threads
from providers.local.onnx import FAILURES, open_network, session_options

PROVIDER = "piper"
_FAILURES: tuple[type[Exception], ...] = (ValueError, RuntimeError, *FAILURES)
_CHUNK_BYTES = ms(100) * BYTES_PER_SAMPLE
_MAX_CONCURRENT = 2


class _StoppableSession:
    """An onnxruntime session whose run another thread may stop; one for each reply."""

    def __init__(self, session: onnxruntime.InferenceSession) -> None:
        self._session = session
        self._run_options = onnxruntime.RunOptions()

    def run(self, names: list[str] | None, inputs: dict[str, Any]) -> Any:
        return self._session.run(names, inputs, self._run_options)

    def stop(self) -> None:
        self._run_options.terminate = True


class PiperSynthesizer:
    """A SpeechSynthesizer with one voice, named like its model file."""

    def __init__(self, voice: PiperVoice, name: str, threads: ThreadPoolExecutor) -> None:
        self._voice = voice
        self._name = name
        self._config = SynthesisConfig(length_scale=voice.config.length_scale)
        self._threads = threads

    async def synthesize(
        self, text: AsyncIterable[str], *, voice: str | None = None
    ) -> AsyncGenerator[AudioChunk, None]:
        """16 kHz chunks of at most 100 ms, counted from the reply's first sample.

        Raises RequestRefused for another voice, ProviderMisbehaved where the network fails.
        """
        if voice not in {None, self._name}:
            raise RequestRefused(PROVIDER, f"has no voice {voice!r}, only {self._name!r}")
        session = _StoppableSession(self._voice.session)
        own = copy.copy(self._voice)
        own.session = session
        position = 0
        try:
            async for piece in text:
                sentences = self._sentences(own, piece)
                while pcm := await self._next(sentences):
                    for start in range(0, len(pcm), _CHUNK_BYTES):
                        chunk = AudioChunk(pcm[start : start + _CHUNK_BYTES], position)
                        yield chunk
                        position = chunk.end
        finally:
            session.stop()

    async def warm(self) -> None:
        """Synthesize a sentence, so that the first reply does not pay for the first run."""
        sentences = self._sentences(self._voice, "Hello, can you hear me?")
        await self._next(sentences)

    async def _next(self, sentences: Iterator[bytes]) -> bytes:
        """The PCM of one more sentence; empty after the last. A cancelled caller does not wait for it."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, next, sentences, b"")

    def _sentences(self, voice: PiperVoice, piece: str) -> Iterator[bytes]:
        """16 kHz PCM for each sentence of a piece; runs in a worker thread."""
        # Double brackets would switch Piper's text to raw phonemes.
        try:
            for sentence in voice.synthesize(piece.replace("[[", "[ ["), self._config):
                pcm = _pcm(sentence.audio_float_array, sentence.sample_rate)
                if pcm:
                    yield pcm
        except _FAILURES as error:
            raise ProviderMisbehaved(PROVIDER, "could not synthesize a piece of text") from error


def _pcm(audio: np.ndarray[Any, Any], rate: int) -> bytes:
    """A whole sentence at 16 kHz. It begins and ends in silence, so no resampler state is carried to the next."""
    resampled = soxr.resample(audio, rate, SAMPLE_RATE)
    samples: bytes = (np.clip(resampled, -1.0, 1.0) * 32767).astype("<i2").tobytes()
    return samples


def _load(folder: Path) -> tuple[str, PiperVoice]:
    """The voice's name and its network. Raises ModelUnavailable."""
    networks = sorted(folder.glob("*.onnx"))
    if len(networks) != 1:
        raise ModelUnavailable(f"{folder} should be a folder with exactly one .onnx file")
    weights = networks[0]
    options = session_options(arena=True)
    # One pattern would be kept for every length of sentence, and hardly two are alike: memory for nothing.
    options.enable_mem_pattern = False
    try:
        config = PiperConfig.from_dict(json.loads(weights.with_name(f"{weights.name}.json").read_text("utf-8")))
    except (OSError, ValueError, KeyError) as error:
        raise ModelUnavailable(f"{weights} is no Piper voice: it needs a whole .onnx and its .onnx.json") from error
    return weights.stem, PiperVoice(session=open_network(weights, options), config=config)


@asynccontextmanager
async def open_piper(*, model: Path) -> AsyncIterator[PiperSynthesizer]:
    """Load and warm the voice in this folder: one .onnx with its .onnx.json. Raises ModelUnavailable."""
    name, voice = await to_thread.run_sync(_load, model)
    workers = low_priority_threads(_MAX_CONCURRENT, "piper")
    try:
        synthesizer = PiperSynthesizer(voice, name, workers)
        await synthesizer.warm()
        yield synthesizer
    finally:
        workers.shutdown(wait=False, cancel_futures=True)
