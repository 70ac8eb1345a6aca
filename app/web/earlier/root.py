"""The WebSocket at `/`: one session, in the protocol of the client's first frame."""

from contextlib import aclosing
from typing import Any

import anyio
from litestar import WebSocket, websocket
from litestar.datastructures import State

from app.domain.errors import ClientError, ClientFault
from app.runtime.ids import new_id
from app.runtime.service import Service
from app.web.earlier.bare_audio import BareAudio
from app.web.earlier.first_frame import Dialect, dialect_of
from app.web.earlier.whisperlive import WhisperLive, WhisperLiveConnection, read_options, uid_of
from app.web.parley.connection import Connection
from app.web.parley.sockets import SPEAK, serve_new_session
from app.web.protocol_client import ProtocolClient
from app.web.served_session import ClientGone, begin_session, closed_on_error
from app.web.socket_connection import SocketConnection
from app.web.socket_handshake import origin_of

FIRST_FRAME_TIMEOUT_S = 30.0
"""A client has so long to send something: a page may wait for its visitor to allow the microphone."""
ALL = "1"
"""`?drafts=1`: bare audio is answered with Parley's own messages."""


@websocket("/", opt=SPEAK)
async def root(socket: WebSocket[Any, Any, Any], state: State) -> None:
    """Clients of RealtimeSTT, of WhisperLive and of the earlier server on port 8765."""
    connection, service = SocketConnection(socket), state.service
    session = new_id()
    async with closed_on_error(service, session, ProtocolClient(connection, BareAudio())):
        await connection.accept()
        first = await _first_frame(connection)
        match dialect_of(first):
            case Dialect.CONTROL:
                raise ClientError(ClientFault.UNKNOWN_MESSAGE, "this server has no control socket", fatal=True)
            case Dialect.WHISPERLIVE:
                await _serve_whisperlive(socket, service, first, session)
            case Dialect.BARE_AUDIO if socket.query_params.get("drafts") != ALL:
                unread = SocketConnection(socket, is_accepted=True, unread=[first])
                await _serve(socket, service, ProtocolClient(unread, BareAudio()), session)
            case dialect:
                parley = Connection(socket, is_accepted=True, unread=[first])
                is_raw = dialect is Dialect.BARE_AUDIO
                await serve_new_session(parley, service, state.resumable, raw=is_raw, grace_s=0.0)


async def _serve_whisperlive(
    socket: WebSocket[Any, Any, Any], service: Service, first: dict[str, Any], session: str
) -> None:
    connection = WhisperLiveConnection(socket, is_accepted=True, uid=uid_of(first["text"]))
    async with closed_on_error(service, session, ProtocolClient(connection, BareAudio())):
        protocol = WhisperLive(read_options(first["text"]))
        await _serve(socket, service, ProtocolClient(connection, protocol), session)


async def _serve(socket: WebSocket[Any, Any, Any], service: Service, client: ProtocolClient, session: str) -> None:
    try:
        async with closed_on_error(service, session, client):
            client.protocol.begin()  # what it refuses, it refuses before there is a session
            with begin_session(service, session, origin_of(socket)) as served:
                for message in client.protocol.greeting():
                    await client.connection.send(message)
                await served.run(client)
    finally:
        client.connection.give_up()


async def _first_frame(connection: SocketConnection) -> dict[str, Any]:
    """Raises ClientError where none comes in time, and ClientGone where the client leaves."""
    with anyio.move_on_after(FIRST_FRAME_TIMEOUT_S):
        async with aclosing(connection.frames()) as frames:
            async for frame in frames:
                return frame
        raise ClientGone
    raise ClientError(ClientFault.TIMED_OUT, "no audio came", fatal=True)
