"""The streams of one engine, and the account's quota of them."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import anyio
from anyio.abc import TaskGroup

from app.domain.errors import ProviderBusy
from providers.aws.credentials import CredentialChain
from providers.aws.finalization import FinalizationTimeouts
from providers.aws.lifetime import StreamLimits, billed_seconds
from providers.aws.stream import TranscribeStream
from providers.aws.streaming_client import PROVIDER, Recognition, TranscribeClient

_MARGIN_S = 60
"""No utterance begins in the last minute of a stream's credentials."""


@dataclass(frozen=True, slots=True)
class StreamSettings:
    """What all streams of an engine have in common."""

    language: str = "en-US"
    recognition: Recognition = field(default_factory=Recognition)
    limits: StreamLimits = field(default_factory=StreamLimits)
    patience: FinalizationTimeouts = field(default_factory=FinalizationTimeouts)
    open_within_s: float = 5.0
    max_streams: int = 25


class StreamPool:
    """Opens streams while the account has room, and counts what they cost."""

    def __init__(
        self,
        client: TranscribeClient,
        chain: CredentialChain,
        settings: StreamSettings,
        tasks: TaskGroup,
        on_billed: Callable[[int], None] | None,
    ) -> None:
        self.settings = settings
        self.tasks = tasks
        self.resting: dict[TranscribeStream, Callable[[], Awaitable[None]]] = {}
        """The streams nobody speaks on and how to let them go, the longest resting one first."""
        self._client = client
        self._chain = chain
        self._on_billed = on_billed
        self._open = 0

    async def open(self, locale: str) -> TranscribeStream:
        """A new stream, for which the longest resting one goes where the account has no room for another.

        Raises ProviderBusy where all are in use, ProviderRefused or ProviderDown where the service says so.
        """
        if self._open >= self.settings.max_streams:
            if not self.resting:
                raise ProviderBusy(PROVIDER, f"all {self.settings.max_streams} streams are in use")
            let_go = next(iter(self.resting.values()))
            await let_go()
        self._open += 1
        try:
            credentials = await self._chain.freeze(PROVIDER)
            wire = await self._client.open(
                locale=locale,
                recognition=self.settings.recognition,
                credentials=credentials,
                within_s=self.settings.open_within_s,
            )
        except BaseException:  # because the place is free again whatever happened
            self._open -= 1
            raise
        now = anyio.current_time()
        ends_in = credentials.lasts_s - _MARGIN_S
        stream = TranscribeStream(wire, locale=locale, now=now, expires_at=now + ends_in)
        self.tasks.start_soon(self._tend, stream)
        return stream

    async def _tend(self, stream: TranscribeStream) -> None:
        try:
            await stream.read()
        finally:
            self._open -= 1
            if self._on_billed is not None:
                self._on_billed(billed_seconds(stream.samples))
