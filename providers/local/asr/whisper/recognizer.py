"""Whisper as a Recognizer."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from app.domain.audio import SAMPLE_RATE
from app.domain.language import allowed_languages
from providers.local.asr.edges import with_edges
from providers.local.asr.recognizer import DecodeRequest, DecodeResult, moved
from providers.local.asr.whisper.fallback import decode
from providers.local.asr.whisper.model import WhisperModel, load
from providers.local.thread_plan import ThreadPlan


@dataclass(frozen=True, slots=True)
class WhisperRecognizer:
    model: WhisperModel

    @property
    def device(self) -> str:
        return self.model.device

    @property
    def compute_type(self) -> str:
        return self.model.compute_type

    @property
    def note(self) -> str:
        return self.model.note

    @property
    def languages(self) -> frozenset[str]:
        return self.model.languages

    @property
    def encoder_choice(self) -> str:
        return self.model.choice.describe() if self.model.choice else ""

    def require_language(self, language: str | None) -> None:
        for each in allowed_languages(language):
            self.model.tokenizer(each)

    def decode(self, requests: Sequence[DecodeRequest]) -> list[DecodeResult]:
        edged = [with_edges(request.samples) for request in requests]
        padded = [replace(request, samples=each) for request, (each, _) in zip(requests, edged, strict=True)]
        results = decode(self.model, padded)
        return [
            replace(result, words=moved(result.words, -before / SAMPLE_RATE)) if before else result
            for result, (_, before) in zip(results, edged, strict=True)
        ]


def open_whisper_recognizer(
    folder: Path, *, device: str, compute_type: str, plan: ThreadPlan, encoder_path: str = "auto"
) -> WhisperRecognizer:
    """Open the CTranslate2 model in this folder. Blocking. Raises ModelUnavailable with what to do."""
    return WhisperRecognizer(
        load(folder, device=device, compute_type=compute_type, plan=plan, encoder_path=encoder_path)
    )
