"""Contract of every SpeechDetector (VAD)."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from itertools import cycle, pairwise

import anyio
import pytest

from app.domain.audio import AudioChunk
from tests.clips import COUNTRY, HANDS, NOISE, silence
from tests.contracts.detector_cases import DETECTOR_CASES

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module", params=sorted(DETECTOR_CASES))
async def detector(request):
    async with DETECTOR_CASES[request.param]() as opened:
        yield opened


async def chunked(pcm: bytes, sizes: Sequence[int] = (320,), *, first: int = 0) -> AsyncGenerator[AudioChunk, None]:
    at, turn = 0, cycle(sizes)
    while at < len(pcm) // 2:
        end = at + next(turn)
        yield AudioChunk(pcm[2 * at : 2 * end], first + at)
        at = end


async def scored(detector, pcm, sizes=(320,), *, first=0):
    async with aclosing(detector.score(chunked(pcm, sizes, first=first))) as scores:
        return [one async for one in scores]


def share_of_speech(scores):
    return sum(one.speech >= 0.5 for one in scores) / len(scores)


@pytest.mark.parametrize("sizes", [(320,), (1, 7, 1000, 333), (16_000,), (512,)])
async def test_vad_yields_every_sample_once_in_order(detector, sizes):
    """Whatever the chunks' sizes, nothing is lost, doubled or moved, the rest at the end included."""
    scores = await scored(detector, HANDS.pcm[:20_002], sizes, first=77)

    assert b"".join(one.chunk.pcm for one in scores) == HANDS.pcm[:20_002]
    assert scores[0].chunk.start == 77
    assert all(one.chunk.end == other.chunk.start for one, other in pairwise(scores))
    assert all(0.0 <= one.speech <= 1.0 for one in scores)


async def test_vad_scores_speech_high_and_silence_low(detector):
    """A voice is distinguished from silence."""
    assert share_of_speech(await scored(detector, COUNTRY.pcm)) > 0.5
    assert share_of_speech(await scored(detector, silence(3))) == 0.0


async def test_vad_of_an_empty_stream_yields_nothing(detector):
    """Nothing in, nothing out, no hang."""
    assert await scored(detector, b"") == []


async def test_concurrent_vad_streams_do_not_mix(detector):
    """The audio of one session has no influence on another's scores."""
    together = {}

    async def score(name, pcm):
        together[name] = await scored(detector, pcm)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(score, "voice", HANDS.pcm)
        tasks.start_soon(score, "noise", NOISE.pcm)

    assert together["voice"] == await scored(detector, HANDS.pcm)
    assert together["noise"] == await scored(detector, NOISE.pcm)


async def test_vad_closed_half_way_frees_everything(detector):
    """A stream left after its first score has no influence on the next."""
    before = await scored(detector, HANDS.pcm)

    async with aclosing(detector.score(chunked(HANDS.pcm))) as scores:
        await anext(scores)

    assert await scored(detector, HANDS.pcm) == before
