"""Run one session: one inbox, one loop.

Audio and orders of the client go through the detector into the inbox; the loop
hands each event to step() and has its effects performed; what is to be shown goes
to the client, which never makes the loop wait.
"""

from collections.abc import AsyncGenerator, AsyncIterable
from contextlib import aclosing, closing
from typing import Protocol, TypeAlias, get_args

import anyio
from anyio.abc import ObjectSendStream

from app.domain.audio import AudioChunk
from app.domain.dialog import effects as do
from app.domain.dialog import events as ev
from app.domain.dialog.state import Closed, DialogState
from app.domain.dialog.transitions import transition
from app.domain.errors import ClientError, ClientFault
from app.domain.ports import Clock
from app.runtime.dialog.effect_runner import EffectRunner
from app.runtime.dialog.engines import Engines
from app.runtime.dialog.telemetry import TurnTelemetry
from app.runtime.recording.recorder import Recorder

INBOX = 256
"""Events waiting for the loop; when it is full, whoever brings the next one waits."""

TOO_LATE = "archive must be said before the first audio; DELETE /recordings/ID removes what is kept"

Incoming: TypeAlias = (
    AudioChunk
    | ev.ClientConfigured
    | ev.ClientEnded
    | ev.ClientCancelled
    | ev.ClientRequestedSpeech
    | ev.ClientErrorDetected
)


class SessionClient(Protocol):
    """The other side of the session."""

    def incoming(self) -> AsyncIterable[Incoming]:
        """Audio and orders, in the order they were sent; ends when the client leaves."""
        ...

    def show(self, shown: do.Shown, *, ttfs_ms: int | None = None) -> None:
        """Never waits: a client too slow for its words loses drafts, then the session."""
        ...

    def acknowledge(self, samples: int) -> None:
        """So many samples from the session's first will survive anything. Never waits; a few times a second."""
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
    """Serve the client until it has left and its last words are written down."""
    inbox, events = anyio.create_memory_object_stream[ev.Event](INBOX)
    async with inbox, events, anyio.create_task_group() as tasks:
        tasks.start_soon(_listen, client, engines, inbox, recorder)
        with closing(EffectRunner(engines, tasks, inbox, clock)) as stage:
            while not isinstance(state.phase, Closed):
                event = await events.receive()
                telemetry.observe_event(event)
                state, effects = transition(state, event)
                for effect in effects:
                    stage.perform(effect)
                    ttfs_ms = telemetry.observe_effect(effect)
                    recorder.record(effect, ttfs_ms)
                    if isinstance(effect, _SHOWN):
                        client.show(effect, ttfs_ms=ttfs_ms)
        tasks.cancel_scope.cancel()


_SHOWN = get_args(do.Shown)


def _agreed(configured: ev.ClientConfigured, recorder: Recorder) -> bool:
    return configured.archive is None or recorder.consent(configured.archive)


async def _listen(
    client: SessionClient, engines: Engines, inbox: ObjectSendStream[ev.Event], recorder: Recorder
) -> None:
    async def audio() -> AsyncGenerator[AudioChunk, None]:
        async for item in client.incoming():
            if isinstance(item, AudioChunk):
                await recorder.write_audio(item)
                yield item
            elif isinstance(item, ev.ClientConfigured) and not _agreed(item, recorder):
                await inbox.send(ev.ClientErrorDetected(ClientError(ClientFault.BAD_MESSAGE, TOO_LATE)))
            else:  # the detector asks for audio only when it has passed on all it had
                await inbox.send(item)

    async with aclosing(audio()) as heard, aclosing(engines.detector.score(heard)) as scored_audio:
        async for scored in scored_audio:
            await inbox.send(ev.AudioReceived(scored))
    await inbox.send(ev.ClientLeft())
