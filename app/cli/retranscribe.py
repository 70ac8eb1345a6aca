"""`parley retranscribe`: archived recordings, written down once more."""

from collections.abc import Sequence

import anyio
import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from app.assembly.archive import open_store
from app.assembly.speech import open_batch_transcriber
from app.config import read_settings
from app.domain.transcript import join
from app.runtime.jobs.retranscription import retranscribe as write_down
from app.runtime.recording.recording_store import RecordingStore
from app.runtime.recording.uploader import utc_now


@click.command()
@click.argument("recordings", nargs=-1, required=True)
@click.option("--model", help="Model for finals (setting PARLEY_TRANSCRIPTION_MODEL_ID).")
@click.option("--language", help="Spoken language (setting PARLEY_LANGUAGE).")
def retranscribe(recordings: tuple[str, ...], model: str | None, language: str | None) -> None:
    """Write down archived RECORDINGS, by their ids, with another model; both transcripts are kept."""
    given = {"transcription_model_id": model, "language": language}
    anyio.run(_retranscribe, recordings, {name: value for name, value in given.items() if value is not None})


async def _retranscribe(recordings: Sequence[str], overrides: dict[str, str]) -> None:
    settings = read_settings(**overrides)
    columns = TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn()
    async with open_store(settings) as store, open_batch_transcriber(settings) as scribe:
        library = RecordingStore(store)
        for session in recordings:
            manifest = await library.manifest(session)
            with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
                task = progress.add_task(session, total=manifest.samples)
                finals = await write_down(
                    library,
                    manifest,
                    scribe,
                    now=utc_now(),
                    reached=lambda at: progress.update(task, completed=at),  # noqa: B023 because it is used up in this round
                )
            click.echo(f"{session} {scribe.model}: {join(final.text for final in finals)}")
