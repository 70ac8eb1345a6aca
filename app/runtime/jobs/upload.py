"""Makes a recording of an audio file: it is transcribed, and archived like a session that was spoken."""

from collections.abc import AsyncGenerator, AsyncIterable
from contextlib import aclosing
from typing import BinaryIO, Protocol

from app.domain.audio import AudioChunk
from app.domain.dialog import effects as do
from app.domain.errors import ClientError, ClientFault, ParleyError, flatten
from app.domain.recording.subtitles import Segment
from app.domain.residency import Place
from app.domain.routing.route import Route
from app.domain.tenant import Tenant
from app.domain.transcript import Hypothesis
from app.runtime.jobs.audio_decoder import AudioDecoder
from app.runtime.jobs.batch_transcription import BatchTranscriber
from app.runtime.recording.file_upload import FileUpload, is_file_log
from app.runtime.recording.file_uploads import FileUploads
from app.runtime.recording.recorder import Recorder


class RecordingSource(Protocol):
    """A service that recordings can be fetched from by a link."""

    def read(self, link: str) -> AsyncGenerator[bytes, None]:
        """The bytes of the file behind this link. Raises BlobNotFound or a ProviderError, in the middle too."""
        ...


async def transcribe_upload(
    upload: FileUpload,
    files: FileUploads,
    *,
    tenant: Tenant,
    decoder: AudioDecoder,
    batch_transcriber: BatchTranscriber,
    warnings: list[str],
) -> list[Segment]:
    """Transcribe and archive a whole file, of any audio format; what an interrupted attempt has left is replaced.

    `warnings` gets a sentence for each thing in the file that could not be decoded. Raises ClientError where it is no
    audio, or a ProviderError. After any error, and when it is cancelled, the file is still there, and `files` holds
    the unfinished recording back.
    """
    await files.uploader.clear_logs(upload.session, keep=is_file_log)
    with await files.open_file(upload) as file:
        try:
            async with files.uploader.record_session(upload.session, tenant, person=upload.opened.person) as recorder:
                segments = await _transcribe(
                    file, decoder, recorder, batch_transcriber, upload.opened.language, warnings
                )
                recorder.warnings = tuple(warnings)
        except Exception as error:
            if known := next((leaf for leaf in flatten(error) if isinstance(leaf, ParleyError)), None):
                raise known from error  # without the task group's wrapping
            raise
    await files.complete(upload)
    return segments


async def _transcribe(
    file: BinaryIO,
    decoder: AudioDecoder,
    recorder: Recorder,
    batch_transcriber: BatchTranscriber,
    language: str | None,
    warnings: list[str],
) -> list[Segment]:
    segments: list[Segment] = []
    async with (
        aclosing(decoder.decode(file, on_warning=warnings.append)) as chunks,
        aclosing(_recorded(chunks, recorder)) as audio,
        aclosing(batch_transcriber.transcribe(audio, language=language)) as found,
    ):
        async for segment in found:
            segments.append(segment)
            recorder.record(_final(segment, len(segments)), None)
    if not recorder.received_samples:
        raise ClientError(ClientFault.BAD_AUDIO, "there is no audio in the file")
    return segments


async def _recorded(chunks: AsyncIterable[AudioChunk], recorder: Recorder) -> AsyncGenerator[AudioChunk, None]:
    """The file's audio, each chunk recorded before it is passed on."""
    async for chunk in chunks:
        await recorder.write_audio(chunk)
        yield chunk


def _final(segment: Segment, number: int) -> do.ShowFinal:
    return do.ShowFinal(
        turn=1,
        utterance=number,
        hypothesis=Hypothesis(segment.text, is_final=True, language=segment.language),
        start=segment.start,
        speech_end=segment.end,
        end=segment.end,
        route=Route("local", Place.ON_PREM),
    )
