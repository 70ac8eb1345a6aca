"""Batch transcription: split a recording at its pauses, and transcribe each segment of speech."""

from collections.abc import AsyncGenerator, AsyncIterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace

from app.domain.audio import AudioChunk, PreRoll, ms
from app.domain.dialog.endpointing import Boundary, Endpointer, EndpointingRules
from app.domain.errors import ProviderError
from app.domain.ports import RememberingLanguage, SpeakerEmbedder, SpeechDetector, Transcriber, expecting
from app.domain.recording.subtitles import Segment
from app.domain.speakers import Speakers
from app.domain.transcript import moved

RULES = EndpointingRules(end_after_ms=700, end_after_complete_ms=700)
"""Longer pauses than in a conversation, because nobody waits: more context, better accuracy."""


@dataclass(frozen=True, slots=True)
class BatchTranscriber:
    """The engines that transcribe whole recordings, all of them on this machine."""

    detector: SpeechDetector
    transcriber: Transcriber
    language: str | None
    """Spoken language where the request names none; None: it is detected."""
    model: str = ""
    """Name of the transcriber's model."""
    embedder: SpeakerEmbedder | None = None
    """What tells speakers apart; None: nobody does."""

    def transcribe(
        self, audio: AsyncIterable[AudioChunk], *, language: str | None = None, key_terms: Sequence[str] = ()
    ) -> AsyncGenerator[Segment, None]:
        """As transcribe_recording() does, by an engine that expects the key terms where it can."""
        return transcribe_recording(
            audio,
            detector=self.detector,
            transcriber=expecting(self.transcriber, key_terms),
            language=language or self.language,
            embedder=self.embedder,
        )


@dataclass(frozen=True, slots=True)
class SpeechSegment:
    """Speech between two pauses, pre-roll included."""

    audio: AudioChunk
    speech_end: int
    """Behind the last sample that was speech."""
    speech_start: int


async def transcribe_recording(
    audio: AsyncIterable[AudioChunk],
    *,
    detector: SpeechDetector,
    transcriber: Transcriber,
    language: str | None = None,
    embedder: SpeakerEmbedder | None = None,
) -> AsyncGenerator[Segment, None]:
    """Each segment of speech that has words in it, in order, as soon as it is transcribed; with its speaker's label.

    Raises what the detector and the transcriber raise.
    """
    if isinstance(transcriber, RememberingLanguage):
        transcriber = transcriber.for_recording()
    labels = _SpeakerLabels(embedder)
    async with aclosing(speech_segments(audio, detector)) as found:
        async for segment in found:
            async with aclosing(transcriber.transcribe(_once(segment.audio), language=language)) as hypotheses:
                async for hypothesis in hypotheses:
                    if hypothesis.is_final and hypothesis.text.strip():
                        yield Segment(
                            segment.audio.start,
                            segment.speech_end,
                            hypothesis.text.strip(),
                            hypothesis.language,
                            moved(hypothesis.words, segment.audio.start),
                            await labels.of(segment),
                        )


@dataclass(slots=True)
class _SpeakerLabels:
    """The labels of one recording."""

    embedder: SpeakerEmbedder | None
    speakers: Speakers = field(default=Speakers())

    async def of(self, segment: SpeechSegment) -> int | None:
        """None where the embedder is off, or fails: the text is there all the same."""
        if self.embedder is None:
            return None
        try:
            voice = await self.embedder.embed(segment.audio.pcm)
        except ProviderError:
            return None
        self.speakers, label = self.speakers.label(voice, segment.speech_end - segment.speech_start)
        return label


async def speech_segments(
    audio: AsyncIterable[AudioChunk], detector: SpeechDetector
) -> AsyncGenerator[SpeechSegment, None]:
    """Speech from pause to pause; no segment is longer than an utterance may be (EndpointingRules)."""
    endpointer, pre_roll = Endpointer(RULES), PreRoll(ms(300))
    pcm, start = bytearray(), 0
    async with aclosing(detector.score(audio)) as scored_audio:
        async for scored in scored_audio:
            chunk = scored.chunk
            inside = endpointer.in_speech
            endpointer, boundary = endpointer.update(scored, end_after_ms=RULES.end_after_ms)
            if inside:
                pcm += chunk.pcm
            else:
                pre_roll = pre_roll.push(chunk)
            if boundary is Boundary.START:
                pcm = bytearray().join(c.pcm for c in pre_roll.chunks)
                start = pre_roll.chunks[0].start
                pre_roll = pre_roll.clear()
            elif boundary in (Boundary.END, Boundary.SPLIT):
                yield SpeechSegment(AudioChunk(bytes(pcm), start), endpointer.speech_end, endpointer.speech_start)
                pcm, start = bytearray(), chunk.end
    if endpointer.in_speech and pcm:
        yield SpeechSegment(AudioChunk(bytes(pcm), start), endpointer.speech_end, endpointer.speech_start)


async def _once(chunk: AudioChunk) -> AsyncGenerator[AudioChunk, None]:
    yield replace(chunk, start=0)
