"""Speech from several voices in an order, sentence by sentence: failover, timeouts, budgets."""

from collections.abc import AsyncGenerator, AsyncIterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field

import anyio
import structlog

from app.domain.audio import AudioChunk
from app.domain.errors import BudgetExhausted, ParleyError, ProviderDown, ProviderMisbehaved, RequestRefused
from app.domain.ports import SpeechSynthesizer
from app.domain.routing.cost import BudgetScope
from app.domain.routing.engine_failover import FailedCall, next_call
from app.domain.spending import CharacterPrice
from app.runtime.routing.engine_health import EngineHealth
from app.runtime.routing.ledger import Reservation
from app.runtime.routing.session_budget import SessionBudget
from app.runtime.supervision import report_defect

TEXT_ONLY = "replies are text only"
NOT_SPOKEN = "this text is not spoken"
PROBE = "Yes."
AUDIO_TIMEOUT_S = 10.0
"""A voice that gives no audio for so long, in the middle of a sentence or before it, has failed."""

_log = structlog.get_logger("parley.speech")


@dataclass(frozen=True, slots=True)
class Voice:
    """An open synthesizer and what it costs."""

    name: str
    synthesizer: SpeechSynthesizer
    price: CharacterPrice = CharacterPrice()
    is_reserve: bool = False
    """It serves only once a budget is spent."""


@dataclass(frozen=True, slots=True)
class VoicePool:
    """The voices, in their order; shared by all sessions."""

    voices: Sequence[Voice]
    health: EngineHealth
    audio_timeout_s: float = AUDIO_TIMEOUT_S

    def order(self, exhausted: BudgetScope | None) -> Sequence[str]:
        """Raises BudgetExhausted where a budget is spent and every voice costs money."""
        return self.health.order(self.voices, exhausted, TEXT_ONLY)


async def probe_voice(voice: Voice, budget: SessionBudget) -> bool:
    """Read the first audio of a word that nobody gets. False where it costs money and the budget is spent.

    Raises a ProviderError or RequestRefused.
    """
    if not voice.price.is_free and budget.exhausted() is not None:
        return False
    async with (
        aclosing(_only(PROBE)) as text,
        aclosing(voice.synthesizer.synthesize(text)) as speech,
    ):
        await anext(speech)
    budget.charge_probe(voice.name, voice.price.bill(len(PROBE)))
    return True


@dataclass(frozen=True, slots=True)
class FailoverSpeech:
    """A SpeechSynthesizer of one session.

    A sentence of which nothing was played is spoken by the next voice; of one that broke off the rest is lost. Where no
    voice is left the error is raised. A voice that failed is not asked again in the same reply.
    """

    pool: VoicePool
    budget: SessionBudget

    async def synthesize(
        self, text: AsyncIterable[str], *, voice: str | None = None
    ) -> AsyncGenerator[AudioChunk, None]:
        """Raises a ProviderError, RequestRefused or BudgetExhausted. `voice` is one of the first synthesizer's."""
        reply = ReplySpeech(self.pool, self.budget, self.pool.order(self.budget.exhausted()), voice)
        position = 0
        try:
            async for piece in text:
                async with aclosing(reply.speak(piece)) as speech:
                    async for chunk in speech:
                        yield AudioChunk(chunk.pcm, position)
                        position += chunk.samples
        finally:
            reply.close()

    def error(self) -> BudgetExhausted | None:
        """Why a text of the client's choice is not spoken now; None where it may be."""
        has_free = any(each.price.is_free for each in self.pool.voices)
        return None if has_free else self.budget.error(NOT_SPOKEN)


@dataclass(slots=True)
class ReplySpeech:
    """The voices at work on one reply."""

    pool: VoicePool
    budget: SessionBudget
    order: Sequence[str]
    """Those that may still be asked."""
    wanted_voice: str | None
    speakers: dict[str, "Speaker"] = field(default_factory=dict)

    async def speak(self, piece: str) -> AsyncGenerator[AudioChunk, None]:
        """One sentence. Raises a ProviderError or RequestRefused where no voice is left."""
        failed: list[FailedCall] = []
        while call := next_call(self.order, failed):
            await anyio.sleep(call.after_s)
            speaker, began = self._speaker(call.engine), anyio.current_time()
            try:
                async with aclosing(speaker.speak(piece)) as speech:
                    async for chunk in speech:
                        yield chunk
            except ParleyError as error:
                failed.append(FailedCall(call.engine, error, anyio.current_time() - began))
                if speaker.has_audio:
                    self._leave_out(failed)
                if not (self.order if speaker.has_audio else next_call(self.order, failed)):
                    raise
                _log.warning("voice failed", engine=call.engine, code=getattr(error, "code", "internal_error"))
                if speaker.has_audio:
                    return
            else:
                self._leave_out(failed, but=call.engine)
                return

    def close(self) -> None:
        """The reply is over: record what it cost."""
        for speaker in self.speakers.values():
            if speaker.characters:
                self.budget.record_speech(speaker.voice.name, speaker.characters, speaker.reservation.usd)

    def _speaker(self, name: str) -> "Speaker":
        if name not in self.speakers:
            voice = next(each for each in self.pool.voices if each.name == name)
            wanted = self.wanted_voice if voice is self.pool.voices[0] else None
            self.speakers[name] = Speaker(self.pool, voice, wanted, self.budget.reserve(0.0))
        return self.speakers[name]

    def _leave_out(self, failed: Sequence[FailedCall], *, but: str = "") -> None:
        names = {call.engine for call in failed} - {but}
        self.order = [name for name in self.order if name not in names]


@dataclass(slots=True)
class Speaker:
    """One voice at work on one reply: its health, and the characters it is paid for."""

    pool: VoicePool
    voice: Voice
    wanted_voice: str | None
    reservation: Reservation
    characters: int = 0
    has_audio: bool = False
    """Of the newest sentence."""

    async def speak(self, piece: str) -> AsyncGenerator[AudioChunk, None]:
        """One sentence. Raises a ProviderError or RequestRefused."""
        health, name = self.pool.health, self.voice.name
        began, self.has_audio = anyio.current_time(), False
        first_ms, error = 0.0, None
        self._charge(len(piece))
        try:
            async with aclosing(self._chunks(piece)) as chunks:
                async for chunk in chunks:
                    if not self.has_audio:
                        self.has_audio, first_ms = True, (anyio.current_time() - began) * 1000
                    yield chunk
        except ParleyError as raised:
            error = raised
            if not self.has_audio:
                self._charge(-len(piece))
            raise
        finally:
            if error is not None and not isinstance(error, RequestRefused):
                health.failed(name)
            elif self.has_audio:
                health.answered(name, first_ms)
            elif error is None:
                health.abandoned(name, (anyio.current_time() - began) * 1000)

    async def _chunks(self, piece: str) -> AsyncGenerator[AudioChunk, None]:
        """What the voice gives, under the timeout."""
        async with (
            aclosing(_only(piece)) as text,
            aclosing(self.voice.synthesizer.synthesize(text, voice=self.wanted_voice)) as speech,
        ):
            while True:
                try:
                    with anyio.fail_after(self.pool.audio_timeout_s):
                        chunk = await anext(speech, None)
                except TimeoutError as error:
                    raise ProviderDown(self.voice.name, "went silent") from error
                except ParleyError:
                    raise
                except Exception as error:
                    report_defect("voice", error, engine=self.voice.name)
                    raise ProviderMisbehaved(self.voice.name, "raised an unexpected error") from error
                if chunk is None:
                    return
                yield chunk

    def _charge(self, characters: int) -> None:
        self.characters += characters
        self.reservation.settle(self.voice.price.bill(self.characters))


async def _only(piece: str) -> AsyncGenerator[str, None]:
    yield piece
