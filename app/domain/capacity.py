"""Capacity: how many sessions this machine can transcribe at the same time, from measured model speeds."""

from dataclasses import dataclass

FINALS_WASTED = 2.0
"""Finals started per final shown: each pause starts a speculative one, and about half of them are discarded."""

DRAFTS_A_SECOND = 1.0
"""Drafts per second and session under load; more are thinned out."""

SHARE = 0.7
"""Share of the compute time that transcription may take; above it finals queue."""

SHARE_WITH_REPLIES = 0.6
"""The same where replies are generated or synthesized in this process too."""

LEAST = 4
"""Lower bound of the capacity: a self-test on a machine that is loaded at start underestimates it."""


@dataclass(frozen=True, slots=True)
class ModelSpeed:
    """Speed of one speech model on this machine, measured at start on a recorded sentence."""

    sound_s: float
    """Length of the sentence."""

    final_s: float
    """Compute time of a final of it."""

    draft_s: float
    """Compute time of a draft that continues after its first half."""

    at_once: int = 1
    """Concurrent passes, while measured and in service."""

    @property
    def rtf(self) -> float:
        """Compute time over audio time, of finals."""
        return self.final_s / self.sound_s


def capacity(*, finals: ModelSpeed | None, drafts: ModelSpeed, replies_here: bool) -> int:
    """Sessions that may all speak at the same time, with the 95th percentile of TTFS near 1.5 s.

    `finals` is None where other routes make them. Never fewer than `LEAST`.
    """
    busy = drafts.draft_s * DRAFTS_A_SECOND / drafts.at_once
    if finals is not None:
        busy += FINALS_WASTED * finals.rtf / finals.at_once
    return max(LEAST, int((SHARE_WITH_REPLIES if replies_here else SHARE) / busy))
