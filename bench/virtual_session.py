"""A live session in virtual time: the service's own session and engines, as fast as the machine computes.

The session's clock advances with the audio alone, and the next packet comes when everything that the last one caused is
over. So engines seem to take no time, and a run gives the same result however loaded the machine is.
"""

from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import TypeVar

import anyio
from anyio.lowlevel import checkpoint

from app.domain.audio import AudioChunk, ms, seconds, split_audio
from app.domain.dialog import effects as do
from app.domain.dialog.state import DialogState
from app.domain.ports import DraftTranscriber, TurnDetector
from app.domain.residency import Residency
from app.domain.routing.route import Route
from app.domain.transcript import Hypothesis
from app.runtime.dialog.engines import Engines, FinalTranscription, PendingFinal
from app.runtime.dialog.session import Incoming, run_session
from app.runtime.dialog.telemetry import TurnTelemetry
from app.runtime.recording import journal as jr
from app.runtime.recording.recorder import Recorder
from app.runtime.recording.session_log import SessionLog
from tests.fakes import EagerClock

PACKET = ms(40)
QUIET_TURNS = 32
"""Turns of the event loop without a call, after which nothing more follows from a packet: from the end of one call
to the beginning of the one that it causes there are some six."""

T = TypeVar("T")


class Activity:
    """How many calls of engines are under way."""

    def __init__(self) -> None:
        self._running = 0
        self._ended = anyio.Event()

    def begin(self) -> None:
        self._running += 1

    def end(self) -> None:
        self._running -= 1
        self._ended.set()
        self._ended = anyio.Event()

    async def during(self, call: Awaitable[T]) -> T:
        self.begin()
        try:
            return await call
        finally:
            self.end()

    async def settled(self) -> None:
        """Wait until no call is under way, and none begins any more."""
        quiet = 0
        while quiet < QUIET_TURNS:
            if self._running:
                await self._ended.wait()
                quiet = 0
            else:
                await checkpoint()
                quiet += 1


@dataclass(frozen=True, slots=True)
class Shown:
    """What the client was shown, and how much audio it had sent by then, in seconds."""

    effect: do.Shown
    at: float


@dataclass(slots=True)
class VirtualClient:
    """A SessionClient that sends audio, packet by packet, and leaves."""

    pcm: bytes
    clock: EagerClock
    activity: Activity
    shown: list[Shown] = field(default_factory=list)
    sent: int = 0

    async def incoming(self) -> AsyncGenerator[Incoming, None]:
        for packet in split_audio(AudioChunk(self.pcm, 0), PACKET):
            self.clock.advance(seconds(packet.samples))
            self.sent = packet.end
            yield packet
            await self.activity.settled()

    def show(self, shown: do.Shown, *, ttfs_ms: int | None = None) -> None:  # noqa: ARG002 because its clock is ours
        self.shown.append(Shown(shown, seconds(self.sent)))

    def acknowledge(self, samples: int) -> None:
        """Nothing is recorded."""


@dataclass(frozen=True, slots=True)
class _Drafter:
    """A DraftTranscriber whose calls are counted; key terms are not passed on."""

    drafter: DraftTranscriber
    activity: Activity

    async def draft(self, pcm: bytes, *, stable: str = "", language: str | None = None) -> Hypothesis | None:
        return await self.activity.during(self.drafter.draft(pcm, stable=stable, language=language))


@dataclass(frozen=True, slots=True)
class _Turns:
    """A TurnDetector whose calls are counted."""

    detector: TurnDetector
    activity: Activity

    async def end_of_turn_probability(self, pcm: bytes) -> float:
        return await self.activity.during(self.detector.end_of_turn_probability(pcm))


@dataclass(frozen=True, slots=True)
class _Final:
    """A PendingFinal whose calls are counted."""

    pending: PendingFinal
    activity: Activity

    @property
    def live(self) -> bool:
        return self.pending.live

    @property
    def route(self) -> Route:
        return self.pending.route

    async def transcribe(
        self, utterance: AsyncIterable[AudioChunk], *, language: str | None = None
    ) -> AsyncGenerator[Hypothesis, None]:
        self.activity.begin()
        try:
            async with aclosing(self.pending.transcribe(utterance, language=language)) as hypotheses:
                async for hypothesis in hypotheses:
                    yield hypothesis
        finally:
            self.activity.end()

    def update_draft(self, text: str) -> None:
        self.pending.update_draft(text)

    def expect(self, key_terms: Sequence[str]) -> None:
        self.pending.expect(key_terms)

    def restrict_to_on_prem(self) -> None:
        self.pending.restrict_to_on_prem()

    def stop_live(self) -> None:
        self.pending.stop_live()

    def confirm_endpoint(self) -> None:
        self.pending.confirm_endpoint()

    def record_shown(self, final: Hypothesis, route: Route | None) -> None:
        self.pending.record_shown(final, route)


@dataclass(frozen=True, slots=True)
class _Finals:
    """A FinalTranscription whose calls are counted."""

    finals: FinalTranscription
    activity: Activity

    @property
    def deadline_ms(self) -> float:
        return self.finals.deadline_ms

    def open(
        self,
        utterance: int,
        language: str | None,
        residency: Residency,
        deadline_ms: float | None = None,
        key_terms: Sequence[str] = (),
        vocabulary: str | None = None,
    ) -> _Final:
        return _Final(
            self.finals.open(utterance, language, residency, deadline_ms, key_terms, vocabulary), self.activity
        )


def counted(engines: Engines, activity: Activity) -> Engines:
    """The same engines, whose calls are counted."""
    return replace(
        engines,
        finals=_Finals(engines.finals, activity),
        drafter=engines.drafter and _Drafter(engines.drafter, activity),
        turn_detector=engines.turn_detector and _Turns(engines.turn_detector, activity),
    )


async def play(pcm: bytes, engines: Engines, state: DialogState, log: SessionLog) -> list[Shown]:
    """What a client is shown that sends this audio (16 kHz mono s16le) in a session, and leaves.

    `engines` are the session's own. Nothing is written into `log`.
    """
    clock, activity = EagerClock(), Activity()
    client = VirtualClient(pcm, clock, activity)
    await run_session(
        client,
        counted(engines, activity),
        state,
        clock=clock,
        recorder=Recorder(log, jr.SessionOpened("bench", "", ""), enabled=False),
        telemetry=TurnTelemetry("bench", clock),
    )
    return client.shown
