"""Which model answers a service's sessions, for people to read."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class AnsweringModel:
    """The model of one configured reply engine."""

    engine: str
    """As `PARLEY_REPLY_PROVIDER` has it: `openai`, `ollama`, `embedded` or `receiver`."""
    model: str
    """Empty where it has no name, as behind a receiver."""
    is_demonstration: bool = False
    """Whether the model is only large enough to show that replies work."""
