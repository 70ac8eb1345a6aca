"""Charges what the engines of one session cost, as their own counts of billed audio grow."""

from dataclasses import dataclass

from app.domain.ports import Metered
from app.domain.routing.cost import Price


@dataclass(slots=True)
class EngineMeter:
    """Reads an engine's count; what was billed since the last reading is charged to the attempt that reads next.

    So every second is charged once, and all charges together are the engine's own count, whichever
    utterances overlapped or were abandoned.
    """

    engine: Metered
    price: Price
    _charged_s: float = 0.0

    def charge(self) -> float:
        """US dollars since the last reading."""
        billed_s = self.engine.billed_seconds
        new_s, self._charged_s = billed_s - self._charged_s, billed_s
        return self.price.metered(new_s)

    def carried_seconds(self, language: str | None) -> float:
        """Seconds that the stream which an utterance in this language would continue has carried."""
        return self.engine.carried_seconds(language)
