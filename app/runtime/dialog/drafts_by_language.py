"""Drafts in every language: of a small model where it knows the language, else of the model for finals."""

from dataclasses import dataclass

from app.domain.language import allowed_languages
from app.domain.ports import DraftTranscriber
from app.domain.transcript import Hypothesis


@dataclass(frozen=True, slots=True)
class DraftsByLanguage:
    """A DraftTranscriber over two."""

    small: DraftTranscriber
    small_languages: frozenset[str]
    """The codes of those that it knows; one that knows one cannot detect any."""
    large: DraftTranscriber
    """It raises RequestRefused where it does not know the language either."""

    async def draft(self, pcm: bytes, *, stable: str = "", language: str | None = None) -> Hypothesis | None:
        return await self._drafter(language).draft(pcm, stable=stable, language=language)

    def _drafter(self, language: str | None) -> DraftTranscriber:
        allowed = set(allowed_languages(language))
        is_known = allowed <= self.small_languages if allowed else len(self.small_languages) > 1
        return self.small if is_known else self.large
