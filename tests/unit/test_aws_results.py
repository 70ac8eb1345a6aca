"""Joining Transcribe's results into one transcript."""

from dataclasses import replace

from app.domain.audio import ms
from app.domain.transcript import Word
from providers.aws.results import ResultItem, TranscribeResult, UtteranceTranscript
from providers.aws.speech_end import SpeechEndTracker

THE, CAT, STOP = (
    ResultItem("the", ms(1000), ms(1200), confidence=0.5),
    ResultItem("cat", ms(1200), ms(1500)),
    ResultItem(".", ms(1500), ms(1500), is_punctuation=True, is_stable=False),
)
RESULT = TranscribeResult("one", ms(1500), is_partial=True, text="the cat.", items=(THE, CAT, STOP))


def test_a_newer_result_replaces_the_older_one_of_its_segment() -> None:
    """Segments stay in the order in which they began."""
    two = TranscribeResult("two", ms(2000), is_partial=True, text="sat", items=(ResultItem("sat", ms(1700), ms(2000)),))

    transcript = UtteranceTranscript(0).accept(RESULT).accept(two).accept(replace(RESULT, text="The cat."))

    assert transcript.hypothesis(language="en").text == "The cat. sat"


def test_words_before_the_utterance_belong_to_another_one() -> None:
    """A segment that spans two utterances is cut between words; marks go with the word before them."""
    transcript = UtteranceTranscript(ms(1200)).accept(RESULT)

    assert transcript.hypothesis(language="en") == replace(
        transcript.hypothesis(language="en"), text="cat.", words=(Word("cat", 0, ms(300)),)
    )
    assert UtteranceTranscript(ms(1500)).accept(RESULT).results == ()


def test_a_first_word_stretched_over_the_silence_before_it_is_ours() -> None:
    """It begins with the utterance at the earliest."""
    transcript = UtteranceTranscript(ms(1100)).accept(RESULT)

    assert transcript.hypothesis(language="en").words[0] == Word("the", 0, ms(100), 0.5)


def test_a_transcript_is_complete_when_words_are_stable_and_reach_the_end() -> None:
    """The end is where the service listened to, or where the sound stopped."""
    transcript = UtteranceTranscript(0).accept(RESULT)

    assert transcript.is_complete(speech_end=ms(2000), end=ms(1500))
    assert transcript.is_complete(speech_end=ms(1590), end=ms(3000))
    assert not transcript.is_complete(speech_end=ms(1700), end=ms(1700))


def test_an_unstable_word_or_no_word_is_never_complete() -> None:
    """Marks may change their mind; words may not."""
    unstable = UtteranceTranscript(0).accept(replace(RESULT, items=(THE, replace(CAT, is_stable=False))))
    final = UtteranceTranscript(0).accept(replace(RESULT, is_partial=False, items=(THE, replace(CAT, is_stable=False))))

    assert not unstable.is_complete(speech_end=0, end=0)
    assert not UtteranceTranscript(0).is_complete(speech_end=0, end=0)
    assert final.is_complete(speech_end=0, end=0)


def test_a_segment_that_is_taken_back_leaves_no_word() -> None:
    """A recogniser may decide that it was a cough."""
    transcript = UtteranceTranscript(0).accept(RESULT).accept(replace(RESULT, text="", items=()))

    assert transcript.hypothesis(language="en").text == ""


def test_speech_end_is_the_last_loud_frame() -> None:
    """Quiet is measured against the loudest so far, in steps of 20 ms."""
    loud, soft, silence = (sample * ms(100) for sample in (b"\x00\x40", b"\x00\x01", b"\x00\x00"))

    speech = SpeechEndTracker(ms(500)).push(loud, ms(500)).push(soft + silence, ms(600))

    assert speech.end == ms(600)
    assert SpeechEndTracker(ms(500)).push(silence, ms(500)).end == ms(500)
    assert SpeechEndTracker(0).push(soft, 0).end == ms(100)
