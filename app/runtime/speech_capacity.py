"""Speech models of this process with their measured speed, and the capacity that follows from it."""

from collections.abc import Callable
from dataclasses import dataclass

from app.domain.capacity import ModelSpeed


@dataclass(frozen=True, slots=True)
class SpeechModel:
    """A loaded model."""

    job: str
    """Drafts or finals."""
    name: str
    device: str
    precision: str
    note: str
    """A sentence for the operator where the device differs from the configured one; else empty."""
    speed: ModelSpeed


@dataclass(frozen=True, slots=True)
class SpeechCapacity:
    """Result of the self-test, and the current length of the inference queue."""

    capacity: int
    """Sessions that can all speak at the same time."""
    models: tuple[SpeechModel, ...]
    queued: Callable[[], int]
    """Number of jobs that wait in the inference queue."""

    def describe_limit(self, max_sessions: int) -> str:
        """One sentence for the start-up log, about the session limit in force."""
        speeds = ", ".join(f"{model.job} at RTF {model.speed.rtf:.2f}" for model in self.models)
        if max_sessions == self.capacity:
            return f"{max_sessions} at most: the capacity by self-test ({speeds})"
        return f"{max_sessions} at most, as set; the capacity by self-test is {self.capacity} ({speeds})"
