"""One open Transcribe stream, and the utterance it carries."""

from contextlib import aclosing

import anyio

from app.domain.audio import BYTES_PER_SAMPLE
from app.domain.errors import ParleyError, ProviderDown, ProviderMisbehaved
from providers.aws.finalization import UtteranceProgress
from providers.aws.lifetime import StreamUsage
from providers.aws.results import TranscribeResult, UtteranceTranscript
from providers.aws.speech_end import SpeechEndTracker
from providers.aws.streaming_client import PROVIDER, TranscribeConnection


class StreamUtterance:
    """One utterance on its stream: its transcript so far, and an event that is set whenever that changes."""

    def __init__(self, origin: int) -> None:
        self.transcript = UtteranceTranscript(origin)
        self.changed = anyio.Event()
        """Set at the next change; each change brings a new event."""
        self.error: Exception | None = None
        self._speech = SpeechEndTracker(origin)
        self._end: int | None = None
        self._ended_at = 0.0

    def observe_audio(self, pcm: bytes, start: int) -> None:
        """PCM that is sent, whose first sample stands at `start` on the stream."""
        self._speech = self._speech.push(pcm, start)

    def accept_result(self, result: TranscribeResult) -> None:
        self.transcript = self.transcript.accept(result)
        self.notify()

    def mark_endpoint(self, position: int, now: float) -> None:
        """The utterance's last sample stands before this position."""
        self._end, self._ended_at = position, now
        self.notify()

    def fail(self, error: Exception) -> None:
        """The first error is the one that is raised."""
        self.error = self.error or error
        self.notify()

    def notify(self) -> None:
        self.changed.set()
        self.changed = anyio.Event()

    @property
    def is_complete(self) -> bool:
        """The endpoint is known, and no word is missing."""
        return self._end is not None and self.transcript.is_complete(speech_end=self._speech.end, end=self._end)

    @property
    def is_unanswered(self) -> bool:
        return self._end is not None and not self.is_complete

    def progress(self, stream: "TranscribeStream", now: float) -> UtteranceProgress:
        if self._end is None:
            return UtteranceProgress()
        return UtteranceProgress(
            is_complete=self.is_complete,
            is_closed=stream.closed.is_set(),
            is_flushed=stream.is_ended,
            since_endpoint_s=now - self._ended_at,
        )


class TranscribeStream:
    """A stream and how much audio went into it; its clock is the number of samples sent.

    The service counts time from the first sample of the stream, so an utterance is placed once, by the samples sent
    before it, and no wall clock can move its words.
    """

    def __init__(
        self,
        connection: TranscribeConnection,
        *,
        locale: str,
        now: float,
        expires_at: float,
        vocabulary: str | None = None,
    ) -> None:
        self._connection = connection
        self.locale = locale
        self.vocabulary = vocabulary
        self.samples = 0
        """Sent so far."""
        self.closed = anyio.Event()
        """Set when the service has said everything, or the stream has failed."""
        self.is_ended = False
        """We have said that no more audio follows."""
        self.has_pending_result = False
        """The service has not answered an utterance that was abandoned."""
        self._error: ParleyError | None = None
        self._utterance: StreamUtterance | None = None
        self._opened_at = self._last_audio_at = self._idle_since = now
        self._expires_at = expires_at
        self._samples_when_idle = 0

    async def read_results(self) -> None:
        """Give every result to the current utterance, until the stream is closed.

        Raises unforeseen exceptions, such as of a result that cannot be read; the utterance gets ProviderMisbehaved.
        """
        try:
            async with aclosing(self._connection.results()) as results:
                async for result in results:
                    self.has_pending_result = False
                    if self._utterance is not None:
                        self._utterance.accept_result(result)
        except ParleyError as error:
            self._error = error
        except Exception as error:
            self._error = ProviderMisbehaved(PROVIDER, "the service sent a result that cannot be read")
            self._error.__cause__ = error
            raise
        finally:
            self._connection.close()
            self.closed.set()
            if self._utterance is not None and (self._error or not self.is_ended):
                self._utterance.fail(self.error)
            elif self._utterance is not None:
                self._utterance.notify()

    async def send(self, pcm: bytes) -> None:
        """Raises ProviderDown, or the error that closed the stream."""
        if self.closed.is_set():
            raise self.error
        self.samples += len(pcm) // BYTES_PER_SAMPLE
        self._last_audio_at = anyio.current_time()
        await self._connection.send(pcm)

    async def end(self) -> None:
        """Say that no more audio follows."""
        self.is_ended = True
        if not self.closed.is_set():
            await self._connection.end()

    async def end_and_close(self, timeout_s: float) -> None:
        """End the stream, and give the service so long to close its side."""
        with anyio.move_on_after(timeout_s):
            try:
                await self.end()
                await self.closed.wait()
            except ParleyError as error:
                self._error = error
        self.close()

    def close(self) -> None:
        self.is_ended = True
        self._connection.close()

    def attach(self, utterance: StreamUtterance) -> None:
        """Results are of this utterance from now on."""
        self._utterance = utterance

    def detach(self, now: float) -> None:
        """The utterance is over, and the stream idle; further results are dropped."""
        self.has_pending_result = self._utterance is not None and self._utterance.is_unanswered
        self._utterance = None
        self._idle_since, self._samples_when_idle = now, self.samples

    @property
    def error(self) -> ParleyError:
        return self._error or ProviderDown(PROVIDER, "the stream is closed")

    @property
    def usage(self) -> StreamUsage:
        return StreamUsage(
            opened_at=self._opened_at,
            last_audio_at=self._last_audio_at,
            idle_since=self._idle_since,
            samples=self.samples,
            samples_when_idle=self._samples_when_idle,
            expires_at=self._expires_at,
        )
