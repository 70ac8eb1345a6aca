"""Drafts in every language: of a small model where it knows the language, else of the model for finals."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from app.domain.language import allowed_languages
from app.domain.ports import DraftTranscriber, TermBiased
from app.domain.transcript import Hypothesis


@dataclass(frozen=True, slots=True)
class DraftsByLanguage:
    """A DraftTranscriber over two."""

    small: DraftTranscriber
    small_languages: frozenset[str]
    """The codes of those that it knows; one that knows one cannot detect any."""
    large: DraftTranscriber
    """It raises RequestRefused where it does not know the language either."""

    def with_key_terms(self, terms: Sequence[str]) -> "DraftsByLanguage":
        """Both, as far as they can be told which words to expect."""
        return DraftsByLanguage(_biased(self.small, terms), self.small_languages, _biased(self.large, terms))

    async def draft(self, pcm: bytes, *, stable: str = "", language: str | None = None) -> Hypothesis | None:
        return await self._drafter(language).draft(pcm, stable=stable, language=language)

    def _drafter(self, language: str | None) -> DraftTranscriber:
        allowed = set(allowed_languages(language))
        is_known = allowed <= self.small_languages if allowed else len(self.small_languages) > 1
        return self.small if is_known else self.large


def _biased(drafter: DraftTranscriber, terms: Sequence[str]) -> DraftTranscriber:
    return cast(DraftTranscriber, drafter.with_key_terms(terms)) if isinstance(drafter, TermBiased) else drafter
