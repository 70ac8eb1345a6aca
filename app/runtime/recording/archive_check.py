"""Checks an archive: every blob is read, decrypted and compared with its SHA-256 in the manifest. Writes nothing."""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from hashlib import sha256

import anyio
import msgspec
from anyio import to_thread

from app.domain.errors import BlobNotFound, BlobUnreadable, ParleyError, flatten
from app.domain.ports import BlobStore
from app.domain.recording.blob_keys import RECORDING_PREFIXES, manifest_key
from app.domain.recording.manifest import Manifest
from app.json_input import decode_json
from app.runtime.recording.session_log import SessionLog

CONCURRENT_BLOBS = 8
_manifest = msgspec.json.Decoder(Manifest)


@dataclass(slots=True)
class ArchiveCheckReport:
    """What was found so far."""

    blobs: int = 0
    recordings: int = 0
    problems: dict[str, str] = field(default_factory=dict)
    """What is wrong, by key or log."""


@dataclass(slots=True)
class ArchiveCheck:
    """One run over the blobs of a store."""

    store: BlobStore
    on_blob: Callable[[str, ArchiveCheckReport], None] | None = None
    report: ArchiveCheckReport = field(default_factory=ArchiveCheckReport)
    _limiter: anyio.CapacityLimiter = field(default_factory=lambda: anyio.CapacityLimiter(CONCURRENT_BLOBS))

    async def run(self) -> ArchiveCheckReport:
        """Raises a ProviderError where the store fails."""
        try:
            for prefix in RECORDING_PREFIXES:
                async with aclosing(_grouped(self.store.keys(prefix))) as groups:
                    async for group, keys in groups:
                        await self._check_group(group, keys)
        except ExceptionGroup as error:
            if known := next((leaf for leaf in flatten(error) if isinstance(leaf, ParleyError)), None):
                raise known from error  # without the task group's wrapping
            raise
        return self.report

    async def _check_group(self, group: str, keys: list[str]) -> None:
        checksums: dict[str, str] = {}
        manifests: list[bytes] = []

        async def read(key: str) -> None:
            async with self._limiter:
                try:
                    blob = await self.store.get(key)
                except BlobNotFound:  # deleted meanwhile
                    return
                except BlobUnreadable as error:
                    self.report.problems[key] = str(error)
                    return
                checksums[key] = await to_thread.run_sync(_checksum, blob)
            if key == manifest_key(group):
                manifests.append(blob)
            self.report.blobs += 1
            if self.on_blob:
                self.on_blob(key, self.report)

        async with anyio.create_task_group() as tasks:
            for key in keys:
                tasks.start_soon(read, key)
        for manifest in manifests:
            self.report.recordings += 1
            await self._check_recording(group, manifest, checksums)

    async def _check_recording(self, folder: str, blob: bytes, checksums: dict[str, str]) -> None:
        try:
            manifest = decode_json(blob, _manifest)
        except msgspec.DecodeError as error:
            self.report.problems[manifest_key(folder)] = f"is no manifest: {error}"
            return
        if any(not key.startswith(f"{folder}/") for key in manifest.blob_keys):
            self.report.problems[manifest_key(folder)] = "names blobs of another recording"
            return
        expected = {chunk.key: chunk.sha256 for chunk in manifest.chunks}
        expected |= {reply.key: reply.sha256 for reply in manifest.replies if reply.key and reply.sha256}
        for key, checksum in expected.items():
            if key in self.report.problems:
                continue
            found = checksums.get(key) or await self._late_checksum(key)
            if found is None:
                self.report.problems[key] = "is missing, and the manifest names it"
            elif found != checksum:
                self.report.problems[key] = "differs from its SHA-256 in the manifest"

    async def _late_checksum(self, key: str) -> str | None:
        """Of a blob that a live session has stored after the keys were listed; None where there is none."""
        try:
            return _checksum(await self.store.get(key))
        except (BlobNotFound, BlobUnreadable):
            return None


async def check_spool(session_log: SessionLog) -> ArchiveCheckReport:
    """Read every log of the spool."""
    report = ArchiveCheckReport()
    for session, _ in await session_log.sessions():
        for log in await session_log.log_names(session):
            try:
                await session_log.read(session, log)
            except BlobUnreadable as error:
                report.problems[f"{session}/{log}"] = str(error)
            report.blobs += 1
    return report


async def _grouped(keys: AsyncGenerator[str, None]) -> AsyncGenerator[tuple[str, list[str]], None]:
    """Keys in ascending order by recording; entries of the index by day or tenant."""
    group, members = "", list[str]()
    async with aclosing(keys):
        async for key in keys:
            this = "/".join(key.split("/")[: 3 if key.startswith("sessions/") else 2])
            if this != group and members:
                yield group, members
                members = []
            group = this
            members.append(key)
    if members:
        yield group, members


def _checksum(blob: bytes) -> str:
    return sha256(blob).hexdigest()
