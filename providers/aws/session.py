"""One speaker's utterances on one stream, kept while it pays."""

from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator
from contextlib import asynccontextmanager, suppress

import anyio

from app.domain.audio import BYTES_PER_SAMPLE, AudioChunk, ms, seconds
from app.domain.errors import ProviderDown, ProviderError, ProviderRefused
from app.domain.transcript import Hypothesis
from providers.aws.audio_feed import feed, keepalive
from providers.aws.finalization import AbandonUtterance, AwaitResults, CommitFinal, FlushStream, next_step
from providers.aws.languages import language_of, locale_for
from providers.aws.lifetime import CloseStream, FeedSilence, WaitUntil, billed_seconds, has_room, rest
from providers.aws.pool import StreamPool
from providers.aws.stream import StreamUtterance, TranscribeStream
from providers.aws.streaming_client import PROVIDER

_GAP = bytes(ms(100) * BYTES_PER_SAMPLE)
"""Silence between two utterances of a stream, so that no word lies in both."""

_FINISH_WITHIN_S = 1.0


class TranscribeSession:
    """A Transcriber. Of two utterances at once, the second gets a stream of its own."""

    def __init__(self, pool: StreamPool, *, keeps: bool = True) -> None:
        self._pool = pool
        self._keeps = keeps
        self._kept: TranscribeStream | None = None
        self._resting: anyio.CancelScope | None = None
        self._streams: list[TranscribeStream] = []
        self._spent_s = 0

    @property
    def billed_seconds(self) -> int:
        """What this session has cost so far, minimum included; the difference over an utterance is its price."""
        return self._spent_s + sum(billed_seconds(stream.samples) for stream in self._streams)

    def carried_seconds(self, language: str | None) -> float:
        """What the stream has carried that the next utterance would go on with; 0 where it would open another."""
        try:
            locale = locale_for(language, default=self._pool.settings.language)
        except ProviderRefused:
            return 0.0
        return seconds(self._kept.samples) if self._kept and self._fits(self._kept, locale) else 0.0

    async def transcribe(
        self, utterance: AsyncIterable[AudioChunk], *, language: str | None = None
    ) -> AsyncGenerator[Hypothesis, None]:
        settings = self._pool.settings
        locale = locale_for(language, default=settings.language)
        spoken = language_of(locale)
        shown = ""
        async with self._carried(utterance, locale) as (stream, hearing):
            while True:
                bell = hearing.bell
                if hearing.fault is not None:
                    raise hearing.fault
                match next_step(hearing.standing(stream, anyio.current_time()), settings.patience):
                    case CommitFinal():
                        break
                    case AbandonUtterance():
                        raise ProviderDown(PROVIDER, "there was no final in time")
                    case FlushStream():
                        await stream.end()
                        continue
                    case AwaitResults(at_most_s):
                        pass
                if hearing.heard.text != shown:
                    shown = hearing.heard.text
                    yield hearing.heard.hypothesis(language=spoken)
                    continue
                with anyio.move_on_after(at_most_s if at_most_s is not None else float("inf")):
                    await bell.wait()
        yield hearing.heard.hypothesis(language=spoken, is_final=True)

    @asynccontextmanager
    async def _carried(
        self, utterance: AsyncIterable[AudioChunk], locale: str
    ) -> AsyncIterator[tuple[TranscribeStream, StreamUtterance]]:
        """An utterance on its way, from the first sample until its words are final or nobody waits for them."""
        stream = await self._take(locale)
        feeding, fed = anyio.CancelScope(), anyio.Event()
        hearing = StreamUtterance(stream.samples)
        stream.carry(hearing)

        async def bring() -> None:
            try:
                with feeding:
                    async with anyio.create_task_group() as tasks:
                        tasks.start_soon(keepalive, stream, self._pool.settings.limits)
                        await feed(utterance, stream, hearing)
                        tasks.cancel_scope.cancel()
            finally:
                fed.set()

        self._pool.tasks.start_soon(bring)
        try:
            yield stream, hearing
        except ProviderError:
            stream.close()  # because a stream that failed once is not asked again
            raise
        finally:
            feeding.cancel()
            with anyio.CancelScope(shield=True):
                await fed.wait()
                stream.rest(anyio.current_time())
                self._give_back(stream)

    async def _take(self, locale: str) -> TranscribeStream:
        kept, self._kept = self._kept, None
        if kept is not None:
            self._wake(kept)
            if self._fits(kept, locale):
                with suppress(ProviderError):  # because a stream that was lost in the pause is replaced
                    await kept.send(_GAP)
                    return kept
            self._part_with(kept)
        stream = await self._pool.open(locale)
        self._streams.append(stream)
        return stream

    def _fits(self, stream: TranscribeStream, locale: str) -> bool:
        is_usable = stream.locale == locale and not stream.is_doubtful and not stream.over.is_set()
        return is_usable and has_room(stream.state, self._pool.settings.limits, anyio.current_time())

    def _give_back(self, stream: TranscribeStream) -> None:
        if not self._keeps or self._kept is not None or stream.is_ended or stream.over.is_set():
            self._part_with(stream)
            return
        self._kept = stream
        self._pool.resting[stream] = lambda: self.let_go(stream)
        self._resting = anyio.CancelScope()
        self._pool.tasks.start_soon(self._keep, stream, self._resting)

    async def _keep(self, stream: TranscribeStream, resting: anyio.CancelScope) -> None:
        """Feed the stream while nobody speaks, for as long as that pays."""
        with resting:
            while not stream.over.is_set():
                match rest(stream.state, self._pool.settings.limits, anyio.current_time()):
                    case FeedSilence(samples):
                        try:
                            await stream.send(bytes(samples * BYTES_PER_SAMPLE))
                        except ProviderError:
                            break  # because the next utterance opens another stream anyway
                    case CloseStream():
                        break
                    case WaitUntil(until):
                        with anyio.move_on_after(until - anyio.current_time()):
                            await stream.over.wait()
        if not resting.cancel_called:
            await self.let_go(stream)

    async def let_go(self, stream: TranscribeStream) -> None:
        """Close a stream that rests."""
        if self._kept is stream:
            self._kept = None
            self._wake(stream)
            await stream.finish(_FINISH_WITHIN_S)
            self._settle_accounts()

    async def close(self) -> None:
        """Keep no stream any longer."""
        self._keeps = False
        if self._kept is not None:
            await self.let_go(self._kept)

    def _wake(self, stream: TranscribeStream) -> None:
        self._pool.resting.pop(stream, None)
        if self._resting is not None:
            self._resting.cancel()

    def _part_with(self, stream: TranscribeStream) -> None:
        self._pool.tasks.start_soon(stream.finish, _FINISH_WITHIN_S)
        self._settle_accounts()

    def _settle_accounts(self) -> None:
        over = [stream for stream in self._streams if stream.over.is_set()]
        self._spent_s += sum(billed_seconds(stream.samples) for stream in over)
        self._streams = [stream for stream in self._streams if stream not in over]
