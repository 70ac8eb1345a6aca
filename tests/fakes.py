"""Fakes of the ports, driven by a script."""

from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import anyio

from app.domain.audio import AudioChunk, ScoredChunk, ms
from app.domain.dialog import effects as do
from app.domain.dialog.conversation import Message
from app.domain.errors import BlobNotFound, ParleyError
from app.domain.job import FilePart, JobState, TranscriptionJob
from app.domain.ports import Transcriber
from app.domain.residency import Residency
from app.domain.routing.route import Route
from app.domain.speakers import Embedding
from app.domain.spending import TokenUsage
from app.domain.transcript import Hypothesis, Word
from app.domain.upload_limits import UploadUsage
from app.runtime.dialog.session import Incoming

SPEECH = b"\1\0" * ms(30)
SILENCE = b"\0\0" * ms(30)


class ScriptedDetector:
    """A chunk is speech when its first byte is not zero."""

    async def score(self, audio: AsyncIterable[AudioChunk]) -> AsyncGenerator[ScoredChunk, None]:
        async for chunk in audio:
            yield ScoredChunk(chunk, float(chunk.pcm[0] != 0))


@dataclass
class ScriptedTranscriber:
    """Its text as draft and as final; or its error; finals wait for `go`, where it is set."""

    text: str = "hello"
    error: ParleyError | None = None
    go: anyio.Event | None = None
    finals: int = 0
    drafts: int = 0
    utterance_samples: list[int] = field(default_factory=list)
    """Samples of each utterance transcribed."""
    closed: int = 0
    words: tuple[Word, ...] = ()
    languages: list[str | None] = field(default_factory=list)
    """Of each utterance, as it was asked for."""

    async def transcribe(
        self, utterance: AsyncIterable[AudioChunk], *, language: str | None = None
    ) -> AsyncGenerator[Hypothesis, None]:
        self.finals += 1
        self.languages.append(language)
        try:
            self.utterance_samples.append(sum([chunk.samples async for chunk in utterance]))
            if self.go:
                await self.go.wait()
            if self.error:
                raise self.error
            yield Hypothesis(self.text, is_final=True, words=self.words)
        finally:
            self.closed += 1

    async def draft(self, pcm: bytes, *, stable: str = "", language: str | None = None) -> Hypothesis | None:
        self.drafts += 1
        await anyio.lowlevel.checkpoint()
        if self.error:
            raise self.error
        return Hypothesis(self.text)


@dataclass
class TermNotingTranscriber(ScriptedTranscriber):
    """Notes each list of key terms that it is to expect."""

    expected: list[tuple[str, ...]] = field(default_factory=list)

    def with_key_terms(self, terms: Sequence[str]) -> "TermNotingTranscriber":
        self.expected.append(tuple(terms))
        return self


@dataclass
class SingleRouteFinals:
    """Finals from one engine, whatever happens; it is every utterance's pending final, too."""

    route: Route
    transcriber: Transcriber
    live: bool = False
    deadline_ms: float = 15_000.0
    shown: list[tuple[str, Route | None]] = field(default_factory=list)

    def open(
        self,
        utterance: int,
        language: str | None,
        residency: Residency,
        deadline_ms: float | None = None,
        key_terms: Sequence[str] = (),
        vocabulary: str | None = None,
    ) -> "SingleRouteFinals":
        return self

    def transcribe(
        self, utterance: AsyncIterable[AudioChunk], *, language: str | None = None
    ) -> AsyncGenerator[Hypothesis, None]:
        return self.transcriber.transcribe(utterance, language=language)

    def update_draft(self, text: str) -> None:
        """Nothing compares it."""

    def expect(self, key_terms: Sequence[str]) -> None:
        """It understands them all."""

    def restrict_to_on_prem(self) -> None:
        """It is on the premises."""

    def stop_live(self) -> None:
        self.live = False

    def confirm_endpoint(self) -> None:
        """It transcribes at any time."""

    def record_shown(self, final: Hypothesis, route: Route | None) -> None:
        self.shown.append((final.text, route))


@dataclass
class ScriptedTurnDetector:
    """Gives its probability for every pause, or its error."""

    probability: float = 0.9
    error: ParleyError | None = None
    scored_samples: list[int] = field(default_factory=list)
    """Samples of each pause scored."""

    async def end_of_turn_probability(self, pcm: bytes) -> float:
        self.scored_samples.append(len(pcm) // 2)
        await anyio.lowlevel.checkpoint()
        if self.error:
            raise self.error
        return self.probability


@dataclass
class ScriptedEmbedder:
    """Its voices, one for each utterance in turn, over and over; or its error; each waits for `go`, where it is set."""

    voices: Sequence[Embedding] = ((1.0, 0.0),)
    error: ParleyError | None = None
    go: anyio.Event | None = None
    embedded: list[bytes] = field(default_factory=list)

    async def embed(self, pcm: bytes) -> Embedding:
        self.embedded.append(pcm)
        voice = self.voices[(len(self.embedded) - 1) % len(self.voices)]
        await (self.go.wait() if self.go else anyio.lowlevel.checkpoint())
        if self.error:
            raise self.error
        return voice


@dataclass
class ScriptedGenerator:
    """Answers with its deltas; notes whether it was left early."""

    deltas: Sequence[str] = ("You said it. ", "Well done.")
    error: ParleyError | None = None
    asked: list[Sequence[Message]] = field(default_factory=list)
    cut_off: int = 0

    async def reply(
        self, conversation: Sequence[Message], *, report_usage: Callable[[TokenUsage], None] = lambda _: None
    ) -> AsyncGenerator[str, None]:
        self.asked.append(conversation)
        try:
            for delta in self.deltas:
                await anyio.lowlevel.checkpoint()
                yield delta
            if self.error:
                raise self.error
        except (GeneratorExit, anyio.get_cancelled_exc_class()):
            self.cut_off += 1
            raise


@dataclass
class ScriptedSynthesizer:
    """Speaks 100 ms for each piece, or for ever; or raises its error behind so many pieces."""

    forever: bool = False
    error: ParleyError | None = None
    fails_after: int = 0
    spoken: list[str] = field(default_factory=list)
    closed: int = 0

    async def synthesize(
        self, text: AsyncIterable[str], *, voice: str | None = None
    ) -> AsyncGenerator[AudioChunk, None]:
        at = 0
        try:
            async for piece in text:
                if self.error and len(self.spoken) >= self.fails_after:
                    raise self.error
                self.spoken.append(piece)
                yield (chunk := AudioChunk(b"\2\0" * ms(100), at))
                at = chunk.end
                while self.forever:
                    await anyio.lowlevel.checkpoint()
                    yield (chunk := AudioChunk(b"\2\0" * ms(100), at))
                    at = chunk.end
        finally:
            self.closed += 1


class Browser:
    """A client that plays a script: chunks and orders are sent, a type waits until such a thing was shown."""

    def __init__(self, *script: Incoming | bytes | type) -> None:
        self.script = script
        self.shown: list[do.Shown] = []
        self.acknowledged: list[int] = []
        self._seen: dict[type, anyio.Event] = {}

    async def incoming(self) -> AsyncIterator[Incoming]:
        at = 0
        for item in self.script:
            if isinstance(item, type):
                await self._waited_for(item).wait()
            elif isinstance(item, bytes):
                yield (chunk := AudioChunk(item, at))
                at = chunk.end
                await anyio.lowlevel.checkpoint()
            else:
                yield item

    def show(self, shown: do.Shown, *, ttfs_ms: int | None = None) -> None:
        self.shown.append(shown)
        self._waited_for(type(shown)).set()

    def acknowledge(self, samples: int) -> None:
        self.acknowledged.append(samples)

    def got(self, kind: type) -> list:
        return [item for item in self.shown if isinstance(item, kind)]

    def _waited_for(self, kind: type) -> anyio.Event:
        return self._seen.setdefault(kind, anyio.Event())


@dataclass
class MemoryBlobStore:
    """Blobs in a dict; fails while it has an error."""

    blobs: dict[str, bytes] = field(default_factory=dict)
    error: ParleyError | None = None

    @property
    def recorded(self) -> dict[str, bytes]:
        """All but the tombstones of deleted sessions."""
        return {key: blob for key, blob in self.blobs.items() if not key.startswith("tombstones/")}

    async def put(self, key: str, data: bytes, *, content_type: str) -> None:
        if self.error:
            raise self.error
        self.blobs[key] = data

    async def get(self, key: str) -> bytes:
        try:
            return self.blobs[key]
        except KeyError:
            raise BlobNotFound(key) from None

    async def delete(self, key: str) -> None:
        self.blobs.pop(key, None)

    async def keys(self, prefix: str = "") -> AsyncGenerator[str, None]:
        for key in sorted(self.blobs):
            if key.startswith(prefix):
                yield key

    async def url(self, key: str) -> str | None:
        return None

    async def purge_versions(self, prefix: str) -> Sequence[str]:
        return ()


@dataclass
class MemorySessionLog:
    """Logs in a dict; fails while it has an error."""

    records: dict[str, dict[str, list[bytes]]] = field(default_factory=dict)
    error: ParleyError | None = None
    has_space: bool = True

    @property
    def size_bytes(self) -> int:
        return sum(len(record) for logs in self.records.values() for log in logs.values() for record in log)

    async def append(self, session: str, log: str, records: Sequence[bytes]) -> None:
        await anyio.lowlevel.checkpoint()
        if self.error:
            raise self.error
        self.records.setdefault(session, {}).setdefault(log, []).extend(records)

    async def read(self, session: str, log: str) -> list[bytes]:
        records, _ = await self.read_from(session, log, 0)
        return records

    async def read_from(self, session: str, log: str, offset: int) -> tuple[list[bytes], int]:
        records = self.records.get(session, {}).get(log, [])
        return records[offset:], len(records)

    async def log_names(self, session: str) -> list[str]:
        return sorted(self.records.get(session, ()))

    async def sessions(self) -> list[tuple[str, float]]:
        return [(session, 0.0) for session in self.records]

    async def remove_log(self, session: str, log: str) -> None:
        self.records.get(session, {}).pop(log, None)

    async def remove_session(self, session: str) -> None:
        self.records.pop(session, None)


@dataclass
class MemoryJobs:
    """Jobs in a dict; fails while it has an error."""

    rows: dict[str, TranscriptionJob] = field(default_factory=dict)
    file_parts: dict[str, list[FilePart]] = field(default_factory=dict)
    error: ParleyError | None = None

    async def add(
        self, job: TranscriptionJob, require: Callable[[UploadUsage], None], parts: Sequence[FilePart] = ()
    ) -> None:
        await self._ask()
        require(await self.usage(job.tenant, job.person))
        self.rows[job.id] = job
        self.file_parts[job.id] = [*parts]

    async def reopen(self) -> None:
        await self._ask()

    async def get(self, job: str) -> TranscriptionJob | None:
        await self._ask()
        return self.rows.get(job)

    async def change(
        self, job: str, decide: Callable[[TranscriptionJob], TranscriptionJob], part: FilePart | None = None
    ) -> TranscriptionJob:
        await self._ask()
        if job not in self.rows:
            raise BlobNotFound(job)
        self.rows[job] = decide(self.rows[job])
        if part is not None:
            self.file_parts[job].append(part)
        return self.rows[job]

    async def take(
        self, owner: str, tenants: Collection[str], until: datetime, now: datetime, *, is_untried: bool = False
    ) -> TranscriptionJob | None:
        await self._ask()
        waiting = [job for job in self.rows.values() if job.is_takeable(now) and job.tenant in tenants]
        waiting = [job for job in waiting if job.is_untried or not is_untried]
        if not waiting:
            return None
        taken = min(waiting, key=lambda job: job.id).take(owner, until, now)
        self.rows[taken.id] = taken
        return taken

    async def takeable_tenants(self, now: datetime) -> list[str]:
        await self._ask()
        return sorted({job.tenant for job in self.rows.values() if job.is_takeable(now)})

    async def find(
        self, *, tenant: str | None, person: str | None, state: JobState | None, before: str | None, limit: int
    ) -> list[TranscriptionJob]:
        await self._ask()
        found = [
            job
            for job in self.rows.values()
            if tenant in (None, job.tenant)
            and person in (None, job.person)
            and state in (None, job.state)
            and (before is None or job.id < before)
        ]
        return sorted(found, key=lambda job: job.id, reverse=True)[:limit]

    async def overdue(self, now: datetime) -> list[TranscriptionJob]:
        await self._ask()
        return [job for job in self.rows.values() if job.is_interrupted(now) or job.is_expired(now) or job.has_remains]

    async def unfinished(self, jobs: Collection[str]) -> set[str]:
        await self._ask()
        return {job for job in jobs if job in self.rows and not self.rows[job].is_finished}

    async def parts(self, job: str) -> list[FilePart]:
        await self._ask()
        return list(self.file_parts[job])

    async def count_parts(self, job: str) -> int:
        return len(await self.parts(job))

    async def usage(self, tenant: str, person: str | None = None) -> UploadUsage:
        await self._ask()
        own = [other for other in self.rows.values() if other.tenant == tenant and not other.is_finished]
        persons = [other.reserved for other in own if person is not None and other.person == person]
        return UploadUsage(len(own), sum(other.reserved for other in own), len(persons), sum(persons))

    async def received_bytes(self) -> int:
        await self._ask()
        return sum(job.received for job in self.rows.values() if not job.is_finished)

    async def remove(self, job: str) -> None:
        await self._ask()
        self.rows.pop(job, None)
        self.file_parts.pop(job, None)

    async def _ask(self) -> None:
        await anyio.lowlevel.checkpoint()
        if self.error:
            raise self.error


class EagerClock:
    """Time that never passes by itself: whoever sleeps wakes at once only if the deadline is now."""

    def __init__(self) -> None:
        self.time = 0.0
        self._moved = anyio.Event()

    def now(self) -> float:
        return self.time

    async def sleep_until(self, deadline: float) -> None:
        while self.time < deadline:
            await self._moved.wait()

    def advance(self, seconds: float) -> None:
        self.time += seconds
        self._moved.set()
        self._moved = anyio.Event()
