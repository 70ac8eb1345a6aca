"""Speech behind the last word of a text: when it is decoded again, and what becomes of both texts."""

import numpy as np
import pytest

from providers.local.asr.hallucination import Verdict
from providers.local.asr.recognizer import DecodeRequest, DecodeResult, TimedWord
from providers.local.asr.unread_speech import is_speech, joined, request_for, unread_from

REQUEST = DecodeRequest(np.arange(3 * 16_000, dtype=np.float32), "en", "before", "draft", word_timestamps=True)


def said(*words, verdict=Verdict.OK, avg_logprob=-0.1):
    timed = tuple(TimedWord(f" {word}", start, end, 0.9) for word, start, end in words)
    return DecodeResult(" ".join(word for word, _, _ in words), avg_logprob, verdict, timed, passes=1)


ONCE = said(("good", 0.0, 0.4), ("morning", 0.4, 1.0))


def test_audio_behind_the_last_word_is_unread():
    assert unread_from(ONCE, REQUEST) == int(1.1 * 16_000)


@pytest.mark.parametrize(
    ("result", "request_"),
    [
        (said(("good", 0.0, 0.4), ("morning", 0.4, 2.6)), REQUEST),
        (said(("good", 0.0, 0.4), verdict=Verdict.LOOP), REQUEST),
        (said(), REQUEST),
        (ONCE, DecodeRequest(REQUEST.samples, "en", allow_fallback=False)),
    ],
    ids=["a pause", "a doubtful text", "no word times", "a draft"],
)
def test_nothing_else_is_unread(result, request_):
    assert unread_from(result, request_) is None


@pytest.mark.parametrize(("frames", "speech"), [(5, False), (10, False), (11, True), (30, True)])
def test_a_third_of_a_second_of_speech_has_words(frames, speech):
    assert is_speech([0.0] * 20 + [0.9] * frames + [0.1] * 20) is speech


def test_the_rest_is_decoded_alone():
    rest = request_for(REQUEST, 16_000)

    assert len(rest.samples) == 2 * 16_000
    assert rest.samples[0] == 16_000
    assert (rest.prefix, rest.draft_text, rest.language) == ("", "", "en")


def test_both_texts_are_one_with_words_at_their_own_times():
    both = joined(ONCE, said(("good", 0.1, 0.5), ("morning", 0.5, 1.0), avg_logprob=-0.3), 16_000)

    assert both.text == "good morning good morning"
    assert [word.start_s for word in both.words] == [0.0, 0.4, 1.1, 1.5]
    assert (both.avg_logprob, both.passes) == (-0.3, 2)


@pytest.mark.parametrize(
    "rest",
    [
        said(("thanks", 0.1, 0.5), ("for", 0.5, 0.6), verdict=Verdict.BROKEN),
        said(("peace", 0.1, 0.5), avg_logprob=-0.46),
    ],
    ids=["broken", "one unsure word"],
)
def test_a_rest_that_is_doubtful_changes_nothing(rest):
    assert joined(ONCE, rest, 16_000) is ONCE


def test_one_sure_word_is_added():
    assert joined(ONCE, said(("thanks", 0.1, 0.5)), 16_000).text == "good morning thanks"
