"""One session at a shared model: its newer draft replaces its older one."""

from collections.abc import AsyncGenerator, AsyncIterable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from app.domain.audio import AudioChunk
from app.domain.transcript import Hypothesis
from providers.local.asr.drafts import DraftState
from providers.local.asr.fallback import decode
from providers.local.asr.left_context import LeftContext
from providers.local.asr.whisper_model import WhisperModel, translated
from providers.local.inference_pool import InferencePool, SupersededRequest
from providers.local.mel import GrowingMel, samples_of
from providers.local.scheduler import Priority
from providers.local.vad.speech_segments import SpeechFinder


@dataclass(frozen=True, slots=True)
class EngineParts:
    """What everyone who uses one model shares."""

    model: WhisperModel
    cores: InferencePool
    voice: SpeechFinder


Finals: TypeAlias = Callable[
    [AsyncIterable[AudioChunk], "SessionWhisper", str | None], AsyncGenerator[Hypothesis, None]
]
"""Transcribes an utterance of a session, in a language."""


class SessionWhisper:
    """A Transcriber and a DraftTranscriber for one session.

    It remembers the utterance that is being spoken, and the few that were written down before it.
    """

    def __init__(self, equipment: EngineParts, finals: Finals, drafter: "SessionWhisper | None" = None) -> None:
        """`drafter` makes the session's drafts, where another model does: they tell what a final will say."""
        self._equipment = equipment
        self._finals = finals
        self._drafter = drafter or self
        self.before = LeftContext()
        self.known = DraftState(GrowingMel(equipment.model.filters))
        """What the newest pass left. A pass keeps to its own copy, because one nobody awaits may overlap the next."""

    def transcribe(
        self, utterance: AsyncIterable[AudioChunk], *, language: str | None = None
    ) -> AsyncGenerator[Hypothesis, None]:
        return self._finals(utterance, self, language)

    def guess(self, pcm: bytes) -> str:
        """What the newest draft heard in this utterance; nothing where it was of another."""
        drafted = self._drafter.known
        return drafted.newest if drafted.mel.pcm and pcm.startswith(drafted.mel.pcm) else ""

    async def draft(self, pcm: bytes, *, stable: str = "", language: str | None = None) -> Hypothesis | None:
        """The utterance so far; None where a newer draft replaced it before its turn, or its words are broken."""
        self._equipment.model.tokenizer(language)
        try:
            hypothesis: Hypothesis | None = await self._equipment.cores.run(
                self._together,
                _DraftRequest(self, pcm, stable, language),
                urgency=Priority.DRAFT,
                session=self,
                kind=(id(self._equipment), Priority.DRAFT),
            )
        except SupersededRequest:
            return None
        return hypothesis

    def _together(self, wishes: Sequence["_DraftRequest"]) -> list[Hypothesis | None]:
        return drafts(self._equipment, wishes)


@dataclass(frozen=True, slots=True)
class _DraftRequest:
    session: SessionWhisper
    pcm: bytes
    stable: str
    language: str | None


def drafts(equipment: EngineParts, wishes: Sequence[_DraftRequest]) -> list[Hypothesis | None]:
    """On a worker thread: a pass for each session, together where the device gains from it.

    An utterance in which nobody speaks has a draft without words; a broken pass has none at all.
    """
    with translated():
        voiced: list[tuple[_DraftRequest, DraftState]] = []
        for wish in wishes:
            known = wish.session.known.hear(wish.pcm, wish.stable)
            if not known.voiced and equipment.voice.anyone(samples_of(wish.pcm)):
                known = replace(known, voiced=True)
            wish.session.known = known
            if known.voiced:
                voiced.append((wish, known))
        answers: dict[int, Hypothesis | None] = {
            id(wish): Hypothesis(wish.stable, language=wish.language) for wish in wishes
        }
        asks = [known.ask(wish.stable, wish.language) for wish, known in voiced]
        for (wish, known), heard in zip(voiced, decode(equipment.model, asks) if asks else (), strict=True):
            text = known.text(heard, wish.stable)
            if text is None:
                answers[id(wish)] = None
                continue
            wish.session.known = replace(known.move(heard, wish.stable), newest=text)
            answers[id(wish)] = Hypothesis(text, language=heard.language, confidence=heard.confidence)
        return [answers[id(wish)] for wish in wishes]
