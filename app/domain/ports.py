"""Protocols that engines and stores implement. Nothing here names a vendor.

A stream in, a stream out: the state of one utterance lives in the generator, weights and connections live in the
engine. Callers wrap every generator in `aclosing`. All audio is 16 kHz mono s16le. Errors are those of
`app.domain.errors`: a ProviderError (ProviderDown, ProviderBusy, ProviderRefused, ProviderMisbehaved) where the
engine is at fault, RequestRefused where it cannot serve this request.
"""

from collections.abc import AsyncGenerator, AsyncIterable, Callable, Sequence
from typing import Protocol, TypeVar, runtime_checkable

from app.domain.audio import AudioChunk, ScoredChunk
from app.domain.dialog.conversation import Message
from app.domain.routing.load import EngineLoad
from app.domain.speakers import Embedding
from app.domain.spending import TokenUsage
from app.domain.tools import Tool, ToolCall
from app.domain.transcript import Hypothesis

Engine = TypeVar("Engine")
Engine_co = TypeVar("Engine_co", covariant=True)


class SpeechDetector(Protocol):
    """Voice activity detection."""

    def score(self, audio: AsyncIterable[AudioChunk]) -> AsyncGenerator[ScoredChunk, None]:
        """Yield every sample once, in order, with its speech probability.

        The detector may split the audio differently, to suit its frame length; a remainder
        shorter than a frame is yielded when the audio ends. Raises a ProviderError.
        """
        ...


class EchoDetector(Protocol):
    """What a session's microphone hears of the reply. One for each session; positions in samples of its audio."""

    def play(self, pcm: bytes, at: int) -> None:
        """This was sent to be played, behind what was sent before, when the session's audio ended at `at`."""
        ...

    def stop(self, at: int) -> None:
        """The client was told at `at` to play nothing more."""
        ...

    @property
    def may_echo(self) -> bool:
        """Whether the microphone hears what is played, or too little was played to know."""
        ...

    def near_end(self, chunk: AudioChunk) -> bytes:
        """The next chunk of the microphone, in order, without what was played; as long, and some ms late.

        For detection: what is left of a person under a loud echo is no audio to transcribe.
        """
        ...


class Transcriber(Protocol):
    """Speech to text, one utterance at a time."""

    def transcribe(
        self, utterance: AsyncIterable[AudioChunk], *, language: str | None = None
    ) -> AsyncGenerator[Hypothesis, None]:
        """Yield any number of interim hypotheses, then exactly one final, last.

        Silence gives an empty final. Closed half-way, it frees everything. A language (a code of
        `app.domain.language`) is honoured or refused; of several with commas between, and for None of all, the one
        that is spoken is detected. Raises a ProviderError or RequestRefused.
        """
        ...


@runtime_checkable
class TermBiased(Protocol[Engine_co]):
    """A Transcriber or DraftTranscriber that recognises words better which it is told to expect."""

    def with_key_terms(self, terms: Sequence[str]) -> Engine_co:
        """The same engine, expecting these words besides its own."""
        ...


@runtime_checkable
class VocabularyBound(Protocol[Engine_co]):
    """A Transcriber of an account in which custom vocabularies are kept by their names."""

    def with_vocabulary(self, name: str) -> Engine_co:
        """The same engine, with this vocabulary in place of its own."""
        ...


@runtime_checkable
class RememberingLanguage(Protocol):
    """A Transcriber whose view of one recording favours the language that was spoken in it before."""

    def for_recording(self) -> Transcriber:
        """For the segments of one recording, one after the other."""
        ...


def expecting(engine: Engine, terms: Sequence[str]) -> Engine:
    """The engine that expects these words, where it can; else itself."""
    biased: TermBiased[Engine] | None = engine if isinstance(engine, TermBiased) else None
    return biased.with_key_terms(terms) if terms and biased else engine


def bound_to(engine: Engine, vocabulary: str | None) -> Engine:
    """The engine with this custom vocabulary, where it knows any; else itself."""
    bound: VocabularyBound[Engine] | None = engine if isinstance(engine, VocabularyBound) else None
    return bound.with_vocabulary(vocabulary) if vocabulary and bound else engine


class Metered(Protocol):
    """An engine of one session that keeps a billed stream open between utterances."""

    @property
    def billed_seconds(self) -> float:
        """Seconds of audio billed to the session so far, minimum billing included; it never decreases."""
        ...

    def carried_seconds(self, language: str | None) -> float:
        """Seconds on the open stream that an utterance in this language would continue; 0: it opens a new one."""
        ...


class Reporting(Protocol):
    """A remote engine that reports its load."""

    async def load(self) -> EngineLoad | None:
        """Its load; None where the server does not report any. Raises a ProviderError where it cannot be reached."""
        ...


class DraftTranscriber(Protocol):
    """Interim transcripts of an utterance in progress, fast and cheap."""

    async def draft(self, pcm: bytes, *, stable: str = "", language: str | None = None) -> Hypothesis | None:
        """The whole utterance so far, as an interim hypothesis; an empty text where it has no speech.

        None where there is no draft: a newer one replaced it in the queue, or its text was a hallucination.
        `pcm` is the utterance from its first sample on (16 kHz mono s16le). `stable` is the stable prefix of
        earlier drafts; an engine may use it as the decoder's prefix. Raises a ProviderError or RequestRefused.
        """
        ...


class TurnDetector(Protocol):
    """End-of-turn detection."""

    async def end_of_turn_probability(self, pcm: bytes) -> float:
        """Probability, 0 to 1, that the user's turn is over.

        `pcm` is the user's audio of this turn up to the pause, at most its newest 8 s. Raises a ProviderError.
        """
        ...


class SpeakerEmbedder(Protocol):
    """Speaker embedding: tells voices apart."""

    async def embed(self, pcm: bytes) -> Embedding:
        """The voice of one utterance (16 kHz mono s16le): two of one speaker point in nearly the same direction.

        Shorter than about a second, it says little. Raises a ProviderError.
        """
        ...


class ReplyGenerator(Protocol):
    """Reply generation by a language model."""

    def reply(self, conversation: Sequence[Message]) -> AsyncGenerator[str | ToolCall, None]:
        """Yield the reply to the last message, as text deltas. Raises a ProviderError; closed, it stops generating.

        Where it has tools, each call of one is yielded twice: when it begins, and with its result.
        """
        ...


class UsageReporting(Protocol):
    """A reply engine that passes on its server's count of tokens."""

    def reply(
        self, conversation: Sequence[Message], *, report_usage: Callable[[TokenUsage], None]
    ) -> AsyncGenerator[str | ToolCall, None]:
        """As a ReplyGenerator does; `report_usage` is called at most once, however the reply ends.

        With the server's count or an estimate, thinking included; never where the engine knows neither, or where the
        server did not accept the request.
        """
        ...


@runtime_checkable
class ToolCalling(Protocol):
    """A reply engine whose model can ask for calls of tools. It calls none itself."""

    def reply_with_tools(
        self,
        conversation: Sequence[Message],
        tools: Sequence[Tool],
        *,
        may_call: bool,
        report_usage: Callable[[TokenUsage], None],
    ) -> AsyncGenerator[str | ToolCall, None]:
        """As UsageReporting does; behind the text come the calls that the model asks for, without results.

        `may_call`: False asks the model for text alone, which not every server obeys.
        """
        ...


class SpeechSynthesizer(Protocol):
    """Text to speech."""

    def synthesize(self, text: AsyncIterable[str], *, voice: str | None = None) -> AsyncGenerator[AudioChunk, None]:
        """Synthesize each piece of text as it arrives, at 16 kHz; positions count from the first sample of the reply.

        A piece is taken when all audio of the piece before it has been yielded. Raises a ProviderError;
        closed, it stops computing.
        """
        ...


class BlobStore(Protocol):
    """Object storage. Atomic: a reader sees a whole blob or none. Every method raises a ProviderError."""

    async def put(self, key: str, data: bytes, *, content_type: str) -> None:
        """Store under this key; an existing blob is replaced."""
        ...

    async def get(self, key: str) -> bytes:
        """Raises BlobNotFound."""
        ...

    async def delete(self, key: str) -> None:
        """Deleting a key that does not exist is no error."""
        ...

    def keys(self, prefix: str = "") -> AsyncGenerator[str, None]:
        """Every key that begins with the prefix, in ascending order."""
        ...

    async def url(self, key: str) -> str | None:
        """A signed URL of this blob; None where the store cannot sign one."""
        ...

    async def purge_versions(self, prefix: str) -> Sequence[str]:
        """Delete the earlier versions of blobs with this prefix, deleted ones included.

        A sentence for whatever the store keeps all the same, and until when; none where nothing is left.
        """
        ...


class Clock(Protocol):
    """Monotonic time in seconds, from an arbitrary origin."""

    def now(self) -> float: ...

    async def sleep_until(self, deadline: float) -> None: ...
