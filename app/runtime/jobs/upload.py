"""Makes a recording of an audio file: it is transcribed, and archived like a session that was spoken."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import BinaryIO, Protocol

from app.domain.audio import AudioChunk
from app.domain.dialog import effects as do
from app.domain.errors import ParleyError, flatten
from app.domain.recording.subtitles import Segment
from app.domain.residency import Place
from app.domain.routing.route import Route
from app.domain.tenant import Tenant
from app.domain.transcript import Hypothesis
from app.media.decode import decode_chunks
from app.runtime.jobs.batch_transcription import BatchTranscriber
from app.runtime.recording.recorder import Recorder
from app.runtime.recording.uploader import Uploader


class RecordingSource(Protocol):
    """A service that recordings can be fetched from by a link."""

    def read(self, link: str) -> AsyncGenerator[bytes, None]:
        """The bytes of the file behind this link. Raises BlobNotFound or a ProviderError, in the middle too."""
        ...


async def create_recording(
    file: BinaryIO,
    *,
    session: str,
    tenant: Tenant,
    uploader: Uploader,
    batch_transcriber: BatchTranscriber,
    language: str | None,
) -> list[Segment]:
    """Transcribe and archive a file of any audio format, under this session's id.

    Raises ClientError where it is no audio, or a ProviderError. After any failure nothing of it is kept.
    """
    try:
        async with uploader.record_session(session, tenant) as recorder:
            return await _transcribe(file, recorder, batch_transcriber, language)
    except Exception as error:
        await uploader.delete(session, tenant.name)
        if known := next((leaf for leaf in flatten(error) if isinstance(leaf, ParleyError)), None):
            raise known from error  # without the task group's wrapping
        raise


async def _transcribe(
    file: BinaryIO, recorder: Recorder, batch_transcriber: BatchTranscriber, language: str | None
) -> list[Segment]:
    segments: list[Segment] = []
    async with (
        aclosing(_recorded(file, recorder)) as audio,
        aclosing(batch_transcriber.transcribe(audio, language=language)) as found,
    ):
        async for segment in found:
            segments.append(segment)
            recorder.record(_final(segment, len(segments)), None)
    return segments


async def _recorded(file: BinaryIO, recorder: Recorder) -> AsyncGenerator[AudioChunk, None]:
    """The file's audio, each chunk recorded before it is passed on."""
    async with aclosing(decode_chunks(file)) as chunks:
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
