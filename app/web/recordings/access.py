"""Whose recordings these are, and what whoever asks is told where something is wrong."""

from typing import Any

from litestar import Request, Response
from litestar.connection import ASGIConnection
from litestar.datastructures import State
from litestar.handlers.base import BaseRouteHandler
from litestar.types import ExceptionHandlersMap, Guard

from app.domain.errors import BlobNotFound, ClientError, ClientFault, ParleyError, ProviderError
from app.domain.recording.manifest import Manifest
from app.domain.tenant import Tenant
from app.runtime.recording.recording_store import RecordingStore
from app.runtime.service import Service
from app.web.parley.sockets import may_connect

_STATUS = {
    ClientFault.BAD_AUDIO: 415,
    ClientFault.FRAME_TOO_LARGE: 413,
    ClientFault.ORIGIN_REFUSED: 403,
    ClientFault.FORBIDDEN: 403,
    ClientFault.BAD_PACKET: 409,
}


class StillLive(ParleyError):
    """The session is not over."""


def service_of(state: State) -> Service:
    service: Service = state.service
    return service


def recordings_of(state: State) -> RecordingStore:
    return service_of(state).uploader.recordings


async def manifest_for(tenant: Tenant, state: State, session: str) -> Manifest:
    """What is stored of the session. Raises BlobNotFound also where it is another tenant's."""
    found = await recordings_of(state).manifest(session)
    if not tenant.may_see(found.tenant):
        raise BlobNotFound(session)
    return found


def _known_page(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
    """A foreign web page cannot use a visitor's browser to read or delete."""
    headers, allowed = connection.headers, connection.app.state.service.allowed_origins
    if not may_connect(headers.get("origin"), headers.get("host"), allowed):
        raise ClientError(ClientFault.ORIGIN_REFUSED, "this web origin may not ask; see PARLEY_ALLOWED_ORIGINS")


def _told(_: Request[Any, Any, Any], error: ParleyError) -> Response[dict[str, str]]:
    match error:
        case BlobNotFound():
            status, code, message = 404, "not_found", f"there is no recording {error}"
        case StillLive():
            status, code, message = 409, "still_live", "the session is not over"
        case ClientError(code=fault):
            status, code, message = _STATUS.get(fault, 400), fault, str(error)
        case ProviderError(retryable=retryable):
            status, code, message = 503 if retryable else 502, error.code, str(error)
        case _:
            status, code, message = 500, "internal_error", "something went wrong on the server"
    return Response({"code": code, "message": message}, status_code=status)


GUARDS: list[Guard] = [_known_page]
EXCEPTION_HANDLERS: ExceptionHandlersMap = {ParleyError: _told}
