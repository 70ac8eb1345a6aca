"""Speech behind the last word of a text: where a decoder ended too early, as after a sentence that is said twice. Pure.

Whisper writes a repeated sentence once, because its training texts do not repeat themselves. The alignment puts its
words at the first copy, and what follows has speech and no words.
"""

from collections.abc import Sequence
from dataclasses import replace

from app.domain.audio import SAMPLE_RATE, ms
from app.domain.transcript import join
from providers.local.asr.hallucination import Verdict
from providers.local.asr.recognizer import DecodeRequest, DecodeResult, moved
from providers.local.vad.silero import FRAME

_GUARD = ms(100)
"""Samples behind the end of the last word that may still be of it."""

_MIN_UNREAD = ms(600)
"""Samples in which a further word fits; the pause behind an utterance is shorter."""

_THRESHOLD = 0.5
_MIN_SPEECH = ms(350)
"""Samples with speech in them that a last word cannot have left behind."""

_SURE_AVG_LOGPROB = -0.3
"""Mean log-probability from which one word alone is believed: a breath or a cough becomes a word, too."""

MAX_PIECES = 4
"""Passes over what was not read; each of them reads one copy."""


def unread_from(result: DecodeResult, request: DecodeRequest) -> int | None:
    """The sample at which audio behind the words begins, where it is long enough to have a word in it."""
    if not request.allow_fallback or result.verdict is not Verdict.OK or not result.words:
        return None
    start = int(result.words[-1].end_s * SAMPLE_RATE) + _GUARD
    return start if len(request.samples) - start >= _MIN_UNREAD else None


def is_speech(probabilities: Sequence[float]) -> bool:
    """Whether so much of the audio is speech, given the probability of each frame, that words are missing."""
    return FRAME * sum(speech >= _THRESHOLD for speech in probabilities) >= _MIN_SPEECH


def request_for(request: DecodeRequest, start: int) -> DecodeRequest:
    """What to decode next: the audio from `start` on, alone."""
    return replace(request, samples=request.samples[start:], prefix="", draft_text="")


def joined(result: DecodeResult, rest: DecodeResult, start: int) -> DecodeResult:
    """Both texts as one; as it was where the rest is in doubt."""
    is_believed = len(rest.text.split()) > 1 or rest.avg_logprob >= _SURE_AVG_LOGPROB
    if rest.verdict is not Verdict.OK or not is_believed:
        return result
    return replace(
        result,
        text=join((result.text, rest.text)),
        words=(*result.words, *moved(rest.words, start / SAMPLE_RATE)),
        avg_logprob=min(result.avg_logprob, rest.avg_logprob),
        passes=result.passes + rest.passes,
    )
