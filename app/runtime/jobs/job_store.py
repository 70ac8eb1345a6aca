"""JobStore: the jobs of all processes, as the runtime sees them."""

from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime
from typing import Protocol

from app.domain.job import FilePart, JobState, TranscriptionJob
from app.domain.upload_limits import UploadUsage


class JobStore(Protocol):
    """Every method raises ProviderBusy where the store is unavailable."""

    async def add(
        self, job: TranscriptionJob, require: Callable[[UploadUsage], None], parts: Sequence[FilePart] = ()
    ) -> None:
        """A new job. `require` gets what the tenant's and person's others take, and may raise to refuse it."""
        ...

    async def reopen(self) -> None:
        """Try to mend a store that is unavailable."""
        ...

    async def get(self, job: str) -> TranscriptionJob | None: ...

    async def change(
        self, job: str, decide: Callable[[TranscriptionJob], TranscriptionJob], part: FilePart | None = None
    ) -> TranscriptionJob:
        """The job as `decide` makes it of what it is now; with a part of its file, both or neither.

        Raises BlobNotFound where there is no such job, and what `decide` raises.
        """
        ...

    async def take(
        self, owner: str, tenants: Collection[str], until: datetime, now: datetime, *, is_untried: bool = False
    ) -> TranscriptionJob | None:
        """The oldest job of these tenants that may be taken now, taken; None where there is none.

        `is_untried`: none in the middle of which a process has died (`TranscriptionJob.is_untried`).
        """
        ...

    async def takeable_tenants(self, now: datetime) -> Sequence[str]:
        """Tenants that have a job which may be taken now."""
        ...

    async def find(
        self, *, tenant: str | None, person: str | None, state: JobState | None, before: str | None, limit: int
    ) -> Sequence[TranscriptionJob]:
        """The newest first: of this tenant and person, in this state, older than the job `before`; None: whichever."""
        ...

    async def overdue(self, now: datetime) -> Sequence[TranscriptionJob]:
        """Some jobs that a sweep has something to do with: interrupted, expired, or with remains."""
        ...

    async def unfinished(self, jobs: Collection[str]) -> Collection[str]:
        """Those of these jobs that are not finished."""
        ...

    async def parts(self, job: str) -> Sequence[FilePart]:
        """Of its file, in order."""
        ...

    async def count_parts(self, job: str) -> int: ...

    async def usage(self, tenant: str) -> UploadUsage:
        """What the tenant's unfinished jobs take."""
        ...

    async def received_bytes(self) -> int:
        """Of the files of all unfinished jobs."""
        ...

    async def remove(self, job: str) -> None:
        """Forget it; of one that does not exist it is no error."""
        ...


def utc_now() -> datetime:
    return datetime.now(UTC)
