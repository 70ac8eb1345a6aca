"""The engines of one session, and what a session needs of its final transcriptions."""

from collections.abc import AsyncGenerator, AsyncIterable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from app.domain.audio import AudioChunk
from app.domain.errors import ParleyError
from app.domain.ports import (
    DraftTranscriber,
    EchoDetector,
    ReplyGenerator,
    SpeakerEmbedder,
    SpeechDetector,
    SpeechSynthesizer,
    TurnDetector,
)
from app.domain.profile import Profile
from app.domain.residency import Residency
from app.domain.routing.route import Route
from app.domain.spending import TokenUsage
from app.domain.transcript import Hypothesis

OnReplyCost: TypeAlias = Callable[[str, TokenUsage, float], None]
"""Takes the name of a reply engine, the tokens of one call of it, and what they cost in US dollars."""


class PendingFinal(Protocol):
    """The pending final of one utterance: opened at its first sample, over when it is shown."""

    @property
    def live(self) -> bool:
        """Whether audio is streamed while the person speaks, and nothing is speculated.

        If not, the engine gets the whole utterance, as early as its pause. False from stop_live() on.
        """
        ...

    @property
    def route(self) -> Route:
        """The route that made the final; valid once transcribe() has yielded it."""
        ...

    def transcribe(
        self, utterance: AsyncIterable[AudioChunk], *, language: str | None = None
    ) -> AsyncGenerator[Hypothesis, None]:
        """As a Transcriber does; may be called again after an error.

        Before confirm_endpoint() the work is speculative, unless it is live.
        """
        ...

    def update_draft(self, text: str) -> None:
        """The newest draft of the utterance; the final is compared with it."""
        ...

    def expect(self, key_terms: Sequence[str]) -> None:
        """From now on these words are likely in the audio: for attempts that begin later."""
        ...

    def restrict_to_on_prem(self) -> None:
        """From now on no route in the cloud may process the utterance; attempts there are stopped."""
        ...

    def stop_live(self) -> None:
        """The live attempt failed in mid-utterance: the utterance will be sent as a whole, as on a route not live."""
        ...

    def confirm_endpoint(self) -> None:
        """The utterance is over, and its final is awaited: paid routes may be asked, and the deadline runs."""
        ...

    def record_shown(self, final: Hypothesis, route: Route | None) -> None:
        """Record the decision: the client got this text. `route` is None where it is the newest draft."""
        ...


class FinalTranscription(Protocol):
    """Opens the finals of one session's utterances."""

    @property
    def deadline_ms(self) -> float:
        """From the end of an utterance to its final or its error, at most; no session's wish is longer."""
        ...

    def open(
        self,
        utterance: int,
        language: str | None,
        residency: Residency,
        deadline_ms: float | None = None,
        key_terms: Sequence[str] = (),
        vocabulary: str | None = None,
    ) -> PendingFinal:
        """An utterance begins. Decides at once, and waits for nothing.

        The deadline is the session's own, from the end of the utterance to the best available text. The key terms are
        words that are likely in it, for engines that take them; the vocabulary is the name of a custom one, in place
        of the tenant's.
        """
        ...


@dataclass(frozen=True, slots=True)
class NamedVoice:
    """A SpeechSynthesizer that speaks with one of the voices of another."""

    synthesizer: SpeechSynthesizer
    name: str

    def synthesize(self, text: AsyncIterable[str], *, voice: str | None = None) -> AsyncGenerator[AudioChunk, None]:
        return self.synthesizer.synthesize(text, voice=voice or self.name)


@dataclass(frozen=True, slots=True)
class Engines:
    """What one session works with; None where a feature is turned off."""

    detector: SpeechDetector
    finals: FinalTranscription
    drafter: DraftTranscriber | None = None
    generator: ReplyGenerator | None = None
    synthesizer: SpeechSynthesizer | None = None
    turn_detector: TurnDetector | None = None
    has_spare_capacity: Callable[[], bool] = lambda: False
    """Whether the inference pool has a free worker, so that a speculative final delays no other session."""
    refuse_speech: Callable[[], ParleyError | None] = lambda: None
    """Why a text of the client's choice is not spoken now; None where it may be."""
    max_reply_characters: int = 8 * 4096
    """Length at which a reply is ended, for engines that ignore their own limit of tokens."""
    generator_of: Callable[[Profile | None, OnReplyCost], ReplyGenerator | None] | None = None
    """The generator of one reply, with the session's profile and who is told what it costs; None: always the same."""
    echo: EchoDetector | None = None
    embedder: SpeakerEmbedder | None = None
    """What tells speakers apart."""

    def reply_generator(self, profile: Profile | None, on_cost: OnReplyCost) -> ReplyGenerator | None:
        """What replies in a session with this profile; `on_cost` is called for each call of an engine."""
        return self.generator if self.generator_of is None else self.generator_of(profile, on_cost)
