"""Contract of every SpeakerEmbedder."""

from math import sqrt

import anyio
import pytest

from app.domain.audio import BYTES_PER_SAMPLE, SAMPLE_RATE
from app.domain.speakers import MAX_DISTANCE, KnownSpeaker
from tests.clips import COUNTRY, HANDS, HOUR, NOISE, STEELS, silence
from tests.contracts.speaker_cases import SPEAKER_CASES

pytestmark = [pytest.mark.anyio, pytest.mark.models]


@pytest.fixture(scope="module", params=sorted(SPEAKER_CASES))
async def embedder(request):
    async with SPEAKER_CASES[request.param]() as opened:
        yield opened


def distance(one, other):
    return KnownSpeaker(one).distance(other)


async def test_two_utterances_of_one_voice_are_nearer_than_those_of_two(embedder):
    """HANDS and STEELS are one man's, COUNTRY and HOUR two others'."""
    hands, steels, country, hour = [await embedder.embed(clip.pcm) for clip in (HANDS, STEELS, COUNTRY, HOUR)]

    assert distance(hands, steels) < MAX_DISTANCE
    others = [distance(hands, country), distance(hands, hour), distance(steels, country), distance(country, hour)]
    assert min(others) > MAX_DISTANCE


async def test_silence_around_an_utterance_changes_little(embedder):
    """Only what somebody speaks in counts."""
    bare, padded = await embedder.embed(HANDS.pcm), await embedder.embed(silence(2) + HANDS.pcm + silence(2))

    assert distance(bare, padded) < MAX_DISTANCE / 2


@pytest.mark.parametrize(
    "pcm",
    [b"", bytes(2), bytes(3), b"\xff\x7f" * 320, silence(9), HANDS.pcm[:1600], NOISE.pcm],
    ids=["none", "one", "odd", "loud", "silence", "50 ms", "noise"],
)
async def test_embedding_of_any_audio_has_unit_length(embedder, pcm):
    """No NaN, no warning, always the same number of dimensions."""
    embedding = await embedder.embed(pcm)

    assert sqrt(sum(value * value for value in embedding)) == pytest.approx(1.0, abs=1e-3)
    assert len(embedding) == len(await embedder.embed(HANDS.pcm))


async def test_ten_minutes_cost_no_more_than_half_a_minute(embedder):
    """The number of windows has a limit; the rest is feature computing."""
    half = HOUR.pcm * 6
    with anyio.fail_after(60):
        embedding = await embedder.embed(half * 20)

    assert len(half) * 20 / BYTES_PER_SAMPLE / SAMPLE_RATE > 600
    assert distance(embedding, await embedder.embed(half)) < MAX_DISTANCE


async def test_concurrent_embeddings_do_not_mix(embedder):
    """Each gets its own voice."""
    alone = {clip.name: await embedder.embed(clip.pcm) for clip in (HANDS, COUNTRY, HOUR)}
    together = {}

    async def embed(clip):
        together[clip.name] = await embedder.embed(clip.pcm)

    async with anyio.create_task_group() as tasks:
        for clip in (HANDS, COUNTRY, HOUR):
            tasks.start_soon(embed, clip)

    assert together == alone
