"""Finals of a session's routes as a Transcriber, for files where no route is local."""

from collections.abc import AsyncGenerator, AsyncIterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from itertools import count

from app.domain.audio import AudioChunk
from app.domain.residency import Residency
from app.domain.transcript import Hypothesis
from app.runtime.dialog.engines import FinalTranscription


@dataclass(frozen=True, slots=True)
class RoutedTranscriber:
    """Each utterance is a final of the session, ranked by the policy and paid from its budgets."""

    finals: FinalTranscription
    residency: Residency
    key_terms: tuple[str, ...] = ()
    _numbers: "count[int]" = field(default_factory=lambda: count(1))

    def with_key_terms(self, terms: Sequence[str]) -> "RoutedTranscriber":
        """The same routes, for whose engines these words are likely too."""
        return RoutedTranscriber(self.finals, self.residency, (*self.key_terms, *terms), self._numbers)

    async def transcribe(
        self, utterance: AsyncIterable[AudioChunk], *, language: str | None = None
    ) -> AsyncGenerator[Hypothesis, None]:
        """As a Transcriber does; the decision is recorded with the final."""
        pending = self.finals.open(next(self._numbers), language, self.residency, key_terms=self.key_terms)
        pending.confirm_endpoint()
        async with aclosing(pending.transcribe(utterance, language=language)) as hypotheses:
            async for hypothesis in hypotheses:
                if hypothesis.is_final:
                    pending.record_shown(hypothesis, pending.route)
                yield hypothesis
