"""Hallucination detection, and the schedule of encoder contexts."""

import numpy as np
import pytest

from providers.local.asr.hallucination import (
    DecodeEvidence,
    Verdict,
    assess,
    has_zero_duration,
    loop_start,
    restarts_at,
    truncate_repetition,
)
from providers.local.asr.recognizer import DecodeRequest, DecodeResult, TimedWord
from providers.local.asr.repair import repair, silenced
from providers.local.asr.whisper.context_schedule import FULL_CONTEXT, context_schedule


def evidence(text, *, audio_s=5.0, avg_logprob=-0.2, no_speech_prob=0.01, hit_token_limit=False):
    return DecodeEvidence(text, audio_s, avg_logprob, no_speech_prob, hit_token_limit)


@pytest.mark.parametrize(
    ("text", "start"),
    [
        ("I like that account of him. I like that account of him.", 6),
        ("heavy rain in the hills, heavy rain in the", 5),
        ("Firefox Firefox Firefox Firefox", 1),
        ("No. No.", 1),
        ("so he said and and and", 4),
        ("so he said and and", None),
        ("ask not what your country can do for you, ask what you can do for your country", None),
        ("no no that is not what I mean", None),
        ("", None),
    ],
)
def test_repetition_loop_starts_at_its_second_copy(text, start):
    """Repetition at the end counts when enough of it is copied; speech may repeat a little."""
    assert loop_start(text.split()) == start


@pytest.mark.parametrize(
    ("text", "start"),
    [
        ("I like that account of him. I like", 6),
        ("I like that account of him. I", None),
        ("ask not what your country can do for you, ask what you can do", None),
        ("and and", None),
    ],
)
def test_draft_restarts_where_it_repeats_its_beginning(text, start):
    """Two words of its own beginning are enough: the next draft is half a second away."""
    assert restarts_at(text.split()) == start


@pytest.mark.parametrize(
    ("given", "verdict"),
    [
        (evidence("for the twentieth time"), Verdict.OK),
        (evidence(""), Verdict.SILENCE),
        (evidence("you", no_speech_prob=0.9, avg_logprob=-1.4), Verdict.SILENCE),
        (evidence("it was there it was there it was there"), Verdict.LOOP),
        (evidence("perhaps", avg_logprob=-1.5), Verdict.BROKEN),
        (evidence("one two three four five six seven eight nine ten eleven", audio_s=0.5), Verdict.BROKEN),
        (evidence("and then it went on without an end", hit_token_limit=True), Verdict.BROKEN),
    ],
)
def test_hallucination_verdict_follows_the_evidence(given, verdict):
    """Each sign of a hallucination is detected."""
    assert assess(given) is verdict


def test_words_of_zero_duration_are_a_hallucinated_loop():
    """A hallucinated loop is aligned with the last instant; a spoken repetition takes as long as the first time."""
    assert has_zero_duration([0.0, 1.0, 2.0, 3.0, 3.9, 3.9, 3.95], 4.0, 4)
    assert not has_zero_duration([0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0], 3.5, 4)


def timed(*copies):
    """Words of copies of a sentence: (start in seconds, seconds a word)."""
    sentence = ["Please", "call", "me", "back", "tomorrow."]
    return tuple(
        TimedWord(f" {word}", start + n * each, start + (n + 1) * each, 0.9)
        for start, each in copies
        for n, word in enumerate(sentence)
    )


@pytest.mark.parametrize(
    ("words", "copies"),
    [
        (timed((0.0, 0.4), (3.0, 0.4)), 2),
        (timed((0.0, 0.4), (3.0, 0.4), (5.0, 0.0)), 2),
        (timed((0.0, 0.4), (3.0, 0.4), (5.0, 0.0), (5.0, 0.0)), 2),
        (timed((0.0, 0.4), (3.0, 0.4), (5.5, 0.4)), 3),
        (timed((0.0, 0.4), (2.0, 0.0)), 1),
    ],
)
def test_copies_of_a_sentence_stay_as_often_as_they_have_a_duration(words, copies):
    """A decoder that is right to repeat itself once may go on; what it invents is aligned with the last instant."""
    text = " ".join(word.text.strip() for word in words)

    result = repair(evidence(text), DecodeRequest(np.zeros(16_000, np.float32)), lambda: words)

    assert result.text.split() == text.split()[: 5 * copies]
    assert result.words == words[: 5 * copies]
    assert result.verdict is Verdict.OK


@pytest.mark.parametrize("frames", [1, 50, 300, 1200, 2399, 2400, 2999, 3000])
def test_context_schedule_widens_from_the_audio_to_full_context(frames):
    """No context cuts sound off, and the last is the one Whisper was trained with."""
    contexts = context_schedule(frames)

    assert list(contexts) == sorted(set(contexts))
    assert all(frames <= context <= FULL_CONTEXT for context in contexts)
    assert contexts[-1] == FULL_CONTEXT


@pytest.mark.parametrize(
    ("text", "seconds", "left"),
    [
        ("Laata. Laata. Laata. Laata. Laata. La", 1.1, "Laata."),
        ("Laata. Laata. Laata. Laata. Laata.", 1.1, "Laata."),
        ("No. No. No. No. No. No. No. No", 1.9, "No. No. No. No. No. No. No. No"),
        ("All of this was said, and quickly.", 0.9, "All of this was said, and quickly."),
        ("", 0.0, ""),
    ],
)
def test_repetition_faster_than_speech_is_truncated(text, seconds, left):
    """A loop in half a second is a loop; one in two seconds may have been spoken."""
    assert truncate_repetition(text, seconds) == left


@pytest.mark.parametrize(
    ("verdict", "no_speech_prob", "text"),
    [
        (Verdict.BROKEN, 0.7, ""),
        (Verdict.LOOP, 0.7, ""),
        (Verdict.OK, 0.7, "wohin, wohin"),
        (Verdict.BROKEN, 0.4, "wohin, wohin"),
    ],
)
def test_a_text_that_stays_doubtful_is_none_where_the_decoder_hears_nobody(verdict, no_speech_prob, text):
    """What is doubtful alone, or said where speech is uncertain, keeps its words."""
    result = silenced(DecodeResult("wohin, wohin", -0.4, verdict, no_speech_prob=no_speech_prob))

    assert result.text == text
    assert (result.verdict is Verdict.SILENCE) is not bool(text)
