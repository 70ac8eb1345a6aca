"""Finals get speaker labels: with them where the voice is known by then, behind them where it comes later."""

from app.domain.dialog import effects as do
from app.domain.dialog import events as ev
from app.domain.dialog.speaker_label import MAX_UNLABELLED
from app.domain.dialog.state import DialogState, TurnRules
from app.domain.errors import ProviderDown
from tests.unit.playing import Play

GONE = ProviderDown("local", "asked to fail")
ANN, BEN = (1.0, 0.0), (0.0, 1.0)


def play(**rules) -> Play:
    return Play(DialogState(TurnRules(language="en", reply=False, speakers=True, **rules)))


def voice(of: Play, vector, *, utterance=None, revision=0):
    return of.happen(ev.SpeakerEmbedded(utterance or of.state.utterance_count, revision, vector))


def utterance(of: Play, vector, text="Hello.", *, milliseconds=2000):
    """Its voice is known in the pause, before its final."""
    of.speech(milliseconds)
    of.silence(210)
    voice(of, vector)
    of.silence(600)
    of.final(text)


def labels(of: Play):
    return [final.speaker for final in of.every(do.ShowFinal)]


def test_a_voice_known_in_the_pause_labels_the_final():
    session = play()
    for vector in (ANN, BEN, ANN):
        utterance(session, vector)

    assert labels(session) == [1, 2, 1]
    assert session.every(do.ShowSpeaker) == []


def test_a_voice_known_while_the_final_is_pending_labels_it():
    session = play()
    session.speech(2000)
    session.silence(900)
    voice(session, ANN)
    session.final("Hello.")

    assert labels(session) == [1]


def test_a_final_does_not_wait_for_its_label_which_follows_it():
    session = play()
    session.speech(2000)
    session.silence(900)
    session.final("Hello.")
    assert labels(session) == [None]

    assert voice(session, ANN) == [do.ShowSpeaker(1, 1, 1)]
    assert voice(session, ANN) == []


def test_a_label_follows_while_the_next_utterance_is_spoken():
    session = play()
    session.speech(2000)
    session.silence(900)
    session.final("Hello.")
    session.speech(600)

    assert voice(session, ANN, utterance=1) == [do.ShowSpeaker(1, 1, 1)]


def test_the_voice_of_a_pause_that_speech_went_on_after_is_not_used():
    """The final is of the next revision."""
    session = play()
    session.speech(2000)
    session.silence(210)
    voice(session, ANN)
    session.speech(300)
    session.silence(900)
    voice(session, BEN, revision=0)
    session.final("Hello.", revision=1)
    assert labels(session) == [None]

    assert voice(session, BEN, revision=1) == [do.ShowSpeaker(1, 1, 1)]


def test_an_utterance_without_words_is_nobodys():
    """A cough makes no speaker."""
    session = play()
    utterance(session, BEN, "")
    utterance(session, ANN)

    assert labels(session) == [None, 1]


def test_the_newest_draft_in_place_of_a_final_has_a_label_too():
    session = play()
    session.speech(2000)
    session.draft("hello there")
    session.silence(900)
    voice(session, ANN)
    session.happen(ev.FinalFailed(1, 0, GONE), ev.FinalFailed(1, 0, GONE))

    assert labels(session) == [1]


def test_a_short_utterance_of_a_new_voice_has_no_label_ever():
    session = play()
    session.speech(600)
    session.silence(900)
    session.final("Yes.")

    assert voice(session, ANN) == []
    assert session.state.unlabelled == ()


def test_nothing_is_labelled_or_kept_where_speakers_are_off():
    session = Play(DialogState(TurnRules(language="en", reply=False)))
    session.speech(2000)
    session.silence(900)
    session.final("Hello.")

    assert session.state.unlabelled == ()
    assert labels(session) == [None]


def test_finals_whose_voice_never_comes_are_forgotten():
    """Their number has a limit."""
    session = play()
    for _ in range(MAX_UNLABELLED + 3):
        session.speech(2000)
        session.silence(900)
        session.final("Hello.")

    assert len(session.state.unlabelled) == MAX_UNLABELLED
    assert voice(session, ANN, utterance=1) == []


def test_a_label_may_follow_after_the_client_has_left():
    """While other finals are awaited: it is for the recording."""
    session = play()
    session.speech(2000)
    session.silence(900)
    session.final("Hello.")
    session.speech(2000)
    session.happen(ev.ClientLeft())

    assert voice(session, ANN, utterance=1) == [do.ShowSpeaker(1, 1, 1)]
