"""How many people this machine can listen to at once."""

from dataclasses import dataclass

FINALS_WASTED = 2.0
"""A speaker's pauses each begin a final, and about every second one is thrown away when they go on."""

DRAFTS_A_SECOND = 1.0
"""Drafts thin out under load; with one a second the words still follow the voice."""

SHARE = 0.7
"""How busy hearing may keep the machine. From here on finals begin to wait for each other."""

SHARE_BESIDE_REPLIES = 0.6
"""The same where replies are written, or spoken, in this process too."""

LEAST = 4
"""Never fewer than these: a machine that was busy for a moment at its start is not a small one for ever, and people
seldom all speak at once."""


@dataclass(frozen=True, slots=True)
class ModelSpeed:
    """One speech model on this machine, timed at start on a sentence that someone said."""

    sound_s: float
    """How long the sentence is."""

    final_s: float
    """What a final of it takes."""

    draft_s: float
    """What a draft takes that goes on behind its first half."""

    at_once: int = 1
    """How many passes run side by side, and ran so while they were timed."""

    @property
    def rtf(self) -> float:
        """Compute time over audio time, of finals."""
        return self.final_s / self.sound_s


def capacity(*, finals: ModelSpeed | None, drafts: ModelSpeed, replies_here: bool) -> int:
    """Sessions that may all speak at the same time, with the 95th percentile of TTFS near 1.5 s.

    `finals` is None where they are made elsewhere. `LEAST` are always taken.
    """
    busy = drafts.draft_s * DRAFTS_A_SECOND / drafts.at_once
    if finals is not None:
        busy += FINALS_WASTED * finals.rtf / finals.at_once
    return max(LEAST, int((SHARE_BESIDE_REPLIES if replies_here else SHARE) / busy))
