"""Opens the Transcribe streams of one engine within the account's quota, and runs their background tasks."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeVarTuple

import anyio
from anyio.abc import TaskGroup

from app.domain.errors import ParleyError, ProviderBusy, ProviderMisbehaved
from providers.aws.credentials import CredentialChain
from providers.aws.finalization import FinalizationTimeouts
from providers.aws.lifetime import StreamLimits
from providers.aws.stream import TranscribeStream
from providers.aws.streaming_client import PROVIDER, TranscribeClient

_EXPIRY_MARGIN_S = 60
"""No utterance begins in the last minute of a stream's credentials."""

ReportDefect = Callable[[str, Exception], None]
"""Logs an unforeseen exception with its traceback, and counts it by where it was caught."""

_Args = TypeVarTuple("_Args")


@dataclass(frozen=True, slots=True)
class StreamSettings:
    """What all streams of an engine have in common."""

    language: str = "en-US"
    """A locale."""
    vocabulary: str | None = None
    """Name of a custom vocabulary of the account, where an utterance brings none."""
    limits: StreamLimits = field(default_factory=StreamLimits)
    timeouts: FinalizationTimeouts = field(default_factory=FinalizationTimeouts)
    open_timeout_s: float = 5.0
    max_streams: int = 25


class StreamPool:
    """Opens streams while the account has room. A task of one stream that raises ends that stream, and no other."""

    def __init__(
        self,
        client: TranscribeClient,
        chain: CredentialChain,
        settings: StreamSettings,
        tasks: TaskGroup,
        report_defect: ReportDefect,
    ) -> None:
        self.settings = settings
        self.idle_streams: dict[TranscribeStream, Callable[[], Awaitable[None]]] = {}
        """Streams without an utterance and how to release each, the longest idle one first."""
        self._client = client
        self._chain = chain
        self._tasks = tasks
        self._report_defect = report_defect
        self._open_count = 0

    def start(self, task: Callable[[*_Args], Awaitable[None]], *args: *_Args) -> None:
        """Run a stream's task in the background; what it raises is reported, and ends that task alone."""
        self._tasks.start_soon(self._run, task, args)

    async def open(self, locale: str, vocabulary: str | None = None) -> TranscribeStream:
        """A new stream, for which the longest idle one is released where the account has no room for another.

        Raises ProviderBusy where all are in use, and what the service's refusal means.
        """
        if self._open_count >= self.settings.max_streams:
            if not self.idle_streams:
                raise ProviderBusy(PROVIDER, f"all {self.settings.max_streams} streams are in use")
            release = next(iter(self.idle_streams.values()))
            await release()
        self._open_count += 1
        try:
            stream = await self._connect(locale, vocabulary)
        except BaseException:  # because the place is free again whatever happened
            self._open_count -= 1
            raise
        self.start(self._read_results, stream)
        return stream

    async def _connect(self, locale: str, vocabulary: str | None) -> TranscribeStream:
        credentials = await self._chain.freeze(PROVIDER)
        try:
            connection = await self._client.open(
                locale=locale,
                vocabulary=vocabulary,
                credentials=credentials,
                timeout_s=self.settings.open_timeout_s,
            )
        except ParleyError:
            raise
        except Exception as error:
            self._report_defect("transcribe stream", error)
            raise ProviderMisbehaved(PROVIDER, "the service sent a response that cannot be read") from error
        now = anyio.current_time()
        expires_at = now + credentials.valid_for_s - _EXPIRY_MARGIN_S
        return TranscribeStream(connection, locale=locale, now=now, expires_at=expires_at, vocabulary=vocabulary)

    async def _read_results(self, stream: TranscribeStream) -> None:
        try:
            await stream.read_results()
        finally:
            self._open_count -= 1

    async def _run(self, task: Callable[..., Awaitable[None]], args: tuple[object, ...]) -> None:
        try:
            await task(*args)
        except Exception as error:  # noqa: BLE001 because a defect of one stream must not end the engine
            self._report_defect("transcribe stream", error)
