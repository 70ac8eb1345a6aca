"""Is someone who is silent now done? Smart Turn v3, a small network over the last eight seconds of sound.

Smart Turn is Whisper tiny's encoder with a head that says how probable it is that the turn is complete:
https://github.com/pipecat-ai/smart-turn
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import onnxruntime
from anyio import to_thread

from app.domain.audio import SAMPLE_RATE
from providers.local.asr.whisper_model import translated
from providers.local.inference_pool import InferencePool, shared_pool, thread_plan, usable_cores
from providers.local.mel import HOP, Mel, MelFilters, samples_of, scaled
from providers.local.onnx import open_network, options
from providers.local.scheduler import Priority
from providers.local.self_test import noise

BANDS = 80

WINDOW = 8 * SAMPLE_RATE
"""Samples it hears: the newest; shorter sound stands at the end of them, behind silence."""


class SmartTurn:
    """A TurnDetector for every session. Its questions go before all other work of the cores they share."""

    def __init__(self, network: onnxruntime.InferenceSession, cores: InferencePool) -> None:
        self._network = network
        self._cores = cores
        self._filters = MelFilters(BANDS)

    async def end_of_turn_probability(self, pcm: bytes) -> float:
        probability: float = await self._cores.run(
            self.judge, pcm, urgency=Priority.TURN, session=object(), kind=id(self)
        )
        return probability

    def judge(self, turns: Sequence[bytes]) -> list[float]:
        """On a worker thread: for each piece of PCM the probability that its speaker is done."""
        with translated():
            features = np.stack([self._features(pcm) for pcm in turns])
            (probabilities,) = self._network.run(None, {"input_features": features})
            return [float(one) for one in probabilities[:, 0]]

    def _features(self, pcm: bytes) -> Mel:
        """Shape (BANDS, 800): the log-mel spectrogram of sound that was brought to mean 0 and variance 1."""
        heard = samples_of(pcm)[-WINDOW:]
        sound = np.zeros(WINDOW, np.float32)
        sound[WINDOW - len(heard) :] = heard
        sound -= sound.mean()
        sound /= np.sqrt(sound.var() + np.float32(1e-7))
        return scaled(self._filters.columns(sound), WINDOW // HOP)


@asynccontextmanager
async def open_smart_turn(*, model: Path, threads: int = 0) -> AsyncIterator[SmartTurn]:
    """Load the network and ask it once, so that the first question is as quick as the second.

    `threads` are the cores it may share with the speech models; 0: all that this process may run on. A question
    takes one.
    """
    network = await to_thread.run_sync(open_network, model, options())
    async with shared_pool("cpu", thread_plan(usable_cores(), threads).workers) as cores:
        detector = SmartTurn(network, cores)
        await to_thread.run_sync(detector.judge, [noise()])
        yield detector
