"""An open stream and the utterance it carries."""

from contextlib import aclosing

import anyio

from app.domain.audio import BYTES_PER_SAMPLE
from app.domain.errors import ProviderDown, ProviderError
from providers.aws.finalization import UtteranceProgress
from providers.aws.lifetime import StreamUsage
from providers.aws.results import TranscribeResult, UtteranceTranscript
from providers.aws.speech_end import SpeechEndTracker
from providers.aws.streaming_client import PROVIDER, TranscribeConnection


class StreamUtterance:
    """One utterance on its stream: the newest state of it, and a bell that rings when that changes."""

    def __init__(self, origin: int) -> None:
        self.heard = UtteranceTranscript(origin)
        self.bell = anyio.Event()
        self.fault: Exception | None = None
        self._sound = SpeechEndTracker(origin)
        self._end: int | None = None
        self._ended_at = 0.0

    def listen(self, pcm: bytes, start: int) -> None:
        self._sound = self._sound.hear(pcm, start)

    def hear(self, result: TranscribeResult) -> None:
        self.heard = self.heard.hear(result)
        self.ring()

    def end(self, at: int, now: float) -> None:
        """The endpoint is known: the utterance's last sample stands before this position."""
        self._end, self._ended_at = at, now
        self.ring()

    def fail(self, fault: Exception) -> None:
        self.fault = self.fault or fault
        self.ring()

    def ring(self) -> None:
        self.bell.set()
        self.bell = anyio.Event()

    @property
    def is_settled(self) -> bool:
        return self._end is not None and self.heard.is_settled(sound_end=self._sound.end, end=self._end)

    @property
    def is_unanswered(self) -> bool:
        return self._end is not None and not self.is_settled

    def standing(self, stream: "TranscribeStream", now: float) -> UtteranceProgress:
        if self._end is None:
            return UtteranceProgress()
        return UtteranceProgress(
            is_settled=self.is_settled,
            is_over=stream.over.is_set(),
            is_flushed=stream.is_ended,
            since_endpoint_s=now - self._ended_at,
        )


class TranscribeStream:
    """A stream and how much went into it; its clock is the number of samples sent.

    The service counts time from the first sample of the stream, so an utterance is placed once, by the samples
    sent before it, and no wall clock can move its words.
    """

    def __init__(self, wire: TranscribeConnection, *, locale: str, now: float, expires_at: float) -> None:
        self._wire = wire
        self.locale = locale
        self.samples = 0
        self.over = anyio.Event()
        self.is_ended = False
        self.is_doubtful = False
        """Whether the service owes an answer that nobody waited for."""
        self._fault: ProviderError | None = None
        self._hearing: StreamUtterance | None = None
        self._opened_at = self._fed_at = self._resting_since = now
        self._expires_at = expires_at
        self._samples_at_rest = 0

    async def read(self) -> None:
        """Hand every result to the utterance of the moment, until the stream is over."""
        try:
            async with aclosing(self._wire.results()) as results:
                async for result in results:
                    self.is_doubtful = False
                    if self._hearing is not None:
                        self._hearing.hear(result)
        except ProviderError as fault:
            self._fault = fault
        finally:
            self._wire.close()
            self.over.set()
            if self._hearing is not None and (self._fault or not self.is_ended):
                self._hearing.fail(self.fault)
            elif self._hearing is not None:
                self._hearing.ring()

    async def send(self, pcm: bytes) -> None:
        """Raises ProviderDown, or what ended the stream."""
        if self.over.is_set():
            raise self.fault
        self.samples += len(pcm) // BYTES_PER_SAMPLE
        self._fed_at = anyio.current_time()
        await self._wire.send(pcm)

    async def end(self) -> None:
        """Say that nothing more comes."""
        self.is_ended = True
        if not self.over.is_set():
            await self._wire.end()

    async def finish(self, within_s: float) -> None:
        """End it and give the service a moment to close its side."""
        with anyio.move_on_after(within_s):
            try:
                await self.end()
                await self.over.wait()
            except ProviderError as fault:
                self._fault = fault
        self.close()

    def close(self) -> None:
        self.is_ended = True
        self._wire.close()

    def carry(self, hearing: StreamUtterance) -> None:
        self._hearing = hearing

    def rest(self, now: float) -> None:
        """The utterance is over; whatever the service still says about it is not news."""
        self.is_doubtful = self._hearing is not None and self._hearing.is_unanswered
        self._hearing = None
        self._resting_since, self._samples_at_rest = now, self.samples

    @property
    def fault(self) -> ProviderError:
        return self._fault or ProviderDown(PROVIDER, "the stream is closed")

    @property
    def state(self) -> StreamUsage:
        return StreamUsage(
            opened_at=self._opened_at,
            fed_at=self._fed_at,
            resting_since=self._resting_since,
            samples=self.samples,
            samples_at_rest=self._samples_at_rest,
            expires_at=self._expires_at,
        )
