"""How much of a reply the user has heard: by what the client reports, else by the length of its audio."""

from itertools import pairwise

from app.domain.audio import SAMPLE_RATE
from app.domain.dialog import effects as do
from app.domain.dialog import events as ev
from app.domain.dialog.state import DialogState, Reply


def playback_timer(state: DialogState, reply: Reply) -> do.StartTimer:
    """For when the client will have played what it has not played yet."""
    unplayed = reply.audio_sent - played_samples(reply, state.audio_end)
    finished = ev.PlaybackFinished(reply.number, state.returns, reply.played or 0, reply.pauses)
    return do.StartTimer(unplayed * 1000 // SAMPLE_RATE, finished)


def played_samples(reply: Reply, audio_end: int) -> int:
    """How much of the audio that was sent has been played, where the session's audio ends here."""
    if reply.played is not None:
        return reply.played
    if reply.paused_at is not None:
        return reply.paused_at
    return min(reply.audio_sent, audio_end - reply.audio_sent_from) if reply.audio_sent else 0


def played_text(reply: Reply, audio_end: int) -> str:
    """The pieces that were played, and of the one being played as many words as its share of the audio.

    Of a reply without a voice, which was read, the whole text; likewise of one that was played to its end.
    """
    played = played_samples(reply, audio_end)
    if not reply.pieces or (reply.finished and played == reply.audio_sent):
        return reply.text.strip()
    played_words: list[str] = []
    starts = [piece.start for piece in reply.pieces]
    for piece, (start, end) in zip(reply.pieces, pairwise([*starts, reply.audio_sent]), strict=True):
        if played <= start:
            break
        words = piece.text.split()
        is_whole = played >= end  # also of a piece for which the voice made no audio
        played_words += words if is_whole else words[: len(words) * (played - start) // (end - start)]
    return " ".join(played_words)
