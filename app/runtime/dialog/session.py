"""Run one session: one inbox, one loop.

The client's audio goes through the speech detector into the inbox, its other messages directly. The loop applies
transition() to each event and carries out the effects. What is to be shown goes to the client, which never makes the
loop wait.
"""

from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias, get_args

import anyio
from anyio.abc import ObjectSendStream

from app.domain.audio import AudioChunk
from app.domain.dialog import effects as do
from app.domain.dialog import events as ev
from app.domain.dialog.state import Closed, DialogState, Leaving
from app.domain.dialog.transitions import transition
from app.domain.errors import ClientError, ClientFault, ParleyError
from app.domain.ports import Clock
from app.domain.token_bucket import TokenBucket
from app.runtime.dialog.effect_runner import EffectRunner
from app.runtime.dialog.engines import Engines
from app.runtime.dialog.telemetry import TurnTelemetry
from app.runtime.recording.recorder import Recorder

INBOX = 256
"""Events that may wait for the loop; when it is full, whoever sends the next one waits."""

SAY_PER_S = 1.0
SAY_BURST = 5.0
"""Texts of its choice that a client may have spoken: so many a second, and so many at once."""

SAY_TOO_OFTEN = f"say: {SAY_BURST:.0f} texts at once, and {SAY_PER_S:.0f} a second; this one is not spoken"
TOO_LATE = "archive must be set before the first audio; DELETE /recordings/ID removes what is kept"
PERSON_TOO_LATE = "person must be set before the first audio"

Incoming: TypeAlias = (
    AudioChunk
    | ev.ClientConfigured
    | ev.ClientEnded
    | ev.ClientCancelled
    | ev.ClientRequestedSpeech
    | ev.ClientErrorDetected
)

_SHOWN = get_args(do.Shown)


class SessionClient(Protocol):
    """The other side of the session: a protocol's adapter."""

    def incoming(self) -> AsyncIterable[Incoming]:
        """Audio (16 kHz, without a gap) and messages, in the order they were sent; ends when the client leaves."""
        ...

    def show(self, shown: do.Shown, *, ttfs_ms: int | None = None) -> None:
        """Queue for the client; never waits. A client that reads too slowly loses drafts, then its session."""
        ...

    def acknowledge(self, samples: int) -> None:
        """So many samples from the session's first are recorded safely. Never waits; a few times a second."""
        ...


async def run_session(
    client: SessionClient,
    engines: Engines,
    state: DialogState,
    *,
    clock: Clock,
    recorder: Recorder,
    telemetry: TurnTelemetry,
) -> None:
    """Serve the client until it has left and its pending finals are recorded.

    Cancelled, or failed by a defect, it records what there is: the newest drafts, and the reply as far as it was sent.
    Raises a ProviderError where the detector fails.
    """
    inbox, events = anyio.create_memory_object_stream[ev.Event](INBOX)
    async with inbox, events, anyio.create_task_group() as tasks:
        speech_requests = _SpeechRequests(engines.refuse_speech, clock)
        tasks.start_soon(_receive, _ClientInput(client, inbox, recorder, speech_requests), engines)
        loop = _Loop(client, EffectRunner(engines, tasks, inbox, clock), recorder, telemetry, state)
        try:
            while not isinstance(loop.state.phase, Closed):
                loop.apply(await events.receive())
        finally:
            loop.close()
        tasks.cancel_scope.cancel()


@dataclass(slots=True)
class _Loop:
    """The one owner of the session's state."""

    client: SessionClient
    runner: EffectRunner
    recorder: Recorder
    telemetry: TurnTelemetry
    state: DialogState

    def apply(self, event: ev.Event) -> None:
        """Take one event through the transition, and carry out its effects."""
        self.telemetry.observe_event(event)
        self.state, effects = transition(self.state, event)
        for effect in effects:
            self.runner.perform(effect)
            ttfs_ms = self.telemetry.observe_effect(effect)
            self.recorder.record(effect, ttfs_ms)
            if isinstance(effect, _SHOWN):
                self.client.show(effect, ttfs_ms=ttfs_ms)

    def close(self) -> None:
        """Bring the state to Closed now; nothing to do where it is."""
        if not isinstance(self.state.phase, Leaving | Closed):
            self.apply(ev.ClientLeft())
        if not isinstance(self.state.phase, Closed):
            self.apply(ev.LeaveTimeoutDue())


@dataclass(slots=True)
class _ClientInput:
    """What the client sends: audio for the recorder and the detector, messages for the inbox."""

    client: SessionClient
    inbox: ObjectSendStream[ev.Event]
    recorder: Recorder
    speech_requests: "_SpeechRequests"
    is_over: bool = False
    """The client has left."""

    async def audio_until_end(self, incoming: AsyncIterator[Incoming]) -> AsyncGenerator[AudioChunk, None]:
        """The audio up to the client's next `end`, or all that is left.

        A message keeps its place in the audio, because the detector takes a chunk only after it has scored the last.
        """
        async for item in incoming:
            match item:
                case AudioChunk():
                    await self.recorder.write_audio(item)
                    yield item
                case ev.ClientEnded():
                    return
                case ev.ClientConfigured(archive=bool() as keeps) if not self.recorder.consent(keeps):
                    await self.inbox.send(ev.ClientErrorDetected(ClientError(ClientFault.BAD_MESSAGE, TOO_LATE)))
                case ev.ClientConfigured(person=str() as person) if not self.recorder.name_person(person):
                    await self.inbox.send(ev.ClientErrorDetected(ClientError(ClientFault.BAD_MESSAGE, PERSON_TOO_LATE)))
                case ev.ClientRequestedSpeech() if (refusal := self.speech_requests.refusal()) is not None:
                    await self.inbox.send(ev.ClientErrorDetected(refusal))
                case _:
                    await self.inbox.send(item)
        self.is_over = True


@dataclass(slots=True)
class _SpeechRequests:
    """Whether a text of the client's choice may be spoken: not too many a second, and none over budget."""

    budget: Callable[[], ParleyError | None]
    clock: Clock
    bucket: TokenBucket = field(init=False)

    def __post_init__(self) -> None:
        self.bucket = TokenBucket(SAY_PER_S, SAY_BURST, self.clock.now())

    def refusal(self) -> ParleyError | None:
        """Why the next one is refused; None where it may be spoken."""
        if self.bucket.take(self.clock.now()) > 0:
            return ClientError(ClientFault.SAY_TOO_OFTEN, SAY_TOO_OFTEN)
        return self.budget()


async def _receive(source: _ClientInput, engines: Engines) -> None:
    """Score the audio, from one `end` to the next: so the detector's last, incomplete frame comes before the `end`."""
    incoming = aiter(source.client.incoming())
    while not source.is_over:
        async with (
            aclosing(source.audio_until_end(incoming)) as audio,
            aclosing(engines.detector.score(audio)) as scored_audio,
        ):
            async for scored in scored_audio:
                await source.inbox.send(ev.AudioReceived(scored))
        await source.inbox.send(ev.ClientLeft() if source.is_over else ev.ClientEnded())
