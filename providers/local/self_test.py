"""What this machine can do: how long a pass takes, and how many sessions that allows."""

from dataclasses import dataclass

UTTERANCE = 3.0
"""Seconds of sound in the pass that is timed."""


@dataclass(frozen=True, slots=True)
class SelfTest:
    """One model, timed at start on sound of a common length."""

    pass_seconds: float

    @property
    def rtf(self) -> float:
        """Compute time over audio time."""
        return self.pass_seconds / UTTERANCE


def capacity(
    *, finals: SelfTest, drafts: SelfTest, workers: int, draft_every: float = 0.5, headroom: float = 0.7
) -> int:
    """Sessions that may speak at once so that finals do not pile up, with drafts at `draft_every` seconds.

    A final costs its share of every second spoken, and every speculative one that a pause
    wastes costs it again: hence twice.
    """
    busy = 2 * finals.rtf + drafts.pass_seconds / draft_every
    return max(1, int(workers * headroom / busy)) if busy > 0 else 1
