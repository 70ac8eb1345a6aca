"""Two models as one: the second decodes what the first knows no language for, and where its text is doubtful."""

from collections.abc import Sequence
from dataclasses import dataclass

from providers.local.asr.hallucination import Verdict
from providers.local.asr.recognizer import DecodeRequest, DecodeResult, Recognizer
from providers.local.asr.word_combination import combined

MIN_WORD_PROBABILITY = 0.3
"""The default: a sixth of the finals have such a word; chosen on one half of the recorded clips, see docs/engine.md."""

_MIN_AVG_LOGPROB = -0.25
"""Mean log-probability of a token below which a final is doubtful; chosen on recorded speech, see docs/engine.md."""

_WORDS_PER_S, _EXTRA_WORDS = 5.5, 3
"""More words than these are seldom said."""


@dataclass(frozen=True, slots=True)
class SecondOpinion:
    """A Recognizer. Drafts have no second opinion: they are a guess, and the next one comes soon."""

    first: Recognizer
    first_language: str
    """The one language that the first model knows."""
    second: Recognizer
    min_word_probability: float = MIN_WORD_PROBABILITY
    """Of every word; where one is less probable, the final is doubtful."""

    @property
    def device(self) -> str:
        return self.second.device

    @property
    def compute_type(self) -> str:
        return f"{self.first.compute_type}, {self.second.compute_type}"

    @property
    def encoder_choice(self) -> str:
        return f"{self.first.encoder_choice}, and {self.second.encoder_choice}"

    @property
    def note(self) -> str:
        return f"{self.first.note} {self.second.note}".strip()

    @property
    def languages(self) -> frozenset[str]:
        return self.second.languages | {self.first_language}

    def require_language(self, language: str | None) -> None:
        self.second.require_language(language)

    def decode(self, requests: Sequence[DecodeRequest]) -> list[DecodeResult]:
        """One by one; what has no second opinion costs no second pass."""
        return [self._decode(request) for request in requests]

    def _decode(self, request: DecodeRequest) -> DecodeResult:
        if request.language != self.first_language:
            return self.second.decode([request])[0]
        result = self.first.decode([request])[0]
        if not (request.allow_fallback and is_doubtful(result, request.audio_s, self.min_word_probability)):
            return result
        if result.is_usable and request.others_wait():
            return result
        return combined(result, self.second.decode([request])[0], request.prefix)


def is_doubtful(result: DecodeResult, audio_s: float, min_word_probability: float = MIN_WORD_PROBABILITY) -> bool:
    """Whether a final deserves a second model's opinion: improbable, empty, endless, or too long for its audio.

    One unsure word is enough: where the second model has another one there, the surer of both is taken.
    """
    words = len(result.text.split())
    return (
        result.verdict is not Verdict.OK
        or result.avg_logprob < _MIN_AVG_LOGPROB
        or any(word.probability < min_word_probability for word in result.words)
        or words == 0
        or words > _EXTRA_WORDS + _WORDS_PER_S * audio_s
    )
