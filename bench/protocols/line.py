"""A line to a server: sound goes in, drafts and finals come out."""

from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Literal, Protocol


@dataclass(frozen=True, slots=True)
class Heard:
    """Something the server said."""

    at: float
    """When it came, on the event loop's clock."""
    kind: Literal["draft", "final", "reply"]
    """`reply`: the first and every further piece of spoken reply."""
    text: str = ""
    utterance: str | None = None
    """Which utterance a draft or final belongs to, where the server says so."""
    start: float | None = None
    end: float | None = None
    """Seconds of the stream it covers, where the server says so."""


class Line(Protocol):
    """One open session with a server."""

    async def send(self, pcm: bytes) -> None:
        """One packet of 16 kHz mono PCM16."""

    async def finish(self) -> None:
        """Say that no more audio comes, where the protocol has a word for it."""

    def heard(self) -> AsyncGenerator[Heard, None]:
        """What the server says, until it closes."""


class Opener(Protocol):
    """Opens a line. Raises ProviderDown where nobody answers."""

    def __call__(self, url: str, *, reply: bool) -> AbstractAsyncContextManager[Line]: ...
