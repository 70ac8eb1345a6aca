"""Latency, churn and completeness of one clip, as pure functions of the server events."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from bench.protocols import ServerEvent
from bench.voice import PlayedClip

SAMPLE_EVERY = 0.05
"""Seconds between two samples of the age of the newest draft."""

Normalise = Callable[[str], Sequence[str]]


@dataclass(frozen=True, slots=True)
class ClipMetrics:
    """Figures of one clip in seconds and words; None where the event never came."""

    first_draft: float | None
    """From the onset of speech to the first draft."""
    first_right_word: float | None
    """From the onset of speech to the first text whose first word is the reference's."""
    draft_ages: tuple[float, ...]
    """Age of the newest draft, sampled from the first draft to the end of speech."""
    words_shown: int
    words_taken_back: int
    ttfs: float | None
    """From the true end of speech to the last final that covers it."""
    end_late: float | None
    """How much later than the true end of speech that final says speech ended, where the server says so."""
    voice_to_voice: float | None
    """From the true end of speech to the first audio of the reply."""
    final_text: str
    finals: int


def measure(played: PlayedClip, normalise: Normalise) -> ClipMetrics:
    drafts = [draft for draft in played.events_of("draft") if draft.text]
    finals = [final for final in played.events_of("final") if final.text]
    shown, back = churn(drafts, normalise)
    final, reply = played.last_final(), played.first_reply()
    return ClipMetrics(
        first_draft=drafts[0].at - played.onset if drafts else None,
        first_right_word=first_right_word(played, normalise),
        draft_ages=tuple(draft_ages([draft.at for draft in drafts], played.end)),
        words_shown=shown,
        words_taken_back=back,
        ttfs=final.at - played.end if final else None,
        end_late=final.end - played.end if final and final.end is not None else None,
        voice_to_voice=reply.at - played.end if reply else None,
        final_text=" ".join(each.text for each in finals),
        finals=len(finals),
    )


def first_right_word(played: PlayedClip, normalise: Normalise) -> float | None:
    """Seconds from the onset to the first text, draft or final, that begins as the reference does."""
    wanted = list(normalise(played.clip.text))[:1]
    for event in played.events:
        if event.kind != "reply" and list(normalise(event.text))[:1] == wanted:
            return event.at - played.onset
    return None


def draft_ages(shown_at: Sequence[float], until: float) -> list[float]:
    """How old the newest draft is, every SAMPLE_EVERY seconds from the first one to the end of speech."""
    ages: list[float] = []
    for this, following in pairwise([*[at for at in shown_at if at < until], until]):
        ages += [at * SAMPLE_EVERY for at in range(int((following - this) / SAMPLE_EVERY))]
    return ages


def churn(drafts: Sequence[ServerEvent], normalise: Normalise) -> tuple[int, int]:
    """Words newly shown, and words taken back, over successive drafts of the same utterance.

    A draft that shares nothing with the one before, where the server does not name utterances, begins a new one.
    """
    shown = back = 0
    before: dict[str | None, list[str]] = {}
    for draft in drafts:
        words = list(normalise(draft.text))
        old = before.get(draft.utterance, [])
        same = next(
            (at for at, (a, b) in enumerate(zip(old, words, strict=False)) if a != b), min(len(old), len(words))
        )
        if not (draft.utterance is None and same == 0):
            back += len(old) - same
        shown += len(words) - same
        before[draft.utterance] = words
    return shown, back
