"""`/v1/listen` and Flux `/v2/listen` as WebSockets: one session each. What is wrong before it is an HTTP status."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from litestar import WebSocket, websocket
from litestar.connection import ASGIConnection
from litestar.datastructures import State

from app.domain.errors import ClientError
from app.domain.principal import Scope
from app.runtime.ids import new_id
from app.web.auth.middleware import requires
from app.web.deepgram.client import IDLE_TIMEOUT_S, DeepgramClient, DeepgramConnection, StreamProtocol
from app.web.deepgram.flux_protocol import FluxProtocol, flux_options
from app.web.deepgram.listen_protocol import ListenProtocol
from app.web.deepgram.query import listen_options
from app.web.served_session import begin_session, closed_on_error
from app.web.socket_handshake import origin_of, refuse_handshake


@websocket("/v1/listen", opt=requires(Scope.SPEAK))
async def listen_socket(socket: WebSocket[Any, Any, Any], state: State) -> None:
    """A stream that is transcribed."""
    session = new_id()
    try:
        options = listen_options(query_of(socket))
    except ClientError as error:
        await refuse_handshake(socket, error)
        return
    created = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    await _serve(socket, state, session, ListenProtocol(session, options, created))


@websocket("/v2/listen", opt=requires(Scope.SPEAK))
async def flux_socket(socket: WebSocket[Any, Any, Any], state: State) -> None:
    """A stream whose turns are told, as Flux does."""
    session = new_id()
    try:
        options, thresholds = flux_options(query_of(socket))
    except ClientError as error:
        await refuse_handshake(socket, error)
        return
    await _serve(socket, state, session, FluxProtocol(session, options, thresholds))


async def _serve(socket: WebSocket[Any, Any, Any], state: State, session: str, protocol: StreamProtocol) -> None:
    connection = DeepgramConnection(socket, request_id=session)
    client = DeepgramClient(connection, protocol, IDLE_TIMEOUT_S)
    try:
        async with closed_on_error(state.service, session, client):
            with begin_session(state.service, session, origin_of(socket)) as served:
                await connection.accept()
                await served.run(client)
    finally:
        connection.give_up()


def query_of(connection: ASGIConnection[Any, Any, Any, Any]) -> dict[str, Sequence[str]]:
    """Every value of each parameter."""
    parameters = connection.query_params
    return {name: parameters.getall(name) for name in parameters}
