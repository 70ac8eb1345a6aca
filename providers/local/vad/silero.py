"""Is someone speaking? Silero's small neural detector, as faster-whisper ships it."""

from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator
from contextlib import asynccontextmanager
from importlib.resources import as_file, files

import numpy as np
import onnxruntime
from anyio import to_thread

from app.domain.audio import AudioChunk, ScoredChunk
from app.domain.errors import ModelUnavailable
from providers.local.onnx import open_network, options
from providers.local.vad.frames import framed

FRAME = 512
"""Samples the detector looks at: 32 ms."""

CONTEXT = 64
"""Samples of the frame before that it looks at too."""

STATE = (1, 1, 128)
_FULL_SCALE = 32768.0


class SileroDetector:
    """Scores frames of 32 ms. The network is shared; its memory belongs to one stream."""

    def __init__(self, network: onnxruntime.InferenceSession) -> None:
        self._network = network

    async def score(self, audio: AsyncIterable[AudioChunk]) -> AsyncGenerator[ScoredChunk, None]:
        hidden, cell = np.zeros(STATE, np.float32), np.zeros(STATE, np.float32)
        window = np.zeros((1, CONTEXT + FRAME), np.float32)
        async for frame in framed(audio, FRAME):
            heard = np.frombuffer(frame.pcm, "<i2") / _FULL_SCALE
            window[0, :CONTEXT] = window[0, -CONTEXT:]
            window[0, CONTEXT:] = 0.0
            window[0, CONTEXT : CONTEXT + len(heard)] = heard
            # On the event loop, because a frame costs less than a hop to a thread and back.
            speech, hidden, cell = self._network.run(None, {"input": window, "h": hidden, "c": cell})
            yield ScoredChunk(frame, float(np.clip(speech.item(), 0.0, 1.0)))


def load_network() -> onnxruntime.InferenceSession:
    found = sorted(
        entry.name for entry in files("faster_whisper.assets").iterdir() if entry.name.startswith("silero_vad")
    )
    if not found:
        raise ModelUnavailable("the installed faster-whisper ships no Silero detector: install faster-whisper 1.2")
    with as_file(files("faster_whisper.assets") / found[-1]) as path:
        return open_network(path, options())


@asynccontextmanager
async def open_silero_vad() -> AsyncIterator[SileroDetector]:
    """Open the detector; every stream it scores shares one network on one thread."""
    yield SileroDetector(await to_thread.run_sync(load_network))
