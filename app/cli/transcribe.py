"""`parley transcribe`: files to text."""

from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import aclosing, contextmanager
from pathlib import Path

import anyio
import click
import msgspec
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeRemainingColumn

from app.assembly.speech import audio_decoder, open_batch_transcriber
from app.cli.key_terms import key_terms_of
from app.config import read_settings
from app.domain.audio import AudioChunk
from app.domain.errors import ClientError
from app.domain.recording.subtitles import Segment, as_json, as_srt, as_text, as_vtt
from app.runtime.jobs.audio_decoder import AudioDecoder
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
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for one result per file; required for several files, except as text.",
)
@click.option("--language", help="Spoken language (setting PARLEY_LANGUAGE).")
@click.option("--key-terms", help="Names and jargon that are likely in the audio, with commas.")
def transcribe(
    files: tuple[Path, ...], form: str, output: Path | None, language: str | None, key_terms: str | None
) -> None:
    """Transcribe FILES, of any audio format, with the model for finals.

    A file that cannot be read as audio is named and passed over; the exit status is 1 then.
    """
    if output is None and len(files) > 1 and form != "text":
        raise click.UsageError(f"several results in {form} are no valid {form} file: name a folder with --output")
    results = [None] * len(files) if output is None else result_paths(files, output, SUFFIX[form])
    if output is not None:
        with _writing_to(output):
            output.mkdir(parents=True, exist_ok=True)
    if not anyio.run(_transcribe, list(zip(files, results, strict=True)), form, language, key_terms_of(key_terms)):
        raise click.exceptions.Exit(1)


def result_paths(files: Sequence[Path], output: Path, suffix: str) -> list[Path]:
    """Where each file's result is written. Raises UsageError where two would be written to the same place."""
    paths: dict[Path, Path] = {}
    for file in files:
        path = output / f"{file.name}{suffix}"
        if path in paths:
            raise click.UsageError(f"{paths[path]} and {file} would both be written to {path}")
        paths[path] = file
    return list(paths)


async def _transcribe(
    files: Sequence[tuple[Path, Path | None]], form: str, language: str | None, key_terms: Sequence[str]
) -> bool:
    """Whether every file could be transcribed."""
    settings = read_settings(**({} if language is None else {"language": language}))
    columns = TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn()
    failed, decoder = False, audio_decoder(settings)
    async with open_batch_transcriber(settings) as batch_transcriber:
        for file, result in files:
            try:
                with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
                    task = progress.add_task(file.name, total=None)
                    segments = await _segments(file, decoder, batch_transcriber, key_terms, progress, task)
            except ClientError as error:
                click.secho(f"parley: {file}: {error}", fg="red", err=True)
                failed = True
                continue
            text = FORMATS[form](segments)
            if result is None:
                click.echo(text, nl=False)
            else:
                with _writing_to(result):
                    await anyio.Path(result).write_text(text, encoding="utf-8")
    return not failed


@contextmanager
def _writing_to(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise click.ClickException(f"cannot write to {path}: {error.strerror}") from error


async def _segments(
    file: Path,
    decoder: AudioDecoder,
    batch_transcriber: BatchTranscriber,
    key_terms: Sequence[str],
    progress: Progress,
    task: TaskID,
) -> list[Segment]:
    """What is said in the file; a warning on standard error where something in it is damaged."""

    def warn(sentence: str) -> None:
        click.echo(f"{file}: {sentence}", err=True)

    def set_total(samples: int) -> None:
        progress.update(task, total=samples)

    async def audio() -> AsyncGenerator[AudioChunk, None]:
        async with aclosing(decoder.decode(file, on_warning=warn, on_length=set_total)) as chunks:
            async for chunk in chunks:
                yield chunk
                progress.update(task, completed=chunk.end)

    async with (
        aclosing(audio()) as chunks,
        aclosing(batch_transcriber.transcribe(chunks, key_terms=key_terms)) as segments,
    ):
        return [segment async for segment in segments]
