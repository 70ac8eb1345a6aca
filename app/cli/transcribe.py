"""`parley transcribe`: files to text."""

import errno
from collections.abc import AsyncGenerator, Sequence
from contextlib import ExitStack, aclosing
from dataclasses import dataclass, field
from pathlib import Path

import anyio
import click
from anyio import to_thread
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from app.assembly.speech import audio_decoder, open_batch_transcriber
from app.cli.audio_files import AudioFile, FoundFiles, find_audio_files, result_paths, seekable
from app.cli.daemon_thread import run_in_daemon_thread
from app.cli.exit_status import FAILED, fail
from app.cli.key_terms import key_terms_of
from app.cli.transcript_formats import IN_A_ROW, SUFFIX, Transcript, formatted, line_of_several
from app.config import Settings, read_settings
from app.domain.audio import AudioChunk
from app.domain.errors import ClientError, ProviderError, RequestRefused
from app.runtime.jobs.audio_decoder import AudioDecoder
from app.runtime.jobs.batch_transcription import BatchTranscriber

MAX_NAMED = 10
"""Failed files that are named again in the last line."""

_USELESS_TO_GO_ON = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
"""Faults of the output's disk, which every further result would have."""


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=str))
@click.option("--format", "form", type=click.Choice(list(SUFFIX)), default="text", show_default=True)
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for one result per file; required for several files as srt or vtt.",
)
@click.option("--model", help="Model for finals (setting PARLEY_TRANSCRIPTION_MODEL_ID).")
@click.option("--language", help="Spoken language, several with commas, or auto (setting PARLEY_LANGUAGE).")
@click.option("--key-terms", help="Names and jargon that are likely in the audio, with commas.")
def transcribe(
    files: tuple[str, ...],
    form: str,
    output: Path | None,
    model: str | None,
    language: str | None,
    key_terms: str | None,
) -> None:
    """Transcribe FILES, of any audio or video format, with the model for finals.

    A folder stands for the audio and video files in it and below, `-` for standard input. Several results are one a
    line on standard output: `NAME: TEXT`, or JSON objects.

    A file that cannot be transcribed is named and passed over; the exit status is 1 then. An interruption leaves the
    results that are done.
    """
    found = find_audio_files(files)
    if output is None and found.are_named and form not in IN_A_ROW:
        raise click.UsageError(f"several results in {form} are no valid {form} file: name a folder with --output")
    batch = FileBatch(found, form, output, key_terms_of(key_terms))
    given = {"transcription_model_id": model, "language": language}
    settings = read_settings(**{name: value for name, value in given.items() if value is not None})
    if found.files:
        anyio.run(batch.run, settings)
    if batch.failed:
        if found.are_named:
            more = len(batch.failed) - MAX_NAMED
            names = ", ".join(batch.failed[:MAX_NAMED]) + (f" and {more} more" if more > 0 else "")
            fail(f"{len(batch.failed)} of {batch.number} could not be transcribed: {names}")
        raise click.exceptions.Exit(FAILED)


@dataclass(slots=True)
class FileBatch:
    """Files that are transcribed one after the other, and which of them failed."""

    found: FoundFiles
    form: str
    output: Path | None
    key_terms: Sequence[str]
    failed: list[str] = field(default_factory=list)
    results: list[Path | None] = field(init=False)

    def __post_init__(self) -> None:
        files = self.found.files
        self.results = [None] * len(files)
        if self.output is not None:
            self.results = [*result_paths(files, self.output, SUFFIX[self.form])]
            try:
                self.output.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise click.ClickException(f"cannot write to {self.output}: {error.strerror}") from error
        for name, reason in self.found.problems:
            self._fail(name, reason)

    @property
    def number(self) -> int:
        return len(self.found.files) + len(self.found.problems)

    async def run(self, settings: Settings) -> None:
        decoder = audio_decoder(settings)
        async with open_batch_transcriber(settings) as batch_transcriber:
            for at, (file, result) in enumerate(zip(self.found.files, self.results, strict=True), 1):
                title = f"{at}/{len(self.results)} {file.name}" if len(self.results) > 1 else file.name
                try:
                    transcript = await self._transcript(file, title, decoder, batch_transcriber)
                except (ClientError, ProviderError, RequestRefused) as error:
                    self._fail(file.name, str(error))
                except OSError as error:
                    self._fail(file.name, f"cannot be read: {error.strerror or type(error).__name__}")
                else:
                    await self._deliver(transcript, file, result)

    async def _transcript(
        self, file: AudioFile, title: str, decoder: AudioDecoder, batch_transcriber: BatchTranscriber
    ) -> Transcript:
        """What is said in the file; a warning on standard error where something in it is damaged."""
        samples = 0
        columns = TextColumn("{task.description}", markup=False), BarColumn(), TaskProgressColumn()
        with ExitStack() as stack:
            # left behind at an interruption, because the writer of a pipe may never end
            path = await run_in_daemon_thread(lambda: stack.enter_context(seekable(file)))
            console = Console(stderr=True)
            progress = stack.enter_context(
                Progress(
                    *columns, TimeRemainingColumn(), console=console, transient=True, disable=not console.is_terminal
                )
            )
            task = progress.add_task(title, total=None)

            async def audio() -> AsyncGenerator[AudioChunk, None]:
                nonlocal samples
                decoded = decoder.decode(
                    path,
                    on_warning=lambda sentence: click.echo(f"{file.name}: {sentence}", err=True),
                    on_length=lambda length: progress.update(task, total=length),
                )
                async with aclosing(decoded) as chunks:
                    async for chunk in chunks:
                        yield chunk
                        samples = chunk.end
                        progress.update(task, completed=samples)

            async with (
                aclosing(audio()) as chunks,
                aclosing(batch_transcriber.transcribe(chunks, key_terms=self.key_terms)) as segments,
            ):
                spoken = [segment async for segment in segments]
        return Transcript(file.name, batch_transcriber.model, samples, spoken)

    async def _deliver(self, transcript: Transcript, file: AudioFile, result: Path | None) -> None:
        if result is None:
            render = line_of_several if self.found.are_named else formatted
            click.echo(render(transcript, self.form), nl=False)
            return
        try:
            await to_thread.run_sync(_write, result, formatted(transcript, self.form))
        except OSError as error:
            if error.errno in _USELESS_TO_GO_ON:
                raise click.ClickException(f"cannot write to {result}: {error.strerror}") from error
            self._fail(file.name, f"cannot write to {result}: {error.strerror}")

    def _fail(self, name: str, reason: str) -> None:
        fail(f"{name}: {reason}")
        self.failed.append(name)


def _write(path: Path, text: str) -> None:
    """The whole of it: of what could not be written to its end, nothing is left."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as target:
        try:
            target.write(text.encode())
            target.flush()
        except OSError:
            path.unlink(missing_ok=True)
            raise
