"""A session with a server: audio and orders out, typed events in."""

import asyncio
from collections.abc import Mapping
from ssl import SSLContext
from types import TracebackType
from typing import Any, Self, Unpack

from websockets.asyncio.client import ClientConnection

from parley_client.configuration import Configuration, configure_message
from parley_client.connecting import PING_S, open_socket, session_address
from parley_client.connection import Connection
from parley_client.errors import EventsUnread, ServerUnreachable, SessionEnded, SessionError, SessionRefused
from parley_client.events import Event, RequestFailed, SessionResumed, SessionStarted, event_of
from parley_client.packets import BYTES_PER_SAMPLE
from parley_client.resumption import SILENCE_S, Resumption

NEW = "new"
"""Asks for a session that can be resumed, in place of the id of one."""
MAX_EVENTS = 4096
"""Events that nobody has read yet; minutes of a reply's audio are so many."""
MAX_PACKET_S = 5.0
NORMAL_CLOSURE = 1000


class Session:
    """`async with Session(url) as session`: send audio, and iterate over the events at the same time.

    One task iterates; others may send. Where the connection is lost, the session is resumed, and nothing of its input
    is lost, as long as the server waits for it. Iteration ends when the server closes the session normally.
    """

    def __init__(
        self,
        url: str,
        *,
        key: str | None = None,
        sample_rate: int = 16_000,
        resume: bool = True,
        headers: Mapping[str, str] | None = None,
        ssl: SSLContext | None = None,
        timeout_s: float = 10.0,
        **configuration: Unpack[Configuration],
    ) -> None:
        """Nothing is sent yet.

        Args:
            url: `ws://HOST:PORT` or `wss://HOST`; further fields of `configure` are those of Configuration.
            key: API key, session token or JWT, where the server asks for one.
            sample_rate: Hz, 8000 to 96000, of the audio that is sent.
            resume: False: the session ends with its connection.
            headers: Further HTTP headers of the handshake.
            ssl: In place of the default context, for `wss`.
            timeout_s: How long the server may take to give the session a place.
        """
        self.sample_rate = sample_rate
        self.id = ""
        """Of the session, and of its recording."""
        self._url, self._key, self._headers, self._ssl = url, key, headers, ssl
        self._resume, self._timeout_s, self._configuration = resume, timeout_s, configuration
        self._connection: Connection | None = None
        self._receiving: asyncio.Task[None] | None = None
        self._events: asyncio.Queue[Event | None] = asyncio.Queue()
        self._began = asyncio.Event()
        """The server has answered: with a place, or with its reason for none."""
        self._fatal = RequestFailed("", "")
        """Why the server closes the connection."""
        self._failure: SessionError | None = None

    async def __aenter__(self) -> Self:
        """Raises AddressError, ServerUnreachable, SessionRefused."""
        socket = await self._open(NEW if self._resume else None)
        resumption = Resumption(self._open) if self._resume else None
        self._connection = Connection(socket, self._take, resumption)
        self._receiving = asyncio.create_task(self._receive(self._connection))
        try:
            await self._await_place()
            if self._configuration:
                await self.configure(**self._configuration)
        except BaseException:  # because `async with` calls no __aexit__ then, and the socket stays open
            await self._leave()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._leave()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        """Raises SessionEnded where the server ended the session, or it was lost; EventsUnread."""
        event = await self._events.get()
        if event is None:
            self._events.put_nowait(None)  # for whoever iterates again
            raise self._end() or StopAsyncIteration
        return event

    async def send(self, pcm: bytes, sample_rate: int | None = None) -> None:
        """Send mono PCM16, of another rate than the session's where one is given. A microphone's 40 ms are a good size.

        Waits while half a minute of audio is on its way. Raises SessionEnded, and ValueError for half a sample.
        """
        rate = sample_rate or self.sample_rate
        if len(pcm) % BYTES_PER_SAMPLE:
            raise ValueError(f"{len(pcm)} bytes are no whole number of 16-bit samples")
        step = int(MAX_PACKET_S * rate) * BYTES_PER_SAMPLE
        for start in range(0, len(pcm), step):
            await self._open_connection().send_audio(pcm[start : start + step], rate)

    async def configure(self, **changes: Unpack[Configuration]) -> None:
        """Change what the session was asked for; what is absent stays."""
        await self._order(configure_message(changes))

    async def end(self) -> None:
        """The user's turn is over; with the microphone off, the server needs to know."""
        await self._order({"type": "end"})

    async def clear(self) -> None:
        """Take back what was said in this turn so far."""
        await self._order({"type": "clear"})

    async def interrupt(self) -> None:
        """Cancel the current reply and its audio."""
        await self._order({"type": "cancel"})

    async def say(self, text: str) -> None:
        """Speak this text as a reply."""
        await self._order({"type": "say", "text": text})

    async def text(self, text: str) -> None:
        """The user's words in text, which are answered like spoken ones."""
        await self._order({"type": "text", "text": text})

    async def played(self, turn: int, samples: int) -> None:
        """So much of the reply's audio has been played: an interrupted reply is remembered up to there."""
        await self._order({"type": "played", "turn": turn, "samples": samples})

    async def _order(self, message: dict[str, Any]) -> None:
        await self._open_connection().send_message(message)

    def _open_connection(self) -> Connection:
        """Raises SessionEnded where the session is over, and RuntimeError outside of `async with`."""
        if self._connection is None:
            raise RuntimeError("a session is open within `async with` only")
        if self._connection.closed:
            raise self._end() or SessionEnded("", "the session is over", NORMAL_CLOSURE)
        return self._connection

    async def _open(self, session: str | None) -> ClientConnection:
        url = session_address(self._url, resume=session) if session else session_address(self._url)
        # a client that only listens learns by its pings that nothing comes through, and well within the time it has
        ping_s = SILENCE_S if self._resume else PING_S
        return await open_socket(url, key=self._key, headers=self._headers, ssl=self._ssl, ping_s=ping_s)

    async def _await_place(self) -> None:
        """Raises SessionRefused, ServerUnreachable."""
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._began.wait()
        except TimeoutError:
            raise ServerUnreachable(f"{self._url}: no session began within {self._timeout_s} s") from None
        if not self.id:
            raise self._failure or SessionRefused(
                self._fatal.code, self._fatal.message or "the server closed the connection at once"
            )

    async def _receive(self, connection: Connection) -> None:
        try:
            await connection.receive()
        except SessionError as error:
            self._failure = error
        except ValueError as error:
            self._failure = SessionError(f"the server sent a frame that cannot be read: {error}")
        finally:
            self._began.set()
            self._events.put_nowait(None)

    def _take(self, message: dict[str, Any], pcm: bytes) -> None:
        """Raises EventsUnread, and SessionError for a message that cannot be read."""
        event = event_of(message, pcm)
        if isinstance(event, SessionStarted) and self.id:
            event = SessionResumed(event.id)
        elif isinstance(event, SessionStarted):
            self.id = event.id
            self._began.set()
        elif isinstance(event, RequestFailed) and message.get("fatal"):
            self._fatal = event  # and the connection is closed next
            return
        if event is None:
            return
        if self._events.qsize() >= MAX_EVENTS:
            raise EventsUnread(f"nobody has read {MAX_EVENTS} events; iterate over the session while audio is sent")
        self._events.put_nowait(event)

    def _end(self) -> SessionError | None:
        """Why a session that is over has ended; None where the server closed it normally."""
        assert self._connection is not None
        code, reason = self._connection.closed or (NORMAL_CLOSURE, "")
        if self._failure:
            return self._failure
        if not self._fatal.code and code == NORMAL_CLOSURE:
            return None
        return SessionEnded(self._fatal.code, self._fatal.message or reason or "the connection was lost", code)

    async def _leave(self) -> None:
        assert self._connection is not None
        assert self._receiving is not None
        self._receiving.cancel()
        (failure,) = await asyncio.gather(self._receiving, return_exceptions=True)
        await self._connection.close()
        if isinstance(failure, Exception):  # a defect: what is expected stands in `_failure`
            raise failure
