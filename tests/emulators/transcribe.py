"""Amazon Transcribe streaming on this machine: TLS, HTTP/2, signed event-stream frames, and faults on command.

    with TranscribeEmulator(certificates) as emulator:
        emulator.script = Script(words=("hello",), fault=TcpReset(after_ms=500))
        ... a client at emulator.url ...
        assert emulator.streams[-1].billed_seconds == 15

Started as a program, it serves until its standard input closes: `python -m tests.emulators.transcribe FOLDER`.
"""

import asyncio
import ssl
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import Self, TypeAlias

from tests.emulators.background import in_background
from tests.emulators.certificates import Certificates, make_certificates
from tests.emulators.http2_server import Http2Connection, Http2Stream
from tests.emulators.transcribe_script import Script
from tests.emulators.transcribe_stream import TranscribeStream
from tests.emulators.transcribe_words import Recogniser, ScriptedRecogniser

MakeRecogniser: TypeAlias = Callable[[Script, int, str], Recogniser]


class TranscribeEmulator:
    """Listens on a free port. Streams obey the script that is set when they open."""

    def __init__(
        self,
        certificates: Certificates,
        *,
        accounts: dict[str, str] | None = None,
        script: Script | None = None,
        recogniser: MakeRecogniser = ScriptedRecogniser,
    ) -> None:
        self.script = script or Script()
        self.accounts = accounts or {"testing": "testing"}
        """Secret by access key."""
        self.streams: list[TranscribeStream] = []
        """Every stream that was ever requested, in order."""
        self.connections = 0
        self.port = 0
        self._certificates = certificates
        self._recogniser = recogniser
        self._serving: dict[Http2Connection, asyncio.Task[None]] = {}
        self._running: AbstractContextManager[None] | None = None

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}"

    @property
    def billed_seconds(self) -> int:
        return sum(stream.billed_seconds for stream in self.streams)

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """Serve on the running event loop."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self._certificates.server, self._certificates.key)
        context.set_alpn_protocols(["h2"])
        server = await asyncio.start_server(self._serve, "localhost", self.port, ssl=context)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield
        finally:
            server.close()
            for connection in self._serving:
                connection.abort()
            await asyncio.gather(*self._serving.values())

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.connections += 1
        connection = Http2Connection(reader, writer, self._answer)
        self._serving[connection] = task
        try:
            await connection.run()
        finally:
            del self._serving[connection]

    async def _answer(self, http: Http2Stream) -> None:
        stream = TranscribeStream(http, self.script, self.accounts, self._recogniser)
        self.streams.append(stream)
        await stream.run()

    def __enter__(self) -> Self:
        self._running = in_background(self.serving())
        self._running.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._running is not None
        self._running.__exit__(kind, error, trace)


def main() -> None:
    folder = Path(sys.argv[1])
    with TranscribeEmulator(make_certificates(folder)) as emulator:
        print(emulator.url, flush=True)  # noqa: T201 because the parent process waits for it
        for line in sys.stdin:
            if line.strip() == "billed":
                print(emulator.billed_seconds, flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
