"""The probability that a speaker who paused has finished, by Smart Turn v3 on the last eight seconds of audio.

Smart Turn is the encoder of Whisper tiny with a classifier: https://github.com/pipecat-ai/smart-turn
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import onnxruntime
from anyio import to_thread

from app.domain.audio import SAMPLE_RATE
from providers.local.errors import translate_errors
from providers.local.inference_pool import InferencePool, shared_pool
from providers.local.mel import HOP, LogMel, MelFilters, encoder_features, samples_of
from providers.local.onnx import open_network, session_options
from providers.local.scheduler import Priority
from providers.local.thread_plan import thread_plan, usable_cores
from providers.local.warm_up import warm_up_pcm

BANDS = 80

WINDOW = 8 * SAMPLE_RATE
"""Samples the network sees: the newest; shorter audio is padded with silence in front."""


class SmartTurn:
    """A TurnDetector for every session. Its jobs run before all others of the pool."""

    def __init__(self, network: onnxruntime.InferenceSession, pool: InferencePool) -> None:
        self._network = network
        self._pool = pool
        self._filters = MelFilters(BANDS)

    async def end_of_turn_probability(self, pcm: bytes) -> float:
        """The end-of-turn probability of the audio up to a pause. Raises ProviderBusy or ProviderMisbehaved."""
        probability: float = await self._pool.run(
            self.probabilities, pcm, priority=Priority.END_OF_TURN, session=object(), kind=id(self)
        )
        return probability

    def probabilities(self, turns: Sequence[bytes]) -> list[float]:
        """The end-of-turn probability for each PCM, on the calling thread."""
        with translate_errors():
            features = np.stack([self._features(pcm) for pcm in turns])
            (probabilities,) = self._network.run(None, {"input_features": features})
            return [float(one) for one in probabilities[:, 0]]

    def _features(self, pcm: bytes) -> LogMel:
        """Shape (BANDS, 800): the log-mel spectrogram of audio normalized to mean 0 and variance 1."""
        newest = samples_of(pcm)[-WINDOW:]
        samples = np.zeros(WINDOW, np.float32)
        samples[WINDOW - len(newest) :] = newest
        samples -= samples.mean()
        samples /= np.sqrt(samples.var() + np.float32(1e-7))
        return encoder_features(self._filters.log_mel(samples), WINDOW // HOP)


@asynccontextmanager
async def open_smart_turn(*, model: Path, threads: int = 0) -> AsyncIterator[SmartTurn]:
    """Load and warm the network. Raises ModelUnavailable.

    `threads` are the cores of the pool it shares with the speech models; 0 takes all that this process may run on.
    One job uses one thread.
    """
    network = await to_thread.run_sync(open_network, model, session_options())
    async with shared_pool("cpu", thread_plan(usable_cores(), threads).workers) as pool:
        detector = SmartTurn(network, pool)
        await to_thread.run_sync(detector.probabilities, [warm_up_pcm()])
        yield detector
