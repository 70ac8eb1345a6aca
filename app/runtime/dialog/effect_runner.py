"""Carry out effects: start, feed and cancel the work of engines.

Whatever an engine answers goes back into the session's one inbox as an event. All
work runs in the session's task group; each final and each reply has a cancel scope.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, field

import anyio
from anyio.abc import ObjectSendStream, TaskGroup
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from app.domain.audio import AudioChunk, ms
from app.domain.dialog import effects as do
from app.domain.dialog import events as ev
from app.domain.errors import ParleyError, ProviderMisbehaved
from app.domain.ports import Clock
from app.domain.transcript import Hypothesis
from app.runtime.dialog.engines import Engines, PendingFinal
from app.runtime.dialog.reply_pipeline import run_reply, saying

LIVE_CHUNKS = 2048
"""Chunks a live route may lag behind: an utterance at its longest is shorter, so this is never full."""


TURN_AUDIO_BYTES = 2 * ms(8000)
"""How much of what the user said in a turn is kept for whoever judges their pauses."""


@dataclass(slots=True)
class UtteranceBuffer:
    """The audio of an utterance, kept until its final is delivered."""

    start: int
    language: str | None
    final: PendingFinal
    pcm: bytearray = field(default_factory=bytearray)
    live: MemoryObjectSendStream[AudioChunk] | None = None
    revision: int = 0

    async def whole(self) -> AsyncGenerator[AudioChunk, None]:
        """Everything heard when this was called, as one chunk."""
        pcm = bytes(self.pcm)
        yield AudioChunk(pcm, self.start)


@dataclass(slots=True)
class EffectRunner:
    engines: Engines
    tasks: TaskGroup
    inbox: ObjectSendStream[ev.Event]
    clock: Clock
    utterances: dict[int, UtteranceBuffer] = field(default_factory=dict)
    finals: dict[int, anyio.CancelScope] = field(default_factory=dict)
    replies: dict[int, tuple[anyio.CancelScope, anyio.Event]] = field(default_factory=dict)
    said: bytearray = field(default_factory=bytearray)
    """The newest of the user's turn."""
    judging: anyio.CancelScope = field(default_factory=anyio.CancelScope)

    def close(self) -> None:
        """Let go of what the session left open."""
        for heard in self.utterances.values():
            if heard.live:
                heard.live.close()

    def perform(self, effect: do.Effect) -> None:
        """Obey, at once: nothing here waits."""
        match effect:
            case do.OpenUtterance(number, start, language, residency, deadline_ms):
                owed = self.engines.finals.open(number, language, residency, deadline_ms)
                self._open(number, UtteranceBuffer(start, language, owed))
            case do.FeedUtterance(number, chunk):
                heard = self.utterances[number]
                heard.pcm += chunk.pcm
                self.said += chunk.pcm
                del self.said[:-TURN_AUDIO_BYTES]
                if heard.live:
                    heard.live.send_nowait(chunk)
            case do.RequestDraft(number, stable):
                self.tasks.start_soon(self._draft, number, stable)
            case do.ScoreEndOfTurn(number, revision):
                self.judging.cancel()  # nobody waits for what was thought of the pause before
                self.judging = anyio.CancelScope()
                self.tasks.start_soon(self._judge, number, revision, self.judging)
            case do.StartFinal(number, revision):
                heard = self.utterances[number]
                heard.revision = revision
                if heard.live is None:
                    self._start_final(number, heard.whole())
            case do.DropFinal(number):
                if self.utterances[number].live is None and number in self.finals:
                    self.finals.pop(number).cancel()
            case do.CloseUtterance(number, revision):
                heard = self.utterances[number]
                heard.revision = revision
                heard.final.confirm_endpoint()
                if heard.live:
                    heard.live.close()
            case do.RestrictToOnPrem(number):
                self.utterances[number].final.restrict_to_on_prem()
            case do.ShowDraft(utterance=number, text=text):
                self.utterances[number].final.update_draft(text)
            case do.ShowFinal(utterance=number, hypothesis=final, route=route):
                self.utterances.pop(number).final.record_shown(final, route)
                self.finals.pop(number, None)
            case do.StartTimer(after, wake):
                self.tasks.start_soon(self._wake, self.clock.now() + after / 1000, wake)
            case _:
                self._perform_reply(effect)

    # -- utterances -----------------------------------------------------------

    def _open(self, number: int, heard: UtteranceBuffer) -> None:
        self.utterances[number] = heard
        if heard.final.live:
            heard.live, audio = anyio.create_memory_object_stream[AudioChunk](LIVE_CHUNKS)
            self._start_final(number, _drain(audio))

    def _start_final(self, number: int, audio: AsyncGenerator[AudioChunk, None]) -> None:
        self.finals[number] = scope = anyio.CancelScope()
        self.tasks.start_soon(self._finalize, number, self.utterances[number], audio, scope)

    async def _finalize(
        self, number: int, heard: UtteranceBuffer, audio: AsyncGenerator[AudioChunk, None], scope: anyio.CancelScope
    ) -> None:
        revision = None if heard.live else heard.revision
        with scope:
            event: ev.Event
            try:
                async with (
                    aclosing(audio),
                    aclosing(heard.final.transcribe(audio, language=heard.language)) as hypotheses,
                ):
                    final = await _final(hypotheses)
                current = heard.revision if revision is None else revision
                event = ev.FinalReceived(number, current, final, heard.final.route)
            except ParleyError as error:
                if heard.live:  # what comes after it is asked for again, as a whole
                    heard.live.close()
                    heard.live = None
                event = ev.FinalFailed(number, heard.revision if revision is None else revision, error)
            await self.inbox.send(event)

    async def _judge(self, number: int, revision: int, scope: anyio.CancelScope) -> None:
        assert self.engines.turn_detector is not None
        with scope:
            if self.engines.has_spare_capacity():
                await self.inbox.send(ev.ComputeIdle(number, revision))
            try:
                done = await self.engines.turn_detector.end_of_turn_probability(bytes(self.said))
            except ParleyError:
                return  # the words and the length of the silence decide, as where nobody judges
            await self.inbox.send(ev.EndOfTurnScored(number, revision, done))

    async def _draft(self, number: int, stable: str) -> None:
        heard = self.utterances.get(number)
        event: ev.Event = ev.DraftSkipped(number)
        if heard and self.engines.drafter:
            try:
                draft = await self.engines.drafter.draft(bytes(heard.pcm), stable=stable, language=heard.language)
                if draft is not None:
                    event = ev.DraftReceived(number, draft)
            except ParleyError:
                pass  # a draft may be missing; the final will say what is wrong
        await self.inbox.send(event)

    # -- replies --------------------------------------------------------------

    def _perform_reply(self, effect: do.Effect) -> None:
        match effect:
            case do.StartReply(number, conversation, speak):
                assert self.engines.generator is not None
                deltas = self.engines.generator.reply(conversation)
                self._start_reply(number, deltas, speak=speak)
            case do.StartSpeakingText(number, text):
                self._start_reply(number, saying(text), speak=True)
            case do.ReleaseReply(number):
                self.said.clear()
                if number in self.replies:
                    self.replies[number][1].set()
            case do.CancelReply(number):
                if number in self.replies:
                    self.replies.pop(number)[0].cancel()
            case _:
                pass  # the rest is for the client's eyes and ears

    def _start_reply(self, number: int, deltas: AsyncGenerator[str, None], *, speak: bool) -> None:
        scope, gate = anyio.CancelScope(), anyio.Event()
        self.replies[number] = scope, gate
        voice = self.engines.synthesizer if speak else None
        self.tasks.start_soon(self._reply, number, lambda: run_reply(number, deltas, voice, gate, self.inbox))

    async def _reply(self, number: int, work: Callable[[], Awaitable[None]]) -> None:
        with self.replies[number][0]:
            await work()
        self.replies.pop(number, None)

    # -- time -----------------------------------------------------------------

    async def _wake(self, deadline: float, wake: ev.TimerEvent) -> None:
        await self.clock.sleep_until(deadline)
        await self.inbox.send(wake)


async def _drain(audio: MemoryObjectReceiveStream[AudioChunk]) -> AsyncGenerator[AudioChunk, None]:
    with audio:
        async for chunk in audio:
            yield chunk


async def _final(hypotheses: AsyncGenerator[Hypothesis, None]) -> Hypothesis:
    async for hypothesis in hypotheses:
        if hypothesis.is_final:
            return hypothesis
    raise ProviderMisbehaved("finals", "ended without a final")
