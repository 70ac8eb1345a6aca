"""The speech models in this process: how fast they are, and how many people they can listen to."""

from collections.abc import Callable
from dataclasses import dataclass

from app.domain.capacity import ModelSpeed


@dataclass(frozen=True, slots=True)
class SpeechModel:
    """A model as it runs here."""

    job: str
    """What it writes: drafts or finals."""
    name: str
    device: str
    precision: str
    note: str
    """What an operator should know about the device; empty when all is as wished."""
    speed: ModelSpeed


@dataclass(frozen=True, slots=True)
class SpeechCapacity:
    """What was measured when the models were opened, and how they are doing."""

    capacity: int
    """Sessions that may all speak at the same time."""
    models: tuple[SpeechModel, ...]
    queued: Callable[[], int]
    """Pieces of speech that wait for the cores."""

    def sentence(self, most: int) -> str:
        """For whoever starts the server, where `most` sessions are let in."""
        speeds = ", ".join(f"{model.job} at RTF {model.speed.rtf:.2f}" for model in self.models)
        if most == self.capacity:
            return f"{most} at most: what the self-test found room for ({speeds})"
        return f"{most} at most, as set; the self-test found room for {self.capacity} ({speeds})"
