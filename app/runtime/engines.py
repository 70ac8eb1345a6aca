"""The engines one session works with."""

from dataclasses import dataclass

from app.domain.ports import DraftTranscriber, ReplyGenerator, SpeechDetector, SpeechSynthesizer, Transcriber
from app.domain.route import Route


@dataclass(frozen=True, slots=True)
class FinalRoute:
    """Where finals are made."""

    route: Route
    transcriber: Transcriber
    live: bool = False
    """True: audio flows while the person speaks, and nothing is speculated.
    False: the engine gets the whole utterance, as early as its pause."""


@dataclass(frozen=True, slots=True)
class Engines:
    detector: SpeechDetector
    finals: FinalRoute
    drafter: DraftTranscriber | None = None
    generator: ReplyGenerator | None = None
    synthesizer: SpeechSynthesizer | None = None
