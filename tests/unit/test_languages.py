"""Which languages a model knows, and which model writes drafts."""

import json

import pytest

from app.assembly.speech import drafts_model, finals_model
from app.config import Settings
from app.domain.errors import ModelUnavailable
from providers.local.asr.languages import supported_languages

LANGUAGES = ["<|en|>", "<|de|>", "<|haw|>", "<|nospeech|>", "<|0.02|>"]


def vocabulary(size: int) -> list[str]:
    words = [f"word{number}" for number in range(size - len(LANGUAGES))]
    return [*words, *LANGUAGES]


def test_an_english_only_model_is_known_by_its_shorter_vocabulary(tmp_path):
    """It contains the tokens of other languages nevertheless."""
    (tmp_path / "vocabulary.txt").write_text("\n".join(vocabulary(51864)))

    assert supported_languages(tmp_path) == {"en"}


@pytest.mark.parametrize("size", [51865, 51866])
def test_a_multilingual_model_knows_the_languages_of_its_tokens(tmp_path, size):
    """large-v3 has one token more; its vocabulary is JSON."""
    (tmp_path / "vocabulary.json").write_text(json.dumps(vocabulary(size)))

    assert supported_languages(tmp_path) == {"en", "de", "haw"}


def test_a_folder_without_a_vocabulary_says_nothing(tmp_path):
    """What opens it decides."""
    assert supported_languages(tmp_path) == frozenset()


def test_a_damaged_vocabulary_is_a_model_that_is_unavailable(tmp_path):
    """One sentence, with the folder."""
    (tmp_path / "vocabulary.json").write_text("[")

    with pytest.raises(ModelUnavailable, match=str(tmp_path)):
        supported_languages(tmp_path)


@pytest.mark.parametrize(
    ("language", "name"), [("en", "whisper-tiny.en"), ("de", "whisper-base"), ("", "whisper-base")]
)
def test_drafts_of_other_languages_take_a_multilingual_model(language, name):
    """Unless a model is named."""
    assert drafts_model(Settings(language=language)) == name
    assert drafts_model(Settings(language=language, draft_model_id="mine")) == "mine"


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({}, "moonshine-base-en"),
        ({"language": "de"}, "whisper-base"),
        ({"language": ""}, "whisper-base"),
        ({"beam_size": 5}, "whisper-base"),
        ({"second_model_id": "none"}, "whisper-base"),
        ({"transcription_model_id": "mine"}, "mine"),
    ],
    ids=["English", "German", "any language", "beam search", "nothing beside it", "as set"],
)
def test_english_finals_take_moonshine_where_it_was_pulled(changes, name, tmp_path):
    """Whisper base stands beside it, so that nothing else depends on it."""
    settings = Settings(device="cpu", models_dir=tmp_path, **{"language": "en", **changes})
    assert finals_model(settings) == ("mine" if name == "mine" else "whisper-base")

    (tmp_path / "moonshine-base-en").mkdir()

    assert finals_model(settings) == name
