"""Re-encrypts an archive under its active key: the blobs of the store and the logs of the spool.

What is current already is skipped, so a run that was killed is repeated. Each blob and each log is replaced at once.
"""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeVar

import anyio

from app.domain.errors import BlobNotFound, BlobUnreadable, ParleyError, ProviderError, flatten
from app.domain.ports import BlobStore
from app.domain.recording.blob_keys import RECORDING_PREFIXES, session_of
from app.runtime.recording.session_log import SessionLog
from app.runtime.recording.tombstones import Tombstones

CONCURRENT_BLOBS = 8
RETRY_AFTER_S = (0.5, 2.0, 8.0)
"""Pauses before a blob is tried again where the store is down or busy; then the run ends."""
T = TypeVar("T")


class ReencryptingStore(BlobStore, Protocol):
    """An encrypted store whose blobs can be brought under its active key."""

    async def reencrypt(self, key: str, *, dry_run: bool = False) -> Literal["current", "replaced", "foreign"]:
        """Raises BlobNotFound, BlobUnreadable or another ProviderError; the blob stays as it is then."""
        ...

    async def retire_other_keys(self) -> None:
        """Record that every blob is current."""
        ...


class ReencryptingLog(SessionLog, Protocol):
    """A session log whose records can be brought under the active key."""

    async def reencrypt(self, session: str, log: str, *, dry_run: bool = False) -> bool:
        """False where there was nothing to do. Raises BlobUnreadable or another ProviderError."""
        ...


@dataclass(slots=True)
class RekeyReport:
    """What a run has done so far; with `dry_run`, what it would do."""

    replaced: int = 0
    current: int = 0
    foreign: int = 0
    """Neither encrypted nor of a recording; they stay."""
    failed: dict[str, str] = field(default_factory=dict)
    """Why, by key or log; they stay as they are."""


async def rekey_blobs(
    store: ReencryptingStore,
    *,
    dry_run: bool = False,
    on_blob: Callable[[str, RekeyReport], None] | None = None,
    retry_after_s: Sequence[float] = RETRY_AFTER_S,
) -> RekeyReport:
    """Bring every blob under the active key; where none failed, no other key is needed any more, and none may be plain.

    A recording that is deleted meanwhile stays deleted. Raises a ProviderError where the store fails.
    """
    report = RekeyReport()
    limiter = anyio.CapacityLimiter(CONCURRENT_BLOBS)

    async def rekey(key: str) -> None:
        try:
            outcome = await _retried(lambda: store.reencrypt(key, dry_run=dry_run), retry_after_s)
            if outcome == "replaced" and not dry_run:
                await _retried(lambda: _delete_if_deleted(store, key), retry_after_s)
        except BlobUnreadable as error:
            report.failed[key] = str(error)
        except BlobNotFound:  # deleted meanwhile
            return
        else:
            match outcome:
                case "replaced":
                    report.replaced += 1
                case "current":
                    report.current += 1
                case "foreign":
                    report.foreign += 1
        finally:
            limiter.release_on_behalf_of(key)
        if on_blob:
            on_blob(key, report)

    try:
        async with anyio.create_task_group() as tasks, aclosing(store.keys()) as keys:
            async for key in keys:
                await limiter.acquire_on_behalf_of(key)
                tasks.start_soon(rekey, key)
    except ExceptionGroup as error:
        if known := next((leaf for leaf in flatten(error) if isinstance(leaf, ParleyError)), None):
            raise known from error  # without the task group's wrapping
        raise
    if not (dry_run or report.failed):
        await store.retire_other_keys()
    return report


async def rekey_spool(session_log: ReencryptingLog, *, dry_run: bool = False) -> RekeyReport:
    """Bring every log of the spool under the active key."""
    report = RekeyReport()
    for session, _ in await session_log.sessions():
        for log in await session_log.log_names(session):
            try:
                if await session_log.reencrypt(session, log, dry_run=dry_run):
                    report.replaced += 1
                else:
                    report.current += 1
            except BlobUnreadable as error:
                report.failed[f"{session}/{log}"] = str(error)
    return report


async def _delete_if_deleted(store: BlobStore, key: str) -> None:
    """A blob whose recording was deleted while it was replaced, which has brought it back."""
    if key.startswith(RECORDING_PREFIXES) and await Tombstones(store).exists(session_of(key)):
        await store.delete(key)


async def _retried(work: Callable[[], Awaitable[T]], retry_after_s: Sequence[float]) -> T:
    for pause_s in retry_after_s:
        try:
            return await work()
        except ProviderError as error:
            if not error.retryable:
                raise
        await anyio.sleep(pause_s)
    return await work()
