"""Speech to text in this process: one model shared by many sessions."""

from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Hashable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from anyio import to_thread

from app.domain.audio import BYTES_PER_SAMPLE, SAMPLE_RATE, AudioChunk
from app.domain.capacity import ModelSpeed, PassTiming
from app.domain.transcript import Hypothesis, join
from providers.local.asr.hallucination import Verdict
from providers.local.asr.hypotheses import final_hypothesis, joined_final, without_context
from providers.local.asr.left_context import ContextAudio, PreviousUtterance, strip_context
from providers.local.asr.opening import open_recognizer
from providers.local.asr.recognizer import DecodeRequest, DecodeResult
from providers.local.asr.repair import is_believable
from providers.local.asr.second_opinion import MIN_WORD_PROBABILITY
from providers.local.asr.self_test import measure_speed
from providers.local.asr.session import BiasedSession, EngineParts, SpeechSession
from providers.local.asr.unread_speech import MAX_PIECES, is_speech, joined, request_for, unread_from
from providers.local.errors import translate_errors, translate_memory_error
from providers.local.inference_pool import CUDA_BATCH, shared_pool
from providers.local.mel import samples_of
from providers.local.scheduler import Priority
from providers.local.thread_plan import thread_plan, usable_cores
from providers.local.vad.silero import load_network
from providers.local.vad.speech_segments import Span, SpeechFinder, chunk_segments
from providers.local.warm_up import warm_up_pcm

_MAX_SAMPLES = 28 * SAMPLE_RATE
"""Samples decoded at once; a model's context is 30 s."""

_JOIN_UP_TO = 15 * SAMPLE_RATE
"""Samples up to which the chunks of longer audio are joined: short contexts are cheaper by the second."""


@dataclass(frozen=True, slots=True)
class _TranscriptionRequest:
    """Audio to decode, and how."""

    pcm: bytes
    template: DecodeRequest
    """Without samples."""

    context_pcm: bytes = b""
    """Audio in front of it, whose text is the template's prefix."""


class SpeechEngine:
    """A Transcriber, and a DraftTranscriber for each session, over one model.

    All engines of a device share one inference pool, which runs finals before drafts and both before recordings.
    """

    def __init__(self, parts: EngineParts, *, beam_size: int, priority: Priority = Priority.FINAL) -> None:
        """`priority` is that of the passes of `transcribe`."""
        self._parts = parts
        self._priority = priority
        self._template = DecodeRequest(np.zeros(0, np.float32), beam_size=beam_size, word_timestamps=True)
        self.speed: ModelSpeed | None = None
        """How fast this model is here, where the opener was given speech to measure it with."""

    @property
    def note(self) -> str:
        """What an operator should know about the device; empty when all is as configured."""
        return self._parts.recognizer.note

    @property
    def device(self) -> str:
        """`cpu` or `cuda`."""
        return self._parts.recognizer.device

    @property
    def compute_type(self) -> str:
        return self._parts.recognizer.compute_type

    def pass_timings(self, *, is_draft: bool) -> tuple[PassTiming, ...]:
        """The newest passes of live sessions, drafts or finals, oldest first."""
        return (self._parts.live_drafts if is_draft else self._parts.live_finals).timings

    @property
    def languages(self) -> frozenset[str]:
        """The codes of those that the model knows."""
        return self._parts.recognizer.languages

    @property
    def encoder_choice(self) -> str:
        """How the encoder computes on this processor, and why; empty where nothing was to choose."""
        return self._parts.recognizer.encoder_choice

    @property
    def queued(self) -> int:
        """Jobs that wait in the inference pool, of all engines."""
        return self._parts.pool.queued

    @property
    def oldest_wait_s(self) -> float:
        """How long the oldest of them has waited."""
        return self._parts.pool.oldest_wait_s

    @property
    def has_spare_capacity(self) -> bool:
        """Whether a pass of any engine would start at once."""
        return self._parts.pool.has_spare_capacity

    def for_session(self, drafter: SpeechSession | None = None) -> SpeechSession:
        """The engine for one session: it has left context, and its newer draft replaces its older one.

        `drafter` is the session at the engine that makes its drafts, where that is another one.
        """
        return SpeechSession(self._parts, self._transcribe, drafter)

    def for_batch(self) -> "SpeechEngine":
        """The engine for recordings: its passes wait for every live final, and for drafts up to five seconds."""
        return SpeechEngine(self._parts, beam_size=self._template.beam_size, priority=Priority.RECORDING)

    def for_recording(self) -> SpeechSession:
        """The engine for one recording: where it detects languages, the recording's last one is favoured."""
        return self.for_session()

    async def draft(self, pcm: bytes, *, stable: str = "", language: str | None = None) -> Hypothesis | None:
        """A draft that belongs to no session; those of `for_session` are cheaper."""
        return await self.for_session().draft(pcm, stable=stable, language=language)

    def with_key_terms(self, terms: Sequence[str]) -> BiasedSession:
        """The engine, expecting these words, for one utterance after another."""
        return self.for_session().with_key_terms(terms)

    def transcribe(
        self, utterance: AsyncIterable[AudioChunk], *, language: str | None = None
    ) -> AsyncGenerator[Hypothesis, None]:
        """One final, when the utterance has ended; an utterance of minutes has interim hypotheses on the way.

        Raises RequestRefused for a language the model does not know, ProviderBusy where too many jobs or too little
        memory are left, ProviderMisbehaved where the model fails.
        """
        return self._transcribe(utterance, self.for_session(), language, ())

    async def _transcribe(
        self,
        utterance: AsyncIterable[AudioChunk],
        session: SpeechSession,
        language: str | None,
        key_terms: tuple[str, ...],
    ) -> AsyncGenerator[Hypothesis, None]:
        self._parts.recognizer.require_language(language)
        template = replace(self._template, language=language, key_terms=key_terms, others_wait=self._finals_wait)
        with translate_memory_error():
            utterance_start = offset = 0
            pcm = bytearray()
            """From `offset` samples into the utterance on."""
            pieces: list[Hypothesis] = []
            async for chunk in utterance:
                if not pcm:
                    utterance_start = chunk.start
                pcm += chunk.pcm
                while len(pcm) > 2 * _MAX_SAMPLES * BYTES_PER_SAMPLE:
                    spans = await self._chunk_spans(bytes(pcm))
                    keep = spans[-1].start if len(spans) > 1 else len(pcm) // BYTES_PER_SAMPLE
                    complete = spans[:-1] or spans
                    pieces += [h async for h in self._pieces(bytes(pcm), complete, offset, session, template)]
                    del pcm[: keep * BYTES_PER_SAMPLE]
                    offset += keep
                    yield replace(joined_final(pieces, language), is_final=False)
            if not pieces and 0 < len(pcm) <= _MAX_SAMPLES * BYTES_PER_SAMPLE:
                yield await self._short_utterance(bytes(pcm), utterance_start, session, template)
                return
            rest = len(pcm) // BYTES_PER_SAMPLE
            spans = await self._chunk_spans(bytes(pcm)) if rest > _MAX_SAMPLES else (Span(0, rest),) * bool(rest)
            pieces += [h async for h in self._pieces(bytes(pcm), spans, offset, session, template)]
            yield joined_final(pieces, language)

    async def _short_utterance(
        self, pcm: bytes, start: int, session: SpeechSession, template: DecodeRequest
    ) -> Hypothesis:
        """An utterance that fits the model's context, decoded behind its session's left context."""
        language, samples = template.language, len(pcm) // BYTES_PER_SAMPLE
        known = session.known_language(language, samples)
        # A language that is to be detected is detected in this utterance's own audio.
        context = session.left_context.before(start, samples, known) if known else ContextAudio()
        draft_text = session.draft_text(pcm)
        spoken = language if known is None else known
        alone = replace(_follow(template, session), language=spoken, draft_text=draft_text)
        result = None
        if context.text:
            behind = replace(alone, prefix=context.text, draft_text=join((context.text, draft_text)))
            together = await self._decode(pcm, behind, session, context.pcm)
            new = strip_context(context.text, together.text)
            # Silence has no text at all; speech that added nothing to its context is decoded again alone.
            result = without_context(together, context, new) if new or together.verdict is Verdict.SILENCE else None
        if result is None:
            result = await self._decode(pcm, alone, session)
        session.left_context = session.left_context.add(PreviousUtterance(start, pcm, result.language, result.text))
        if result.text:
            session.remember_language(result.language)
        return final_hypothesis(result, 0)

    async def _pieces(
        self, pcm: bytes, spans: Sequence[Span], offset: int, session: SpeechSession, template: DecodeRequest
    ) -> AsyncGenerator[Hypothesis, None]:
        for span in spans:
            piece = pcm[span.start * BYTES_PER_SAMPLE : span.end * BYTES_PER_SAMPLE]
            result = await self._decode(piece, _follow(template, session), session)
            if result.text:
                session.remember_language(result.language)
            yield final_hypothesis(result, offset + span.start)

    async def _decode(
        self, pcm: bytes, template: DecodeRequest, session: Hashable, context_pcm: bytes = b""
    ) -> DecodeResult:
        is_recording = self._priority is Priority.RECORDING
        result: DecodeResult = await self._parts.pool.run(
            self._decode_batch if is_recording else self._decode_live,
            _TranscriptionRequest(pcm, template, context_pcm),
            priority=self._priority,
            session=session,
            kind=(id(self._parts), self._priority),
        )
        return result

    def _finals_wait(self) -> bool:
        return self._parts.pool.has_waiting_finals

    async def _chunk_spans(self, pcm: bytes) -> tuple[Span, ...]:
        return await to_thread.run_sync(self._find_chunks, pcm, abandon_on_cancel=True)

    def _find_chunks(self, pcm: bytes) -> tuple[Span, ...]:
        with translate_memory_error():
            samples = samples_of(pcm)
            probabilities = self._parts.speech_finder.probabilities(samples)
            return chunk_segments(probabilities, len(samples), max_samples=_MAX_SAMPLES, join_up_to=_JOIN_UP_TO)

    def _decode_live(self, requests: Sequence[_TranscriptionRequest]) -> list[DecodeResult]:
        """On a worker thread: finals of live sessions, whose time the capacity follows."""
        with self._parts.live_finals.timed(self._parts.pool, [request.pcm for request in requests]):
            return self._decode_batch(requests)

    def _decode_batch(self, requests: Sequence[_TranscriptionRequest]) -> list[DecodeResult]:
        """On a worker thread: audio without speech is not decoded."""
        with translate_errors():
            results = [DecodeResult() for _ in requests]
            finder = self._parts.speech_finder
            with_speech = [n for n, request in enumerate(requests) if finder.has_speech(samples_of(request.pcm))]
            if with_speech:
                decodable = [_with_samples(requests[n]) for n in with_speech]
                decoded = self._parts.recognizer.decode(decodable)
                for n, request, result in zip(with_speech, decodable, decoded, strict=True):
                    results[n] = self._believed(request, self._read_on(request, result))
            return results

    def _believed(self, request: DecodeRequest, result: DecodeResult) -> DecodeResult:
        """No text, where it is improbable and the detector was in doubt whether anybody speaks."""
        if not result.text or is_believable(result, is_speech_clear=False):
            return result
        if is_believable(result, is_speech_clear=self._parts.speech_finder.has_clear_speech(request.samples)):
            return result
        return replace(result, text="", words=(), verdict=Verdict.SILENCE)

    def _read_on(self, request: DecodeRequest, result: DecodeResult) -> DecodeResult:
        """With the words of speech that the decoder left unread, if there is any."""
        for _ in range(MAX_PIECES):
            start = unread_from(result, request)
            if start is None or not is_speech(self._parts.speech_finder.probabilities(request.samples[start:])):
                break
            rest = self._parts.recognizer.decode([request_for(request, start)])[0]
            longer = joined(result, rest, start)
            if longer is result:
                break
            result = longer
        return result

    def warm(self) -> None:
        """Run a first pass, which is the slowest. On any thread, before the engine is used."""
        with translate_errors():
            self._parts.recognizer.decode(
                [replace(self._template, samples=samples_of(warm_up_pcm()), allow_fallback=False)]
            )

    def measure_speed(self, pcm: bytes, workers: int) -> ModelSpeed:
        """Warm the model, then time finals and drafts of this speech. On any thread, before the engine is used.

        On CUDA, where passes run in batches, batches are timed.
        """
        batch = CUDA_BATCH if self.device == "cuda" else 1

        def final() -> str:
            return self._decode_batch([_TranscriptionRequest(pcm, self._template)] * batch)[0].text

        def draft(stable: str) -> str:
            request = DecodeRequest(samples_of(pcm), language="en", prefix=stable, allow_fallback=False)
            with translate_errors():
                return self._parts.recognizer.decode([request] * batch)[0].text

        return measure_speed(len(pcm) / BYTES_PER_SAMPLE / SAMPLE_RATE, final, draft, batch=batch, workers=workers)


def _follow(template: DecodeRequest, session: SpeechSession) -> DecodeRequest:
    """What to decode next in this session, whose language it may keep."""
    return replace(template, previous_language=session.spoken_language)


def _with_samples(request: _TranscriptionRequest) -> DecodeRequest:
    return replace(request.template, samples=samples_of(request.context_pcm + request.pcm))


@asynccontextmanager
async def open_speech_engine(
    *,
    model: Path,
    second_model: Path | None = None,
    second_opinion_below: float = MIN_WORD_PROBABILITY,
    device: str = "auto",
    compute_type: str = "auto",
    encoder_path: str = "auto",
    threads: int = 0,
    beam_size: int = 1,
    self_test_pcm: bytes | None = None,
) -> AsyncIterator[SpeechEngine]:
    """Load and warm the model in this folder. Raises ModelUnavailable.

    `second_model` is asked where `model` knows English only: for other languages, and for doubtful finals: those with
    a word less probable than `second_opinion_below`. `encoder_path` is how the encoder computes on a CPU, see
    `EncoderPath`; `auto` tests all paths once. `threads` are the cores it may use; 0: all that this process may run
    on. `self_test_pcm` is English speech, 16 kHz mono s16le: with it the engine's `speed` is measured.
    """
    plan = thread_plan(usable_cores(), threads)
    recognizer = await to_thread.run_sync(
        lambda: open_recognizer(
            model,
            second_model,
            device=device,
            compute_type=compute_type,
            plan=plan,
            encoder_path=encoder_path,
            second_opinion_below=second_opinion_below,
        )
    )
    speech_finder = SpeechFinder(await to_thread.run_sync(load_network))
    workers = 1 if recognizer.device == "cuda" else plan.workers
    async with shared_pool(recognizer.device, workers) as pool:
        engine = SpeechEngine(EngineParts(recognizer, pool, speech_finder), beam_size=beam_size)
        if self_test_pcm is None:
            await to_thread.run_sync(engine.warm)
        else:
            engine.speed = await to_thread.run_sync(engine.measure_speed, self_test_pcm, workers)
        yield engine
