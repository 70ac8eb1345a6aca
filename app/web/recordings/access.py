"""Access to recordings: the tenant's own alone."""

from typing import Any

from litestar import Request
from litestar.datastructures import State

from app.domain.errors import BlobNotFound, BlobUnreadable
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
    principal, recordings = request.user, recordings_of(request.app.state)
    async with service_of(request.app.state).limits.reads.slot():
        try:
            manifest = await recordings.manifest(session)
        except BlobNotFound as error:
            raise BlobNotFound(session) from error  # in the words that another tenant's is refused with
        except BlobUnreadable as error:
            if principal.is_admin or await recordings.is_listed(session, principal.tenant.name):
                raise
            raise BlobNotFound(session) from error
    set_owner(request, manifest.tenant)
    if not principal.may_see(manifest.tenant):
        raise BlobNotFound(session)
    return manifest


def require_session_id(session: str) -> None:
    """Raises BlobNotFound for what this service gives no session as its id, so that nobody has the index searched."""
    if date_of(session) is None:
        raise BlobNotFound(session[:64])
