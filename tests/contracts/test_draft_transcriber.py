"""Contract of every DraftTranscriber."""

import anyio
import pytest

from app.domain.dialog.agreement import LocalAgreement
from tests.clips import COUNTRY, HANDS, NOISE, silence, word_error_rate
from tests.contracts.transcriber_cases import DRAFT_CASES

pytestmark = [pytest.mark.anyio, pytest.mark.models]

HALF_A_SECOND = 16_000


@pytest.fixture(scope="module", params=sorted(DRAFT_CASES))
async def drafter(request):
    async with DRAFT_CASES[request.param]() as opened:
        yield opened


async def test_draft_is_interim_and_covers_the_whole_utterance(drafter):
    """All words up to now, not only the new ones."""
    draft = await drafter.draft(COUNTRY.pcm, language="en")

    assert not draft.is_final
    assert word_error_rate(COUNTRY.words, draft.text) <= 0.2


async def test_drafts_of_a_growing_utterance_converge(drafter):
    """Built on what earlier drafts agreed on, the last draft is as good as one of the whole."""
    agreed = LocalAgreement()
    for end in range(HALF_A_SECOND, len(COUNTRY.pcm), HALF_A_SECOND):
        draft = await drafter.draft(COUNTRY.pcm[:end], stable=agreed.stable_text, language="en")
        agreed = agreed.update(draft.text if draft else "")

    assert word_error_rate(COUNTRY.words, agreed.text) <= 0.3


@pytest.mark.parametrize("pcm", [b"", silence(0.05), silence(3), NOISE.pcm], ids=["none", "50 ms", "silence", "noise"])
async def test_draft_of_silence_or_noise_has_no_words(drafter, pcm):
    """A draft of silence or noise has no words, or there is none."""
    draft = await drafter.draft(pcm, language="en")

    assert draft is None or draft.text == ""


async def test_cancelled_draft_does_not_affect_the_next(drafter):
    """Drafts are given up all the time."""
    with anyio.move_on_after(0.01):
        await drafter.draft(COUNTRY.pcm, language="en")

    assert (await drafter.draft(HANDS.pcm, language="en")).text
