"""Two speech models as one: who is asked, and whose text counts."""

from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from app.domain.errors import RequestRefused
from providers.local.asr.hallucination import Verdict
from providers.local.asr.recognizer import DecodeRequest, DecodeResult, TimedWord
from providers.local.asr.second_opinion import SecondOpinion, is_doubtful

SAMPLES = np.zeros(5 * 16_000, np.float32)
SURE = DecodeResult("ask not what your country can do", -0.1, Verdict.OK, language="en")


@dataclass
class Scripted:
    """A recognizer with one answer."""

    result: DecodeResult
    languages: tuple[str | None, ...] = (None, "en")
    asked: list[DecodeRequest] = field(default_factory=list)
    device: str = "cpu"
    compute_type: str = "int8"
    note: str = ""

    def require_language(self, language):
        if language not in self.languages:
            raise RequestRefused("scripted", "unknown language")

    def decode(self, requests):
        self.asked += requests
        return [self.result for _ in requests]


def pair(first, second="another text"):
    return SecondOpinion(
        Scripted(first), "en", Scripted(DecodeResult(second, -0.5, Verdict.OK), languages=(None, "en", "de"))
    )


def test_sure_final_has_no_second_opinion():
    models = pair(SURE)

    assert models.decode([DecodeRequest(SAMPLES, "en")]) == [SURE]
    assert models.second.asked == []


@pytest.mark.parametrize(
    "doubtful",
    [
        DecodeResult(SURE.text, -0.3, Verdict.OK),
        DecodeResult("", -0.01, Verdict.SILENCE),
        DecodeResult("any any any any", -0.1, Verdict.LOOP),
        DecodeResult(SURE.text, -0.1, Verdict.BROKEN),
        DecodeResult("a " * 31, -0.1, Verdict.OK),
    ],
    ids=["improbable", "empty", "loop", "endless", "too many words"],
)
def test_doubtful_final_is_the_second_models(doubtful):
    assert is_doubtful(doubtful, 5.0)
    assert pair(doubtful).decode([DecodeRequest(SAMPLES, "en")])[0].text == "another text"


def test_doubtful_final_stays_where_the_second_model_fails_too():
    first = DecodeResult("ask not", -0.4, Verdict.OK)
    models = pair(first)
    models.second.result = DecodeResult("not not not not", -0.1, Verdict.LOOP)

    assert models.decode([DecodeRequest(SAMPLES, "en")]) == [first]


def test_draft_has_no_second_opinion():
    models = pair(DecodeResult("", -3.0, Verdict.SILENCE))

    models.decode([DecodeRequest(SAMPLES, "en", allow_fallback=False)])

    assert models.second.asked == []


@pytest.mark.parametrize(
    ("first", "text"),
    [
        (DecodeResult("ask not", -0.4, Verdict.OK), "ask not"),
        (DecodeResult("", -0.01, Verdict.SILENCE), "another text"),
        (DecodeResult("any any any any", -0.1, Verdict.LOOP), "another text"),
    ],
    ids=["unsure", "empty", "loop"],
)
def test_while_others_wait_only_unusable_finals_have_a_second_opinion(first, text):
    waits = iter([True])
    request = DecodeRequest(SAMPLES, "en", others_wait=lambda: next(waits))

    assert pair(first).decode([request])[0].text == text


@pytest.mark.parametrize("language", ["de", None])
def test_other_and_unknown_languages_are_the_second_models(language):
    """The first one knows English only, and cannot tell which language it hears."""
    models = pair(SURE)

    models.require_language(language)

    assert models.decode([DecodeRequest(SAMPLES, language)])[0].text == "another text"
    assert models.first.asked == []


def test_language_that_neither_model_knows_is_refused():
    with pytest.raises(RequestRefused):
        pair(SURE).require_language("xx")


def timed(text, *probabilities):
    words = tuple(
        TimedWord(f" {word}", n, n + 1.0, each)
        for n, (word, each) in enumerate(zip(text.split(), probabilities, strict=True))
    )
    return DecodeResult(text, -0.1, Verdict.OK, words, language="en")


def test_one_unsure_word_is_decided_by_both_models():
    models = pair(timed("an American man", 0.9, 0.2, 0.9))
    models.second.result = timed("a medical man", 0.4, 0.9, 0.9)

    assert models.decode([DecodeRequest(SAMPLES, "en")])[0].text == "a medical man"


def test_how_unsure_a_word_must_be_can_be_set():
    models = replace(pair(timed("an American man", 0.9, 0.2, 0.9)), min_word_probability=0.1)

    assert models.decode([DecodeRequest(SAMPLES, "en")])[0].text == "an American man"
    assert models.second.asked == []
