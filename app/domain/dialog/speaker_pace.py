"""How a session's speaker pauses and how fast they speak, and what that means for the silence that ends an utterance.

Running averages, as TCP keeps them of round-trip times: the mean of the pauses inside turns, and their mean deviation.
"""

from dataclasses import dataclass, replace

from app.domain.audio import SAMPLE_RATE

SHORTEST_PAUSE_MS, LONGEST_PAUSE_MS = 100, 1000
"""Silences that count as pauses inside a turn; longer ones are perhaps its end."""
GAIN = 1 / 8
"""Weight of the newest pause."""
TYPICAL_PAUSE_MS = 360
"""Mean and deviation together, of a speaker for whom the waits are as they are configured."""
TYPICAL_WORDS_PER_S = 2.8
KEPT = 0.8
"""Of the words and the seconds so far, behind each utterance."""
SHORTEST, LONGEST = 0.7, 1.75
"""Bounds of the pace."""
UNLIKELY_SHARE = 7 / 8
"""Of the configured wait where the speaker is not likely done: longer waits of slow speakers make room for it."""


@dataclass(frozen=True, slots=True)
class SpeakerPace:
    """Statistics of one session; at the beginning those of a typical speaker."""

    mean_ms: float = 300
    deviation_ms: float = 60
    words: float = 28
    speech_s: float = 10
    pace: float = 1.0
    """How long this speaker's pauses are, against a typical one's; a slow speaker's count for more."""

    def with_pause(self, milliseconds: float) -> "SpeakerPace":
        """After a pause inside a turn."""
        if not SHORTEST_PAUSE_MS <= milliseconds < LONGEST_PAUSE_MS:
            return self
        error = milliseconds - self.mean_ms
        mean = self.mean_ms + GAIN * error
        deviation = self.deviation_ms + GAIN * (abs(error) - self.deviation_ms)
        return _settled(replace(self, mean_ms=mean, deviation_ms=deviation))

    def with_words(self, words: int, samples: int) -> "SpeakerPace":
        """After an utterance with so many words in so many samples of speech."""
        if not words or not samples:
            return self
        counted, seconds = KEPT * self.words + words, KEPT * self.speech_s + samples / SAMPLE_RATE
        return _settled(replace(self, words=counted, speech_s=seconds))

    def unlikely_done_ms(self, configured_ms: int) -> int:
        """The silence that ends an utterance whose speaker is not likely done: shorter, where pauses are short."""
        return round(configured_ms * UNLIKELY_SHARE * min(self.pace, 1.0))

    def likely_done_ms(self, configured_ms: int) -> int:
        """The same where the speaker is likely done: longer, where pauses are long."""
        return round(configured_ms * max(self.pace, 1.0))


def _settled(counted: SpeakerPace) -> SpeakerPace:
    slowness = (TYPICAL_WORDS_PER_S * counted.speech_s / counted.words) ** 0.25
    pace = (counted.mean_ms + counted.deviation_ms) / TYPICAL_PAUSE_MS * slowness
    return replace(counted, pace=min(LONGEST, max(SHORTEST, pace)))
