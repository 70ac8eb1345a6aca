"""Reads a transcriber's stream up to its final."""

from collections.abc import AsyncIterable

from app.domain.errors import ProviderMisbehaved
from app.domain.transcript import Hypothesis


async def first_final(hypotheses: AsyncIterable[Hypothesis], provider: str = "finals") -> Hypothesis:
    """The first final of the stream; interim hypotheses are skipped. Raises ProviderMisbehaved where it ends without.

    The caller closes the stream.
    """
    async for hypothesis in hypotheses:
        if hypothesis.is_final:
            return hypothesis
    raise ProviderMisbehaved(provider, "ended without a final")
