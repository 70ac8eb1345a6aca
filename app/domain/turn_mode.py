"""Turn modes: what ends the user's turn, and whether it is answered."""

from enum import StrEnum

MIN_SILENCE_MS, MAX_SILENCE_MS = 200, 30_000
DEFAULT_SILENCE_MS = 3000


class TurnMode(StrEnum):
    """As a client, a profile and the settings name it."""

    AUTO = "auto"
    """A silence whose length depends on the end-of-turn score."""
    MANUAL = "manual"
    """The client's `end` alone. Silence ends utterances, and never the turn."""
    SILENCE = "silence"
    """A silence of a fixed length."""
    TRANSCRIBE = "transcribe"
    """As `auto`, and no turn is answered."""
