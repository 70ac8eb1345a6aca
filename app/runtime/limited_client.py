"""A session's client under the service's limits: pace of the audio, rate of the messages, place and activity."""

from collections.abc import AsyncGenerator

import anyio

from app.domain.audio import SAMPLE_RATE, AudioChunk
from app.domain.client_limits import BURST_S, ClientLimits
from app.domain.dialog import effects as do
from app.domain.dialog import events as ev
from app.domain.errors import ClientError, ClientFault, ParleyError
from app.domain.token_bucket import TokenBucket
from app.domain.transcript import Hypothesis
from app.runtime.dialog.session import Incoming, SessionClient
from app.runtime.session_registry import RunningSession, SessionRegistry

BURST_AUDIO_S = 30.0
"""Seconds of audio that are taken at any speed: what a client keeps while its connection is down."""


class LimitedClient:
    """The same client, as a SessionClient. What it sends behind the end of its session is dropped."""

    def __init__(self, client: SessionClient, session: RunningSession, registry: SessionRegistry) -> None:
        self._client, self._session, self._registry = client, session, registry
        now = anyio.current_time()
        self._audio = _audio_bucket(registry.limits, now)
        self._messages = _message_bucket(registry.limits, now)
        session.warn = self._warn

    async def incoming(self) -> AsyncGenerator[Incoming, None]:
        async for item in self._client.incoming():
            match item:
                case AudioChunk():
                    await self._observe_audio(item)
                case ev.ClientDetached() | ev.ClientReturned():
                    self._session.is_detached = isinstance(item, ev.ClientDetached)
                case _:
                    self._observe_message(item)
            if self._session.error is None:
                yield item

    def show(self, shown: do.Shown, *, ttfs_ms: int | None = None) -> None:
        activity, now = self._session.activity, anyio.current_time()
        self._session.shown_at = now
        match shown:
            case do.ShowDraft(text=text) | do.ShowFinal(hypothesis=Hypothesis(text=text)) if text:
                activity.active_at = activity.words_at = now
            case do.ShowReplyStart() | do.ShowReplyDelta() | do.PlayAudio() | do.ShowReply():
                activity.active_at = now
            case _:
                pass
        if isinstance(shown, do.ShowFinal) and shown.route:
            self._session.cost_usd += shown.route.cost_usd or 0.0
        self._client.show(shown, ttfs_ms=ttfs_ms)

    def acknowledge(self, samples: int) -> None:
        self._client.acknowledge(samples)

    async def _observe_audio(self, chunk: AudioChunk) -> None:
        """Wait where the audio comes too fast: until then nothing more is read from the client."""
        seconds, session, now = chunk.samples / SAMPLE_RATE, self._session, anyio.current_time()
        session.audio_s += seconds
        session.activity.active_at = now
        self._registry.resume(session)
        if self._audio and (wait_s := self._audio.charge(now, seconds)):
            with anyio.move_on_after(wait_s):
                await session.ended()

    def _observe_message(self, item: Incoming) -> None:
        now = anyio.current_time()
        if isinstance(item, ev.ClientRequestedSpeech | ev.ClientSentText | ev.ClientRequestedReply):
            self._session.activity.active_at = self._session.activity.words_at = now
            self._registry.resume(self._session)
        if self._messages and self._messages.take(now):
            reason = f"more than {self._messages.rate:g} messages a second; send fewer"
            self._session.end(ClientError(ClientFault.TOO_MANY_MESSAGES, reason, fatal=True))

    def _warn(self, error: ParleyError) -> None:
        self._client.show(do.ShowError(error))


def _audio_bucket(limits: ClientLimits, now: float) -> TokenBucket | None:
    """In seconds of audio."""
    return TokenBucket(limits.audio_speed, BURST_AUDIO_S, now) if limits.audio_speed else None


def _message_bucket(limits: ClientLimits, now: float) -> TokenBucket | None:
    rate = limits.messages_per_s
    return TokenBucket(rate, max(1.0, rate * BURST_S), now) if rate else None
