"""How loud the user speaks: in an utterance, and usually."""

from dataclasses import dataclass, replace

LEARN = 0.3
"""Weight of one more turn's utterance in the usual level."""


@dataclass(frozen=True, slots=True)
class Loudness:
    """Levels in dB below full scale; None: not known."""

    usual_db: float | None = None
    """Of the user's turns, not of what is said over replies."""
    speech_db: float | None = None
    """Of the speech in the newest utterance."""
    chunks: int = 0
    """Of speech in it."""

    @property
    def relative_db(self) -> float | None:
        """The newest utterance's level from the usual one."""
        return None if self.speech_db is None or self.usual_db is None else self.speech_db - self.usual_db

    def begin(self) -> "Loudness":
        """Before the first speech of an utterance."""
        return replace(self, speech_db=None, chunks=0)

    def update(self, level_db: float | None) -> "Loudness":
        """After one more chunk that is speech."""
        if level_db is None:
            return self
        before = self.speech_db or 0.0
        return replace(self, chunks=self.chunks + 1, speech_db=before + (level_db - before) / (self.chunks + 1))

    def learn(self) -> "Loudness":
        """The newest utterance is of a turn of the user's."""
        if self.speech_db is None:
            return self
        usual = self.speech_db if self.usual_db is None else self.usual_db
        return replace(self, usual_db=usual + LEARN * (self.speech_db - usual))
