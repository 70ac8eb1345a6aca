"""The drafts of one utterance: a window over its newest audio, decoded behind its stable words. Pure.

Stable words are the decoder's prefix and are not decoded again; audio that is seconds old leaves the window and is not
even encoded again.
"""

from dataclasses import dataclass, replace

from app.domain.transcript import join
from providers.local.asr.decode import DecodeRequest
from providers.local.asr.fallback import DecodeResult
from providers.local.asr.hallucination import Verdict
from providers.local.mel import FRAMES_PER_S, GrowingMel

_WINDOW = 3 * FRAMES_PER_S
"""Frames from which the window moves over stable words: the encoder's cost grows with the window."""

_FORCED = 10 * FRAMES_PER_S
"""Frames from which it moves over words that are not stable as well."""

_KEPT = 3 * FRAMES_PER_S // 2
"""Frames that stay in the window when it moves."""

_LEAD = 10
"""Frames kept before the first word of the window."""


@dataclass(frozen=True, slots=True)
class DraftState:
    """What the drafts of one utterance have found so far."""

    mel: GrowingMel
    window_start: int = 0
    """The frame at which the window begins."""

    words_before: tuple[str, ...] = ()
    """The words spoken before the window."""

    text: str = ""
    """The whole utterance in the newest draft: what the next pass will probably decode."""

    has_speech: bool = False
    """Speech was detected in the utterance."""

    def update(self, pcm: bytes, stable: str) -> "DraftState":
        """With all of the utterance's audio so far; a new state where `pcm` belongs to another utterance."""
        state = self if pcm.startswith(self.mel.pcm) else DraftState(self.mel)
        state = replace(state, mel=self.mel.update(pcm))
        frames = state.mel.log_mel.shape[1]
        if frames - state.window_start <= _FORCED + _WINDOW:
            return state
        # So much new audio fits no window: the stable words stand for all but the end of it.
        return replace(state, window_start=frames - _WINDOW, words_before=tuple(stable.split()))

    def request(self, stable: str, language: str | None) -> DecodeRequest:
        """What to decode: the window, behind the stable words that lie in it."""
        log_mel = self.mel.log_mel[:, self.window_start :]
        prefix, draft_text = (" ".join(text.split()[len(self.words_before) :]) for text in (stable, self.text))
        word_timestamps = log_mel.shape[1] > _WINDOW
        return DecodeRequest(
            log_mel, language, prefix, draft_text, allow_fallback=False, word_timestamps=word_timestamps
        )

    def whole_text(self, decoded: DecodeResult, stable: str) -> str | None:
        """The text of the whole utterance so far; None after a broken pass."""
        if decoded.verdict is Verdict.BROKEN:
            return None
        return join((*self.words_before, decoded.text)) or stable

    def move_window(self, decoded: DecodeResult, stable: str) -> "DraftState":
        """After a pass: the window leaves behind the stable words that are more than `_KEPT` frames old."""
        frames = self.mel.log_mel.shape[1] - self.window_start
        if not decoded.words or frames <= _WINDOW:
            return self
        stable_words = len(stable.split()) - len(self.words_before)
        movable = (len(decoded.words) if frames > _FORCED else stable_words) - 1
        old = [
            n
            for n, word in enumerate(decoded.words[: max(0, movable)])
            if n > 0 and word.start_s * FRAMES_PER_S <= frames - _KEPT
        ]
        if not old:
            return self
        cut = old[-1]
        window_start = self.window_start + max(0, int(decoded.words[cut].start_s * FRAMES_PER_S) - _LEAD)
        left = tuple(word.text.strip() for word in decoded.words[:cut])
        return replace(self, window_start=window_start, words_before=(*self.words_before, *left))
