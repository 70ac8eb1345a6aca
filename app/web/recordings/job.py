"""An uploaded file on its way to a recording: it holds a session slot and an open file until it is transcribed."""

from contextlib import ExitStack
from dataclasses import dataclass
from typing import BinaryIO

import structlog

from app.domain.errors import NoCapacity, ParleyError, ProviderBusy
from app.domain.tenant import Tenant
from app.runtime.jobs.upload import TranscribedFile, create_recording
from app.runtime.service import Service, new_session_id
from app.runtime.supervision import report_defect

_log = structlog.get_logger("parley.recordings")


def require_slot(service: Service, tenant: Tenant) -> None:
    """Raises ProviderBusy where a file would be refused now: before its bytes are received, which take no slot."""
    with ExitStack() as resources:
        reserve_slot(service, tenant, resources)


def reserve_slot(service: Service, tenant: Tenant, resources: ExitStack, *, advice: str = "") -> str:
    """The id of a new session, whose slot is taken until `resources` are released.

    Raises ProviderBusy, with `advice` behind its sentence.
    """
    if service.batch_transcriber is None:
        raise ProviderBusy("recordings", f"this service transcribes no recordings{advice}")
    session = new_session_id()
    try:
        resources.enter_context(service.admission.admitted(session, tenant))
    except NoCapacity as error:
        raise ProviderBusy("recordings", f"{error}{advice}") from error
    return session


@dataclass(frozen=True, slots=True)
class UploadJob:
    service: Service
    session: str
    tenant: Tenant
    file: BinaryIO
    language: str | None
    resources: ExitStack
    """Released when the job is over: the slot and the file."""

    async def run(self) -> TranscribedFile:
        """Raises ClientError where the file is no audio, or a ProviderError; then nothing of it is kept."""
        batch_transcriber = self.service.batch_transcriber
        assert batch_transcriber is not None  # because reserve_slot() refuses otherwise
        with self.resources:
            return await create_recording(
                self.file,
                session=self.session,
                tenant=self.tenant,
                uploader=self.service.uploader,
                decoder=self.service.decoder,
                batch_transcriber=batch_transcriber,
                language=self.language,
            )

    async def run_unattended(self) -> None:
        """The same where nobody waits for the answer: what goes wrong is logged."""
        try:
            await self.run()
        except ParleyError as error:
            kind = type(error).__name__
            _log.warning("recording not transcribed", session=self.session, kind=kind, message=str(error))
        except Exception as error:  # noqa: BLE001 because nobody above would log it
            report_defect("upload job", error, session=self.session)
