"""TLS in front of a server of a test: a self-signed certificate for localhost, and bytes passed on."""

import ssl
import subprocess
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
from anyio.abc import ByteReceiveStream, ByteSendStream, SocketStream
from anyio.streams.tls import TLSListener

from tests.strict import missing


@asynccontextmanager
async def behind_tls(address: str, folder: Path) -> AsyncGenerator[tuple[str, Path], None]:
    """The address of the front, like `localhost:4711`, and the file of its certificate."""
    context, certificate = _self_signed(folder)
    host, port = address.split(":")

    async def serve(client: ByteSendStream) -> None:
        async with client, await anyio.connect_tcp(host, int(port)) as server, anyio.create_task_group() as tasks:
            tasks.start_soon(_pass_on, client, server, tasks.cancel_scope)
            tasks.start_soon(_pass_on, server, client, tasks.cancel_scope)

    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as plain, anyio.create_task_group() as tasks:
        listener = TLSListener(plain, context, standard_compatible=False)
        tasks.start_soon(listener.serve, serve)
        front: SocketStream = plain.listeners[0]
        yield f"localhost:{front.extra(anyio.abc.SocketAttribute.local_port)}", certificate
        tasks.cancel_scope.cancel()


def _self_signed(folder: Path) -> tuple[ssl.SSLContext, Path]:
    """The server's side, and what a client has to trust."""
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    command = f"openssl req -x509 -newkey rsa:2048 -nodes -days 1 -keyout {key} -out {certificate} -subj /CN=localhost"
    try:
        words = [*command.split(), "-addext", "subjectAltName=DNS:localhost"]
        subprocess.run(words, check=True, capture_output=True)
    except FileNotFoundError:
        missing("openssl")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context, certificate


async def _pass_on(source: ByteReceiveStream, target: ByteSendStream, scope: anyio.CancelScope) -> None:
    try:
        async for piece in source:
            await target.send(piece)
    except (anyio.BrokenResourceError, anyio.ClosedResourceError):
        pass  # the other side has left, which ends both directions
    scope.cancel()
