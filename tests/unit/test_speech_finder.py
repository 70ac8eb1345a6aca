"""Whether anybody speaks in audio that is about to be decoded."""

from collections.abc import Sequence

import numpy as np
import pytest

from providers.local.vad.silero import FRAME
from providers.local.vad.speech_segments import SpeechFinder


class ScriptedNetwork:
    """Silero's network with these probabilities, frame by frame; counts its calls."""

    def __init__(self, probabilities: Sequence[float]) -> None:
        self.left, self.calls = list(probabilities), 0

    def run(self, _: None, inputs):
        self.calls += 1
        count = len(inputs["input"])
        given, self.left = self.left[:count], self.left[count:]
        return np.array(given, np.float32), inputs["h"], inputs["c"]


def finder(*stretches: tuple[int, float]) -> tuple[SpeechFinder, np.ndarray]:
    """A finder, and audio of so many frames of each probability."""
    probabilities = [speech for frames, speech in stretches for _ in range(frames)]
    return SpeechFinder(ScriptedNetwork(probabilities)), np.ones(len(probabilities) * FRAME, np.float32)


@pytest.mark.parametrize(
    ("stretches", "is_speech"),
    [
        ([(60, 0.1)], False),
        ([(30, 0.1), (1, 0.9), (30, 0.1)], True),
        ([(30, 0.1), (1, 0.7), (30, 0.1)], False),
        ([(30, 0.1), (2, 0.6), (30, 0.1)], True),
        ([(30, 0.1), (1, 0.6), (40, 0.2), (1, 0.6)], True),
    ],
    ids=[
        "nobody",
        "one clear frame",
        "a doubtful noise",
        "two doubtful frames",
        "two doubtful ones, batches apart",
    ],
)
def test_a_doubtful_noise_is_no_speech(stretches, is_speech):
    """The end of a slammed door, a clink of dishes: a model that is given one writes a sentence in any language."""
    found, samples = finder(*stretches)

    assert found.has_speech(samples) is is_speech


def test_the_search_ends_with_the_first_clear_speech():
    found, samples = finder((1, 0.95), (1000, 0.1))

    assert found.has_speech(samples)
    assert found._network.calls == 1


def test_digital_silence_is_not_scored():
    found, _ = finder((100, 0.9))

    assert not found.has_speech(np.zeros(100 * FRAME, np.float32))
