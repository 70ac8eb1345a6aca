"""What every way of uploading shares: who may upload now."""

from litestar import Request
from litestar.datastructures import State

from app.domain.errors import ClientError, ClientFault, Draining, ProviderBusy
from app.domain.job import JobSource, TranscriptionJob
from app.domain.key_terms import merge_key_terms, parse_key_terms
from app.domain.language import parse_languages
from app.domain.person import speaking_person
from app.domain.principal import Principal
from app.runtime.ids import new_id
from app.runtime.service import Service
from app.web.recordings.access import service_of


def require_uploads(state: State) -> Service:
    """The service. Raises ProviderBusy or Draining where it takes no files now."""
    service = service_of(state)
    if service.batch_transcriber is None:
        raise ProviderBusy("recordings", "this service transcribes no recordings")
    if service.admission.is_draining:
        raise Draining("this server takes no new uploads, because it is about to stop; send it again")
    return service


def require_archive(service: Service, request: Request[Principal, object, State]) -> None:
    """Whoever does not wait for the transcript finds it in the archive alone. Raises ClientError."""
    if not service.uploader.records(request.user.tenant):
        raise ClientError(ClientFault.BAD_MESSAGE, "nothing is archived for you, so only wait=true has a result")


async def open_upload(
    service: Service,
    request: Request[Principal, object, State],
    *,
    length: int | None,
    language: str | None,
    person: str | None,
    key_terms: str | None,
    profile: str | None,
    source: JobSource = JobSource.UPLOAD,
) -> TranscriptionJob:
    """What the client leaves open is as its profile has it.

    Raises ClientError where this client may not name the person or use the profile, and what FileUploads.open() raises.
    """
    tenant = request.user.tenant
    chosen = service.profiles.choose(profile, tenant)
    spoken = parse_languages((language or "").split(",")) or None
    return await service.uploads.open(
        new_id(),
        tenant.name,
        length=length,
        language=spoken or (chosen.language if chosen else None),
        person=speaking_person(request.user, person),
        by_person=request.user.person is not None,
        source=source,
        key_terms=merge_key_terms(_parse_terms(key_terms or ""), chosen.key_terms if chosen else ()),
    )


def _parse_terms(text: str) -> tuple[str, ...]:
    """The terms between its commas. Raises ClientError for one that cannot be one."""
    return parse_key_terms([part.strip() for part in text.split(",") if part.strip()])
