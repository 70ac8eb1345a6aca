"""Makes a recording of an audio file: it is transcribed, and archived like a session that was spoken."""

from collections.abc import AsyncGenerator, AsyncIterable
from contextlib import aclosing
from typing import BinaryIO, Protocol

import anyio

from app.domain.audio import AudioChunk, seconds
from app.domain.dialog import effects as do
from app.domain.errors import ClientError, ClientFault, ParleyError, flatten
from app.domain.key_terms import merge_key_terms
from app.domain.recording.subtitles import Segment
from app.domain.residency import Place
from app.domain.routing.route import Route
from app.domain.tenant import Tenant
from app.domain.transcript import Hypothesis, moved
from app.runtime.jobs.audio_decoder import AudioDecoder
from app.runtime.jobs.batch_transcription import BatchTranscriber
from app.runtime.jobs.job_lease import JobLease
from app.runtime.recording.recorder import Recorder

DROP_TIMEOUT_S = 5.0
"""How long the end of an attempt waits for the disk; what is left then the next start drops."""


class RecordingSource(Protocol):
    """A service that recordings can be fetched from by a link."""

    def read(self, link: str) -> AsyncGenerator[bytes, None]:
        """The bytes of the file behind this link. Raises BlobNotFound or a ProviderError, in the middle too."""
        ...


async def transcribe_upload(
    lease: JobLease,
    *,
    tenant: Tenant,
    decoder: AudioDecoder,
    batch_transcriber: BatchTranscriber,
) -> list[Segment]:
    """Transcribe a whole file, of any audio format, and store its recording; the manifest by the lease's owner alone.

    The lease gets what could not be decoded, and the progress. Raises ClientError where it is no audio, LeaseLost, or
    a ProviderError. After any error, and when it is cancelled, nothing of the attempt is left on the disk.
    """
    uploader, session = lease.files.uploader, lease.job.id
    lease.warnings.clear()
    try:
        await uploader.begin_attempt(session)
        with await lease.until_available(lambda: lease.files.open_file(lease.job)) as file:
            try:
                async with uploader.record_session(session, tenant, person=lease.job.person) as recorder:
                    terms = merge_key_terms(lease.job.key_terms, tenant.key_terms)
                    segments = await _transcribe(file, decoder, recorder, batch_transcriber, lease, terms)
                    recorder.warnings = tuple(lease.warnings)
            except Exception as error:
                if known := next((leaf for leaf in flatten(error) if isinstance(leaf, ParleyError)), None):
                    raise known from error  # without the task group's wrapping
                raise
        await lease.until_available(lambda: uploader.publish(session, lease.check))
    except BaseException:  # because the next attempt begins anew, whatever ended this one
        with anyio.move_on_after(DROP_TIMEOUT_S, shield=True):
            await uploader.drop_attempt(session)
        raise
    return segments


async def _transcribe(
    file: BinaryIO,
    decoder: AudioDecoder,
    recorder: Recorder,
    batch_transcriber: BatchTranscriber,
    lease: JobLease,
    key_terms: tuple[str, ...],
) -> list[Segment]:
    segments: list[Segment] = []

    def on_length(samples: int) -> None:
        lease.seconds_total = seconds(samples)

    decoding = decoder.decode(file, on_warning=lease.warnings.append, on_length=on_length)
    async with (
        aclosing(decoding) as chunks,
        aclosing(_recorded(chunks, recorder, lease)) as audio,
        aclosing(batch_transcriber.transcribe(audio, language=lease.job.language, key_terms=key_terms)) as found,
    ):
        async for segment in found:
            segments.append(segment)
            recorder.record(_final(segment, len(segments)), None)
    if not recorder.received_samples:
        raise ClientError(ClientFault.BAD_AUDIO, "there is no audio in the file")
    return segments


async def _recorded(
    chunks: AsyncIterable[AudioChunk], recorder: Recorder, lease: JobLease
) -> AsyncGenerator[AudioChunk, None]:
    """The file's audio, each chunk recorded before it is passed on."""
    async for chunk in chunks:
        await recorder.write_audio(chunk)
        yield chunk
        lease.seconds_done = seconds(chunk.end)


def _final(segment: Segment, number: int) -> do.ShowFinal:
    return do.ShowFinal(
        turn=1,
        utterance=number,
        hypothesis=Hypothesis(
            segment.text, is_final=True, words=moved(segment.words, -segment.start), language=segment.language
        ),
        start=segment.start,
        speech_end=segment.end,
        end=segment.end,
        route=Route("local", Place.ON_PREM),
        speaker=segment.speaker,
    )
