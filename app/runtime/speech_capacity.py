"""Speech models of this process with their measured speed, and the capacity that follows from it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import structlog

from app.domain.capacity import ComputeCost, ModelSpeed, PassTiming, next_limit
from app.domain.ports import Clock
from app.runtime.admission import Admission

UPDATE_EVERY_S = 5.0

PassTimings: TypeAlias = Callable[[], Sequence[PassTiming]]
"""The newest passes of live sessions at one model, oldest first."""

_log = structlog.get_logger("parley.capacity")


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
    encoder: str = ""
    """How its encoder computes here, and why: one sentence."""


@dataclass(slots=True)
class SpeechCapacity:
    """The capacity, from the self-test and then from live passes, and the current length of the inference queue."""

    capacity: int
    """Sessions that can all speak at the same time."""
    models: tuple[SpeechModel, ...]
    queued: Callable[[], int]
    """Number of jobs that wait in the inference queue."""
    cost: ComputeCost | None = None
    """None: nothing is learned from live passes."""
    replies_here: bool = False
    finals: PassTimings = tuple
    drafts: PassTimings = tuple
    oldest_wait_s: Callable[[], float] = lambda: 0.0
    """How long the oldest of the jobs that wait has waited."""

    def queue(self) -> tuple[int, float]:
        """Jobs that wait, and seconds that the oldest of them has waited."""
        return self.queued(), self.oldest_wait_s()

    def describe_limit(self, max_sessions: int) -> str:
        """One sentence for the start-up log, about the session limit in force."""
        speeds = ", ".join(f"{model.job} at RTF {model.speed.rtf:.2f}" for model in self.models)
        if max_sessions == self.capacity:
            return f"{max_sessions} at most: the capacity by self-test ({speeds}), which follows live passes"
        return f"{max_sessions} at most, as set; the capacity by self-test is {self.capacity} ({speeds})"

    def update(self) -> None:
        """Learn from the newest live passes."""
        if self.cost is None:
            return
        self.cost = self.cost.learn(self.finals(), self.drafts())
        self.capacity = next_limit(self.capacity, self.cost.capacity(replies_here=self.replies_here))

    async def learn_loop(self, clock: Clock, admission: Admission | None) -> None:
        """Update for ever; `admission`, where it is given, admits as many sessions as there is capacity for."""
        while True:
            await clock.sleep_until(clock.now() + UPDATE_EVERY_S)
            before = self.capacity
            self.update()
            if self.capacity != before:
                _log.info("capacity follows live passes", sessions=self.capacity, before=before)
            if admission is not None:
                admission.max_sessions = self.capacity
