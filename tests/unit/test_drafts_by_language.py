"""Which of two models makes the drafts of a language."""

from dataclasses import dataclass

import pytest

from app.domain.errors import RequestRefused
from app.runtime.dialog.drafts_by_language import DraftsByLanguage
from tests.fakes import ScriptedTranscriber

pytestmark = pytest.mark.anyio
ENGLISH, TWO = frozenset({"en"}), frozenset({"en", "de"})


@pytest.mark.parametrize(
    ("small_languages", "language", "drafter"),
    [
        (ENGLISH, "en", "small"),
        (ENGLISH, "de", "large"),
        (ENGLISH, "de,en", "large"),
        (ENGLISH, None, "large"),
        (TWO, "de,en", "small"),
        (TWO, "de,fr", "large"),
        (TWO, None, "small"),
    ],
)
async def test_the_small_model_drafts_where_it_knows_every_language(small_languages, language, drafter):
    """One that knows English alone would write English for whatever is spoken."""
    drafts = DraftsByLanguage(ScriptedTranscriber("small"), small_languages, ScriptedTranscriber("large"))

    assert (await drafts.draft(b"", language=language)).text == drafter


async def test_a_language_that_neither_knows_is_refused():
    refusal = RequestRefused("local", "this model knows English only")
    drafts = DraftsByLanguage(ScriptedTranscriber(), ENGLISH, ScriptedTranscriber(error=refusal))

    with pytest.raises(RequestRefused):
        await drafts.draft(b"", language="de")


@dataclass
class BiasedDrafter(ScriptedTranscriber):
    """Drafts the words that it is told to expect."""

    def with_key_terms(self, terms):
        return BiasedDrafter(" ".join(terms))


async def test_key_terms_reach_the_model_that_drafts():
    """One that takes none drafts as before."""
    drafts = DraftsByLanguage(BiasedDrafter(), ENGLISH, ScriptedTranscriber("plain")).with_key_terms(["Parley"])

    assert (await drafts.draft(b"", language="en")).text == "Parley"
    assert (await drafts.draft(b"", language="de")).text == "plain"
