"""A recording that comes as a whole: written down and archived like a session that was spoken."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import BinaryIO, Protocol

from anyio import to_thread

from app.domain.audio import AudioChunk
from app.domain.dialog import effects as do
from app.domain.errors import ParleyError
from app.domain.ports import SpeechDetector, Transcriber
from app.domain.recording.subtitles import Segment
from app.domain.residency import Place
from app.domain.routing.route import Route
from app.domain.tenant import Tenant
from app.domain.transcript import Hypothesis
from app.media.decode import decode
from app.runtime.jobs.batch_transcription import transcribe_recording
from app.runtime.recording.recorder import Recorder
from app.runtime.recording.uploader import Uploader


@dataclass(frozen=True, slots=True)
class BatchTranscriber:
    """What it takes to write down a recording."""

    detector: SpeechDetector
    transcriber: Transcriber
    language: str | None
    model: str = ""


class RecordingSource(Protocol):
    """Somewhere recordings are kept."""

    def read(self, link: str) -> AsyncGenerator[bytes, None]:
        """The file behind this link, piece by piece. Raises BlobNotFound or a ProviderError."""
        ...


async def create_recording(
    file: BinaryIO, *, session: str, tenant: Tenant, uploader: Uploader, scribe: BatchTranscriber, language: str | None
) -> list[Segment]:
    """What is said in the file, of any format.

    Raises ClientError where it is no audio, or a ProviderError; then nothing of it is kept.
    """
    failure: ParleyError | None = None
    try:
        async with uploader.record_session(session, tenant) as recorder:
            return await _written_down(file, recorder, scribe, language or scribe.language)
    except* ParleyError as group:
        failure = next(error for error in group.exceptions if isinstance(error, ParleyError))
    assert failure is not None
    await uploader.delete(session, tenant.name)
    raise failure


async def _written_down(
    file: BinaryIO, recorder: Recorder, scribe: BatchTranscriber, language: str | None
) -> list[Segment]:
    segments: list[Segment] = []
    async with (
        aclosing(_heard(file, recorder)) as audio,
        aclosing(
            transcribe_recording(audio, detector=scribe.detector, transcriber=scribe.transcriber, language=language)
        ) as found,
    ):
        async for segment in found:
            segments.append(segment)
            recorder.record(_final(segment, len(segments)), None)
    return segments


async def _heard(file: BinaryIO, recorder: Recorder) -> AsyncGenerator[AudioChunk, None]:
    pieces, at = decode(file), 0
    while (pcm := await to_thread.run_sync(lambda: next(pieces, None))) is not None:
        chunk = AudioChunk(pcm, at)
        at = chunk.end
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
