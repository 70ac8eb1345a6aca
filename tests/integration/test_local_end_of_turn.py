"""Smart Turn on speech of people who have finished and of people who have not."""

from contextlib import AsyncExitStack

import anyio
import pytest

from app.domain.audio import BYTES_PER_SAMPLE, SAMPLE_RATE
from app.domain.errors import ModelUnavailable
from providers.local.turn.smart_turn import open_smart_turn
from tests.clips import COUNTRY, HANDS, HOUR, silence
from tests.models import model

pytestmark = [pytest.mark.anyio, pytest.mark.models]
PAUSE = silence(0.1)


@pytest.fixture(scope="module")
async def detector():
    (weights,) = model("smart-turn-v3").glob("*.onnx")
    async with open_smart_turn(model=weights) as opened:
        yield opened


def first(pcm: bytes, seconds: float) -> bytes:
    return pcm[: BYTES_PER_SAMPLE * int(seconds * SAMPLE_RATE)]


@pytest.mark.parametrize("clip", [HANDS, HOUR, COUNTRY], ids=lambda clip: clip.name)
async def test_end_of_turn_is_probable_at_the_end_of_a_sentence_and_not_in_its_middle(detector, clip):
    """Cut where half of it was spoken."""
    whole = await detector.end_of_turn_probability(clip.pcm + PAUSE)
    half = await detector.end_of_turn_probability(
        first(clip.pcm, len(clip.pcm) / BYTES_PER_SAMPLE / SAMPLE_RATE / 2) + PAUSE
    )

    assert whole > 0.5 > half


async def test_end_of_turn_depends_on_the_newest_eight_seconds(detector):
    """Audio before them changes nothing."""
    newest = (HOUR.pcm + HANDS.pcm + HOUR.pcm)[-BYTES_PER_SAMPLE * 8 * SAMPLE_RATE :]

    assert await detector.end_of_turn_probability(COUNTRY.pcm + newest) == await detector.end_of_turn_probability(
        newest
    )


@pytest.mark.parametrize("pcm", [b"", bytes(2), b"\xff\x7f" * 320, silence(9)], ids=["none", "one", "loud", "silence"])
async def test_end_of_turn_of_audio_without_speech(detector, pcm):
    """With some probability, and no warning on the way."""
    assert 0.0 <= await detector.end_of_turn_probability(pcm) <= 1.0


async def test_end_of_turn_batch_equals_single_passes(detector):
    """A batch mixes nobody up."""
    turns = [HANDS.pcm, first(COUNTRY.pcm, 2.0), HOUR.pcm]
    alone = [await detector.end_of_turn_probability(pcm) for pcm in turns]

    assert detector.probabilities(turns) == pytest.approx(alone, abs=0.01)


async def test_concurrent_end_of_turn_checks_do_not_mix(detector):
    """Each gets an answer of their own."""
    answers: dict[int, float] = {}

    async def ask(number: int, pcm: bytes) -> None:
        answers[number] = await detector.end_of_turn_probability(pcm)

    async with anyio.create_task_group() as tasks:
        for number in range(8):
            tasks.start_soon(ask, number, HANDS.pcm if number % 2 else first(HANDS.pcm, 1.5))

    assert all((answers[number] > 0.5) == bool(number % 2) for number in range(8))


async def test_damaged_turn_model_is_unavailable(tmp_path):
    """With what to do."""
    damaged = tmp_path / "turns.onnx"
    damaged.write_bytes(b"no network")

    async with AsyncExitStack() as stack:
        with pytest.raises(ModelUnavailable, match="fetch the model again"):
            await stack.enter_async_context(open_smart_turn(model=damaged))
