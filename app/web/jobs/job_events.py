"""The events of one job, while it changes: what `GET /jobs/ID/events` sends."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass

import anyio
import msgspec
from litestar.response import ServerSentEventMessage

from app.domain.errors import ProviderBusy, ProviderError
from app.domain.job import TranscriptionJob
from app.domain.job_json import job_json
from app.runtime.jobs.job_store import JobStore

POLL_S = 1.0
"""Between two looks at the job's row, which another process may change."""
COMMENT_AFTER_S = 10.0
"""Without an event for so long a comment is sent, so that no proxy takes the connection for dead."""


@dataclass(frozen=True, slots=True)
class JobEvents:
    jobs: JobStore
    is_stopping: Callable[[], bool]
    """Whether this process is about to stop; then the events end, and go on at another one."""
    is_permitted: Callable[[], Awaitable[bool]]
    """Whether the key of who follows is still valid; otherwise the events end. May raise a ProviderError."""
    poll_s: float = POLL_S
    comment_after_s: float = COMMENT_AFTER_S

    async def follow(self, job: TranscriptionJob) -> AsyncGenerator[ServerSentEventMessage, None]:
        """An event `job` now and after each change, until it is finished or deleted, which is the event `deleted`."""
        yield _event(job)
        sent_at, following = anyio.current_time(), job
        while not following.is_finished and not self.is_stopping():
            await anyio.sleep(self.poll_s)
            if not await self._goes_on():
                return
            try:
                found = await self.jobs.get(job.id)
            except ProviderBusy:  # the database is unavailable: the client waits, as the job does
                found = following
            if found is None:
                yield ServerSentEventMessage(data=msgspec.json.encode({"id": job.id}).decode(), event="deleted")
                return
            if job_json(found) != job_json(following):
                yield _event(found)
                sent_at = anyio.current_time()
            elif anyio.current_time() - sent_at >= self.comment_after_s:
                yield ServerSentEventMessage(data=None, comment="waiting")
                sent_at = anyio.current_time()
            following = found

    async def _goes_on(self) -> bool:
        try:
            return await self.is_permitted()
        except ProviderError:  # keys cannot be checked now: who follows keeps its events, as sessions go on
            return True


def _event(job: TranscriptionJob) -> ServerSentEventMessage:
    return ServerSentEventMessage(data=msgspec.json.encode(job_json(job)).decode(), event="job")
