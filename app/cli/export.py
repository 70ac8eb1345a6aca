"""`parley export`: everything that is kept of a session or of a tenant, as one ZIP file."""

import os
from contextlib import aclosing
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO

import anyio
import click

from app.assembly.archive import open_store
from app.config import read_settings
from app.data.audit import audit_in
from app.data.database import open_database
from app.data.decisions import decisions_in
from app.domain.audit import AuditAction
from app.domain.errors import BlobNotFound, SettingsError
from app.runtime.audit import AuditLog
from app.runtime.recording.export import RecordingExport
from app.runtime.recording.recording_store import RecordingStore
from app.runtime.recording.uploader import utc_now


@click.command()
@click.option("--session", help="Id of a recording.")
@click.option("--tenant", help="All recordings of this tenant.")
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), required=True, help="ZIP file to write.")
def export(session: str | None, tenant: str | None, output: Path) -> None:
    """Write audio, manifest, transcripts, decisions and audit entries of a session or of a tenant to one ZIP file."""
    if (session is None) == (tenant is None):
        raise click.UsageError("either --session or --tenant is needed")
    try:
        with NamedTemporaryFile(dir=output.parent, prefix=".parley-", delete=False) as file:
            try:
                anyio.run(_export, session, tenant, file)
                Path(file.name).replace(output)
            except BaseException:  # because no half-written archive stays, whatever happened
                Path(file.name).unlink(missing_ok=True)
                raise
    except OSError as error:
        raise SettingsError(f"{output} cannot be written: {error}") from error


async def _export(session: str | None, tenant: str | None, file: IO[bytes]) -> None:
    settings = read_settings()
    async with (
        open_store(settings) as store,
        open_database(settings.database_url) as database,
        decisions_in(database) as decisions,
        audit_in(database) as table,
    ):
        recordings, log = RecordingStore(store), AuditLog(table)
        made = RecordingExport(recordings, utc_now(), decisions.find, log.find)
        if session is not None:
            try:
                manifest = await recordings.manifest(session)
            except BlobNotFound as error:
                raise click.ClickException(f"there is no recording {session}") from error
            owner, pieces = manifest.tenant, made.session(manifest)
        else:
            owner = tenant or ""
            pieces = made.tenant(owner)
        async with aclosing(pieces):
            async for piece in pieces:
                file.write(piece)
        log.record(AuditAction.RECORDING_EXPORTED, target=session or owner, tenant=owner, user=os.environ.get("USER"))
