"""Carry out effects: start, feed and cancel the work of engines, and start timers.

What an engine returns goes back into the session's one inbox as an event. All work runs in the session's task group;
each final and each reply has a cancel scope of its own.
"""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from functools import partial

import anyio
from anyio.abc import ObjectSendStream, TaskGroup

from app.domain.audio import AudioChunk, ms
from app.domain.dialog import effects as do
from app.domain.dialog import events as ev
from app.domain.errors import ParleyError, ProviderRefused, RequestRefused
from app.domain.ports import Clock, SpeakerEmbedder, SpeechSynthesizer, expecting
from app.domain.profile import Profile
from app.domain.spending import TokenUsage
from app.domain.tools import ToolCall
from app.domain.transcript import Hypothesis, join
from app.runtime.dialog.engines import Engines, NamedVoice, PendingFinal
from app.runtime.dialog.reply_pipeline import known_text, run_reply
from app.runtime.dialog.utterance_buffer import UtteranceBuffer
from app.runtime.first_final import first_final

TURN_AUDIO_BYTES = 2 * ms(8000)
"""How much of the user's audio in a turn is kept for the turn detector: the newest 8 s."""


@dataclass(slots=True)
class OpenFinal:
    """The final of one utterance, from OpenUtterance until ShowFinal."""

    audio: UtteranceBuffer
    pending: PendingFinal
    language: str | None
    streaming: bool
    """A live route reads the audio as it comes."""
    key_terms: tuple[str, ...]
    revision: int = 0
    requested: bool = False
    """StartFinal came, and no DropFinal after it."""
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    """Of the newest transcription started."""
    embedded_revision: int | None = None
    """The newest revision whose voice was asked for."""
    embedding: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    """Of that."""

    def drop(self) -> None:
        """Speech resumed: what was started of its audio so far is stale; a live route reads on."""
        self.requested = False
        self.embedding.cancel()
        if not self.streaming:
            self.scope.cancel()

    def expect(self, key_terms: tuple[str, ...]) -> None:
        """Other words are likely in the audio from now on."""
        self.key_terms = key_terms
        self.pending.expect(key_terms)


@dataclass(slots=True)
class RunningReply:
    """A reply being generated."""

    released: anyio.Event = field(default_factory=anyio.Event)
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    usage: TokenUsage | None = None
    """Of the calls of engines that are over."""


@dataclass(slots=True)
class EffectRunner:
    """Carries out the effects of one session. Only the session's loop calls it."""

    engines: Engines
    tasks: TaskGroup
    inbox: ObjectSendStream[ev.Event]
    clock: Clock
    record_cost: Callable[[int, str, TokenUsage, float], None] = lambda *_: None
    """Takes the number of a reply and what an OnReplyCost does; also after the reply was cancelled."""
    finals: dict[int, OpenFinal] = field(default_factory=dict)
    """By utterance."""
    replies: dict[int, RunningReply] = field(default_factory=dict)
    turn_audio: bytearray = field(default_factory=bytearray)
    """The newest of the user's audio in this turn."""
    scoring: anyio.CancelScope = field(default_factory=anyio.CancelScope)

    def perform(self, effect: do.Effect) -> None:
        """Carry out one effect; nothing here waits."""
        match effect:
            case do.OpenUtterance(number, start, language, residency, deadline_ms, key_terms, vocabulary):
                pending = self.engines.finals.open(number, language, residency, deadline_ms, key_terms, vocabulary)
                final = OpenFinal(UtteranceBuffer(start), pending, language, pending.live, key_terms)
                self.finals[number] = final
                if final.streaming:
                    self.tasks.start_soon(self._stream_final, number, final)
            case do.FeedUtterance(number, chunk):
                self.finals[number].audio.append(chunk.pcm)
                self.turn_audio += chunk.pcm
                del self.turn_audio[:-TURN_AUDIO_BYTES]
            case do.RequestDraft(number, stable):
                self.tasks.start_soon(self._draft, number, stable)
            case do.ScoreEndOfTurn(number, revision):
                self.scoring.cancel()  # the score of the pause before is stale
                self.scoring = anyio.CancelScope()
                self.tasks.start_soon(self._score, number, revision, self.scoring)
            case do.StartFinal(number, revision):
                self._request_final(number, self.finals[number], revision)
            case do.DropFinal(number):
                self.finals[number].drop()
            case do.CloseUtterance(number, revision):
                final = self.finals[number]
                final.revision = revision
                final.pending.confirm_endpoint()
                final.audio.close()
            case do.ExpectKeyTerms(number, key_terms):
                self.finals[number].expect(key_terms)
            case do.RestrictToOnPrem(number):
                self.finals[number].pending.restrict_to_on_prem()
            case do.ShowDraft(utterance=number, text=text, held_back=held_back):
                self.finals[number].pending.update_draft(join((text, held_back)))
            case do.ShowFinal(utterance=number, hypothesis=hypothesis, route=route):
                final = self.finals.pop(number)
                final.pending.record_shown(hypothesis, route)
                final.scope.cancel()
            case do.StartTimer(ms=after_ms, event=event):
                self.tasks.start_soon(self._send_after, after_ms, event)
            case do.StartLeaveTimer(grace_ms):
                after_deadline_ms = self.engines.finals.deadline_ms + grace_ms
                self.tasks.start_soon(self._send_after, after_deadline_ms, ev.LeaveTimeoutDue())
            case _:
                self._perform_reply(effect)

    # -- finals ---------------------------------------------------------------

    def _request_final(self, number: int, final: OpenFinal, revision: int) -> None:
        final.revision, final.requested = revision, True
        self._start_embedding(number, final)
        if not final.streaming:
            self._start_final(number, final)

    def _start_final(self, number: int, final: OpenFinal) -> None:
        """Transcribe the audio so far, as a whole."""
        final.scope = anyio.CancelScope()
        self.tasks.start_soon(self._finalize, number, final, final.audio.snapshot(), final.revision, final.scope)

    async def _finalize(
        self,
        number: int,
        final: OpenFinal,
        audio: AsyncGenerator[AudioChunk, None],
        revision: int,
        scope: anyio.CancelScope,
    ) -> None:
        with scope:
            event: ev.Event
            try:
                hypothesis = await self._transcribe(final, audio)
                event = ev.FinalReceived(number, revision, hypothesis, final.pending.route)
            except ParleyError as error:
                event = ev.FinalFailed(number, revision, error, speculative=not final.audio.complete)
            await self.inbox.send(event)

    async def _stream_final(self, number: int, final: OpenFinal) -> None:
        """Transcribe while the user speaks; where that fails in mid-utterance, the whole is sent at the next pause."""
        with final.scope:
            event: ev.Event
            try:
                hypothesis = await self._transcribe(final, final.audio.stream())
                event = ev.FinalReceived(number, final.revision, hypothesis, final.pending.route)
            except ParleyError as error:
                if not final.audio.complete:
                    final.streaming = False
                    final.pending.stop_live()
                    if final.requested:
                        self._start_final(number, final)
                    return
                event = ev.FinalFailed(number, final.revision, error)
            await self.inbox.send(event)

    async def _transcribe(self, final: OpenFinal, audio: AsyncGenerator[AudioChunk, None]) -> Hypothesis:
        transcription = final.pending.transcribe(audio, language=final.language)
        async with aclosing(audio), aclosing(transcription) as hypotheses:
            return await first_final(hypotheses)

    def _start_embedding(self, number: int, final: OpenFinal) -> None:
        """Embed the voice of the audio so far, once for each revision; the final being shown does not end that."""
        if self.engines.embedder is None or final.embedded_revision == final.revision:
            return
        final.embedded_revision, final.embedding = final.revision, anyio.CancelScope()
        pcm = bytes(final.audio.pcm)
        self.tasks.start_soon(self._embed, self.engines.embedder, number, final.revision, pcm, final.embedding)

    async def _embed(
        self, embedder: SpeakerEmbedder, number: int, revision: int, pcm: bytes, scope: anyio.CancelScope
    ) -> None:
        with scope:
            try:
                voice = await embedder.embed(pcm)
            except ParleyError:
                return  # a final may be without a label
            await self.inbox.send(ev.SpeakerEmbedded(number, revision, voice))

    # -- drafts and end-of-turn scores ------------------------------------------

    async def _draft(self, number: int, stable: str) -> None:
        final = self.finals.get(number)
        event: ev.Event = ev.DraftSkipped(number)
        if final and self.engines.drafter:
            drafter = expecting(self.engines.drafter, final.key_terms)
            try:
                draft = await drafter.draft(bytes(final.audio.pcm), stable=stable, language=final.language)
                if draft is not None:
                    event = ev.DraftReceived(number, draft)
            except RequestRefused:
                event = ev.DraftSkipped(number, is_refused=True)
            except ParleyError:
                pass  # a draft may be missing; the final will say what is wrong
        await self.inbox.send(event)

    async def _score(self, number: int, revision: int, scope: anyio.CancelScope) -> None:
        assert self.engines.turn_detector is not None
        with scope:
            if self.engines.has_spare_capacity():
                await self.inbox.send(ev.ComputeIdle(number, revision))
            try:
                probability = await self.engines.turn_detector.end_of_turn_probability(bytes(self.turn_audio))
            except ParleyError:
                return  # words and silence decide, as where there is no turn detector
            await self.inbox.send(ev.EndOfTurnScored(number, revision, probability))

    # -- replies --------------------------------------------------------------

    def _perform_reply(self, effect: do.Effect) -> None:
        match effect:
            case do.StartReply(number, conversation, speak, profile):
                generator = self.engines.reply_generator(profile, partial(self._count, number))
                parts = generator.reply(conversation) if generator else _no_engine()
                voice = self._voice_of(profile) if speak else None
                self._start_reply(number, parts, voice, self.engines.max_reply_characters)
            case do.StartSpeakingText(number, text, profile):
                self._start_reply(number, known_text(text), self._voice_of(profile), len(text))
            case do.ReleaseReply(number):
                self.turn_audio.clear()
                if number in self.replies:
                    self.replies[number].released.set()
            case do.CancelReply(number):
                if number in self.replies:
                    self.replies.pop(number).scope.cancel()
            case do.EndTurnUnanswered():
                self.turn_audio.clear()
            case _:
                pass  # the rest is for the client, the recorder and the log

    def _voice_of(self, profile: Profile | None) -> SpeechSynthesizer | None:
        if self.engines.synthesizer is None or profile is None or profile.voice is None:
            return self.engines.synthesizer
        return NamedVoice(self.engines.synthesizer, profile.voice)

    def _start_reply(
        self,
        number: int,
        parts: AsyncGenerator[str | ToolCall, None],
        voice: SpeechSynthesizer | None,
        max_characters: int,
    ) -> None:
        self.replies[number] = reply = RunningReply()
        self.tasks.start_soon(self._reply, number, reply, parts, voice, max_characters)

    async def _reply(
        self,
        number: int,
        reply: RunningReply,
        parts: AsyncGenerator[str | ToolCall, None],
        voice: SpeechSynthesizer | None,
        max_characters: int,
    ) -> None:
        with reply.scope:
            await run_reply(
                number,
                parts,
                voice,
                reply.released,
                self.inbox,
                max_characters=max_characters,
                usage=lambda: reply.usage,
            )
        self.replies.pop(number, None)

    def _count(self, number: int, engine: str, usage: TokenUsage, usd: float) -> None:
        """A call of an engine for this reply is over."""
        if (reply := self.replies.get(number)) is not None:
            reply.usage = usage if reply.usage is None else reply.usage + usage
        self.record_cost(number, engine, usage, usd)

    # -- time -----------------------------------------------------------------

    async def _send_after(self, after_ms: float, event: ev.TimerEvent) -> None:
        await self.clock.sleep_until(self.clock.now() + after_ms / 1000)
        await self.inbox.send(event)


async def _no_engine() -> AsyncGenerator[str, None]:
    """The reply of a service without a reply engine: a client may ask for one all the same."""
    raise ProviderRefused("replies", "this server has no reply engine")
    yield ""
