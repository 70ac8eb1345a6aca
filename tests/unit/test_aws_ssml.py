"""Text as Polly takes it."""

from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.errors import RequestRefused
from providers.aws.languages import locale_for
from providers.aws.ssml import split_text, ssml_document
from providers.aws.voices import VOICES, voice_for


@given(st.text())
def test_ssml_escapes_any_text(text: str) -> None:
    """Markup in the text of a language model is not markup of the document."""
    speak = ET.fromstring(ssml_document(text))

    assert len(speak) == 0
    assert len(speak.text or "") <= len(text)


@given(st.text(alphabet="ab&<. ,。", max_size=200).map(lambda text: text * 50))
def test_split_text_is_short_enough_and_loses_nothing(text: str) -> None:
    """Only the space at a cut is gone."""
    parts = list(split_text(text))

    assert all(0 < len(part) <= 3000 and len(ssml_document(part)) <= 6000 for part in parts)
    assert "".join("".join(parts).split()) == "".join(text.split())


def test_text_is_split_between_sentences_where_it_can() -> None:
    """Else between clauses, between words, anywhere."""
    assert next(split_text("One two, three. " * 300)).endswith("three.")
    assert next(split_text("one two, " * 500)).endswith("two,")
    assert next(split_text("word " * 1000)).endswith("word")
    assert [len(part) for part in split_text("x" * 5000)] == [2900, 2100]


def test_a_voice_is_a_name_a_locale_or_a_language() -> None:
    """A language without a voice is refused."""
    asked = (None, "Matthew", "fr-CA", "fr-BE")

    assert [voice_for(each, default="Joanna") for each in asked] == ["Joanna", "Matthew", "Gabrielle", "Lea"]
    with pytest.raises(RequestRefused):
        voice_for("tlh", default="Joanna")
    assert all(voice[0].isupper() for voice in VOICES.values())


def test_the_configured_locale_is_used_for_its_own_language() -> None:
    """British stays British; other languages have a usual locale; the rest is refused."""
    assert locale_for(None, default="en-GB") == "en-GB"
    assert locale_for("en", default="en-GB") == "en-GB"
    assert locale_for("de", default="en-GB") == "de-DE"
    with pytest.raises(RequestRefused):
        locale_for("tlh", default="en-GB")
