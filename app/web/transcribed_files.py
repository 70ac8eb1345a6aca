"""Segments of a file whose sender waits, in any protocol: by the worker's engine, or the gateway's."""

from collections.abc import AsyncGenerator, AsyncIterable, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from typing import BinaryIO, Protocol

from app.domain.audio import SAMPLE_RATE, AudioChunk, ms
from app.domain.errors import ClientError, ClientFault, NoCapacity, ProviderBusy
from app.domain.key_terms import merge_key_terms
from app.domain.ports import SpeakerEmbedder, SpeechDetector, Transcriber, expecting
from app.domain.principal import Principal
from app.domain.recording.subtitles import Segment
from app.domain.tenant import Tenant
from app.domain.transcript import Hypothesis
from app.runtime.first_final import first_final
from app.runtime.held_bytes import HeldBytes
from app.runtime.ids import new_id
from app.runtime.jobs.batch_transcription import transcribe_recording
from app.runtime.routed_transcriber import RoutedTranscriber
from app.runtime.service import Service
from app.runtime.worker import Worker

MAX_UTTERANCE_SAMPLES = 29 * SAMPLE_RATE
"""Longer audio is cut at pauses; what is shorter is one utterance, and goes to the model as a whole."""

_CHUNK_SAMPLES = ms(90)


@dataclass(slots=True)
class FileReport:
    """What a client wants of a file, and what is known of it besides its segments once the last has come."""

    language: str | None = None
    """Codes of those that may be spoken; None: any."""
    wants_speakers: bool = False
    """The client wants speaker labels, where there are any."""
    samples: int = 0
    """Length at 16 kHz."""
    confidence: float | None = None
    warnings: list[str] = field(default_factory=list)


class FileTranscription(Protocol):
    """What an application offers behind the endpoint."""

    @property
    def model(self) -> str:
        """Its name, for clients."""
        ...

    @property
    def held(self) -> HeldBytes:
        """Of forms that are being received, wait or are transcribed."""
        ...

    def require_room(self, principal: Principal) -> None:
        """Raises ProviderBusy where a file would be refused, before megabytes of it are read."""
        ...

    def segments(
        self, file: BinaryIO, principal: Principal, report: FileReport, terms: Sequence[str] = ()
    ) -> AsyncGenerator[Segment, None]:
        """As each is transcribed, while the file has its place; the report is whole behind the last.

        The report's language is what the client allows; what it leaves open is as the tenant or the settings have it.

        Raises ClientError, ProviderError or RequestRefused.
        """
        ...


@dataclass(frozen=True, slots=True)
class WorkerFiles:
    """A worker: one file has one slot of its queue, piece by piece; of long audio one segment is in memory."""

    worker: Worker

    @property
    def model(self) -> str:
        return self.worker.model

    @property
    def held(self) -> HeldBytes:
        return self.worker.held

    def require_room(self, principal: Principal) -> None:  # noqa: ARG002 because a worker has no tenants
        self.worker.queue.require_room()

    async def segments(
        self,
        file: BinaryIO,
        principal: Principal,  # noqa: ARG002 because a worker has no tenants
        report: FileReport,
        terms: Sequence[str] = (),
    ) -> AsyncGenerator[Segment, None]:
        worker = self.worker
        report.language = report.language or worker.language
        async with (
            worker.queue.slot(),
            aclosing(worker.decoder.decode(file, on_warning=report.warnings.append)) as audio,
            aclosing(
                _segments(
                    audio,
                    report,
                    detector=worker.detector,
                    transcriber=worker.transcriber,
                    for_long=worker.batch_transcriber,
                    terms=terms,
                )
            ) as segments,
        ):
            async for segment in segments:
                yield segment


@dataclass(frozen=True, slots=True)
class GatewayFiles:
    """A gateway: one file has one of the tenant's places, and is not kept.

    Its own model transcribes it; where all finals come over routes they do here, under the tenant's residency and
    budgets.
    """

    service: Service
    model: str = "parley"

    @property
    def held(self) -> HeldBytes:
        return self.service.limits.held

    def require_room(self, principal: Principal) -> None:
        if refusal := self.service.admission.refusal(principal.tenant):
            raise ProviderBusy("recordings", refusal)

    async def segments(
        self, file: BinaryIO, principal: Principal, report: FileReport, terms: Sequence[str] = ()
    ) -> AsyncGenerator[Segment, None]:
        service, tenant, session = self.service, principal.tenant, new_id()
        usual = ",".join(tenant.languages) or service.initial_state.rules.language
        report.language = report.language or usual
        terms = merge_key_terms(terms, tenant.key_terms)
        try:
            with service.admission.admitted(session, tenant):
                async with (
                    self._engines(session, tenant) as (detector, transcriber, embedder),
                    aclosing(service.decoder.decode(file, on_warning=report.warnings.append)) as audio,
                    aclosing(
                        _segments(
                            audio,
                            report,
                            detector=detector,
                            transcriber=transcriber,
                            for_long=transcriber,
                            terms=terms,
                            embedder=embedder if report.wants_speakers else None,
                        )
                    ) as segments,
                ):
                    async for segment in segments:
                        yield segment
        except NoCapacity as error:
            raise ProviderBusy("recordings", str(error)) from error

    @asynccontextmanager
    async def _engines(
        self, session: str, tenant: Tenant
    ) -> AsyncGenerator[tuple[SpeechDetector, Transcriber, SpeakerEmbedder | None], None]:
        if (batch := self.service.batch_transcriber) is not None:
            yield batch.detector, batch.transcriber, batch.embedder
            return
        async with self.service.session_engines(session, tenant) as engines:
            yield engines.detector, RoutedTranscriber(engines.finals, tenant.place), engines.embedder


async def _segments(
    audio: AsyncIterable[AudioChunk],
    report: FileReport,
    *,
    detector: SpeechDetector,
    transcriber: Transcriber,
    for_long: Transcriber,
    terms: Sequence[str],
    embedder: SpeakerEmbedder | None = None,
) -> AsyncGenerator[Segment, None]:
    """Of a short file one; of a longer one, and where speakers are told apart, those between its pauses.

    Raises ClientError where there is no audio.
    """
    async with aclosing(_split(audio)) as chunks:
        counted = _Counted(chunks, report)
        beginning = await counted.until(MAX_UTTERANCE_SAMPLES)
        if not report.samples:
            raise ClientError(ClientFault.BAD_AUDIO, "there is no audio in the file", param="file")
        if report.samples <= MAX_UTTERANCE_SAMPLES and embedder is None:
            final = await _final(expecting(transcriber, terms), beginning, report.language)
            report.confidence = final.confidence
            if final.text:
                yield Segment(0, report.samples, final.text, final.language, final.words)
            return
        found = transcribe_recording(
            counted.from_start(beginning),
            detector=detector,
            transcriber=expecting(for_long, terms),
            language=report.language,
            embedder=embedder,
        )
        async with aclosing(found):
            async for segment in found:
                yield segment


@dataclass(slots=True)
class _Counted:
    """A stream of chunks; the report knows how many samples of it have been read."""

    chunks: AsyncIterable[AudioChunk]
    report: FileReport

    async def until(self, samples: int) -> list[AudioChunk]:
        """The chunks up to the first that ends behind `samples`, that one included; all, where there are fewer."""
        read: list[AudioChunk] = []
        async for chunk in self.chunks:
            read.append(chunk)
            self.report.samples = chunk.end
            if chunk.end > samples:
                break
        return read

    async def from_start(self, beginning: Sequence[AudioChunk]) -> AsyncGenerator[AudioChunk, None]:
        """What was read of it, then the rest."""
        for chunk in beginning:
            yield chunk
        async for chunk in self.chunks:
            self.report.samples = chunk.end
            yield chunk


async def _final(transcriber: Transcriber, audio: Sequence[AudioChunk], language: str | None) -> Hypothesis:
    async with aclosing(transcriber.transcribe(_stream(audio), language=language)) as hypotheses:
        return await first_final(hypotheses)


async def _split(audio: AsyncIterable[AudioChunk]) -> AsyncGenerator[AudioChunk, None]:
    """The same audio, in chunks no longer than a client's."""
    async for chunk in audio:
        for at in range(0, chunk.samples, _CHUNK_SAMPLES):
            yield AudioChunk(chunk.pcm[2 * at : 2 * (at + _CHUNK_SAMPLES)], chunk.start + at)


async def _stream(audio: Sequence[AudioChunk]) -> AsyncGenerator[AudioChunk, None]:
    for chunk in audio:
        yield chunk
