"""Resumption of a session on a newer connection: who may claim it, and which of its input is new."""

from dataclasses import dataclass, replace
from hmac import compare_digest

from app.domain.principal import Principal

MAX_COUNT = 2**53 - 1
"""The largest whole number that every client can count to."""


@dataclass(frozen=True, slots=True)
class ResumeTokens:
    """The secrets of one session. Each return makes a new one.

    A new token counts at once, and the one before it until the client is known to have got the new one: the connection
    may be lost before the answer arrives.
    """

    current: str
    offered: str | None = None
    """Sent to the client, which has not sent anything since."""

    def accept(self, token: str) -> bool:
        """Whether this token claims the session. The time it takes says nothing about how much of it is right."""
        is_current = compare_digest(self.current.encode(), token.encode())
        is_offered = compare_digest((self.offered or self.current).encode(), token.encode())
        return is_current or is_offered

    def rotate(self, presented: str, fresh: str) -> "ResumeTokens":
        """After a return with `presented`, which was accepted: `fresh` is offered, any other token is void."""
        return ResumeTokens(presented, fresh)

    def confirm(self) -> "ResumeTokens":
        """The client has the token that was offered: the one before it is void."""
        return replace(self, current=self.offered or self.current, offered=None)


def is_same_client(holder: Principal, claimant: Principal) -> bool:
    """Whether both are the same key, or tokens made with it, of one tenant and for the same person."""
    return (holder.tenant.name, holder.key_id, holder.person) == (
        claimant.tenant.name,
        claimant.key_id,
        claimant.person,
    )


@dataclass(frozen=True, slots=True)
class InputReceived:
    """What has been taken from a client, over all its connections; so what it need not send again."""

    samples: int = 0
    """Of its audio, as it sent them, whatever their rate."""
    messages: int = 0
    """Number of the newest message."""

    def samples_known(self, start: int | None, samples: int) -> int:
        """How many of a packet's first samples came before. `start`: its position; None: right behind the last."""
        return 0 if start is None else min(samples, max(0, self.samples - start))

    def samples_missing(self, start: int | None) -> int:
        """How many samples in front of a packet will never come: the client sent what is behind them."""
        return 0 if start is None else max(0, start - self.samples)

    def with_packet(self, start: int | None, samples: int) -> "InputReceived":
        """Behind this packet."""
        end = (self.samples if start is None else start) + samples
        return replace(self, samples=max(self.samples, end))

    def knows_message(self, number: int | None) -> bool:
        """Whether a message with this number came before; one without a number is new, and is not counted."""
        return number is not None and number <= self.messages

    def with_message(self, number: int | None) -> "InputReceived":
        """Behind this message, which is new."""
        return replace(self, messages=self.messages if number is None else number)
