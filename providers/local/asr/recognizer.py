"""What a speech model does for the engine: audio in memory to text."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import exp
from typing import Protocol

from app.domain.audio import SAMPLE_RATE
from providers.local.asr.hallucination import Verdict
from providers.local.mel import Samples


def _nobody_waits() -> bool:
    return False


@dataclass(frozen=True, slots=True)
class DecodeRequest:
    """What to decode, and how."""

    samples: Samples
    """Shape (n,), 16 kHz, -1 to 1."""

    language: str | None = None
    """`de`; of `de,en` one, and for None any, which a multilingual model detects."""

    prefix: str = ""
    """Text that is known: decoding continues behind it."""

    draft_text: str = ""
    """Text that is likely (speculative decoding): where it is right, decoding is faster; else it changes nothing."""

    key_terms: tuple[str, ...] = ()
    """Names and jargon that are likely in the audio."""

    beam_size: int = 1
    allow_fallback: bool = True
    """Decode again with more context where the text looks hallucinated; False for drafts."""

    word_timestamps: bool = False
    previous_language: str | None = None
    """What was spoken before, which is favoured in a detection."""

    others_wait: Callable[[], bool] = _nobody_waits
    """Whether by now other finals wait for this one to be done: then it is not the time for a second opinion."""

    @property
    def audio_s(self) -> float:
        return len(self.samples) / SAMPLE_RATE


@dataclass(frozen=True, slots=True)
class TimedWord:
    """A word with its leading space; `start_s` and `end_s` are seconds into the audio."""

    text: str
    start_s: float
    end_s: float
    probability: float


def moved(words: Sequence[TimedWord], seconds: float) -> tuple[TimedWord, ...]:
    """The words so many seconds later; none of them before the beginning."""
    return tuple(
        replace(word, start_s=max(0.0, word.start_s + seconds), end_s=max(0.0, word.end_s + seconds)) for word in words
    )


@dataclass(frozen=True, slots=True)
class DecodeResult:
    """The text of one request."""

    text: str = ""
    avg_logprob: float = 0.0
    """Mean log-probability per token."""

    verdict: Verdict = Verdict.SILENCE
    words: tuple[TimedWord, ...] = ()
    """Where the request asked for timestamps, or they were needed to judge a repetition."""

    passes: int = 0
    """How often the encoder ran."""

    language: str | None = None
    no_speech_prob: float = 0.0
    """Of the decoder; 0 where it gives none."""

    @property
    def is_usable(self) -> bool:
        """Whether it has words that nothing but their confidence speaks against."""
        return self.verdict is Verdict.OK and bool(self.text)

    @property
    def confidence(self) -> float:
        """0 to 1."""
        return exp(min(0.0, self.avg_logprob))


class Recognizer(Protocol):
    """One speech model, opened. Its methods block, and any number of threads may call them."""

    @property
    def device(self) -> str:
        """`cpu` or `cuda`."""
        ...

    @property
    def compute_type(self) -> str:
        """How its numbers are stored and multiplied."""
        ...

    @property
    def note(self) -> str:
        """What an operator should know about the device; empty when all is as configured."""
        ...

    @property
    def languages(self) -> frozenset[str]:
        """The codes of those that the model knows."""
        ...

    @property
    def encoder_choice(self) -> str:
        """How its encoder computes on this processor, and why; empty where nothing was to choose."""
        ...

    def require_language(self, language: str | None) -> None:
        """Raises RequestRefused where the model lacks the language, or one of several; None is always known."""
        ...

    def decode(self, requests: Sequence[DecodeRequest]) -> list[DecodeResult]:
        """Decode audio in which the VAD has found speech, a batch at once. Raises RequestRefused."""
        ...
