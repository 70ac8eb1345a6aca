"""The drafts of one utterance: a window over its newest audio, decoded behind its stable words. Pure.

Stable words are the decoder's prefix and are not decoded again; audio that is seconds old leaves the window and is not
even encoded again.
"""

from dataclasses import dataclass, replace

from app.domain.audio import BYTES_PER_SAMPLE, SAMPLE_RATE, ms
from app.domain.language import allowed_languages
from app.domain.transcript import join
from providers.local.asr.hallucination import Verdict
from providers.local.asr.recognizer import DecodeRequest, DecodeResult
from providers.local.mel import samples_of

_WINDOW = 3 * SAMPLE_RATE
"""Samples from which the window moves over stable words: the encoder's cost grows with the window."""

_FORCED = 10 * SAMPLE_RATE
"""Samples from which it moves over words that are not stable as well."""

_KEPT = ms(1500)
"""Samples that stay in the window when it moves."""

_LEAD = ms(100)
"""Samples kept before the first word of the window."""


@dataclass(frozen=True, slots=True)
class DraftState:
    """What the drafts of one utterance have found so far."""

    pcm: bytes = b""
    """The utterance in the newest draft, 16 kHz mono s16le."""

    window_start: int = 0
    """The sample at which the window begins."""

    words_before: tuple[str, ...] = ()
    """The words spoken before the window."""

    text: str = ""
    """The whole utterance in the newest draft: what the next pass will probably decode."""

    language: str | None = None
    """Of the newest draft: drafts behind stable words keep it."""

    has_speech: bool = False
    """Speech was detected in the utterance."""

    def update(self, pcm: bytes, stable: str) -> "DraftState":
        """With all of the utterance's audio so far; a new state where `pcm` belongs to another utterance."""
        state = replace(self if pcm.startswith(self.pcm) else DraftState(), pcm=pcm)
        if state.window <= _FORCED + _WINDOW:
            return state
        # So much new audio fits no window: the stable words stand for all but the end of it.
        window_start = state.window_start + state.window - _WINDOW
        return replace(state, window_start=window_start, words_before=tuple(stable.split()))

    def request(self, stable: str, language: str | None, key_terms: tuple[str, ...] = ()) -> DecodeRequest:
        """What to decode: the window, behind the stable words that lie in it."""
        samples = samples_of(self.pcm[self.window_start * BYTES_PER_SAMPLE :])
        prefix, draft_text = (" ".join(text.split()[len(self.words_before) :]) for text in (stable, self.text))
        word_timestamps = len(samples) > _WINDOW
        allowed = allowed_languages(language)
        if stable and self.language and (not allowed or self.language in allowed):
            language = self.language
        return DecodeRequest(
            samples, language, prefix, draft_text, key_terms, allow_fallback=False, word_timestamps=word_timestamps
        )

    def whole_text(self, decoded: DecodeResult, stable: str) -> str | None:
        """The text of the whole utterance so far; None after a broken pass."""
        if decoded.verdict is Verdict.BROKEN:
            return None
        return join((*self.words_before, decoded.text)) or stable

    def move_window(self, decoded: DecodeResult, stable: str) -> "DraftState":
        """After a pass: the window leaves behind the stable words that are more than `_KEPT` samples old."""
        if not decoded.words or self.window <= _WINDOW:
            return self
        stable_words = len(stable.split()) - len(self.words_before)
        movable = (len(decoded.words) if self.window > _FORCED else stable_words) - 1
        old = [
            n
            for n, word in enumerate(decoded.words[: max(0, movable)])
            if n > 0 and word.start_s * SAMPLE_RATE <= self.window - _KEPT
        ]
        if not old:
            return self
        cut = old[-1]
        window_start = self.window_start + max(0, int(decoded.words[cut].start_s * SAMPLE_RATE) - _LEAD)
        left = tuple(word.text.strip() for word in decoded.words[:cut])
        return replace(self, window_start=window_start, words_before=(*self.words_before, *left))

    @property
    def window(self) -> int:
        """Samples in the window."""
        return len(self.pcm) // BYTES_PER_SAMPLE - self.window_start
