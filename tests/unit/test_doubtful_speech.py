"""A text of audio in which the detector is in doubt whether anybody speaks: it stands where it is probable."""

from contextlib import aclosing

import numpy as np
import pytest

from providers.local.asr.engine import SpeechEngine
from providers.local.asr.hallucination import Verdict
from providers.local.asr.recognizer import DecodeResult
from providers.local.asr.repair import is_believable
from providers.local.asr.session import EngineParts
from providers.local.inference_pool import InferencePool
from providers.local.scheduler import QueueLimits
from tests.contracts.test_speech_detector import chunked

pytestmark = pytest.mark.anyio

PROBABLE = DecodeResult("Good morning.", -0.4, Verdict.OK, language="en", no_speech_prob=0.2)
IMPROBABLE = (
    DecodeResult("The world is dying.", -1.15, Verdict.BROKEN, no_speech_prob=0.4),
    DecodeResult("I knew it was a bad thing.", -0.99, Verdict.OK, no_speech_prob=0.3),
    DecodeResult("Sam", -0.41, Verdict.OK, no_speech_prob=0.75),
)


class Doubt:
    """A SpeechFinder that takes everything for speech, and is sure of it or not."""

    def __init__(self, *, is_sure):
        self.is_sure = is_sure

    def has_speech(self, samples):
        return True

    def has_clear_speech(self, samples):
        return self.is_sure

    def probabilities(self, samples):
        return [0.6] * (len(samples) // 512)


class Scripted:
    """A recognizer with one answer."""

    languages = frozenset({"en"})

    def __init__(self, result):
        self.result = result

    def require_language(self, language):
        """It knows them all."""

    def decode(self, requests):
        return [self.result for _ in requests]


@pytest.fixture
def pool():
    opened = InferencePool(1, QueueLimits())
    yield opened
    opened.close()


async def text_of(pool, result, *, is_sure):
    engine = SpeechEngine(EngineParts(Scripted(result), pool, Doubt(is_sure=is_sure)), beam_size=1)
    pcm = np.full(16_000, 1000, "<i2").tobytes()
    async with aclosing(engine.transcribe(chunked(pcm, (8000,)), language="en")) as hypotheses:
        return [one async for one in hypotheses][-1].text


@pytest.mark.parametrize("result", IMPROBABLE, ids=["broken", "improbable", "no speech, says the decoder"])
async def test_an_improbable_text_needs_speech_beyond_doubt(pool, result):
    assert await text_of(pool, result, is_sure=False) == ""
    assert await text_of(pool, result, is_sure=True) == result.text


async def test_a_probable_text_stands_where_the_detector_is_in_doubt(pool):
    assert await text_of(pool, PROBABLE, is_sure=False) == PROBABLE.text


def test_both_are_asked():
    assert is_believable(PROBABLE, is_speech_clear=False)
    assert not is_believable(IMPROBABLE[0], is_speech_clear=False)
    assert is_believable(IMPROBABLE[0], is_speech_clear=True)
