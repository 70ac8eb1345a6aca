"""`parley transcribe`: files to text."""

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from pathlib import Path

import anyio
import av
import click
import msgspec
from anyio import to_thread
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from app.assembly.speech import open_batch_transcriber
from app.config import read_settings
from app.domain.audio import SAMPLE_RATE, AudioChunk
from app.domain.recording.subtitles import Segment, as_json, as_srt, as_text, as_vtt
from app.media.decode import decode_chunks
from app.runtime.jobs.batch_transcription import transcribe_recording
from app.runtime.jobs.upload import BatchTranscriber

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
                task = progress.add_task(file.name, total=await to_thread.run_sync(_samples, file))
                segments = await _segments(file, batch_transcriber, lambda at: progress.update(task, completed=at))  # noqa: B023 because it is used up in this round
            text = FORMATS[form](segments)
            if output is None:
                click.echo(text, nl=False)
            else:
                await anyio.Path(output).mkdir(parents=True, exist_ok=True)
                await anyio.Path(output / f"{file.name}{SUFFIX[form]}").write_text(text, encoding="utf-8")


async def _segments(
    file: Path, batch_transcriber: BatchTranscriber, on_progress: Callable[[int], None]
) -> list[Segment]:
    """What is said in the file; `on_progress` is called with the number of samples that have been read."""

    async def audio() -> AsyncGenerator[AudioChunk, None]:
        async with aclosing(decode_chunks(file)) as chunks:
            async for chunk in chunks:
                yield chunk
                on_progress(chunk.end)

    async with aclosing(audio()) as chunks:
        segments = transcribe_recording(
            chunks,
            detector=batch_transcriber.detector,
            transcriber=batch_transcriber.transcriber,
            language=batch_transcriber.language,
        )
        return [segment async for segment in segments]


def _samples(file: Path) -> int | None:
    """How long the file says it is; None where it does not say."""
    try:
        with av.open(str(file), "r", metadata_errors="ignore") as container:
            return None if container.duration is None else container.duration * SAMPLE_RATE // av.time_base
    except av.FFmpegError:
        return None  # decoding will say what is wrong
