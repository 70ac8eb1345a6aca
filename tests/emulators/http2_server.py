"""The server's side of HTTP/2, as much as a bidirectional stream needs."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import DataReceived, Event, RequestReceived, StreamEnded, StreamReset, WindowUpdated
from h2.exceptions import ProtocolError


class Gone(Exception):
    """The client is no longer there."""


class Http2Stream:
    """One request and its response."""

    def __init__(self, connection: "Http2Connection", number: int, headers: dict[str, str]) -> None:
        self.headers = headers
        self._connection = connection
        self._number = number
        self._received: asyncio.Queue[bytes | Gone | None] = asyncio.Queue()

    def put(self, data: bytes | Gone | None) -> None:
        self._received.put_nowait(data)

    async def receive(self) -> bytes | None:
        """The next piece of the request's body, None at its end. Raises Gone."""
        data = await self._received.get()
        if isinstance(data, Gone):
            raise data
        return data

    async def respond(self, headers: list[tuple[str, str]]) -> None:
        self._connection.h2.send_headers(self._number, headers)
        await self._connection.flush()

    async def send(self, data: bytes) -> None:
        await self._connection.send(self._number, data)

    async def end(self) -> None:
        self._connection.h2.end_stream(self._number)
        await self._connection.flush()

    async def reset(self) -> None:
        """RST_STREAM: this stream is over, the connection stays."""
        self._connection.h2.reset_stream(self._number, ErrorCodes.INTERNAL_ERROR)
        await self._connection.flush()

    async def go_away(self) -> None:
        """GOAWAY, and the connection is closed."""
        self._connection.h2.close_connection(ErrorCodes.NO_ERROR)
        await self._connection.flush()
        self._connection.writer.close()

    def abort(self) -> None:
        """Drop the connection without a word."""
        self._connection.abort()


class Http2Connection:
    """Calls `answer` for every request, each in a task of its own."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        answer: Callable[[Http2Stream], Awaitable[None]],
    ) -> None:
        self.h2 = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
        self.writer = writer
        self._reader = reader
        self._answer = answer
        self._streams: dict[int, Http2Stream] = {}
        self._window = asyncio.Event()

    async def run(self) -> None:
        self.h2.initiate_connection()
        try:
            async with asyncio.TaskGroup() as answers:
                await self.flush()
                while data := await self._reader.read(65_536):
                    for event in self.h2.receive_data(data):
                        self._take(event, answers)
                    await self.flush()
                self._lose_streams()
        except* (ConnectionError, ssl.SSLError, ProtocolError):
            pass  # because a client may leave as it likes
        finally:
            self._lose_streams()
            self.writer.close()

    def abort(self) -> None:
        self.writer.transport.abort()

    def _lose_streams(self) -> None:
        for stream in self._streams.values():
            stream.put(Gone())
        self._window.set()

    def _take(self, event: Event, answers: asyncio.TaskGroup) -> None:
        match event:
            case RequestReceived(stream_id=number, headers=headers):
                stream = Http2Stream(self, number, dict(headers))
                self._streams[number] = stream
                answers.create_task(self._serve(number, stream))
            case DataReceived(stream_id=number, data=data, flow_controlled_length=length):
                self.h2.acknowledge_received_data(length, number)
                if number in self._streams:
                    self._streams[number].put(data)
            case StreamEnded(stream_id=number) if number in self._streams:
                self._streams[number].put(None)
            case StreamReset(stream_id=number) if number in self._streams:
                self._streams[number].put(Gone())
            case WindowUpdated():
                self._window.set()

    async def _serve(self, number: int, stream: Http2Stream) -> None:
        try:
            await self._answer(stream)
        except (Gone, ConnectionError, ssl.SSLError, ProtocolError):
            pass  # because a client may leave as it likes
        finally:
            del self._streams[number]

    async def send(self, number: int, data: bytes) -> None:
        while data:
            room = min(self.h2.local_flow_control_window(number), self.h2.max_outbound_frame_size)
            if room <= 0:
                self._window.clear()
                await self._window.wait()
                continue
            self.h2.send_data(number, data[:room])
            data = data[room:]
            await self.flush()

    async def flush(self) -> None:
        self.writer.write(self.h2.data_to_send())
        await self.writer.drain()
