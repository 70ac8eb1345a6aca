"""`parley transcribe`: files to text."""

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from pathlib import Path

import anyio
import click
import msgspec
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeRemainingColumn

from app.assembly.speech import open_batch_transcriber
from app.config import read_settings
from app.domain.audio import AudioChunk
from app.domain.recording.subtitles import Segment, as_json, as_srt, as_text, as_vtt
from app.media.decode import decode_chunks
from app.runtime.jobs.batch_transcription import BatchTranscriber

FORMATS: dict[str, Callable[[Sequence[Segment]], str]] = {
    "text": as_text,
    "json": lambda segments: msgspec.json.format(msgspec.json.encode(as_json(segments))).decode() + "\n",
    "srt": as_srt,
    "vtt": as_vtt,
}
SUFFIX = {"text": ".txt", "json": ".json", "srt": ".srt", "vtt": ".vtt"}


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--format", "form", type=click.Choice(sorted(FORMATS)), default="text", show_default=True)
@click.option("--output", type=click.Path(file_okay=False, path_type=Path), help="Folder for one result per file.")
@click.option("--language", help="Spoken language (setting PARLEY_LANGUAGE).")
def transcribe(files: tuple[Path, ...], form: str, output: Path | None, language: str | None) -> None:
    """Transcribe FILES, of any audio format, with the model for finals."""
    anyio.run(_transcribe, files, form, output, language)


async def _transcribe(files: Sequence[Path], form: str, output: Path | None, language: str | None) -> None:
    settings = read_settings(**({} if language is None else {"language": language}))
    columns = TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn()
    async with open_batch_transcriber(settings) as batch_transcriber:
        for file in files:
            with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
                segments = await _segments(file, batch_transcriber, progress, progress.add_task(file.name, total=None))
            text = FORMATS[form](segments)
            if output is None:
                click.echo(text, nl=False)
            else:
                await anyio.Path(output).mkdir(parents=True, exist_ok=True)
                await anyio.Path(output / f"{file.name}{SUFFIX[form]}").write_text(text, encoding="utf-8")


async def _segments(file: Path, batch_transcriber: BatchTranscriber, progress: Progress, task: TaskID) -> list[Segment]:
    """What is said in the file; a warning on standard error where something in it is damaged."""

    def warn(sentence: str) -> None:
        click.echo(f"{file}: {sentence}", err=True)

    def set_total(samples: int) -> None:
        progress.update(task, total=samples)

    async def audio() -> AsyncGenerator[AudioChunk, None]:
        async with aclosing(decode_chunks(file, on_warning=warn, on_length=set_total)) as chunks:
            async for chunk in chunks:
                yield chunk
                progress.update(task, completed=chunk.end)

    async with aclosing(audio()) as chunks, aclosing(batch_transcriber.transcribe(chunks)) as segments:
        return [segment async for segment in segments]
