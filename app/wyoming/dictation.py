"""The session behind the audio of one Wyoming request: an AdapterClient whose finals become one transcript."""

from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass, field

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from app.domain.audio import AudioChunk
from app.domain.dialog import effects as do
from app.domain.dialog import events as ev
from app.domain.transcript import join
from app.domain.turn_mode import TurnMode
from app.runtime.dialog.session import Incoming

MAX_WAITING = 512
"""Chunks of audio that may wait for the session; then none is read."""
_STOP = 1
"""The mark behind the audio."""


@dataclass(slots=True)
class Dictation:
    """The session's AdapterClient. `show` is called in order; `is_done` is set with the last final of the audio."""

    language: str | None
    """Codes with commas between; empty: any; None: as the server has it."""
    key_terms: tuple[str, ...]
    on_final: Callable[[str], None]
    """Called with each text, in the order of the audio."""
    is_done: anyio.Event = field(default_factory=anyio.Event)
    error: Exception | None = None
    texts: list[str] = field(default_factory=list)
    _open: set[int] = field(default_factory=set)
    _finals: dict[int, str] = field(default_factory=dict)
    """That wait for an earlier utterance's."""
    _is_marked: bool = False
    _send: MemoryObjectSendStream[Incoming] = field(init=False)
    _receive: MemoryObjectReceiveStream[Incoming] = field(init=False)

    def __post_init__(self) -> None:
        self._send, self._receive = anyio.create_memory_object_stream[Incoming](MAX_WAITING)

    @property
    def text(self) -> str:
        return join(self.texts)

    async def push(self, chunks: list[AudioChunk]) -> None:
        """More audio; nothing of it is taken where the session has ended."""
        with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
            for chunk in chunks:
                await self._send.send(chunk)

    async def stop(self) -> None:
        """The audio is over."""
        with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
            await self._send.send(ev.ClientEnded())
            await self._send.send(ev.ClientMarked(_STOP))

    def leave(self) -> None:
        """The session may end."""
        self._send.close()

    def close(self) -> None:
        """The session has ended, or never began."""
        self._send.close()
        self._receive.close()

    async def incoming(self) -> AsyncIterator[Incoming]:
        """The session's configuration, and what was pushed."""
        yield ev.ClientConfigured(
            language=self.language,
            reply=False,
            events=True,
            turns=TurnMode.TRANSCRIBE,
            key_terms=self.key_terms or None,
        )
        async for item in self._receive:
            yield item

    def show(self, shown: do.Shown, *, ttfs_ms: int | None = None) -> None:  # noqa: ARG002 because no event has it
        match shown:
            case do.ShowSpeechStarted(utterance=number):
                self._open.add(number)
            case do.ShowFinal(utterance=number, hypothesis=hypothesis):
                self._open.discard(number)
                self._finals[number] = hypothesis.text
                self._pass_on()
            case do.ShowMark():
                self._is_marked = True
            case _:
                return
        if self._is_marked and not self._open:
            self.is_done.set()

    def acknowledge(self, samples: int) -> None:
        """No event says it."""

    async def write(self) -> None:
        """What is shown is written where it is awaited."""
        await anyio.sleep_forever()

    async def close_for(self, error: Exception) -> None:
        self.error = error
        self.is_done.set()

    def raise_for_fault(self) -> None:
        """The client cannot be at fault here."""

    def _pass_on(self) -> None:
        while self._finals and not any(number < min(self._finals) for number in self._open):
            text = self._finals.pop(min(self._finals))
            if text:
                self.texts.append(text)
                self.on_final(text)
