"""Profiles: what a session or a conversation is set up with by one name, from the instructions to the tools."""

from dataclasses import dataclass

from app.domain.interruption_mode import InterruptionMode
from app.domain.tools import Tool
from app.domain.turn_mode import TurnMode

MAX_ROUNDS = 3
"""Answers of a model that call tools, in one reply, where the profile does not say."""


@dataclass(frozen=True, slots=True)
class Profile:
    """What is empty or None is as the settings have it."""

    name: str
    description: str = ""
    """One sentence for whoever chooses."""
    instructions: str | None = None
    """System prompt."""
    engine: str = ""
    """The only engine that replies; empty: those of the settings, in their order."""
    model: str = ""
    """That engine's model."""
    voice: str | None = None
    """One of the first synthesizer's."""
    languages: tuple[str, ...] = ()
    """Codes of those that may be spoken; none: as the settings have it."""
    key_terms: tuple[str, ...] = ()
    """Words that are likely in the audio."""
    vocabulary: str | None = None
    """Name of the custom vocabulary that cloud engines use; None: the tenant's or the route's own."""
    history_tokens: int | None = None
    """Of history in a prompt, by the average length of a token."""
    tools: tuple[Tool, ...] = ()
    max_rounds: int = MAX_ROUNDS
    """So many answers of the model may call tools in one reply; the next must be text."""
    turns: TurnMode | None = None
    """What ends the user's turn."""
    silence_ms: int | None = None
    """The silence that does in the mode `silence`."""
    interruptions: InterruptionMode | None = None
    """What stops a reply."""
    end_after_ms: int | None = None
    """Silence that ends an utterance about which nothing else is known; those of other utterances follow from it."""
    end_after_done_ms: int | None = None
    """The same, where the end-of-turn model says that the speaker is done."""
    reply_after_ms: int | None = None
    """Silence after which a turn is answered."""
    reply_after_done_ms: int | None = None
    """The same, where the end-of-turn model is sure."""
    adaptive_waits: bool | None = None
    """Whether the silences that end an utterance follow the speaker."""
    echo_detection: bool | None = None
    """Whether a reply that comes back from a loudspeaker is no speech."""
    events: bool | None = None
    """Whether the client is told of speech and turns."""

    @property
    def language(self) -> str | None:
        """Those that may be spoken, with commas between; None: as the settings have it."""
        return ",".join(self.languages) or None

    @property
    def may_begin_eagerly(self) -> bool:
        """Whether a reply that nobody may get does no harm: a tool may act, and another engine may cost money."""
        return not self.tools and not self.engine
