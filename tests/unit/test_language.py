"""Languages as people write them: one code for each, and a stable error for what is none."""

import pytest

from app.domain.errors import ClientError, ClientFault
from app.domain.language import MAX_LANGUAGES, allowed_languages, only_language, parse_language, parse_languages


@pytest.mark.parametrize(
    ("written", "code"),
    [
        ("de", "de"),
        ("DE", "de"),
        ("de-DE", "de"),
        ("DE_de", "de"),
        ("deu", "de"),
        ("ger", "de"),
        (" German ", "de"),
        ("zh-Hant", "zh"),
        ("zh-Hant-TW", "zh"),
        ("cmn-Hans-CN", "zh"),
        ("pt_BR", "pt"),
        ("nb-NO", "no"),
        ("iw", "he"),
        ("fil", "tl"),
        ("yue", "yue"),
        ("haw", "haw"),
    ],
)
def test_a_language_has_one_code_however_it_is_written(written, code):
    """Region and script are passed over."""
    assert parse_language(written) == code


@pytest.mark.parametrize("written", ["xx", "Klingon", "d", "de DE", "de,en", "deutsch!", "en--US", "<|de|>", "", "zxx"])
def test_what_is_no_language_is_an_error_with_a_stable_code(written):
    """The text is repeated, but not at any length."""
    with pytest.raises(ClientError) as raised:
        parse_language(written * 50 if written == "Klingon" else written)

    assert raised.value.code is ClientFault.UNKNOWN_LANGUAGE
    assert len(str(raised.value)) < 120


@pytest.mark.parametrize(
    ("tags", "language"),
    [
        ([], ""),
        ([""], ""),
        (["", " "], ""),
        (["Auto"], ""),
        (["German", "en-GB"], "de,en"),
        (["de", "deu", "de-AT"], "de"),
    ],
)
def test_a_set_of_languages_has_each_once_and_none_means_every_one(tags, language):
    assert parse_languages(tags) == language


def test_a_set_has_a_limit():
    """More of them would be a detection among all."""
    tags = ["af", "am", "ar", "az", "be", "bg", "bn", "cs", "da", "de", "el"]
    assert len(tags) > MAX_LANGUAGES

    with pytest.raises(ClientError, match="at most"):
        parse_languages(tags)


def test_a_set_is_read_back():
    assert [allowed_languages(text) for text in (None, "", "de", "de,en")] == [(), (), ("de",), ("de", "en")]
    assert [only_language(text) for text in (None, "de", "de,en")] == [None, "de", None]
