"""`parley retranscribe`: transcribe archived recordings again, with another model."""

from collections.abc import Sequence

import anyio
import click
from anyio import to_thread
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from app.assembly.archive import open_store
from app.assembly.speech import open_batch_transcriber
from app.cli.key_terms import key_terms_of
from app.config import read_settings
from app.domain.errors import BlobNotFound
from app.domain.key_terms import merge_key_terms
from app.domain.recording.manifest import Manifest
from app.domain.transcript import join
from app.policy.tenants_file import read_tenants
from app.runtime.jobs.retranscription import retranscribe as retranscribe_recording
from app.runtime.recording.recording_store import RecordingStore
from app.runtime.recording.uploader import utc_now


@click.command()
@click.argument("recordings", nargs=-1, required=True)
@click.option("--model", help="Model for finals (setting PARLEY_TRANSCRIPTION_MODEL_ID).")
@click.option("--language", help="Spoken language (setting PARLEY_LANGUAGE).")
@click.option("--key-terms", help="Names and jargon that are likely in the audio, with commas.")
def retranscribe(recordings: tuple[str, ...], model: str | None, language: str | None, key_terms: str | None) -> None:
    """Transcribe archived RECORDINGS, by their ids, with another model; both transcripts are kept.

    Key terms of a recording's tenant count, too.
    """
    given = {"transcription_model_id": model, "language": language}
    overrides = {name: value for name, value in given.items() if value is not None}
    anyio.run(_retranscribe, recordings, overrides, key_terms_of(key_terms))


async def _retranscribe(sessions: Sequence[str], overrides: dict[str, str], key_terms: Sequence[str]) -> None:
    settings = read_settings(**overrides)
    tenants = () if settings.tenants is None else await to_thread.run_sync(read_tenants, settings.tenants)
    tenant_terms = {tenant.name: tenant.key_terms for tenant in tenants}
    columns = TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn()
    async with open_store(settings) as store:
        recordings = RecordingStore(store)
        manifests = [await _manifest(recordings, session) for session in sessions]
        async with open_batch_transcriber(settings) as batch_transcriber:
            for manifest in manifests:
                with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
                    task = progress.add_task(manifest.session, total=manifest.samples)
                    finals = await retranscribe_recording(
                        recordings,
                        manifest,
                        batch_transcriber,
                        now=utc_now(),
                        key_terms=merge_key_terms(key_terms, tenant_terms.get(manifest.tenant, ())),
                        on_progress=lambda samples: progress.update(task, completed=samples),  # noqa: B023 because it is used up in this round
                    )
                text = join(final.text for final in finals)
                click.echo(f"{manifest.session} {batch_transcriber.model}: {text}")


async def _manifest(recordings: RecordingStore, session: str) -> Manifest:
    try:
        return await recordings.manifest(session)
    except BlobNotFound as error:
        raise click.ClickException(f"there is no recording {session}") from error
