"""Whisper in this process: many sessions, one model, no thirty seconds of silence."""

from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Hashable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from anyio import to_thread

from app.domain.audio import BYTES_PER_SAMPLE, SAMPLE_RATE, AudioChunk
from app.domain.capacity import ModelSpeed
from app.domain.transcript import Hypothesis, Word, join
from providers.local.asr.decode import DecodeRequest
from providers.local.asr.fallback import DecodeResult, decode
from providers.local.asr.hallucination import Verdict
from providers.local.asr.left_context import PreviousUtterance, strip_context
from providers.local.asr.session import EngineParts, SessionWhisper
from providers.local.asr.tokens import prompt_tokens
from providers.local.asr.whisper_model import load, translated, within_memory
from providers.local.inference_pool import CUDA_BATCH, shared_pool, thread_plan, usable_cores
from providers.local.mel import samples_of
from providers.local.scheduler import Priority
from providers.local.self_test import noise, speed
from providers.local.vad.silero import load_network
from providers.local.vad.speech_segments import Span, SpeechFinder, chunk_segments

_LONGEST = 28 * SAMPLE_RATE
"""Samples decoded at once; Whisper hears 30 s."""

_WANTED = 15 * SAMPLE_RATE
"""Samples up to which the pieces of a longer sound are joined: short contexts are cheaper by the second."""

Progress = Callable[[int, int], None]
"""Told how many samples of how many are done."""


@dataclass(frozen=True, slots=True)
class _TranscriptionRequest:
    """A stretch of sound to be decoded, and how."""

    pcm: bytes
    ask: DecodeRequest
    before: bytes = b""
    """Sound to hear in front of it, whose words are known."""


class WhisperEngine:
    """A Transcriber, and the drafts of every session, over one model.

    All engines of the process share its cores: finals go first, whichever model they need.
    """

    def __init__(self, equipment: EngineParts, *, beam_size: int, prompt: tuple[int, ...]) -> None:
        self._equipment = equipment
        self._model, self._cores, self._voice = equipment.model, equipment.cores, equipment.voice
        self._wish = DecodeRequest(np.zeros((0, 0), np.float32), prompt=prompt, beam_size=beam_size)
        self.speed: ModelSpeed | None = None
        """How fast this model is here, where the opener was given a sentence to time it with."""

    @property
    def note(self) -> str:
        """What an operator should know about the device; empty when all is as wished."""
        return self._model.note

    @property
    def device(self) -> str:
        return self._model.device

    @property
    def compute_type(self) -> str:
        return self._model.compute_type

    @property
    def queued(self) -> int:
        """Pieces of speech that wait for the cores, of all engines."""
        return self._cores.queued

    @property
    def idle(self) -> bool:
        """Whether a pass of any engine would begin at once, beside a question whether someone is done."""
        return self._cores.idle

    def for_session(self, drafter: SessionWhisper | None = None) -> SessionWhisper:
        """The engine for one session: its newer draft replaces its older one, and its finals take turns.

        Its finals are sooner there with what its `drafter` heard, where drafts come from another engine.
        """
        return SessionWhisper(self._equipment, self._transcribe, drafter)

    async def draft(self, pcm: bytes, *, stable: str = "", language: str | None = None) -> Hypothesis | None:
        """A draft of no session in particular; `for_session` gives cheaper ones."""
        return await self.for_session().draft(pcm, stable=stable, language=language)

    def transcribe(
        self, utterance: AsyncIterable[AudioChunk], *, language: str | None = None
    ) -> AsyncGenerator[Hypothesis, None]:
        """One final, when the utterance has ended; an utterance of minutes gives interims on the way."""
        return self._transcribe(utterance, self.for_session(), language)

    async def _transcribe(
        self, utterance: AsyncIterable[AudioChunk], session: SessionWhisper, language: str | None
    ) -> AsyncGenerator[Hypothesis, None]:
        self._model.tokenizer(language)
        with within_memory():
            begun = start = 0
            pcm = bytearray()
            done: list[Hypothesis] = []
            async for chunk in utterance:
                if not pcm:
                    begun = chunk.start
                pcm += chunk.pcm
                while len(pcm) > 2 * _LONGEST * BYTES_PER_SAMPLE:
                    spans = await self._spans(bytes(pcm))
                    keep = spans[-1].start if len(spans) > 1 else len(pcm) // BYTES_PER_SAMPLE
                    done += [h async for h in self._pieces(bytes(pcm), spans[:-1] or spans, start, session, language)]
                    del pcm[: keep * BYTES_PER_SAMPLE]
                    start += keep
                    yield replace(_whole(done, language), is_final=False)
            if not done and 0 < len(pcm) <= _LONGEST * BYTES_PER_SAMPLE:
                yield await self._utterance(bytes(pcm), begun, session, language)
                return
            rest = len(pcm) // BYTES_PER_SAMPLE
            spans = await self._spans(bytes(pcm)) if rest > _LONGEST else (Span(0, rest),) * bool(rest)
            done += [h async for h in self._pieces(bytes(pcm), spans, start, session, language)]
            yield _whole(done, language)

    async def _utterance(self, pcm: bytes, start: int, session: SessionWhisper, language: str | None) -> Hypothesis:
        """One that fits a window, behind what its session said just before."""
        lead = session.before.lead(start, len(pcm) // BYTES_PER_SAMPLE, language)
        drafted = session.guess(pcm)
        alone = replace(self._wish, language=language, guess=drafted)
        heard = None
        if lead.text:
            led = replace(alone, said=lead.text, guess=join((lead.text, drafted)))
            together = await self._decoded(pcm, led, Priority.FINAL, session, lead.pcm)
            new = strip_context(lead.text, together.text)
            # Sound in which nobody speaks has no text at all; one that was taken for nothing is heard again alone.
            heard = replace(together, text=new or "") if new or together.verdict is Verdict.SILENCE else None
        if heard is None:
            heard = await self._decoded(pcm, alone, Priority.FINAL, session)
        session.before = session.before.and_then(PreviousUtterance(start, pcm, language, heard.text))
        return _hypothesis(heard, 0)

    async def transcribe_recording(
        self,
        pcm: bytes,
        *,
        language: str | None = None,
        prompt: str = "",
        hotwords: Sequence[str] = (),
        progress: Progress | None = None,
    ) -> AsyncGenerator[Hypothesis, None]:
        """A recording of any length: one final hypothesis per stretch of speech, as soon as it is known.

        Its words carry their times, in samples from the recording's first. Live sessions go first.
        """
        self._model.tokenizer(language)
        total = len(pcm) // BYTES_PER_SAMPLE
        wish = replace(self._wish, timed=True)
        if prompt or hotwords:
            wish = replace(wish, prompt=prompt_tokens(self._model.tokens, prompt=prompt, hotwords=hotwords))
        session = object()
        for span in await self._spans(pcm):
            piece = pcm[span.start * BYTES_PER_SAMPLE : span.end * BYTES_PER_SAMPLE]
            heard = await self._decoded(piece, replace(wish, language=language), Priority.RECORDING, session)
            if progress is not None:
                progress(span.end, total)
            if heard.text:
                yield _hypothesis(heard, span.start)
        if progress is not None:
            progress(total, total)

    async def _pieces(
        self, pcm: bytes, spans: Sequence[Span], start: int, session: Hashable, language: str | None
    ) -> AsyncGenerator[Hypothesis, None]:
        for span in spans:
            piece = pcm[span.start * BYTES_PER_SAMPLE : span.end * BYTES_PER_SAMPLE]
            wish = replace(self._wish, language=language)
            yield _hypothesis(await self._decoded(piece, wish, Priority.FINAL, session), start + span.start)

    async def _decoded(
        self, pcm: bytes, ask: DecodeRequest, urgency: Priority, session: Hashable, before: bytes = b""
    ) -> DecodeResult:
        heard: DecodeResult = await self._cores.run(
            self._hear,
            _TranscriptionRequest(pcm, ask, before),
            urgency=urgency,
            session=session,
            kind=(id(self), urgency),
        )
        return heard

    async def _spans(self, pcm: bytes) -> tuple[Span, ...]:
        return await to_thread.run_sync(self._cut, pcm, abandon_on_cancel=True)

    def _cut(self, pcm: bytes) -> tuple[Span, ...]:
        with within_memory():
            sound = samples_of(pcm)
            return chunk_segments(self._voice.probabilities(sound), len(sound), longest=_LONGEST, wanted=_WANTED)

    def _hear(self, wishes: Sequence[_TranscriptionRequest]) -> list[DecodeResult]:
        """On a worker thread: silence is not even decoded."""
        with translated():
            answers = [DecodeResult() for _ in wishes]
            voiced = [n for n, wish in enumerate(wishes) if self._voice.anyone(samples_of(wish.pcm))]
            if voiced:
                asks = [self._ask(wishes[n]) for n in voiced]
                for n, heard in zip(voiced, decode(self._model, asks), strict=True):
                    answers[n] = heard
            return answers

    def _ask(self, wish: _TranscriptionRequest) -> DecodeRequest:
        return replace(wish.ask, power=self._model.filters.columns(samples_of(wish.before + wish.pcm)))

    def warm(self) -> None:
        """On any thread, before anyone else uses the engine: the first pass is the slowest."""
        sound = samples_of(noise())
        with translated():
            decode(self._model, [replace(self._wish, power=self._model.filters.columns(sound), careful=False)])

    def time_passes(self, sentence: bytes, at_once: int) -> ModelSpeed:
        """On any thread, before anyone else uses the engine: warm the model, then time it on PCM with speech in it.

        On CUDA, where passes run in batches, it is a batch that is timed.
        """
        batch = CUDA_BATCH if self.device == "cuda" else 1
        power = self._model.filters.columns(samples_of(sentence))

        def final() -> str:
            return self._hear([_TranscriptionRequest(sentence, self._wish)] * batch)[0].text

        def draft(known: str) -> str:
            with translated():
                return decode(self._model, [DecodeRequest(power, language="en", said=known, careful=False)] * batch)[
                    0
                ].text

        return speed(len(sentence) / BYTES_PER_SAMPLE / SAMPLE_RATE, final, draft, batch=batch, at_once=at_once)


def _hypothesis(heard: DecodeResult, start: int) -> Hypothesis:
    words = tuple(
        Word(
            word.text.strip(),
            start + int(word.start * SAMPLE_RATE),
            start + int(word.end * SAMPLE_RATE),
            word.probability,
        )
        for word in heard.words
    )
    return Hypothesis(heard.text, is_final=True, words=words, language=heard.language, confidence=heard.confidence)


def _whole(pieces: Sequence[Hypothesis], language: str | None) -> Hypothesis:
    """Several pieces as one final; it is as sure as its least sure piece."""
    said = [piece for piece in pieces if piece.text]
    return Hypothesis(
        join(piece.text for piece in said),
        is_final=True,
        words=tuple(word for piece in said for word in piece.words),
        language=language or next((piece.language for piece in said), None),
        confidence=min((piece.confidence for piece in said if piece.confidence is not None), default=None),
    )


@asynccontextmanager
async def open_whisper(
    *,
    model: Path,
    device: str = "auto",
    compute_type: str = "auto",
    threads: int = 0,
    beam_size: int = 1,
    prompt: str = "",
    hotwords: Sequence[str] = (),
    timed_on: bytes | None = None,
) -> AsyncIterator[WhisperEngine]:
    """Load the model and warm it: the first utterance is as fast as the second.

    `threads` are the cores it may use; 0 takes all that this process may run on.
    `timed_on` is PCM in which someone says an English sentence: with it the engine's `speed` is measured.
    """
    shares = thread_plan(usable_cores(), threads)
    loaded = await to_thread.run_sync(
        lambda: load(model, device=device, compute_type=compute_type, threads=shares.threads, workers=shares.workers)
    )
    voice = SpeechFinder(await to_thread.run_sync(load_network))
    workers = 1 if loaded.device == "cuda" else shares.workers
    async with shared_pool(loaded.device, workers) as cores:
        known = prompt_tokens(loaded.tokens, prompt=prompt, hotwords=hotwords)
        engine = WhisperEngine(EngineParts(loaded, cores, voice), beam_size=beam_size, prompt=known)
        if timed_on is None:
            await to_thread.run_sync(engine.warm)
        else:
            engine.speed = await to_thread.run_sync(engine.time_passes, timed_on, workers)
        yield engine
