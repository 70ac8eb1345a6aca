"""Access to recordings: the tenant's own alone."""

from typing import Any

from litestar import Request
from litestar.datastructures import State

from app.domain.errors import BlobNotFound
from app.domain.principal import Principal
from app.domain.recording.manifest import Manifest
from app.domain.recording.session_id import date_of
from app.runtime.recording.recording_store import RecordingStore
from app.runtime.service import Service
from app.web.auth.audit import set_owner


def service_of(state: State) -> Service:
    service: Service = state.service
    return service


def recordings_of(state: State) -> RecordingStore:
    return service_of(state).uploader.recordings


async def manifest_for(request: Request[Principal, Any, Any], session: str) -> Manifest:
    """The manifest of the session. Raises BlobUnreadable, ProviderBusy; BlobNotFound also for another tenant's."""
    require_session_id(session)
    state = request.app.state
    async with service_of(state).limits.reads.slot():
        manifest = await recordings_of(state).manifest(session)
    set_owner(request, manifest.tenant)
    if not request.user.may_see(manifest.tenant):
        raise BlobNotFound(session)
    return manifest


def require_session_id(session: str) -> None:
    """Raises BlobNotFound for what this service gives no session as its id, so that nobody has the index searched."""
    if date_of(session) is None:
        raise BlobNotFound(session[:64])
