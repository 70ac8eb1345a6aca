"""The shapes an engine must have to be plugged in. Nothing here names a vendor.

A stream in, a stream out. What belongs to one utterance lives in the generator;
weights and connections live in the engine. Callers wrap every generator in `aclosing`.
"""

from collections.abc import AsyncGenerator, AsyncIterable, Sequence
from typing import Protocol

from app.domain.audio import AudioChunk, ScoredChunk
from app.domain.dialog.conversation import Message
from app.domain.routing.load import EngineLoad
from app.domain.transcript import Hypothesis


class SpeechDetector(Protocol):
    """Tells speech from no speech."""

    def score(self, audio: AsyncIterable[AudioChunk]) -> AsyncGenerator[ScoredChunk, None]:
        """Yield every sample once, in order, with its speech probability.

        The detector may cut the audio anew to suit its frame length; a rest shorter
        than a frame is yielded when the audio ends.
        """
        ...


class Transcriber(Protocol):
    """Turns an utterance into words."""

    def transcribe(
        self, utterance: AsyncIterable[AudioChunk], *, language: str | None = None
    ) -> AsyncGenerator[Hypothesis, None]:
        """Yield any number of interim hypotheses, then exactly one final, last.

        Silence gives an empty final. Abandoned half-way, it frees everything. A language
        (two letters) is honoured or refused.
        Raises ProviderDown, ProviderBusy, ProviderRefused or ProviderMisbehaved.
        """
        ...


class Metered(Protocol):
    """An engine of one session that keeps something open between utterances, and knows what that costs."""

    @property
    def billed_seconds(self) -> float:
        """What the session was billed so far, in seconds of audio, minimum included; it never shrinks."""
        ...

    def carried_seconds(self, language: str | None) -> float:
        """What the stream has carried that an utterance in this language would go on with; 0: a new one begins."""
        ...


class Reporting(Protocol):
    """An engine elsewhere that can be asked how busy it is."""

    async def load(self) -> EngineLoad | None:
        """None where it is of a kind that does not say. Raises a ProviderError where it cannot be asked now."""
        ...


class DraftTranscriber(Protocol):
    """Guesses, quickly and cheaply, what has been said so far."""

    async def draft(self, pcm: bytes, *, stable: str = "", language: str | None = None) -> Hypothesis | None:
        """The whole utterance so far, as an interim hypothesis; without a word where nobody speaks in it.

        None where there is no draft: a newer one replaced it before its turn, or its words were not to be trusted.
        `pcm` is the utterance from its first sample on (16 kHz mono s16le). `stable` is the text that earlier
        drafts agreed on; an engine may build on it. Raises a ProviderError or RequestRefused.
        """
        ...


class TurnDetector(Protocol):
    """Hears whether someone who is silent now is done."""

    async def end_of_turn_probability(self, pcm: bytes) -> float:
        """The probability of it; `pcm` is what they said in this turn, up to the silence, at most its newest 8 s.

        Raises a ProviderError.
        """
        ...


class ReplyGenerator(Protocol):
    """Answers a conversation."""

    def reply(self, conversation: Sequence[Message]) -> AsyncGenerator[str, None]:
        """Yield the answer to the last message, as text deltas."""
        ...


class SpeechSynthesizer(Protocol):
    """Speaks."""

    def synthesize(self, text: AsyncIterable[str], *, voice: str | None = None) -> AsyncGenerator[AudioChunk, None]:
        """Speak each piece of text as it arrives; positions count from the first sample spoken."""
        ...


class BlobStore(Protocol):
    """Keeps named bytes. Atomic: a reader sees a whole blob or none."""

    async def put(self, key: str, data: bytes, *, content_type: str) -> None:
        """Store under this key, replacing what was there."""
        ...

    async def get(self, key: str) -> bytes:
        """Raises BlobNotFound."""
        ...

    async def delete(self, key: str) -> None:
        """Deleting what is not there is no error."""
        ...

    def keys(self, prefix: str = "") -> AsyncGenerator[str, None]:
        """Every key that begins with the prefix, in order."""
        ...

    async def url(self, key: str) -> str | None:
        """Where a reader with permission finds this blob; None where the store has no addresses."""
        ...


class Clock(Protocol):
    """Time for whoever must wait: seconds, from an origin of its own."""

    def now(self) -> float: ...

    async def sleep_until(self, deadline: float) -> None: ...
