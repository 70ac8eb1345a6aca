"""One session at a shared speech model: its drafts, and the left context of its finals."""

from collections.abc import AsyncGenerator, AsyncIterable, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from app.domain.audio import AudioChunk
from app.domain.language import only_language
from app.domain.transcript import Hypothesis
from providers.local.asr.drafts import DraftState
from providers.local.asr.left_context import LeftContext
from providers.local.asr.pass_log import PassLog
from providers.local.asr.recognizer import Recognizer
from providers.local.asr.spoken_language import known_language
from providers.local.errors import translate_errors
from providers.local.inference_pool import InferencePool, SupersededRequest
from providers.local.mel import samples_of
from providers.local.scheduler import Priority
from providers.local.vad.speech_segments import SpeechFinder


@dataclass(frozen=True, slots=True)
class EngineParts:
    """What all sessions of one model share."""

    recognizer: Recognizer
    pool: InferencePool
    speech_finder: SpeechFinder
    live_finals: PassLog = field(default_factory=PassLog)
    live_drafts: PassLog = field(default_factory=PassLog)


TranscribeFinal: TypeAlias = Callable[
    [AsyncIterable[AudioChunk], "SpeechSession", str | None, tuple[str, ...]], AsyncGenerator[Hypothesis, None]
]
"""Transcribes an utterance of a session, in a language, with key terms."""


class SpeechSession:
    """A Transcriber and a DraftTranscriber for one session. TermBiased as both."""

    def __init__(
        self, parts: EngineParts, transcribe_final: TranscribeFinal, drafter: "SpeechSession | None" = None
    ) -> None:
        """`drafter` makes the session's drafts where another model does; a final verifies their text."""
        self._parts = parts
        self._transcribe_final = transcribe_final
        self._drafter = drafter or self
        self.left_context = LeftContext()
        self.spoken_language: str | None = None
        """Of the newest utterance with words; None before the first."""
        self.draft_state = DraftState()
        """After the last completed draft. Each pass works on a copy: a cancelled pass may still be running."""

    def with_key_terms(self, terms: Sequence[str]) -> "BiasedSession":
        """The same session, whose decoder expects these words."""
        return BiasedSession(self, tuple(terms))

    def transcribe(
        self,
        utterance: AsyncIterable[AudioChunk],
        *,
        language: str | None = None,
        key_terms: tuple[str, ...] = (),
    ) -> AsyncGenerator[Hypothesis, None]:
        """As `SpeechEngine.transcribe`, with the session's left context and its drafts as draft text."""
        return self._transcribe_final(utterance, self, language, key_terms)

    def draft_text(self, pcm: bytes) -> str:
        """The text of the newest draft of this utterance; empty where the newest draft was of another one."""
        states = (self._drafter.draft_state, self.draft_state)
        return next((state.text for state in states if state.pcm and pcm.startswith(state.pcm)), "")

    def known_language(self, language: str | None, samples: int) -> str | None:
        """The language of an utterance of this length; None where it is to be detected."""
        return known_language(language, self.spoken_language, samples, self._parts.recognizer.languages)

    def remember_language(self, language: str | None) -> None:
        """This was spoken: the session's next detection favours it."""
        self.spoken_language = self._drafter.spoken_language = language

    async def draft(
        self, pcm: bytes, *, stable: str = "", language: str | None = None, key_terms: tuple[str, ...] = ()
    ) -> Hypothesis | None:
        """The utterance so far; None where a newer draft replaced it before its turn, or its text is broken.

        `pcm` is 16 kHz mono s16le from the utterance's first sample. Raises RequestRefused for a language the model
        does not know, ProviderBusy and ProviderMisbehaved.
        """
        self._parts.recognizer.require_language(language)
        try:
            hypothesis: Hypothesis | None = await self._parts.pool.run(
                self._draft_batch,
                _DraftRequest(self, pcm, stable, language, key_terms),
                priority=Priority.DRAFT,
                session=self,
                kind=(id(self._parts), Priority.DRAFT),
            )
        except SupersededRequest:
            return None
        return hypothesis

    def _draft_batch(self, requests: Sequence["_DraftRequest"]) -> list[Hypothesis | None]:
        return draft_batch(self._parts, requests)


@dataclass(frozen=True, slots=True)
class BiasedSession:
    """A session's Transcriber and DraftTranscriber with key terms; it shares all that the session remembers."""

    session: SpeechSession
    key_terms: tuple[str, ...]

    def transcribe(
        self, utterance: AsyncIterable[AudioChunk], *, language: str | None = None
    ) -> AsyncGenerator[Hypothesis, None]:
        return self.session.transcribe(utterance, language=language, key_terms=self.key_terms)

    async def draft(self, pcm: bytes, *, stable: str = "", language: str | None = None) -> Hypothesis | None:
        return await self.session.draft(pcm, stable=stable, language=language, key_terms=self.key_terms)


@dataclass(frozen=True, slots=True)
class _DraftRequest:
    session: SpeechSession
    pcm: bytes
    stable: str
    language: str | None
    key_terms: tuple[str, ...]


def draft_batch(parts: EngineParts, requests: Sequence[_DraftRequest]) -> list[Hypothesis | None]:
    """On a worker thread: the drafts of several sessions in one batch.

    An utterance without speech has a draft without words; a broken pass has none at all.
    """
    with translate_errors(), parts.live_drafts.timed(parts.pool, [request.pcm for request in requests]):
        with_speech: list[tuple[_DraftRequest, DraftState]] = []
        for request in requests:
            state = request.session.draft_state.update(request.pcm, request.stable)
            if not state.has_speech and parts.speech_finder.has_speech(samples_of(request.pcm)):
                state = replace(state, has_speech=True)
            request.session.draft_state = state
            if state.has_speech:
                with_speech.append((request, state))
        drafts: dict[int, Hypothesis | None] = {
            id(request): Hypothesis(request.stable, language=only_language(request.language)) for request in requests
        }
        decodable = [
            replace(
                state.request(request.stable, request.language, request.key_terms),
                previous_language=request.session.spoken_language,
            )
            for request, state in with_speech
        ]
        decoded = parts.recognizer.decode(decodable) if decodable else []
        for (request, state), result in zip(with_speech, decoded, strict=True):
            text = state.whole_text(result, request.stable)
            if text is None:
                drafts[id(request)] = None
                continue
            moved = state.move_window(result, request.stable)
            request.session.draft_state = replace(moved, text=text, language=result.language)
            drafts[id(request)] = Hypothesis(text, language=result.language, confidence=result.confidence)
        return [drafts[id(request)] for request in requests]
