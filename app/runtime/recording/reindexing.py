"""Reindexing: reads the manifests of the store and writes them into the recordings index."""

from collections.abc import Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import UTC, datetime

import anyio
import structlog

from app.domain.errors import BlobNotFound, BlobUnreadable, ProviderError
from app.domain.recording.listing import RecordingRef, RecordingState
from app.domain.recording.manifest import Manifest
from app.runtime.recording.recording_index import RecordingIndex
from app.runtime.recording.recording_store import RecordingStore

BATCH = 50
"""Recordings that one transaction writes."""
READ_AT_ONCE = 8

_log = structlog.get_logger("parley.archive")


@dataclass(slots=True)
class ReindexReport:
    recordings: int = 0
    """Looked at so far."""
    unreadable: int = 0
    removed: int = 0
    """Rows of recordings that are no longer in the store."""


@dataclass(slots=True)
class Reindexing:
    """Safe beside running servers: a row that one of them writes meanwhile is never replaced by an older one."""

    recordings: RecordingStore
    index: RecordingIndex
    on_batch: Callable[[ReindexReport], None] = lambda _: None
    report: ReindexReport = field(default_factory=ReindexReport)

    async def run(self, tenant: str | None = None, *, skips_known: bool = False) -> ReindexReport:
        """Write every recording of a tenant, or of all; then remove rows of what is not in the store.

        With `skips_known` recordings that are over and in the index are left as they are, and nothing is removed.
        Raises a ProviderError; a run that broke off is repeated.
        """
        began = datetime.now(UTC)
        async with aclosing(self.recordings.store.keys("tombstones/sessions/")) as keys:
            deleted = {key.rpartition("/")[2] async for key in keys}
        batch: list[RecordingRef] = []
        async with aclosing(self.recordings.list_refs(tenant=tenant)) as refs:
            async for ref in refs:
                if ref.session not in deleted:
                    batch.append(ref)
                if len(batch) == BATCH:
                    await self._write(batch, skips_known=skips_known)
                    batch = []
        await self._write(batch, skips_known=skips_known)
        if not skips_known:
            await self._remove_missing(began, tenant)
        return self.report

    async def _write(self, refs: Sequence[RecordingRef], *, skips_known: bool) -> None:
        known = await self.index.over([ref.session for ref in refs]) if skips_known and refs else frozenset()
        found = await self._read([ref for ref in refs if ref.session not in known])
        unread = {ref: each for ref, each in found.items() if isinstance(each, RecordingState)}
        await self.index.write([each for each in found.values() if isinstance(each, Manifest)])
        await self.index.write_unread(unread)
        self.report.recordings += len(refs)
        self.report.unreadable += sum(state is RecordingState.UNREADABLE for state in unread.values())
        self.on_batch(self.report)

    async def _read(self, refs: Sequence[RecordingRef]) -> dict[RecordingRef, Manifest | RecordingState]:
        found: dict[RecordingRef, Manifest | RecordingState] = {}
        failures: list[ProviderError] = []
        places = anyio.Semaphore(READ_AT_ONCE)

        async def read(ref: RecordingRef) -> None:
            async with places:
                try:
                    found[ref] = await self.recordings.manifest_at(ref)
                except BlobNotFound:
                    found[ref] = RecordingState.BEGUN
                except BlobUnreadable as error:
                    _log.warning("manifest cannot be read", session=ref.session, message=str(error))
                    found[ref] = RecordingState.UNREADABLE
                except ProviderError as error:
                    failures.append(error)

        async with anyio.create_task_group() as tasks:
            for ref in refs:
                tasks.start_soon(read, ref)
        if failures:
            raise failures[0]
        return found

    async def _remove_missing(self, began: datetime, tenant: str | None) -> None:
        """What this run has not written is not listed in the store, or was written by a later process meanwhile."""
        newest: RecordingRef | None = None
        while refs := await self.index.written_before(began, tenant, newest, BATCH):
            for ref in refs:
                try:
                    await self.recordings.manifest_at(ref)
                except BlobNotFound:
                    await self.index.remove(ref.session)
                    self.report.removed += 1
                except BlobUnreadable:
                    pass  # because it is there
            newest = refs[-1]
            self.on_batch(self.report)
