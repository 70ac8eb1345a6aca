"""A draft that an engine drops is skipped: it takes back no word that was shown."""

import pytest

from app.domain.dialog.agreement import LocalAgreement
from providers.local.asr.drafts import DraftState
from providers.local.asr.hallucination import Verdict
from providers.local.asr.recognizer import DecodeResult
from providers.local.asr.session import EngineParts, SpeechSession
from providers.local.inference_pool import SupersededRequest


class AnyModel:
    """What a session asks of its model before a draft."""

    def require_language(self, language: str | None) -> None:
        """Every language will do."""


class BusyPool:
    """Each draft is replaced by a newer one before its turn."""

    async def run(self, *_: object, **__: object) -> None:
        raise SupersededRequest


@pytest.mark.anyio
async def test_a_superseded_draft_is_no_draft():
    """It does not come back as the stable words, which would look like a shorter utterance."""
    session = SpeechSession(EngineParts(AnyModel(), BusyPool(), None), transcribe_final=None)

    assert await session.draft(bytes(32_000), stable="what is the", language="en") is None


def test_a_broken_decode_is_no_draft():
    """Words that the engine does not trust take nothing back."""
    broken = DecodeResult("what is", verdict=Verdict.BROKEN)

    assert DraftState().whole_text(broken, "what is the") is None


def test_an_empty_draft_takes_back_no_word():
    """Where nothing is stable yet, the newest words that there were stay shown, and the next draft agrees with them."""
    shown = LocalAgreement().update("he should").update("")

    assert shown.text == "he should"
    assert shown.update("he should go").stable_text == "he should"
