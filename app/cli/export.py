"""`parley export`: everything that is kept of a session, a person or a tenant, as one ZIP file."""

import os
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO

import anyio
import click

from app.assembly.archive import open_store
from app.config import read_settings
from app.data.audit import audit_in
from app.data.conversations import ConversationTable
from app.data.database import open_database
from app.data.decisions import decisions_in
from app.data.jobs import JobTable
from app.data.recording_index import RecordingIndexTable
from app.domain.audit import AuditAction, AuditFilter, person_target
from app.domain.errors import BlobNotFound, ClientError, SettingsError
from app.domain.person import parse_person
from app.domain.tenant import DEFAULT_TENANT
from app.runtime.audit import AuditLog
from app.runtime.recording.export import ExportReport, RecordingExport
from app.runtime.recording.person_search import find_person
from app.runtime.recording.recording_store import RecordingStore
from app.runtime.recording.rows_export import RowsExport
from app.runtime.recording.uploader import utc_now


@dataclass(frozen=True, slots=True)
class ExportRequest:
    """What to export; of these one is given, or person and tenant."""

    session: str | None = None
    person: str | None = None
    tenant: str | None = None

    def __post_init__(self) -> None:
        """Raises UsageError."""
        wanted = [name for name in ("session", "person", "tenant") if getattr(self, name) is not None]
        if len(wanted) != 1 and wanted != ["person", "tenant"]:
            raise click.UsageError("one of --session, --person and --tenant is needed; --person may have a --tenant")
        if self.person is not None:
            try:
                parse_person(self.person)
            except ClientError as error:
                raise click.UsageError(str(error)) from error

    @property
    def target(self) -> str:
        """As the audit log names it."""
        return person_target(self.person) if self.person is not None else self.session or self.tenant or ""


@click.command()
@click.option("--session", help="Id of a recording.")
@click.option("--person", help="Everything of this person, who belongs to the tenant (default: `default`).")
@click.option("--tenant", help="Everything of this tenant.")
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), required=True, help="ZIP file to write.")
def export(session: str | None, person: str | None, tenant: str | None, output: Path) -> None:
    """Write everything that is kept of a session, person or tenant to one ZIP file.

    That is audio, manifests, transcripts, conversations, jobs, decisions and audit entries. Prints `recordings/ID` or
    `conversations/ID` for each one that is in the file: where the HTTP API has it.
    """
    request = ExportRequest(session, person, tenant)
    try:
        with NamedTemporaryFile(dir=output.parent, prefix=".parley-", delete=False) as file:
            try:
                report = anyio.run(_export, request, file)
                Path(file.name).replace(output)
            except BaseException:  # because no half-written archive stays, whatever happened
                Path(file.name).unlink(missing_ok=True)
                raise
    except OSError as error:
        raise SettingsError(f"{output} cannot be written: {error}") from error
    for recording in dict.fromkeys([*report.sessions, *report.jobs]):
        click.echo(f"recordings/{recording}")
    for conversation in report.conversations:
        click.echo(f"conversations/{conversation}")
    for name in report.unreadable:
        click.echo(f"left out, because it cannot be read: {name}", err=True)


async def _export(request: ExportRequest, file: IO[bytes]) -> ExportReport:
    settings = read_settings()
    async with (
        open_store(settings) as store,
        open_database(settings.database_url) as database,
        decisions_in(database) as decisions,
        audit_in(database) as table,
    ):
        recordings, log = RecordingStore(store, index=RecordingIndexTable(database)), AuditLog(table)
        conversations = ConversationTable(database)
        rows = RowsExport(conversations, JobTable(database))
        made = RecordingExport(recordings, utc_now(), decisions.find, log.find, conversations.of_session, rows)
        owner, pieces = await _pieces(request, recordings, made)
        async with aclosing(pieces):
            async for piece in pieces:
                file.write(piece)
        if made.report.is_empty and not await log.find(AuditFilter(tenant=owner, limit=1)):
            raise click.ClickException(f"nothing is kept of the tenant {owner}: is that its name?")
        log.record(AuditAction.RECORDING_EXPORTED, target=request.target, tenant=owner, user=os.environ.get("USER"))
        return made.report


async def _pieces(
    request: ExportRequest, recordings: RecordingStore, made: RecordingExport
) -> tuple[str, AsyncGenerator[bytes, None]]:
    """Whose it is, and the archive. Raises ClickException where there is nothing."""
    tenant = request.tenant or DEFAULT_TENANT.name
    if request.session is not None:
        try:
            manifest = await recordings.manifest(request.session)
        except BlobNotFound as error:
            raise click.ClickException(f"there is no recording {request.session}") from error
        return manifest.tenant, made.session(manifest)
    if request.person is not None:
        found = await find_person(recordings, tenant, request.person, made.rows)
        if found.is_empty:
            raise click.ClickException(
                f"there is no recording of this person in the tenant {tenant}, and no conversation"
            )
        return tenant, made.person(found)
    return tenant, made.tenant(tenant)
