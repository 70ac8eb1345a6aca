"""FileUploads: files on their way to a job, from their first byte to the last.

What has arrived is in the blob store before it is counted in the job's row, so whatever a client was told is there for
every process. Two processes may receive parts of one file in turn: the row says which byte is next.
"""

import secrets
from collections.abc import AsyncIterable, Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import BinaryIO

import anyio

from app.domain.errors import BlobNotFound, ClientError, ClientFault, ParleyError, ProviderBusy
from app.domain.job import JobSource, JobState, TranscriptionJob
from app.domain.recording.deletion import DeletionReceipt
from app.domain.upload_limits import MAX_PARTS, UploadLimits, UploadUsage
from app.runtime.jobs.file_blobs import PART_BYTES, FileBlobs
from app.runtime.jobs.job_store import JobStore, utc_now
from app.runtime.recording.uploader import Uploader

LEASE_S = 30.0
"""A job whose lease was not renewed for so long may be taken by another process."""


@dataclass(slots=True)
class FileUploads:
    """Every method raises ProviderBusy where database or disk are unavailable or full, ProviderDown where they fail."""

    jobs: JobStore
    blobs: FileBlobs
    uploader: Uploader
    limits: UploadLimits = field(default_factory=UploadLimits)
    now: Callable[[], datetime] = utc_now
    lease_s: float = LEASE_S
    owner: str = field(default_factory=lambda: secrets.token_hex(16))
    """This process, in the rows of the jobs it has."""
    _changed: anyio.Event = field(default_factory=anyio.Event)

    # -- receiving -------------------------------------------------------------------

    async def open(
        self,
        session: str,
        tenant: str,
        *,
        length: int | None,
        language: str | None,
        person: str | None = None,
        by_person: bool = False,
        source: JobSource = JobSource.UPLOAD,
        key_terms: tuple[str, ...] = (),
    ) -> TranscriptionJob:
        """A new upload. Without a length it is one request's, and this process has its lease.

        `by_person`: the person itself sends it, and may have a share of what its tenant may.
        Raises ClientError where it is too large; ProviderBusy beyond the limits of the tenant.
        """
        self.limits.require_size(length or 0)
        self._require_disk()
        now = self.now()
        job = TranscriptionJob(
            session,
            tenant,
            now,
            now,
            now,
            source=source,
            language=language,
            person=person,
            length=length,
            key_terms=key_terms,
        )
        if length is None:
            job = replace(job, attended=True, owner=self.owner, lease_until=self.lease_until(now))

        def require(own: UploadUsage) -> None:
            self.limits.require_quota(own, length or 0, by_person=by_person)

        await self.jobs.add(job, require)
        return job

    async def append(self, job: TranscriptionJob, offset: int, pieces: AsyncIterable[bytes]) -> TranscriptionJob:
        """The upload with these bytes, from `offset` on; with the last one announced it is accepted.

        What arrived before an error is kept. Raises ClientError where the bytes do not belong there, BlobNotFound
        where the upload was deleted meanwhile.
        """
        job.receive(offset, 0, self.now())  # before anything is read of what does not belong there
        if await self.jobs.count_parts(job.id) >= MAX_PARTS:
            raise ClientError(ClientFault.FRAME_TOO_LARGE, f"the file has {MAX_PARTS} parts already; send larger ones")
        job, buffer = replace(job, received=offset), bytearray()
        try:
            async for piece in pieces:
                self._require_length(job, len(buffer) + len(piece))
                buffer += piece
                while len(buffer) >= PART_BYTES:
                    job = await self._write(job, buffer)
        except BaseException:  # because what arrived can be resumed, whatever broke the connection
            if buffer and job.length is not None:
                with anyio.CancelScope(shield=True), suppress(ParleyError):
                    await self._write(job, buffer)
            raise
        if buffer or job.received == job.length:
            job = await self._write(job, buffer)
        return job

    async def _write(self, job: TranscriptionJob, buffer: bytearray) -> TranscriptionJob:
        """Store the first bytes of the buffer and remove them from it."""
        data, start, now = bytes(buffer[:PART_BYTES]), job.received, self.now()
        if not data:
            job = await self.jobs.change(job.id, lambda each: each.receive(start, 0, now))
            self.notify()
            return job
        self._require_disk()
        self.limits.require_room(await self.jobs.received_bytes(), len(data))
        if job.length is None:
            self.limits.require_growth(await self.jobs.usage(job.tenant), len(data))
        del buffer[: len(data)]
        part = await self.blobs.put(job.id, start, data)
        try:
            job = await self.jobs.change(job.id, lambda each: each.receive(start, len(data), now), part)
        except (BlobNotFound, ClientError):  # not where the database fails: then it may have counted the part
            with anyio.CancelScope(shield=True), suppress(ParleyError):
                await self.blobs.store.delete(part.key)
            raise
        if job.state is not JobState.RECEIVING:
            self.notify()
        return job

    def _require_length(self, job: TranscriptionJob, more: int) -> None:
        if job.length is None:
            self.limits.require_size(job.received + more)
        elif job.received + more > job.length:
            raise ClientError(ClientFault.FRAME_TOO_LARGE, f"the upload said it has {job.length} bytes")

    def _require_disk(self) -> None:
        if not self.uploader.has_space:
            raise ProviderBusy("recordings", "the disk has no room for uploads at the moment")

    # -- transcribing ----------------------------------------------------------------

    async def open_file(self, job: TranscriptionJob) -> BinaryIO:
        """A copy of the file, for a decoder. Raises BlobUnreadable where the store has damaged it."""
        return await self.blobs.open_copy(await self.jobs.parts(job.id), job.received)

    def lease_until(self, now: datetime) -> datetime:
        return now + timedelta(seconds=self.lease_s)

    # -- removing --------------------------------------------------------------------

    async def cancel(self, session: str) -> TranscriptionJob:
        """Whoever works on it stops; file and recording are deleted. Where the store is down, a later sweep does.

        A job that is over stays as it is. Raises BlobNotFound.
        """
        cancelled = await self.jobs.change(session, lambda job: job.cancel(self.now()))
        if cancelled.state is JobState.CANCELLED and cancelled.has_remains:
            with suppress(ParleyError):
                cancelled = await self.clear(cancelled)
        return cancelled

    async def discard(self, job: TranscriptionJob) -> None:
        """Forget a file that nobody was promised anything for. Where the store is down, a later sweep does."""
        try:
            cancelled = await self.jobs.change(job.id, lambda each: each.cancel(self.now()))
        except BlobNotFound:
            return
        await self.blobs.delete(job.id)
        if cancelled.attempts:
            await self.uploader.recordings.delete(job.id, job.tenant)
        await self.jobs.remove(job.id)

    async def clear(self, job: TranscriptionJob) -> TranscriptionJob:
        """Remove the file of a finished job, and unless it is done what was recorded of it."""
        await self.blobs.delete(job.id)
        if job.attempts and job.state is JobState.CANCELLED:  # another process may be storing some of it now
            await self.uploader.delete(job.id, job.tenant)
        elif job.attempts and job.state is JobState.FAILED:
            await self.uploader.recordings.delete(job.id, job.tenant)
        return await self.jobs.change(job.id, TranscriptionJob.clear)

    async def delete(self, job: TranscriptionJob) -> DeletionReceipt | None:
        """Delete every trace of it and of its recording, for good, as Uploader.delete() does.

        Raises SessionStillLive while a process works on it.
        """
        await self.jobs.change(job.id, lambda each: each.cancel_idle(self.now()))
        parts = await self.blobs.delete(job.id)
        receipt = await self.uploader.delete(job.id, job.tenant)
        await self.jobs.remove(job.id)
        if receipt is None and job.state is JobState.DONE:
            return None
        if receipt is None:
            at = self.uploader.now().isoformat(timespec="milliseconds")
            receipt = DeletionReceipt(job.id, job.tenant, at, {})
        return replace(receipt, deleted={**receipt.deleted, "uploads": parts})

    # --------------------------------------------------------------------------------

    async def wait_for_change(self, timeout_s: float) -> None:
        """Return after the next file was accepted here, or after the timeout."""
        with anyio.move_on_after(timeout_s):
            await self._changed.wait()

    def notify(self) -> None:
        """A job may be taken."""
        self._changed.set()
        self._changed = anyio.Event()
