"""Moonshine with its published weights: words, silence, drafts, word times, precisions, damaged files."""

import shutil
from contextlib import aclosing

import numpy as np
import pytest

from app.domain.audio import SAMPLE_RATE
from app.domain.errors import ModelUnavailable, RequestRefused
from providers.local.asr.engine import open_speech_engine
from providers.local.asr.moonshine.layout import DECODER_FILE, ENCODER_PATHS
from providers.local.asr.moonshine.recognizer import open_moonshine_recognizer
from providers.local.asr.recognizer import DecodeRequest
from providers.local.asr.transformer.encoder_path import right_paths
from providers.local.mel import samples_of
from tests.clips import COUNTRY, HANDS, HOUR, STEELS, silence, word_error_rate
from tests.contracts.test_speech_detector import chunked
from tests.models import model

pytestmark = [pytest.mark.anyio, pytest.mark.models]

NAME = "moonshine-base-en"


@pytest.fixture(scope="module")
def recognizer():
    return open_moonshine_recognizer(model(NAME), threads=1)


@pytest.fixture(scope="module")
async def engine():
    async with open_speech_engine(model=model(NAME), second_model=model("whisper-base"), device="cpu") as opened:
        yield opened


def decoded(recognizer, pcm, **options):
    return recognizer.decode([DecodeRequest(samples_of(pcm), "en", **options)])[0]


@pytest.mark.parametrize("clip", [HANDS, HOUR, COUNTRY], ids=lambda clip: clip.name)
def test_words_are_recognized(recognizer, clip):
    assert word_error_rate(clip.words, decoded(recognizer, clip.pcm).text) <= 0.1


@pytest.mark.parametrize("path", ENCODER_PATHS)
def test_every_encoder_path_that_is_right_here_recognizes_the_same_words(path, recognizer):
    """Each can be set; which ones are right, a test has found out when the model was first opened."""
    opened = open_moonshine_recognizer(model(NAME), threads=1, encoder_path=path)

    assert opened.compute_type == path
    assert opened.encoder_choice.startswith(f"{path}, as set")
    if path not in {test.path for test in right_paths(recognizer.choice.tests)}:
        pytest.skip(f"{path} is wrong on this processor")
    assert word_error_rate(HANDS.words, decoded(opened, HANDS.pcm).text) <= 0.1


@pytest.mark.parametrize("seconds", [1, 2, 4])
def test_silence_before_speech_does_not_make_the_text_empty(recognizer, seconds):
    """The model would write nothing at all; the VAD knows better."""
    assert word_error_rate(HANDS.words, decoded(recognizer, silence(seconds) + HANDS.pcm).text) <= 0.3


def test_draft_text_changes_no_word(recognizer):
    """Neither a right one nor a wrong one."""
    alone = decoded(recognizer, COUNTRY.pcm)

    for draft in (alone.text, "ask not what the weather", "something else entirely"):
        assert decoded(recognizer, COUNTRY.pcm, draft_text=draft).text == alone.text


def test_text_continues_behind_its_prefix(recognizer):
    alone = decoded(recognizer, COUNTRY.pcm)
    prefix = " ".join(alone.text.split()[:4])

    continued = decoded(recognizer, COUNTRY.pcm, prefix=prefix, allow_fallback=False)

    assert continued.text.startswith(prefix)
    assert word_error_rate(alone.text, continued.text) <= 0.2


@pytest.mark.parametrize("milliseconds", [50, 300, 500])
def test_snippets_end_within_what_can_be_said(recognizer, milliseconds):
    """Cut anywhere: no loop that fills the token limit is shown."""
    samples = samples_of(COUNTRY.pcm)[SAMPLE_RATE:]
    snippet = samples[: milliseconds * SAMPLE_RATE // 1000]

    text = recognizer.decode([DecodeRequest(snippet, "en")])[0].text

    assert len(text) <= 25 * milliseconds / 1000 + 12


def test_words_have_times_within_the_audio(recognizer):
    result = decoded(recognizer, HANDS.pcm, word_timestamps=True)

    assert [word.text.strip() for word in result.words] == result.text.split()
    starts = [word.start_s for word in result.words]
    assert starts == sorted(starts)
    assert result.words[-1].end_s <= len(HANDS.pcm) / 2 / SAMPLE_RATE
    assert starts[-1] > len(HANDS.pcm) / 2 / SAMPLE_RATE / 3
    assert all(0 < word.probability <= 1 for word in result.words)


@pytest.mark.parametrize("samples", [np.zeros(16_000, np.float32), np.ones(16_000, np.float32)], ids=["zeros", "ones"])
def test_audio_without_speech_is_decoded_without_an_error(recognizer, samples):
    """The VAD keeps it away; a false alarm costs a word, not the session."""
    assert recognizer.decode([DecodeRequest(samples, "en")])[0].language == "en"


async def test_engine_transcribes_and_drafts(engine):
    session = engine.for_session()
    half = HANDS.pcm[: len(HANDS.pcm) // 2 // 2 * 2]

    draft = await session.draft(half, language="en")
    async with aclosing(session.transcribe(chunked(HANDS.pcm, (8000,)), language="en")) as hypotheses:
        final = [one async for one in hypotheses][-1]

    assert draft.text
    assert word_error_rate(HANDS.words, final.text) <= 0.1
    assert final.is_final
    assert "int" in engine.compute_type


async def test_other_languages_are_the_second_models_and_refused_without_one(recognizer, engine):
    with pytest.raises(RequestRefused, match="English only"):
        recognizer.require_language("de")
    async with aclosing(engine.transcribe(chunked(HANDS.pcm, (8000,)), language="de")) as hypotheses:
        assert [one async for one in hypotheses][-1].is_final


@pytest.fixture(params=["missing", "cut short", "other file"])
def damaged(request, tmp_path):
    """A copy of the model with one file that is not the model's."""
    folder = tmp_path / "model"
    shutil.copytree(model(NAME), folder, ignore=shutil.ignore_patterns(".*"))
    match request.param:
        case "missing":
            (folder / "tokenizer.bin").unlink()
        case "cut short":
            (folder / DECODER_FILE).write_bytes((folder / DECODER_FILE).read_bytes()[:1000])
        case "other file":
            shutil.copyfile(folder / "encoder_model.ort", folder / DECODER_FILE)
    return folder


async def test_damaged_model_is_named(damaged):
    with pytest.raises(ModelUnavailable, match="fetch"):
        async with open_speech_engine(model=damaged, device="cpu"):
            pass


NAMES = ("Philip Steels", "Siobhan", "Ebenezer", "Margherita")


@pytest.mark.parametrize("name", [NAME, "whisper-base"])
async def test_key_terms_spell_a_name_and_insert_none(name):
    """ "fill up steels" becomes the name that sounds so; a sentence without a name stays as it was."""
    async with open_speech_engine(model=model(name), device="cpu") as opened:
        biased = opened.with_key_terms(NAMES)
        spelt = [await _final(engine, STEELS.pcm) for engine in (opened, biased)]
        other = [await _final(engine, HANDS.pcm) for engine in (opened, biased)]
        draft = await biased.draft(STEELS.pcm, language="en")

    assert "Philip Steels" not in spelt[0]
    assert "Philip Steels" in spelt[1]
    assert draft is not None
    assert "Philip Steels" in draft.text
    assert other[0] == other[1]


async def test_key_terms_spell_a_name_on_ctranslate2():
    """A beam of two is decoded by CTranslate2, whose prompt they stand before; its answer has none of them else."""
    async with open_speech_engine(model=model("whisper-base"), device="cpu", beam_size=2) as opened:
        biased = opened.with_key_terms(NAMES)
        spelt = [await _final(engine, STEELS.pcm) for engine in (opened, biased)]
        other = await _final(biased, HANDS.pcm)

    assert "Philip Steels" not in spelt[0]
    assert "Philip Steels" in spelt[1]
    assert not any(name in other for name in NAMES)
    assert word_error_rate(HANDS.words, other) <= 0.2


async def _final(engine, pcm):
    async with aclosing(engine.transcribe(chunked(pcm), language="en")) as hypotheses:
        return [hypothesis.text async for hypothesis in hypotheses][-1]
