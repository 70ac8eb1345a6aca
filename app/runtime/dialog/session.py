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
import structlog
from anyio.abc import ObjectSendStream, TaskGroup

from app.domain.audio import AudioChunk
from app.domain.dialog import effects as do
from app.domain.dialog import events as ev
from app.domain.dialog.conversation import ContinuedConversation, Message
from app.domain.dialog.state import Closed, DialogState, Idle, Leaving
from app.domain.dialog.transitions import transition
from app.domain.errors import ClientError, ClientFault, ConversationNotFound, ParleyError
from app.domain.ports import Clock, EchoDetector
from app.domain.profile import Profile
from app.domain.spending import TokenUsage
from app.domain.token_bucket import TokenBucket
from app.runtime.dialog.echo import observe_playback, score_near_end
from app.runtime.dialog.effect_runner import EffectRunner
from app.runtime.dialog.engines import Engines
from app.runtime.dialog.telemetry import TurnTelemetry
from app.runtime.recording.recorder import Recorder

INBOX = 256
"""Events that may wait for the loop; when it is full, whoever sends the next one waits."""

CATCH_UP_S = 1.0
"""So long a text waits at most for what others have said in the conversation meanwhile."""
SAY_PER_S = 1.0
SAY_BURST = 5.0
"""Texts of its choice that a client may have spoken: so many a second, and so many at once."""

SAY_TOO_OFTEN = f"say: {SAY_BURST:.0f} texts at once, and {SAY_PER_S:.0f} a second; this one is not spoken"
TOO_LATE = "archive must be set before the first audio, text or say; DELETE /recordings/ID removes what is kept"
TEXT_TOO_OFTEN = f"text: {SAY_BURST:.0f} at once, and {SAY_PER_S:.0f} a second; this one is not answered"
CONVERSATION_TOO_LATE = "conversation must be set once, before the first audio and the first text"
PROFILE_TOO_LATE = "profile must be set before the first audio"
PERSON_TOO_LATE = "person must be set before the first audio"

Incoming: TypeAlias = (
    AudioChunk
    | ev.ClientConfigured
    | ev.ClientEnded
    | ev.ClientCleared
    | ev.ClientMarked
    | ev.ClientCancelled
    | ev.ClientRequestedSpeech
    | ev.ClientSentText
    | ev.ClientRequestedReply
    | ev.ClientAddedMessage
    | ev.ClientReplacedHistory
    | ev.ClientPlayed
    | ev.ClientDetached
    | ev.ClientReturned
    | ev.ClientErrorDetected
)

_log = structlog.get_logger("parley.session")
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


class ConversationRecord(Protocol):
    """Keeps what is said in a session beyond it."""

    def record(self, effect: do.Effect) -> None:
        """Keep what belongs into a conversation. Never waits."""
        ...

    def record_cost(self, reply: int, engine: str, usage: TokenUsage, usd: float) -> None:
        """A call of an engine for this reply is over; the reply may be over before it. Never waits."""
        ...

    async def resume(self, conversation: str) -> ContinuedConversation:
        """Continue this conversation. Raises a ParleyError; then nothing is continued."""
        ...

    @property
    def may_be_behind(self) -> bool:
        """Whether others may have said something in the conversation since the session was last silent."""
        ...

    async def catch_up(self) -> tuple[Message, ...]:
        """What that is; nothing where the session is not behind. Raises a ParleyError."""
        ...


class NoConversation:
    """A ConversationRecord for a service that keeps none."""

    def record(self, effect: do.Effect) -> None:
        """Nothing is kept."""

    def record_cost(self, reply: int, engine: str, usage: TokenUsage, usd: float) -> None:
        """Nothing is kept."""

    async def resume(self, conversation: str) -> ContinuedConversation:
        raise ConversationNotFound(conversation[:64])

    may_be_behind: bool = False

    async def catch_up(self) -> tuple[Message, ...]:
        return ()


async def run_session(
    client: SessionClient,
    engines: Engines,
    state: DialogState,
    *,
    clock: Clock,
    recorder: Recorder,
    telemetry: TurnTelemetry,
    conversation: ConversationRecord | None = None,
) -> None:
    """Serve the client until it has left and its pending finals are recorded.

    Cancelled, or failed by a defect, it records what there is: the newest drafts, and the reply as far as it was sent.
    Raises a ProviderError where the detector fails.
    """
    inbox, events = anyio.create_memory_object_stream[ev.Event](INBOX)
    async with inbox, events, anyio.create_task_group() as tasks:
        record = conversation or NoConversation()
        speech_requests = _TextRate(ClientError(ClientFault.SAY_TOO_OFTEN, SAY_TOO_OFTEN), engines.refuse_speech, clock)
        texts = _TextRate(ClientError(ClientFault.TEXT_TOO_OFTEN, TEXT_TOO_OFTEN), lambda: None, clock)
        source = _ClientInput(client, inbox, recorder, speech_requests, texts, record, tasks)
        loop = _Loop(
            client,
            EffectRunner(engines, tasks, inbox, clock, record.record_cost),
            engines.echo,
            recorder,
            telemetry,
            record,
            source,
            state,
        )
        tasks.start_soon(_receive, source, engines, lambda: loop.state.rules.ignore_echo)
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
    echo: EchoDetector | None
    recorder: Recorder
    telemetry: TurnTelemetry
    conversation: ConversationRecord
    source: "_ClientInput"
    state: DialogState

    def apply(self, event: ev.Event) -> None:
        """Take one event through the transition, and carry out its effects."""
        self.telemetry.observe_event(event)
        self.state, effects = transition(self.state, event)
        self.telemetry.is_in_turn = not isinstance(self.state.phase, Idle)
        for effect in effects:
            with self.telemetry.trace.performing(effect):
                self.runner.perform(effect)
            if self.echo is not None and self.state.rules.ignore_echo:
                observe_playback(self.echo, effect, self.state.audio_end)
            ttfs_ms = self.telemetry.observe_effect(effect)
            self.recorder.record(effect, ttfs_ms)
            if isinstance(effect, do.OpenUtterance):
                self.source.begin_to_catch_up()
            self.conversation.record(effect)
            if isinstance(effect, _SHOWN):
                self.client.show(effect, ttfs_ms=ttfs_ms)

    def close(self) -> None:
        """Bring the state to Closed now; nothing to do where it is."""
        if not isinstance(self.state.phase, Leaving | Closed):
            self.apply(ev.ClientLeft())
        if not isinstance(self.state.phase, Closed):
            self.apply(ev.LeaveTimeoutDue())
        self.telemetry.trace.end_turn(outcome="left")


@dataclass(slots=True)
class _ClientInput:
    """What the client sends: audio for the recorder and the detector, messages for the inbox."""

    client: SessionClient
    inbox: ObjectSendStream[ev.Event]
    recorder: Recorder
    speech_requests: "_TextRate"
    texts: "_TextRate"
    conversation: ConversationRecord
    tasks: TaskGroup
    has_begun: bool = False
    """Audio or a text has come, or a conversation is continued: no other can be."""
    is_over: bool = False
    """The client has left."""

    async def audio_until_end(self, incoming: AsyncIterator[Incoming]) -> AsyncGenerator[AudioChunk, None]:
        """The audio up to the client's next `end`, or all that is left.

        A message keeps its place in the audio, because the detector takes a chunk only after it has scored the last.
        """
        async for item in incoming:
            match item:
                case AudioChunk():
                    self.has_begun = True
                    await self.recorder.write_audio(item)
                    yield item
                case ev.ClientEnded():
                    return
                case ev.ClientConfigured(archive=bool() as keeps) if not self.recorder.consent(keeps):
                    await self.inbox.send(ev.ClientErrorDetected(ClientError(ClientFault.BAD_MESSAGE, TOO_LATE)))
                case ev.ClientConfigured(person=str() as person) if not self.recorder.name_person(person):
                    await self.inbox.send(ev.ClientErrorDetected(ClientError(ClientFault.BAD_MESSAGE, PERSON_TOO_LATE)))
                case ev.ClientConfigured(profile=Profile()) if self.recorder.received_samples:
                    await self.inbox.send(
                        ev.ClientErrorDetected(ClientError(ClientFault.BAD_MESSAGE, PROFILE_TOO_LATE))
                    )
                case ev.ClientConfigured(conversation=str()) if self.has_begun:
                    too_late = ClientError(ClientFault.BAD_MESSAGE, CONVERSATION_TOO_LATE)
                    await self.inbox.send(ev.ClientErrorDetected(too_late))
                case ev.ClientConfigured(conversation=str() as name):
                    self.has_begun = True
                    self.tasks.start_soon(self._resume, name)
                    await self.inbox.send(item)
                case ev.ClientSentText() if (refusal := self.texts.refusal()) is not None:
                    await self.inbox.send(ev.ClientErrorDetected(refusal))
                case ev.ClientRequestedReply(request=request) if (refusal := self.texts.refusal()) is not None:
                    await self.inbox.send(ev.ClientErrorDetected(refusal, request))
                case ev.ClientRequestedSpeech() if (refusal := self.speech_requests.refusal()) is not None:
                    await self.inbox.send(ev.ClientErrorDetected(refusal))
                case (
                    ev.ClientSentText()
                    | ev.ClientRequestedSpeech()
                    | ev.ClientRequestedReply()
                    | ev.ClientAddedMessage()
                    | ev.ClientReplacedHistory()
                ):
                    self.recorder.is_consent_settled = True
                    is_done = self.begin_to_catch_up()
                    with anyio.move_on_after(CATCH_UP_S):
                        await is_done.wait()
                    self.has_begun = self.has_begun or not isinstance(item, ev.ClientRequestedSpeech)
                    await self.inbox.send(item)
                case _:
                    await self.inbox.send(item)
        self.is_over = True

    def begin_to_catch_up(self) -> anyio.Event:
        """Load what others have said in the conversation since the session was last silent; set when that is done."""
        is_done = anyio.Event()
        if self.conversation.may_be_behind:
            self.tasks.start_soon(self._catch_up, is_done)
        else:
            is_done.set()
        return is_done

    async def _catch_up(self, is_done: anyio.Event) -> None:
        """A text's reply waits for it; where the conversation cannot be read, the session goes on without."""
        try:
            if messages := await self.conversation.catch_up():
                await self.inbox.send(ev.HistoryExtended(messages))
        except ParleyError as error:
            _log.warning("the conversation cannot be read again", message=str(error))
        finally:
            is_done.set()

    async def _resume(self, conversation: str) -> None:
        """Load it, while the session goes on."""
        try:
            found = await self.conversation.resume(conversation)
        except ParleyError as error:
            await self.inbox.send(ev.ClientErrorDetected(error))
            return
        await self.inbox.send(ev.HistoryLoaded(conversation, found.history, found.profile))
        if found.problem:
            await self.inbox.send(ev.ClientErrorDetected(found.problem))


@dataclass(slots=True)
class _TextRate:
    """Whether a text of the client may be spoken or answered: not too many a second, and none over budget."""

    too_often: ClientError
    budget: Callable[[], ParleyError | None]
    clock: Clock
    bucket: TokenBucket = field(init=False)

    def __post_init__(self) -> None:
        self.bucket = TokenBucket(SAY_PER_S, SAY_BURST, self.clock.now())

    def refusal(self) -> ParleyError | None:
        """Why the next one is refused; None where it may be spoken."""
        if self.bucket.take(self.clock.now()) > 0:
            return self.too_often
        return self.budget()


async def _receive(source: _ClientInput, engines: Engines, ignores_echo: Callable[[], bool]) -> None:
    """Score the audio, from one `end` to the next: so the detector's last, incomplete frame comes before the `end`."""
    incoming = aiter(source.client.incoming())
    while not source.is_over:
        async with (
            aclosing(source.audio_until_end(incoming)) as audio,
            aclosing(score_near_end(engines.detector, audio, engines.echo, ignores_echo)) as speech,
        ):
            async for scored in speech:
                await source.inbox.send(ev.AudioReceived(scored))
        await source.inbox.send(ev.ClientLeft() if source.is_over else ev.ClientEnded())
