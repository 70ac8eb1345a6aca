"""Export over HTTP: everything that is kept of one recording, or of one person, as a ZIP archive.

Administrators get decisions and audit entries, too. Those show the load of the service and who else asked for the
recording, which is not for a tenant to know.
"""

from collections.abc import AsyncGenerator
from typing import Any

from litestar import Request, get
from litestar.datastructures import State
from litestar.params import FromPath, FromQuery
from litestar.response import Stream

from app.domain.audit import AuditAction, person_target
from app.domain.errors import BlobNotFound
from app.domain.person import parse_person
from app.domain.principal import Principal, Scope
from app.runtime.recording.export import RecordingExport
from app.runtime.recording.person_search import find_person
from app.runtime.recording.rows_export import RowsExport
from app.runtime.service import Service
from app.web.auth.audit import audited, set_owner, set_target
from app.web.auth.middleware import requires
from app.web.recordings.access import manifest_for, recordings_of, service_of

EXPORT = {**requires(Scope.RECORDINGS_READ), **audited(AuditAction.RECORDING_EXPORTED)}


@get("/{session:str}/export", opt=EXPORT)
async def get_export(state: State, request: Request[Principal, Any, Any], session: FromPath[str]) -> Stream:
    """Everything that is kept of the session."""
    manifest = await manifest_for(request, session)
    return _attachment(_export_for(request.user, service_of(state)).session(manifest), session)


@get("/export", opt=EXPORT)
async def get_person_export(
    state: State, request: Request[Principal, Any, Any], person: FromQuery[str], tenant: FromQuery[str | None] = None
) -> Stream:
    """Everything that is kept of a person of this tenant; for an administrator, of any tenant.

    Conversations are for whoever may read them (scope `chat`, with a key); else the report says that they are withheld.

    Raises BlobNotFound where there is nothing, also for another tenant's.
    """
    person, owner = parse_person(person), tenant or request.user.tenant.name
    set_target(request, person_target(person))
    if not request.user.may_see(owner):
        raise BlobNotFound(owner)
    set_owner(request, owner)
    async with service_of(state).limits.person_searches.slot():
        export = _export_for(request.user, service_of(state))
        export.rows = _rows_for(request.user, service_of(state), person)
        recordings = await find_person(recordings_of(state), owner, person, export.rows)
    if recordings.is_empty:
        raise BlobNotFound(owner)
    if service_of(state).chat and export.rows.conversations is None:
        export.report.withheld.append("conversations: they need a key with the scope chat")
    return _attachment(export.person(recordings), "person")


def _rows_for(user: Principal, service: Service, person: str) -> RowsExport:
    may_chat = user.may(Scope.CHAT) and not user.is_stranger and user.person in (None, person)
    return RowsExport(service.chat.table if service.chat and may_chat else None, service.jobs)


def _export_for(user: Principal, service: Service) -> RecordingExport:
    export = RecordingExport(service.uploader.recordings, service.uploader.now())
    export.messages = service.chat.table.of_session if service.chat else None
    if user.is_admin:
        export.audit = service.audit.find
        export.decisions = service.policy.decisions.find if service.policy else None
    return export


def _attachment(pieces: AsyncGenerator[bytes, None], name: str) -> Stream:
    """A download named `name`, which must be safe in a header."""
    headers = {"content-disposition": f'attachment; filename="{name}.zip"'}
    return Stream(pieces, media_type="application/zip", headers=headers)
