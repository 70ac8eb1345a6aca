"""FileUploads: files on their way to a recording, from their first byte to the end of their transcription.

What has arrived is in the session log and survives the process. A file that was accepted stays until its recording is
written whole, or cannot be made; then the reason stays for a week.
"""

import shutil
import tempfile
import time
from collections.abc import AsyncIterable, Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import anyio
import msgspec
import structlog
from anyio import to_thread

from app.domain.disk_errors import translate_disk_errors
from app.domain.errors import BlobNotFound, BlobUnreadable, ClientError, ClientFault, ParleyError, ProviderBusy
from app.domain.recording.deletion import DeletionReceipt
from app.runtime.recording import file_upload as fu
from app.runtime.recording.file_upload import FileUpload
from app.runtime.recording.uploader import Uploader

APPEND_BYTES = 1 << 20
"""Bytes that are buffered for one write."""
EXPIRE_AFTER_S = 24 * 3600.0
"""An unfinished upload that grew no more for so long is deleted."""
KEEP_FAILURE_S = 7 * EXPIRE_AFTER_S
"""So long the reason of a failure can be asked for."""
INTERRUPTED = "interrupted"
PROVIDER = "recordings"
THREADS = 4

_log = structlog.get_logger("parley.recordings")


@dataclass(frozen=True, slots=True)
class UploadLimits:
    """What uploaded files may take of the disk that live sessions share."""

    max_bytes: int = 512 << 20
    """Of one file."""
    total_bytes: int = 1 << 30
    """Of all files of all tenants."""
    per_tenant: int = 16
    """Files of one tenant that are not transcribed yet."""
    per_tenant_bytes: int = 1 << 30


@dataclass(slots=True)
class FileUploads:
    """Every method raises ProviderBusy where the disk is full, and ProviderDown where it fails."""

    uploader: Uploader
    limits: UploadLimits = UploadLimits()
    scratch: Path | None = None
    """Folder for temporary files without a name, such as the copy that is decoded; None: the system's."""
    now: Callable[[], float] = time.monotonic
    files: dict[str, FileUpload] = field(default_factory=dict)
    """By session, in the order of their first byte."""
    _changed: anyio.Event = field(default_factory=anyio.Event)
    _threads: anyio.CapacityLimiter = field(default_factory=lambda: anyio.CapacityLimiter(THREADS))

    # -- receiving -------------------------------------------------------------------

    async def open(
        self, session: str, tenant: str, *, length: int | None, language: str | None, person: str | None = None
    ) -> FileUpload:
        """A new upload. Raises ClientError where it is too large; ProviderBusy beyond the limits of the tenant."""
        if (length or 0) > min(self.limits.max_bytes, self.limits.total_bytes):
            raise self._too_large()
        self._require_quota(tenant, length or 0)
        opened = fu.FileOpened(tenant, self._timestamp(), length, language, person)
        upload = FileUpload(session, opened, touched=self.now())
        self.files[session] = upload
        self.uploader.held_sessions.add(session)
        try:
            await self._log(upload, upload.opened)
        except BaseException:  # because nobody knows of it, whatever happened
            self._forget(session)
            raise
        return upload

    def _require_quota(self, tenant: str, length: int) -> None:
        if not self.uploader.has_space:
            raise ProviderBusy(PROVIDER, "the disk is full")
        own = [each for each in self.files.values() if each.opened.tenant == tenant and each.failure is None]
        if len(own) >= self.limits.per_tenant:
            raise ProviderBusy(
                PROVIDER, f"{len(own)} of your uploads are not transcribed yet; finish, delete or wait for one"
            )
        if own and sum(each.reserved for each in own) + length > self.limits.per_tenant_bytes:
            raise ProviderBusy(PROVIDER, "your uploads that are not transcribed yet are too large to take one more")

    def get(self, session: str, tenant: str) -> FileUpload:
        """The upload of this session. Raises BlobNotFound where there is none, or it is another tenant's."""
        upload = self.files.get(session)
        if upload is None or upload.opened.tenant != tenant:
            raise BlobNotFound(session[:64])
        return upload

    def job(self, session: str) -> FileUpload | None:
        """The accepted or failed upload of this session, whosever it is."""
        upload = self.files.get(session)
        return upload if upload is not None and upload.is_job else None

    async def append(self, upload: FileUpload, offset: int, pieces: AsyncIterable[bytes]) -> bool:
        """Whether the file is as long as announced now. What arrived before an error is kept.

        Raises ClientError where the bytes do not belong there, BlobNotFound where the upload was deleted meanwhile.
        """
        if offset != upload.received or upload.is_receiving or upload.is_accepted:
            raise ClientError(ClientFault.BAD_PACKET, f"the next byte is number {upload.received}")
        buffer = bytearray()
        upload.is_receiving = True
        try:
            async for piece in pieces:
                self._require_length(upload, len(buffer) + len(piece))
                buffer += piece
                if len(buffer) >= APPEND_BYTES:
                    await self._write(upload, buffer)
            await self._write(upload, buffer)
        except BaseException:  # because what arrived can be resumed, whatever broke the connection
            with anyio.CancelScope(shield=True), suppress(ParleyError):
                await self._write(upload, buffer)
            raise
        finally:
            upload.is_receiving = False
        return upload.received == upload.opened.length

    async def _write(self, upload: FileUpload, buffer: bytearray) -> None:
        async with upload.lock:
            while buffer:
                self._require_present(upload)
                self._require_space(len(buffer))
                room = fu.SEGMENT_BYTES - upload.received % fu.SEGMENT_BYTES
                piece = bytes(buffer[:room])
                await self.uploader.session_log.append(upload.session, fu.segment_of(upload.received), [piece])
                del buffer[: len(piece)]
                upload.received += len(piece)
                upload.touched = self.now()

    def _require_length(self, upload: FileUpload, more: int) -> None:
        announced = upload.opened.length
        if upload.received + more > (self.limits.max_bytes if announced is None else announced):
            if announced is None:
                raise self._too_large()
            raise ClientError(ClientFault.FRAME_TOO_LARGE, f"the upload said it has {announced} bytes")

    def _require_space(self, size: int) -> None:
        stored = sum(each.received for each in self.files.values() if each.failure is None)
        if stored + size > self.limits.total_bytes or not self.uploader.has_space:
            raise ProviderBusy(PROVIDER, "the disk has no room for uploads at the moment")

    async def accept(self, upload: FileUpload) -> None:
        """The file is whole; from now on its recording is promised. Raises BlobNotFound where it was deleted."""
        async with upload.lock:
            self._require_present(upload)
            if upload.is_accepted:
                raise ClientError(ClientFault.BAD_PACKET, "the upload is complete already")
            await self._log(upload, fu.FileAccepted(upload.received, self._timestamp()))
            upload.is_accepted = True
        self._notify()

    async def discard(self, upload: FileUpload) -> None:
        """Remove it, and what was recorded of it. Where the store is down, a later sweep does."""
        async with upload.lock:
            if self.files.get(upload.session) is not upload:
                return
            try:
                await self.uploader.discard(upload.session, upload.opened.tenant)
            except ParleyError:
                upload.failure = fu.FileFailed("deleted", "it was deleted", self._timestamp())
                upload.has_remains = True
                raise
            self._forget(upload.session)

    async def delete(self, upload: FileUpload) -> DeletionReceipt | None:
        """Delete every trace of it and of its recording, for good; as Uploader.delete() does."""
        async with upload.lock:
            receipt = await self.uploader.delete(upload.session, upload.opened.tenant)
            self._forget(upload.session)
            return receipt

    # -- transcribing ----------------------------------------------------------------

    def queued(self) -> list[FileUpload]:
        """What is accepted and waits to be transcribed, the oldest first."""
        return [each for each in self.files.values() if each.is_accepted and each.state is fu.JobState.QUEUED]

    async def wait_for_change(self) -> None:
        """Return after the next file was accepted."""
        await self._changed.wait()

    async def open_file(self, upload: FileUpload) -> BinaryIO:
        """A copy of the file, for a decoder. Raises BlobUnreadable where the disk has damaged it."""
        with ExitStack() as resources, translate_disk_errors(PROVIDER):
            file = resources.enter_context(tempfile.TemporaryFile(dir=self.scratch))
            for at in range(0, upload.received, fu.SEGMENT_BYTES):
                records = await self.uploader.session_log.read(upload.session, fu.segment_of(at))
                await to_thread.run_sync(file.writelines, records, limiter=self._threads)
            if await to_thread.run_sync(file.tell, limiter=self._threads) != upload.received:
                raise BlobUnreadable(PROVIDER, "the file was damaged on the disk; send it again")
            await to_thread.run_sync(file.seek, 0, limiter=self._threads)
            resources.pop_all()
        return file

    async def start_attempt(self, upload: FileUpload) -> None:
        async with upload.lock:
            self._require_present(upload)
            await self._log(upload, fu.AttemptStarted(self._timestamp()))
            upload.attempts += 1

    async def interrupt_attempt(self, upload: FileUpload) -> None:
        """The service stops: the file is transcribed from its beginning at the next start."""
        async with upload.lock:
            await self._log(upload, fu.AttemptInterrupted(self._timestamp()))
            upload.attempts -= 1

    async def complete(self, upload: FileUpload) -> None:
        """The recording is whole in the session log: from now on it is one like any other."""
        async with upload.lock:
            session_log = self.uploader.session_log
            await session_log.remove_log(upload.session, fu.JOURNAL)
            for at in range(0, upload.received, fu.SEGMENT_BYTES):
                await session_log.remove_log(upload.session, fu.segment_of(at))
            self._forget(upload.session)
        self.uploader.schedule(upload.session)

    async def fail(self, upload: FileUpload, code: str, message: str, warnings: tuple[str, ...] = ()) -> None:
        """No recording can be made of it: the reason is kept, the file and what was recorded of it are deleted."""
        async with upload.lock:
            failure = fu.FileFailed(code, message, self._timestamp(), warnings)
            await self._log(upload, failure)
        _log.warning("recording not transcribed", session=upload.session, code=code, message=message)
        await self._remove_remains(upload)
        upload.failure, upload.touched = failure, self.now()

    async def _remove_remains(self, upload: FileUpload) -> None:
        """Where the store is down they are removed by a later sweep."""
        async with upload.lock:
            try:
                await self.uploader.clear_logs(upload.session, keep=fu.JOURNAL.__eq__)
                await self.uploader.recordings.delete(upload.session, upload.opened.tenant)
            except ParleyError as error:
                upload.has_remains = True
                _log.warning("failed upload stays", session=upload.session, message=str(error))
            else:
                upload.has_remains = False

    # -- restart, expiry -------------------------------------------------------------

    async def load(self) -> None:
        """Take up what an earlier process has left; before the uploader runs."""
        if self.scratch is not None:  # where earlier versions kept unfinished uploads, not encrypted
            await to_thread.run_sync(lambda: shutil.rmtree(f"{self.scratch}/.uploads", ignore_errors=True))
        for session, age_s in await self.uploader.session_log.sessions():
            names = await self.uploader.session_log.log_names(session)
            if fu.JOURNAL not in names:
                continue
            self.uploader.held_sessions.add(session)
            try:
                await self._load(session, names, age_s)
            except (BlobUnreadable, msgspec.DecodeError) as error:  # another key, or a later version: it stays
                _log.error("upload cannot be read", session=session, message=str(error))
        for upload in list(self.files.values()):
            if upload.opened.length is None and not upload.is_accepted and upload.failure is None:
                with suppress(ParleyError):  # a disk that is full keeps no service from starting
                    await self.fail(upload, INTERRUPTED, "the service stopped before the file was transcribed")
        self._notify()

    async def _load(self, session: str, names: list[str], age_s: float) -> None:
        session_log = self.uploader.session_log
        entries = [fu.decode(record) for record in await session_log.read(session, fu.JOURNAL)]
        opened = next((entry for entry in entries if isinstance(entry, fu.FileOpened)), None)
        if opened is None:  # the process died before the first entry
            await session_log.remove_session(session)
            self._forget(session)
            return
        upload = FileUpload(session, opened, touched=self.now() - age_s)
        segments = [name for name in names if name.startswith(fu.SEGMENT)]
        if segments:
            newest = await session_log.read(session, segments[-1])
            upload.received = int(segments[-1].removeprefix(fu.SEGMENT)) + sum(map(len, newest))
        upload.apply(entries)
        upload.has_remains = upload.failure is not None
        self.files[session] = upload

    async def sweep(self) -> None:
        """Delete what has expired."""
        for upload in list(self.files.values()):
            if upload.has_remains:
                await self._remove_remains(upload)
            if self._is_expired(upload):
                with suppress(ParleyError):  # the next sweep tries it again
                    await self.discard(upload)

    def _is_expired(self, upload: FileUpload) -> bool:
        idle_s = self.now() - upload.touched
        if upload.failure is not None:
            return idle_s > KEEP_FAILURE_S
        return upload.is_resumable and not upload.is_receiving and idle_s > EXPIRE_AFTER_S

    # --------------------------------------------------------------------------------

    def _require_present(self, upload: FileUpload) -> None:
        if self.files.get(upload.session) is not upload:
            raise BlobNotFound(upload.session)

    def _forget(self, session: str) -> None:
        self.files.pop(session, None)
        self.uploader.held_sessions.discard(session)

    async def _log(self, upload: FileUpload, entry: fu.Entry) -> None:
        await self.uploader.session_log.append(upload.session, fu.JOURNAL, [fu.encode(entry)])

    def _timestamp(self) -> str:
        return self.uploader.now().isoformat(timespec="milliseconds")

    def _too_large(self) -> ClientError:
        most = min(self.limits.max_bytes, self.limits.total_bytes)
        return ClientError(ClientFault.FRAME_TOO_LARGE, f"the file is larger than {most >> 20} MB")

    def _notify(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()
