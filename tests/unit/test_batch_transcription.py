"""Batch transcription: a recording is split at pauses."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass, field

import pytest

from app.domain.audio import AudioChunk, ms
from app.domain.errors import ProviderBusy
from app.domain.transcript import Word
from app.runtime.jobs.batch_transcription import speech_segments, transcribe_recording
from tests.fakes import SILENCE, SPEECH, ScriptedDetector, ScriptedEmbedder, ScriptedTranscriber

pytestmark = pytest.mark.anyio


@dataclass
class RememberingEngine(ScriptedTranscriber):
    """Notes its views, one for each recording."""

    views: list[ScriptedTranscriber] = field(default_factory=list)

    def for_recording(self) -> ScriptedTranscriber:
        self.views.append(ScriptedTranscriber())
        return self.views[-1]


async def recording(*frames: bytes) -> AsyncGenerator[AudioChunk, None]:
    at = 0
    for pcm in frames:
        yield (chunk := AudioChunk(pcm, at))
        at = chunk.end


async def test_batch_transcription_makes_one_segment_per_utterance():
    """Its times are those of the recording, and the pre-roll comes along."""
    frames = [*[SILENCE] * 20, *[SPEECH] * 20, *[SILENCE] * 40, *[SPEECH] * 20, *[SILENCE] * 40]

    segments = [
        s
        async for s in transcribe_recording(
            recording(*frames), detector=ScriptedDetector(), transcriber=ScriptedTranscriber()
        )
    ]

    assert [(s.text, s.end) for s in segments] == [("hello", ms(40 * 30)), ("hello", ms(100 * 30))]
    assert segments[0].start == ms(20 * 30 + 90 - 300)


async def test_words_of_a_recording_are_timed_in_it():
    """Not in their segment."""
    frames = [*[SILENCE] * 20, *[SPEECH] * 20, *[SILENCE] * 40, *[SPEECH] * 20, *[SILENCE] * 40]
    transcriber = ScriptedTranscriber(words=(Word("hello", 800, 1600, 0.5),))

    found = transcribe_recording(recording(*frames), detector=ScriptedDetector(), transcriber=transcriber)
    segments = [segment async for segment in found]

    assert len(segments) == 2
    assert [segment.words for segment in segments] == [
        (Word("hello", segment.start + 800, segment.start + 1600, 0.5),) for segment in segments
    ]


async def test_a_recording_is_one_session_of_an_engine_that_remembers_its_language():
    """The segments of another recording are another one's."""
    frames, engine = [*[SPEECH] * 20, *[SILENCE] * 40, *[SPEECH] * 20, *[SILENCE] * 40], RememberingEngine()

    for _ in range(2):
        found = transcribe_recording(recording(*frames), detector=ScriptedDetector(), transcriber=engine)
        assert [segment.text async for segment in found] == ["hello", "hello"]

    assert (engine.finals, [view.finals for view in engine.views]) == (0, [2, 2])


async def test_batch_transcription_keeps_speech_up_to_the_end():
    """The last word may have no silence behind it."""
    found = [s async for s in speech_segments(recording(*[SPEECH] * 20), ScriptedDetector())]

    assert [(s.audio.start, s.audio.end) for s in found] == [(0, ms(600))]


async def test_batch_transcription_splits_long_speech_without_a_gap():
    """A minute of unbroken speech comes as pieces that join."""
    found = [s async for s in speech_segments(recording(*[SPEECH] * 2000), ScriptedDetector())]

    assert len(found) == 3
    edges = [(s.audio.start, s.audio.end) for s in found]
    assert [end for _, end in edges[:-1]] == [start for start, _ in edges[1:]]
    assert edges[-1][1] == ms(60_000)


async def test_batch_transcription_of_silence_has_no_segments():
    """Nobody speaks, nothing is written."""
    transcriber = ScriptedTranscriber()

    segments = [
        s
        async for s in transcribe_recording(
            recording(*[SILENCE] * 100), detector=ScriptedDetector(), transcriber=transcriber
        )
    ]

    assert (segments, transcriber.finals) == ([], 0)


async def of_speakers(embedder, *frames):
    found = transcribe_recording(
        recording(*frames), detector=ScriptedDetector(), transcriber=ScriptedTranscriber(), embedder=embedder
    )
    return [segment.speaker async for segment in found]


async def test_segments_of_a_recording_have_speaker_labels():
    """By the voice of each; the next recording counts from 1 again."""
    utterance = [*[SPEECH] * 60, *[SILENCE] * 40]
    voices = ScriptedEmbedder([(1.0, 0.0), (0.0, 1.0), (1.0, 0.0)])

    assert await of_speakers(voices, *utterance * 3) == [1, 2, 1]
    assert await of_speakers(voices, *utterance) == [1]
    assert await of_speakers(None, *utterance) == [None]


async def test_a_recording_has_its_text_where_the_embedder_fails():
    """Without labels."""
    failing = ScriptedEmbedder(error=ProviderBusy("local", "is full"))

    assert await of_speakers(failing, *[SPEECH] * 60, *[SILENCE] * 40) == [None]
