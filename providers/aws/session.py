"""One speaker's utterances on one Transcribe stream, which is kept open between them while that pays."""

from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass

import anyio

from app.domain.audio import BYTES_PER_SAMPLE, AudioChunk, ms, seconds
from app.domain.errors import ParleyError, ProviderDown, ProviderMisbehaved, RequestRefused
from app.domain.transcript import Hypothesis
from providers.aws.audio_feed import keepalive, send_utterance
from providers.aws.finalization import AbandonUtterance, AwaitResults, CommitFinal, FlushStream, next_step
from providers.aws.languages import language_of, locale_for
from providers.aws.lifetime import (
    CloseStream,
    SendSilence,
    WaitUntil,
    accepts_utterance,
    billed_seconds,
    idle_action,
)
from providers.aws.pool import StreamPool
from providers.aws.stream import StreamUtterance, TranscribeStream
from providers.aws.streaming_client import PROVIDER

_GAP = bytes(ms(100) * BYTES_PER_SAMPLE)
"""Silence between two utterances of a stream, so that no word lies in both."""

_CLOSE_TIMEOUT_S = 1.0


class TranscribeSession:
    """A Transcriber. Of two utterances at once, the second gets a stream of its own."""

    def __init__(self, pool: StreamPool, *, reuses_streams: bool = True) -> None:
        self._pool = pool
        self._reuses_streams = reuses_streams
        self._idle_stream: TranscribeStream | None = None
        self._idle_scope: anyio.CancelScope | None = None
        self._open_streams: list[TranscribeStream] = []
        self._closed_streams_s = 0

    @property
    def billed_seconds(self) -> int:
        """What this session has cost so far, minimum included; the difference over an utterance is its price."""
        return self._closed_streams_s + sum(billed_seconds(stream.samples) for stream in self._open_streams)

    def carried_seconds(self, language: str | None) -> float:
        """Audio on the stream that the next utterance would continue, in seconds; 0 where it would open another."""
        try:
            locale = locale_for(language, default=self._pool.settings.language)
        except RequestRefused:
            return 0.0
        stream = self._idle_stream
        return seconds(stream.samples) if stream is not None and self._can_reuse(stream, locale) else 0.0

    def with_vocabulary(self, name: str) -> "VocabularySession":
        """The same session and its streams, for utterances with this custom vocabulary."""
        return VocabularySession(self, name)

    async def transcribe(
        self, audio: AsyncIterable[AudioChunk], *, language: str | None = None, vocabulary: str | None = None
    ) -> AsyncGenerator[Hypothesis, None]:
        """Interims as they change, then one final. Raises a ProviderError, or RequestRefused for the language."""
        settings = self._pool.settings
        locale = locale_for(language, default=settings.language)
        spoken = language_of(locale)
        shown = ""
        async with self._utterance(audio, locale, vocabulary or settings.vocabulary) as (stream, utterance):
            while True:
                changed = utterance.changed
                if utterance.error is not None:
                    raise utterance.error
                match next_step(utterance.progress(stream, anyio.current_time()), settings.timeouts):
                    case CommitFinal():
                        break
                    case AbandonUtterance():
                        raise ProviderDown(PROVIDER, "there was no final in time")
                    case FlushStream():
                        await stream.end()
                        continue
                    case AwaitResults(timeout_s):
                        pass
                if utterance.transcript.text != shown:
                    shown = utterance.transcript.text
                    yield utterance.transcript.hypothesis(language=spoken)
                    continue
                with anyio.move_on_after(timeout_s if timeout_s is not None else float("inf")):
                    await changed.wait()
        yield utterance.transcript.hypothesis(language=spoken, is_final=True)

    @asynccontextmanager
    async def _utterance(
        self, audio: AsyncIterable[AudioChunk], locale: str, vocabulary: str | None
    ) -> AsyncIterator[tuple[TranscribeStream, StreamUtterance]]:
        """An utterance on its stream, from the first sample until its words are final or the caller leaves."""
        stream = await self._acquire(locale, vocabulary)
        sending, sent = anyio.CancelScope(), anyio.Event()
        utterance = StreamUtterance(stream.samples)
        stream.attach(utterance)

        async def send() -> None:
            try:
                with sending:
                    async with anyio.create_task_group() as tasks:
                        tasks.start_soon(keepalive, stream, self._pool.settings.limits)
                        await send_utterance(audio, stream, utterance)
                        tasks.cancel_scope.cancel()
            except Exception:  # because who waits for this utterance is told, whatever happened
                utterance.fail(ProviderMisbehaved(PROVIDER, "the stream failed unexpectedly"))
                raise
            finally:
                sent.set()

        self._pool.start(send)
        try:
            yield stream, utterance
        except ParleyError:
            stream.close()  # because a stream that failed once is not used again
            raise
        finally:
            sending.cancel()
            with anyio.CancelScope(shield=True):
                await sent.wait()
                stream.detach(anyio.current_time())
                self._give_back(stream)

    async def _acquire(self, locale: str, vocabulary: str | None) -> TranscribeStream:
        """The idle stream where it can be used again, else a new one."""
        idle, self._idle_stream = self._idle_stream, None
        if idle is not None:
            self._stop_idling(idle)
            if idle.vocabulary == vocabulary and self._can_reuse(idle, locale):
                with suppress(ParleyError):  # because a stream that was lost in the pause is replaced
                    await idle.send(_GAP)
                    return idle
            self._discard(idle)
        stream = await self._pool.open(locale, vocabulary)
        self._open_streams.append(stream)
        return stream

    def _can_reuse(self, stream: TranscribeStream, locale: str) -> bool:
        is_usable = stream.locale == locale and not stream.has_pending_result and not stream.closed.is_set()
        return is_usable and accepts_utterance(stream.usage, self._pool.settings.limits, anyio.current_time())

    def _give_back(self, stream: TranscribeStream) -> None:
        is_over = stream.is_ended or stream.closed.is_set()
        if is_over or not self._reuses_streams or self._idle_stream is not None:
            self._discard(stream)
            return
        self._idle_stream = stream
        self._pool.idle_streams[stream] = lambda: self.release(stream)
        self._idle_scope = anyio.CancelScope()
        self._pool.start(self._idle, stream, self._idle_scope)

    async def _idle(self, stream: TranscribeStream, scope: anyio.CancelScope) -> None:
        """Keep the stream alive without an utterance, for as long as that pays."""
        with scope:
            while not stream.closed.is_set():
                match idle_action(stream.usage, self._pool.settings.limits, anyio.current_time()):
                    case SendSilence(samples):
                        try:
                            await stream.send(bytes(samples * BYTES_PER_SAMPLE))
                        except ParleyError:
                            break  # because the next utterance opens another stream anyway
                    case CloseStream():
                        break
                    case WaitUntil(until):
                        with anyio.move_on_after(until - anyio.current_time()):
                            await stream.closed.wait()
        if not scope.cancel_called:
            await self.release(stream)

    async def release(self, stream: TranscribeStream) -> None:
        """Close a stream that is idle."""
        if self._idle_stream is stream:
            self._idle_stream = None
            self._stop_idling(stream)
            await stream.end_and_close(_CLOSE_TIMEOUT_S)
            self._count_closed_streams()

    async def close(self) -> None:
        """Keep no stream any longer."""
        self._reuses_streams = False
        if self._idle_stream is not None:
            await self.release(self._idle_stream)

    def _stop_idling(self, stream: TranscribeStream) -> None:
        self._pool.idle_streams.pop(stream, None)
        if self._idle_scope is not None:
            self._idle_scope.cancel()

    def _discard(self, stream: TranscribeStream) -> None:
        self._pool.start(stream.end_and_close, _CLOSE_TIMEOUT_S)
        self._count_closed_streams()

    def _count_closed_streams(self) -> None:
        closed = [stream for stream in self._open_streams if stream.closed.is_set()]
        self._closed_streams_s += sum(billed_seconds(stream.samples) for stream in closed)
        self._open_streams = [stream for stream in self._open_streams if stream not in closed]


@dataclass(frozen=True, slots=True)
class VocabularySession:
    """A Transcriber: a session, for utterances with this custom vocabulary."""

    session: TranscribeSession
    vocabulary: str

    async def transcribe(
        self, utterance: AsyncIterable[AudioChunk], *, language: str | None = None
    ) -> AsyncGenerator[Hypothesis, None]:
        transcription = self.session.transcribe(utterance, language=language, vocabulary=self.vocabulary)
        async with aclosing(transcription) as hypotheses:
            async for hypothesis in hypotheses:
                yield hypothesis
