"""The voice webhook that answers a call, and the socket with its audio."""

from collections.abc import Mapping
from contextlib import aclosing
from typing import Any
from urllib.parse import parse_qsl
from xml.etree import ElementTree as ET

import anyio
from litestar import Request, Response, WebSocket, post, websocket
from litestar.connection import ASGIConnection
from litestar.datastructures import State

from app.domain.dialog import events as ev
from app.domain.errors import ClientError, ClientFault
from app.domain.language import parse_languages
from app.domain.person import parse_person
from app.domain.principal import Principal, Scope
from app.domain.telephony import TwilioAccount
from app.media.g711 import RATE as G711_RATE
from app.runtime.ids import new_id
from app.runtime.service import Service
from app.web.auth.middleware import ANYONE, peer_of
from app.web.protocol_client import ProtocolClient
from app.web.served_session import SessionOrigin, begin_session, closed_on_error
from app.web.socket_connection import SocketConnection
from app.web.text_fields import refuse_control_characters
from app.web.twilio import messages
from app.web.twilio.call import CallProtocol
from app.web.twilio.call_tokens import CallTokens
from app.web.twilio.signature import Fields, is_signed

VOICE, STREAM = "/twilio/voice", "/twilio/stream"
START_TIMEOUT_S = 10.0
"""A stream has so long to say whose it is."""

MAX_FIELDS = 200
_SIGNATURE = "x-twilio-signature"
_PASSED_ON = ("profile", "language")
"""Of the webhook's query; Twilio drops a query in the stream's address."""


@post(VOICE, opt=ANYONE, status_code=200)
async def answer_call(request: Request[Any, Any, Any], state: State) -> Response[bytes]:
    """Connect the call with a session; where the server is full, reject it as busy. Raises ClientError."""
    service: Service = state.service
    account = _account(service)
    fields = _form(await request.body())
    _require_signature(account, f"{account.public_url}{VOICE}", request, fields)
    values = dict(fields)
    parameters = {name: request.query_params[name] for name in _PASSED_ON if name in request.query_params}
    if service.admission.is_draining or service.admission.refusal(service.tenant(account.tenant)):
        return _twiml(("Reject", {"reason": "busy"}))
    token = state.calls.issue(values.get("CallSid", ""))
    stream = f"ws{account.public_url.removeprefix('http')}{STREAM}"
    parameters |= {"caller": values.get("From", ""), "token": token}
    passed = [("Parameter", {"name": name, "value": value}) for name, value in parameters.items()]
    return _twiml(("Connect", {}), ("Stream", {"url": stream}), *passed)


@websocket(STREAM, opt=ANYONE)
async def stream_call(socket: WebSocket[Any, Any, Any], state: State) -> None:
    """The audio of one call."""
    service: Service = state.service
    account = _account(service)
    connection, session = SocketConnection(socket), new_id()
    protocol = CallProtocol("")
    client = ProtocolClient(connection, protocol)
    try:
        async with closed_on_error(service, session, client):
            if _SIGNATURE in socket.headers:
                _require_signature(account, f"ws{account.public_url.removeprefix('http')}{STREAM}", socket, ())
            await connection.accept()
            call = await _started(connection, state.calls)
            protocol.stream, protocol.configured = call.stream_sid, _configured(call.custom_parameters)
            principal = Principal(service.tenant(account.tenant), frozenset({Scope.SPEAK}), name="Twilio")
            origin = SessionOrigin(principal, peer_of(socket), "Twilio", call.custom_parameters.get("profile") or None)
            with begin_session(service, session, origin) as served:
                await served.run(client)
            await connection.close()
    finally:
        connection.give_up()


async def _started(connection: SocketConnection, tokens: CallTokens) -> messages.Call:
    """What the stream says of its call, first. Raises ClientError, also where it says nothing in time."""
    with anyio.move_on_after(START_TIMEOUT_S):
        async with aclosing(connection.frames()) as frames:
            async for frame in frames:
                match messages.decode(str(frame.get("text") or "")):
                    case messages.Connected():
                        continue
                    case messages.Started(call) if tokens.accept(
                        call.call_sid, call.custom_parameters.get("token", "")
                    ):
                        return _checked(call)
                    case _:
                        break
    raise ClientError(ClientFault.UNAUTHORIZED, "a stream begins with `start` and the token of its call", fatal=True)


def _checked(call: messages.Call) -> messages.Call:
    """Raises ClientError."""
    audio = call.media_format
    if (audio.encoding, audio.sample_rate, audio.channels) != ("audio/x-mulaw", G711_RATE, 1):
        raise ClientError(ClientFault.BAD_MESSAGE, "calls have mu-law audio, 8000 Hz, one channel", fatal=True)
    return call


def _configured(parameters: Mapping[str, str]) -> ev.ClientConfigured:
    """Raises ClientError."""
    caller = parameters.get("caller", "").strip()
    return ev.ClientConfigured(
        parse_languages((parameters["language"],)) if "language" in parameters else None,
        person=parse_person(caller) if caller else None,
    )


def _account(service: Service) -> TwilioAccount:
    assert service.telephony is not None  # the routes exist only with one
    return service.telephony


def _require_signature(
    account: TwilioAccount, url: str, connection: ASGIConnection[Any, Any, Any, Any], fields: Fields
) -> None:
    """Raises ClientError. The address is the configured one: a client chooses the Host that it sends."""
    query = connection.scope["query_string"].decode("latin-1")
    signed = f"{url}?{query}" if query else url
    if not is_signed(account.auth_token, signed, fields, connection.headers.get(_SIGNATURE, "")):
        raise ClientError(
            ClientFault.FORBIDDEN,
            "this is not signed by the account; see PARLEY_TWILIO_AUTH_TOKEN and PARLEY_PUBLIC_URL",
        )


def _form(body: bytes) -> Fields:
    """Raises ClientError."""
    try:
        fields = parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=MAX_FIELDS)
    except ValueError as error:
        raise ClientError(ClientFault.BAD_MESSAGE, "the form cannot be read") from error
    for name, text in fields:
        refuse_control_characters("a field of the form", name + text)
    return fields


def _twiml(*elements: tuple[str, dict[str, str]]) -> Response[bytes]:
    """Each element inside the one before it; parameters beside each other."""
    response = parent = ET.Element("Response")
    for name, attributes in elements:
        element = ET.SubElement(parent, name, attributes)
        parent = parent if name == "Parameter" else element
    return Response(ET.tostring(response, encoding="utf-8", xml_declaration=True), media_type="text/xml")
