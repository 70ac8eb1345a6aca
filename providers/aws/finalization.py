"""When the words of an utterance are final."""

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class FinalizationTimeouts:
    """How long to wait for what, in seconds after the endpoint."""

    flush_after_s: float = 0.7
    """For words that prove to be complete; then the stream is ended, which makes the service say all it knows."""

    final_within_s: float = 3.0
    """For the final, however it comes; then the service counts as down."""


@dataclass(frozen=True, slots=True)
class UtteranceProgress:
    """How an utterance stands."""

    is_settled: bool = False
    """Every word is stable, and the words reach to the end."""

    is_over: bool = False
    """The service has said everything and closed the stream."""

    is_flushed: bool = False
    """We have ended the stream."""

    since_endpoint_s: float | None = None
    """None while the person still speaks."""


@dataclass(frozen=True, slots=True)
class CommitFinal:
    """What is known is final."""


@dataclass(frozen=True, slots=True)
class FlushStream:
    """End the stream: it costs a reopening, and proves what was said even where that is nothing."""


@dataclass(frozen=True, slots=True)
class AbandonUtterance:
    """The service will not answer."""


@dataclass(frozen=True, slots=True)
class AwaitResults:
    """Wait for news, but no longer than this many seconds; None waits for the endpoint."""

    at_most_s: float | None


Step: TypeAlias = CommitFinal | FlushStream | AbandonUtterance | AwaitResults


def next_step(standing: UtteranceProgress, patience: FinalizationTimeouts) -> Step:
    since = standing.since_endpoint_s
    if since is None:
        return AwaitResults(None)
    if standing.is_over or standing.is_settled:
        return CommitFinal()
    if since >= patience.final_within_s:
        return AbandonUtterance()
    if standing.is_flushed:
        return AwaitResults(patience.final_within_s - since)
    if since >= patience.flush_after_s:
        return FlushStream()
    return AwaitResults(patience.flush_after_s - since)
