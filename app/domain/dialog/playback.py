"""How much of an interrupted reply the user has heard, by the length of its audio."""

from itertools import pairwise

from app.domain.dialog.state import Reply


def played_samples(reply: Reply, audio_end: int) -> int:
    """How much of the audio that was sent has been played, where the session's audio ends here."""
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
        played_words += words[: len(words) * min(played - start, end - start) // (end - start)]
    return " ".join(played_words)
