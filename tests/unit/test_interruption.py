"""The interruption classifier, and what its verdicts do to the reply that is spoken over."""

from dataclasses import replace

import pytest

from app.domain.audio import AudioChunk, ms
from app.domain.dialog import effects as do
from app.domain.dialog import events as ev
from app.domain.dialog.conversation import Message, Role
from app.domain.dialog.interruption import Overlap, OverlapVerdict, classify
from app.domain.dialog.loudness import Loudness
from app.domain.dialog.state import Idle, Replying
from app.domain.interruption_mode import InterruptionMode
from app.domain.turn_mode import TurnMode
from tests.unit.playing import Play

WORDS = "one two three four five six seven eight nine ten"
NINE_SECONDS = AudioChunk(bytes(range(256)) * (2 * ms(9000) // 256), 0)
OVER = Overlap("", speech_ms=600, elapsed_ms=600, is_draft_empty=True, can_resume=True)


@pytest.mark.parametrize(
    ("overlap", "verdict"),
    [
        (replace(OVER, text="wait", elapsed_ms=300), OverlapVerdict.INTERRUPT),
        (replace(OVER, text="wait", speech_ms=300), OverlapVerdict.UNSURE),
        (replace(OVER, text="wait", speech_ms=300, in_pause=True), OverlapVerdict.INTERRUPT),
        (replace(OVER, text="wait", speech_ms=150, in_pause=True), OverlapVerdict.UNSURE),
        (replace(OVER, text="wait", speech_ms=150, is_over=True), OverlapVerdict.INTERRUPT),
        (replace(OVER, text="Mm-hm.", elapsed_ms=300), OverlapVerdict.UNSURE),
        (replace(OVER, text="Mm-hm."), OverlapVerdict.BACKCHANNEL),
        (replace(OVER, text="Yes.", language="en"), OverlapVerdict.BACKCHANNEL),
        (replace(OVER, text="Yes.", language="de"), OverlapVerdict.INTERRUPT),
        (replace(OVER, text="Yes.", language="en", answers_question=True), OverlapVerdict.INTERRUPT),
        (replace(OVER, text="Yes, but I", language="en"), OverlapVerdict.INTERRUPT),
        (replace(OVER, text="mm", turns=TurnMode.MANUAL), OverlapVerdict.INTERRUPT),
        (replace(OVER, text="wait", is_echo=True), OverlapVerdict.ECHO),
        (replace(OVER, text="wait", mode=InterruptionMode.OFF), OverlapVerdict.BACKCHANNEL),
        (
            replace(OVER, text="", is_draft_empty=False, elapsed_ms=100, mode=InterruptionMode.ANY),
            OverlapVerdict.INTERRUPT,
        ),
        (replace(OVER, text="mm", is_over=True, mode=InterruptionMode.ANY), OverlapVerdict.BACKCHANNEL),
        (replace(OVER, elapsed_ms=300), OverlapVerdict.UNSURE),
        (OVER, OverlapVerdict.NOISE),
        (replace(OVER, text="..."), OverlapVerdict.NOISE),
        (replace(OVER, is_draft_empty=False), OverlapVerdict.INTERRUPT),
        (replace(OVER, is_draft_empty=False, speech_ms=350), OverlapVerdict.UNSURE),
        (replace(OVER, is_draft_empty=False, recent_speech=0.5), OverlapVerdict.UNSURE),
        (replace(OVER, is_draft_empty=False, relative_db=-9.0), OverlapVerdict.UNSURE),
        (replace(OVER, is_draft_empty=False, can_resume=False), OverlapVerdict.UNSURE),
        (replace(OVER, is_draft_empty=False, can_resume=False, speech_ms=900), OverlapVerdict.INTERRUPT),
        (replace(OVER, is_draft_empty=False, may_be_echo=True), OverlapVerdict.UNSURE),
        (replace(OVER, is_draft_empty=False, may_be_echo=True, speech_ms=1300), OverlapVerdict.INTERRUPT),
        (replace(OVER, is_draft_empty=False, in_pause=True), OverlapVerdict.NOISE),
        (replace(OVER, is_draft_empty=False, is_over=True), OverlapVerdict.NOISE),
    ],
)
def test_speech_over_a_reply_is_classified(overlap, verdict):
    """Words, their number, the length of the speech, whether drafts come, and what the reply says."""
    assert classify(overlap) is verdict


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("Mm-hmm. Mm-hmm. Mm-hmm. M", OverlapVerdict.BACKCHANNEL),
        ("okay okay okay okay ok", OverlapVerdict.BACKCHANNEL),
        ("Thank you. Thank you. Thank you.", OverlapVerdict.BACKCHANNEL),
        ("okay I okay I", OverlapVerdict.INTERRUPT),
    ],
)
def test_what_an_engine_repeats_counts_once(text, verdict):
    assert classify(replace(OVER, text=text, language="en", is_over=True)) is verdict


def test_in_the_first_sound_of_a_session_a_draft_alone_interrupts_nothing():
    """Its echo may have been misheard; two drafts that agree on a word are believed."""
    first = replace(OVER, text="which the", language="en", may_be_echo=True)

    assert classify(first) is OverlapVerdict.UNSURE
    assert classify(replace(first, is_stable=True)) is OverlapVerdict.INTERRUPT
    assert classify(replace(first, is_over=True)) is OverlapVerdict.INTERRUPT


@pytest.mark.parametrize("may_echo", [True, False])
def test_words_are_no_echo_where_the_microphone_does_not_hear_the_reply(may_echo):
    """With a headset a person may say the reply's own words over it."""
    play = replying(pauses=True)
    play.silence(1500)
    play.may_echo = may_echo
    play.speech(420)

    play.draft("two three")

    verdicts = [recorded.verdict for recorded in play.every(do.RecordOverlap)]
    assert (OverlapVerdict.ECHO in verdicts) is may_echo
    assert play.state.reply.paused_at is None if may_echo else play.state.reply.paused_at is not None


def test_speech_is_counted_from_its_first_audible_sound():
    """A soft beginning is of the speech, though the detector is not sure of it yet, and 200 ms of it at most."""
    play = replying(pauses=True)
    play.audio(990, speech=0.0, level_db=-60.0)
    play.audio(600, speech=0.3, level_db=-35.0)
    began = play.state.audio_end

    play.audio(210, speech=1.0, level_db=-25.0)

    assert play.state.phase.utterance.speech_start == began
    assert play.state.phase.utterance.audible_start == began - ms(200)
    assert len(play.every(do.PauseReply)) == 1


@pytest.mark.parametrize("language", [None, "pl", "fi"])
def test_in_a_language_without_a_table_a_short_call_stops_the_reply(language):
    """ "Stop" is short, and said at full voice; how loud the user usually speaks may not be known yet."""
    stop = replace(OVER, text="Stop.", language=language, speech_ms=300, in_pause=True)

    assert classify(stop) is OverlapVerdict.INTERRUPT
    assert classify(replace(stop, relative_db=-2.0)) is OverlapVerdict.INTERRUPT


def test_in_a_language_without_a_table_a_backchannel_is_hummed_or_short_and_quiet():
    """A question, a call, or more than three words are none, however quiet."""
    quiet = replace(OVER, text="No tak.", language="pl", relative_db=-9.0)

    assert classify(quiet) is OverlapVerdict.BACKCHANNEL
    assert classify(replace(quiet, relative_db=None, text="Aha.")) is OverlapVerdict.BACKCHANNEL
    assert classify(replace(quiet, speech_ms=1000)) is OverlapVerdict.INTERRUPT
    for text in ("Ale ja mam pytanie", "Naprawd\u0119?", "Stop!"):
        assert classify(replace(quiet, text=text)) is OverlapVerdict.INTERRUPT


@pytest.mark.parametrize("text", ["mm", "Hm.", "Mhm", "uh-huh", "mm-hmm", "Aha!", "oh", "\u00c4hm", "OK."])
def test_a_hummed_word_is_a_backchannel_in_any_language(text):
    assert classify(replace(OVER, text=text, language="tlh")) is OverlapVerdict.BACKCHANNEL


@pytest.mark.parametrize("text", ["ma", "no", "a", "hej", "nie", "mami", "ho"])
def test_a_short_word_is_not_hummed(text):
    assert classify(replace(OVER, text=text, language="tlh")) is OverlapVerdict.INTERRUPT


def replying(*, pauses: bool = False, is_complete: bool = False, text: str = WORDS) -> Play:
    """A reply of ten words in nine seconds of audio, all of it sent."""
    play = Play(may_echo=False)
    play.happen(ev.ClientConfigured(may_pause=pauses))
    play.speech(600)
    play.silence(600)
    play.final("Count.")
    play.silence(600)
    play.happen(ev.ReplyDeltaReceived(1, text), ev.ReplyPieceBegun(1, text), ev.ReplyAudioReceived(1, NINE_SECONDS))
    if is_complete:
        play.happen(ev.ReplyFinished(1))
    return play


def test_the_reply_is_quieter_as_soon_as_speech_begins_and_loud_again_after_a_backchannel():
    """Half a second after the start of speech, while the user has just stopped."""
    play = replying()
    play.speech(90)
    assert play.every(do.DuckReply) == [do.DuckReply(1)]
    play.speech(210)
    play.draft("mm-hm")
    assert play.every(do.RestoreReply) == []

    play.silence(210)

    assert play.every(do.RestoreReply) == [do.RestoreReply(1)]
    assert play.every(do.RecordOverlap) == [do.RecordOverlap(2, OverlapVerdict.BACKCHANNEL, 510)]
    play.silence(600)
    play.final("Mm-hm.")
    assert isinstance(play.state.phase, Replying)


def test_a_reply_whose_sound_comes_while_the_user_speaks_is_quiet_from_its_beginning():
    play = Play()
    play.speech(600)
    play.silence(600)
    play.final("Count.")
    play.silence(600)
    play.speech(120)
    assert play.every(do.DuckReply) == []

    play.happen(ev.ReplyAudioReceived(1, NINE_SECONDS))

    assert play.newest == [do.PlayAudio(1, NINE_SECONDS), do.DuckReply(1)]


def test_a_reply_that_is_never_interrupted_is_never_quieter():
    """The words are a final like any other, and nothing answers them."""
    play = replying()
    play.happen(ev.ClientConfigured(interruptions=InterruptionMode.OFF))
    play.speech(600)
    play.draft("what is that")
    play.silence(900)
    play.final("What is that?")

    assert not play.every(do.DuckReply) + play.every(do.CancelReply)
    assert isinstance(play.state.phase, Replying)


def test_any_speech_stops_a_reply_where_that_is_asked_for():
    play = replying()
    play.happen(ev.ClientConfigured(interruptions=InterruptionMode.ANY))

    play.speech(90)

    assert play.every(do.ShowReplyCancelled) == [do.ShowReplyCancelled(1, "barge_in")]


def test_a_yes_to_the_question_that_ends_a_reply_is_its_answer():
    """Elsewhere it is a backchannel."""
    for text, is_answer in [("Shall I book it?", True), ("I have booked it.", False)]:
        play = replying(is_complete=True, text=text)
        play.speech(300)
        play.draft("Yes")

        assert bool(play.every(do.StopPlayback)) == is_answer


def test_an_interruption_pauses_the_reply_until_it_is_certain():
    """Two drafts that agree on more words than a backchannel has; a client that can go on is stopped before."""
    play = replying(pauses=True)
    play.speech(420)

    play.draft("wait")
    assert play.every(do.PauseReply) == [do.PauseReply(1)]
    play.speech(300)
    play.draft("wait a minute I")
    assert not play.new(do.CancelReply)
    play.speech(300)
    play.draft("wait a minute I want")

    assert [type(effect) for effect in play.newest] == [do.ShowDraft, do.CancelReply, do.ShowReplyCancelled]


@pytest.mark.parametrize("is_complete", [True, False])
@pytest.mark.parametrize("reports", [True, False])
def test_a_false_interruption_resumes_the_reply_where_it_was(is_complete, reports):
    """What was sent and not played is sent again; the history is that of a reply without an interruption."""
    play = replying(pauses=True, is_complete=is_complete)
    play.silence(990)
    if reports:
        play.happen(ev.ClientPlayed(1, ms(1000)))
    play.speech(420)
    play.draft("wait")
    if reports:
        play.happen(ev.ClientPlayed(1, ms(1380)))
    stopped = 1380
    play.silence(900)

    play.final("")

    assert play.new(do.ResumeReply) == [do.ResumeReply(1, ms(stopped))]
    (resent,) = play.new(do.ResendAudio)
    assert resent.chunk.start == ms(stopped)
    assert resent.chunk.pcm == NINE_SECONDS.pcm[2 * ms(stopped) :]
    assert isinstance(play.state.phase, Replying)
    if not is_complete:
        play.happen(ev.ReplyFinished(1))
    (timer,) = play.new(do.StartTimer)
    assert timer.ms == 9000 - stopped
    play.happen(timer.event)
    assert isinstance(play.state.phase, Idle)
    assert play.state.history == (Message(Role.USER, "Count."), Message(Role.ASSISTANT, WORDS))
    assert play.every(do.ShowReply) == [do.ShowReply(1, WORDS)]
    assert not play.every(do.ShowReplyCancelled) + play.every(do.StopPlayback)


def test_a_paused_reply_goes_on_where_the_client_takes_the_words_back():
    """`clear`: nothing came of the interruption."""
    play = replying(pauses=True)
    play.speech(420)
    play.draft("wait")

    play.happen(ev.ClientCleared())

    assert [final.hypothesis.text for final in play.new(do.ShowFinal)] == [""]
    assert play.new(do.ResumeReply) == [do.ResumeReply(1, ms(390))]
    assert isinstance(play.state.phase, Replying)


def test_a_paused_reply_goes_on_as_soon_as_its_words_are_a_backchannel():
    """A first draft of half a word is often another word."""
    play = replying(pauses=True)
    play.speech(420)
    play.draft("I")
    play.speech(210)

    play.draft("Mm-hm.")

    assert play.new(do.ResumeReply) == [do.ResumeReply(1, ms(390))]


def test_what_comes_of_a_paused_reply_is_shown_when_it_goes_on():
    """In its order, and nothing of it before."""
    play = replying(pauses=True)
    play.speech(420)
    play.draft("wait")
    play.happen(
        ev.ReplyDeltaReceived(1, " More."),
        ev.ReplyPieceBegun(1, "More."),
        ev.ReplyAudioReceived(1, NINE_SECONDS),
        ev.ReplyFinished(1),
    )
    assert play.newest == []
    play.silence(900)

    play.final("")

    assert [type(effect) for effect in play.newest] == [
        do.ShowFinal,
        do.ResumeReply,
        do.ResendAudio,
        do.ShowReplyDelta,
        do.PlayAudio,
        do.ShowReply,
        do.StartTimer,
    ]
    assert play.state.history[-1] == Message(Role.ASSISTANT, f"{WORDS} More.")


def test_an_interruption_of_a_paused_reply_that_was_complete_meanwhile_cancels_it():
    """The client never got its end: there is `replyCancelled`, and no `server_response`."""
    play = replying(pauses=True)
    play.speech(420)
    play.draft("wait")
    play.happen(ev.ReplyFinished(1))
    play.silence(900)

    play.final("Wait.")

    assert play.new(do.ShowReplyCancelled) == [do.ShowReplyCancelled(1, "barge_in")]
    assert play.every(do.ShowReply) == []


def test_no_timer_of_before_a_pause_ends_the_reply():
    """Neither while it is paused nor after."""
    play = replying(pauses=True, is_complete=True)
    (timer,) = [each for each in play.every(do.StartTimer) if isinstance(each.event, ev.PlaybackFinished)]
    play.speech(420)
    play.draft("wait")
    play.happen(timer.event)
    assert play.state.reply is not None
    play.silence(900)
    play.final("")

    play.happen(timer.event)

    assert isinstance(play.state.phase, Replying)


def test_a_reply_that_is_too_long_to_keep_is_cancelled_by_the_first_sign():
    """Five minutes of audio that was not played is all that is kept."""
    play = replying(pauses=True)
    for _ in range(34):
        play.happen(ev.ReplyAudioReceived(1, NINE_SECONDS))
    assert play.state.reply.sent == ()
    play.speech(420)

    play.draft("wait")

    assert play.new(do.ShowReplyCancelled)


def test_a_paused_reply_that_grows_too_long_is_cancelled():
    play = replying(pauses=True)
    play.speech(420)
    play.draft("wait")
    for _ in range(34):
        play.happen(ev.ReplyAudioReceived(1, NINE_SECONDS))

    assert play.every(do.ShowReplyCancelled) == [do.ShowReplyCancelled(1, "barge_in")]


def test_background_is_the_quietest_of_late_and_rises_slowly():
    loudness = Loudness()
    for at, level_db in enumerate((-40.0, -60.0, -100.0, -58.0)):
        loudness = loudness.listen(512 * at, level_db)
    assert loudness.background_db == -65.0 + 0.05
    assert loudness.audible_from is None

    for at in range(4, 8):
        loudness = loudness.listen(512 * at, -50.0)

    assert loudness.audible_from == 512 * 4
    assert loudness.listen(512 * 8, None) == loudness
    for at in range(8, 1000):
        loudness = loudness.listen(512 * at, -50.0)
    assert loudness.audible_from is None


def test_loudness_is_of_speech_and_its_usual_level_of_turns():
    """The mean of an utterance; unknown before the first turn."""
    loudness = Loudness().begin().update(-20.0).update(-30.0).update(None)
    assert (loudness.speech_db, loudness.relative_db) == (-25.0, None)

    quiet = loudness.learn().begin().update(-37.0)

    assert quiet.relative_db == -12.0
