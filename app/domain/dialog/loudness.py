"""How loud the user speaks, in an utterance and usually, and from where on a sound is audible."""

from dataclasses import dataclass, replace

LEARN = 0.3
"""Weight of one more turn's utterance in the usual level."""
AUDIBLE_DB = 10.0
"""Above the background."""
QUIETEST_DB = -65.0
"""Of a background: digital silence is none."""
RISE_DB = 0.05
"""The background rises by so much with each chunk that is louder: by some 1.5 dB a second."""


@dataclass(frozen=True, slots=True)
class Loudness:
    """Levels in dB below full scale; None: not known."""

    usual_db: float | None = None
    """Of the user's turns, not of what is said over replies."""
    speech_db: float | None = None
    """Of the speech in the newest utterance."""
    chunks: int = 0
    """Of speech in it."""
    background_db: float | None = None
    """Of what is heard when nobody speaks."""
    audible_from: int | None = None
    """The first sample of the sound that is being heard; None: nothing is audible."""

    @property
    def relative_db(self) -> float | None:
        """The newest utterance's level from the usual one."""
        return None if self.speech_db is None or self.usual_db is None else self.speech_db - self.usual_db

    def listen(self, start: int, level_db: float | None) -> "Loudness":
        """After one more chunk of any kind, which begins at `start`."""
        if level_db is None:
            return self
        background = max(level_db, QUIETEST_DB)
        if self.background_db is not None:
            background = min(background, self.background_db + RISE_DB)
        if level_db < background + AUDIBLE_DB:
            return replace(self, background_db=background, audible_from=None)
        return replace(
            self, background_db=background, audible_from=start if self.audible_from is None else self.audible_from
        )

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
