"""When the words of an utterance are final."""

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait for what, in seconds after the endpoint."""

    flush_after_s: float = 0.7
    """For words that prove to be complete; then the stream is ended, which makes the service say all it knows."""

    final_within_s: float = 3.0
    """For the final, however it comes; then the service counts as down."""


@dataclass(frozen=True, slots=True)
class Standing:
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
class Commit:
    """What is known is final."""


@dataclass(frozen=True, slots=True)
class Flush:
    """End the stream: it costs a reopening, and proves what was said even where that is nothing."""


@dataclass(frozen=True, slots=True)
class GiveUp:
    """The service will not answer."""


@dataclass(frozen=True, slots=True)
class Listen:
    """Wait for news, but no longer than this many seconds; None waits for the endpoint."""

    at_most_s: float | None


Step: TypeAlias = Commit | Flush | GiveUp | Listen


def next_step(standing: Standing, patience: Patience) -> Step:
    since = standing.since_endpoint_s
    if since is None:
        return Listen(None)
    if standing.is_over or standing.is_settled:
        return Commit()
    if since >= patience.final_within_s:
        return GiveUp()
    if standing.is_flushed:
        return Listen(patience.final_within_s - since)
    if since >= patience.flush_after_s:
        return Flush()
    return Listen(patience.flush_after_s - since)
