"""`/v1/realtime`: one session each. What is wrong before the first event is an HTTP status."""

from typing import Any

from litestar import WebSocket, websocket
from litestar.datastructures import State

from app.domain.principal import Scope
from app.runtime.ids import new_id
from app.web.auth.middleware import requires
from app.web.realtime.client import RealtimeClient, RealtimeConnection
from app.web.realtime.protocol import RealtimeProtocol
from app.web.realtime.session_object import SessionType, new_session
from app.web.served_session import begin_session, closed_on_error
from app.web.socket_handshake import origin_of


@websocket("/v1/realtime", opt=requires(Scope.SPEAK))
async def realtime(socket: WebSocket[Any, Any, Any], state: State) -> None:
    """A conversation; with `?intent=transcription`, transcription alone. Any `?model=` is taken."""
    session = new_id()
    kind: SessionType = "transcription" if socket.query_params.get("intent") == "transcription" else "realtime"
    connection = RealtimeConnection(socket)
    protocol = RealtimeProtocol(session, new_session(kind, session, socket.query_params.get("model")))
    client = RealtimeClient(connection, protocol)
    try:
        async with closed_on_error(state.service, session, client):
            with begin_session(state.service, session, origin_of(socket)) as served:
                await connection.accept()
                await served.run(client)
    finally:
        connection.give_up()
