"""Capacity: how many sessions this machine can transcribe at the same time, from how long passes take.

It begins with a self-test, and follows the passes of live sessions from then on.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

FINALS_WASTED = 2.0
"""Finals started per final shown: each pause starts a speculative one, and about half of them are discarded."""

DRAFTS_A_SECOND = 1.0
"""Drafts per second and session under load; more are thinned out."""

SHARE = 0.7
"""Share of the compute time that transcription may take; above it finals queue."""

SHARE_WITH_REPLIES = 0.6
"""The same where replies are generated or synthesized in this process too."""

LEAST = 4
"""Lower bound of the self-test's capacity, which a machine that is loaded at start makes too low."""

FEWEST_PASSES = 8
"""With fewer live passes than these nothing is learned from them."""

_SLOWEST_LEFT_OUT = 0.1
"""Share of the passes that is left out, the slowest: something stopped this process meanwhile."""

_MARGIN = 0.25
"""Sessions by which the capacity must have changed beyond a whole one before the limit follows."""

_LARGEST_STEP = 0.25
"""Share of the limit by which one update changes it at most."""


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


@dataclass(frozen=True, slots=True)
class PassTiming:
    """A pass of a live session. Its time is a share of the whole machine's, and known between two bounds."""

    requests: int
    """Computed together in it."""

    sound_s: float
    """Audio of these requests."""

    least_s: float
    """If as many other passes as the machine has room for could have run beside it without delaying it."""

    most_s: float
    """If it took all that the passes beside it left free. With no room left both are equal."""


@dataclass(frozen=True, slots=True)
class ComputeCost:
    """Seconds of the whole machine's time."""

    final: float
    """For the final of a second of audio; 0 where other routes make finals."""

    draft: float
    """For one draft."""

    def capacity(self, *, replies_here: bool) -> float:
        """Sessions that may all speak at the same time, with the 95th percentile of TTFS near 1.5 s."""
        busy = self.draft * DRAFTS_A_SECOND + self.final * FINALS_WASTED
        return (SHARE_WITH_REPLIES if replies_here else SHARE) / busy

    def learn(self, finals: Sequence[PassTiming], drafts: Sequence[PassTiming]) -> "ComputeCost":
        """The cost that the newest passes allow; what lies between their bounds stays as it is."""
        return replace(
            self,
            final=_learned(self.final, finals, lambda timing: timing.sound_s),
            draft=_learned(self.draft, drafts, lambda timing: float(timing.requests)),
        )


def measured_cost(*, finals: ModelSpeed | None, drafts: ModelSpeed) -> ComputeCost:
    """By the self-test; `finals` is None where other routes make them."""
    return ComputeCost(finals.rtf / finals.at_once if finals else 0.0, drafts.draft_s / drafts.at_once)


def capacity(*, finals: ModelSpeed | None, drafts: ModelSpeed, replies_here: bool) -> int:
    """The self-test's number of sessions, never fewer than `LEAST`."""
    return max(LEAST, int(measured_cost(finals=finals, drafts=drafts).capacity(replies_here=replies_here)))


def next_limit(limit: int, sessions: float) -> int:
    """The limit of sessions after one update, where there is capacity for `sessions`; never below one.

    It moves a quarter at most, and not for a small change, so that a capacity between two numbers picks one.
    """
    step = max(1, int(limit * _LARGEST_STEP))
    if sessions >= limit + 1 + _MARGIN:
        return min(int(sessions), limit + step)
    if sessions < limit - _MARGIN:
        return max(1, int(sessions), limit - step)
    return limit


def _learned(cost: float, timings: Sequence[PassTiming], units: Callable[[PassTiming], float]) -> float:
    kept = sorted(timings, key=lambda timing: timing.least_s / units(timing) if units(timing) else 0.0)
    kept = kept[: len(kept) - int(len(kept) * _SLOWEST_LEFT_OUT)]
    total = sum(units(timing) for timing in kept)
    if len(timings) < FEWEST_PASSES or not total:
        return cost
    least = sum(timing.least_s for timing in kept) / total
    most = sum(timing.most_s for timing in kept) / total
    return min(max(cost, least), most)
