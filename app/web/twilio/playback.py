"""How much of a reply the caller has had: marks that come back when what was sent before them was played.

That everything is sent does not mean that it was played: Twilio takes it faster than it plays it.
"""

from dataclasses import dataclass, field

from app.domain.audio import ms

MARK_EVERY = ms(400)
"""Samples at 16 kHz between two marks."""


@dataclass(slots=True)
class Playback:
    _sent: dict[int, int] = field(default_factory=dict)
    """Samples of each turn's reply."""
    _marked: int = 0
    """Samples of the newest turn, at its newest mark."""
    _awaited: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Marks that have not come back: their turn, and its samples that are played then."""

    def sent(self, turn: int, samples: int) -> str | None:
        """So many more samples of this turn are sent. The name of the mark to send behind them, at times."""
        if turn not in self._sent:
            self._sent, self._marked = {turn: 0}, 0
        self._sent[turn] += samples
        return self._mark(turn) if self._sent[turn] - self._marked >= MARK_EVERY else None

    def ended(self, turn: int) -> str | None:
        """All of it is sent. The name of the last mark; None where it has no audio."""
        return self._mark(turn) if turn in self._sent else None

    def returned(self, name: str) -> tuple[int, int] | None:
        """Turn and samples that are played now; None for a mark that was dropped, or is not ours."""
        return self._awaited.pop(name, None)

    def drop(self) -> None:
        """What waits is not played; Twilio sends its marks back all the same."""
        self._awaited.clear()

    def _mark(self, turn: int) -> str:
        self._marked = self._sent[turn]
        name = f"{turn}.{self._marked}"
        self._awaited[name] = turn, self._marked
        return name
