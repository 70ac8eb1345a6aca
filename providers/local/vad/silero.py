"""Speech probability of a stream by Silero VAD, the network that faster-whisper ships."""

import math
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator
from contextlib import asynccontextmanager
from importlib.resources import as_file, files

import numpy as np
import onnxruntime
from anyio import to_thread
from numpy.typing import NDArray

from app.domain.audio import AudioChunk, ScoredChunk
from app.domain.errors import ModelUnavailable
from providers.local.onnx import open_network, session_options
from providers.local.vad.frames import reframe

FRAME = 512
"""Samples in a frame: 32 ms."""

CONTEXT = 64
"""Samples of the previous frame that the network sees too."""

STATE = (1, 1, 128)
"""Shape of the LSTM's hidden and cell state."""

_FULL_SCALE = 32768.0


class SileroDetector:
    """A SpeechDetector with frames of 32 ms. Streams share the network; each has its own LSTM state."""

    def __init__(self, network: onnxruntime.InferenceSession) -> None:
        self._network = network

    async def score(self, audio: AsyncIterable[AudioChunk]) -> AsyncGenerator[ScoredChunk, None]:
        """Every sample of `audio` once, in frames with their speech probability (0 to 1)."""
        hidden, cell = np.zeros(STATE, np.float32), np.zeros(STATE, np.float32)
        window = np.zeros((1, CONTEXT + FRAME), np.float32)
        async for frame in reframe(audio, FRAME):
            samples = np.frombuffer(frame.pcm, "<i2") / _FULL_SCALE
            window[0, :CONTEXT] = window[0, -CONTEXT:]
            window[0, CONTEXT:] = 0.0
            window[0, CONTEXT : CONTEXT + len(samples)] = samples
            # On the event loop, because a frame costs less than a hop to a thread and back.
            speech, hidden, cell = self._network.run(None, {"input": window, "h": hidden, "c": cell})
            yield ScoredChunk(frame, float(np.clip(speech.item(), 0.0, 1.0)), level_db(samples))


def level_db(samples: NDArray[np.float64]) -> float:
    """Of samples from -1 to 1, below full scale; never below -100."""
    return 10 * math.log10(float(samples @ samples) / len(samples) + 1e-10)


def load_network() -> onnxruntime.InferenceSession:
    """Silero's network on one thread. Raises ModelUnavailable where faster-whisper does not ship it."""
    names = sorted(
        entry.name for entry in files("faster_whisper.assets").iterdir() if entry.name.startswith("silero_vad")
    )
    if not names:
        raise ModelUnavailable("the installed faster-whisper ships no Silero detector: install faster-whisper 1.2")
    with as_file(files("faster_whisper.assets") / names[-1]) as path:
        return open_network(path, session_options())


@asynccontextmanager
async def open_silero_vad() -> AsyncIterator[SileroDetector]:
    """Open the detector. Raises ModelUnavailable."""
    yield SileroDetector(await to_thread.run_sync(load_network))
