"""Decides when the words of an utterance are final, and when to end the stream to obtain them."""

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class FinalizationTimeouts:
    """How long to wait, in seconds after the endpoint."""

    flush_after_s: float = 0.7
    """For words that are complete; then the stream is ended, which makes the service say all it knows."""

    final_within_s: float = 3.0
    """For the final, however it is obtained; then the service counts as down."""


@dataclass(frozen=True, slots=True)
class UtteranceProgress:
    """What is known of an utterance at this moment."""

    is_complete: bool = False
    """Every word is stable, and the words reach to the end."""

    is_closed: bool = False
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
    """Wait for a change, at most this long; None waits for the endpoint."""

    timeout_s: float | None


Step: TypeAlias = CommitFinal | FlushStream | AbandonUtterance | AwaitResults


def next_step(progress: UtteranceProgress, timeouts: FinalizationTimeouts) -> Step:
    """What to do now, as a pure function of the utterance's progress."""
    since_s = progress.since_endpoint_s
    if since_s is None:
        return AwaitResults(None)
    if progress.is_closed or progress.is_complete:
        return CommitFinal()
    if since_s >= timeouts.final_within_s:
        return AbandonUtterance()
    if progress.is_flushed:
        return AwaitResults(timeouts.final_within_s - since_s)
    if since_s >= timeouts.flush_after_s:
        return FlushStream()
    return AwaitResults(timeouts.flush_after_s - since_s)
