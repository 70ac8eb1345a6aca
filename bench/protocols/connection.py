"""Interface of a benchmarked server: audio in, drafts, finals and reply audio out."""

from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Literal, Protocol


@dataclass(frozen=True, slots=True)
class ServerEvent:
    """A draft, a final or reply audio that the server sent."""

    at: float
    """Arrival time on the event loop's clock."""
    kind: Literal["draft", "final", "reply"]
    """`reply`: a chunk of reply audio."""
    text: str = ""
    utterance: str | None = None
    """Which utterance a draft or final belongs to, where the server says so."""
    start: float | None = None
    end: float | None = None
    """Seconds of the stream it covers, where the server says so."""


class Connection(Protocol):
    """One open session with a server."""

    async def send(self, pcm: bytes) -> None:
        """One packet of 16 kHz mono PCM16."""

    async def finish(self) -> None:
        """Signal the end of the audio, if the protocol has a message for it."""

    def events(self) -> AsyncGenerator[ServerEvent, None]:
        """Events of the server, until it closes."""


class Opener(Protocol):
    """Opens a connection. Raises ProviderDown if the server cannot be reached."""

    def __call__(self, url: str, *, reply: bool) -> AbstractAsyncContextManager[Connection]: ...
