"""The recorder: audio and events of one session reach the disk in order and in time."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace

import anyio
import msgspec
import pytest

from app.domain.audio import AudioChunk
from app.domain.dialog import effects as do
from app.domain.transcript import Hypothesis, Word
from app.runtime.recording.journal import JOURNAL, SessionOpened
from app.runtime.recording.recorder import Recorder
from tests.fakes import MemorySessionLog

pytestmark = pytest.mark.anyio
PACKET = 640
"""Samples: 40 ms."""


async def nothing(_log: str) -> None:
    """Meanwhile nothing happens."""


@dataclass
class SlowSessionLog(MemorySessionLog):
    """Each append takes as long as what happens meanwhile, which is told the log's name."""

    meanwhile: Callable[[str], Awaitable[None]] = nothing
    order: list[tuple[str, bytes]] = field(default_factory=list)

    async def append(self, session: str, log: str, records) -> None:
        await self.meanwhile(log)
        await super().append(session, log, records)
        self.order += [(log, record) for record in records]

    def journalled(self, tag: bytes) -> int:
        return sum(tag in record for log, record in self.order if log == JOURNAL)


def recorder_on(session_log) -> Recorder:
    return Recorder(session_log, SessionOpened("one", "2026-01-02T12:00:00.000+00:00", "flac"), write_interval_s=0.0)


def final(number: int) -> do.ShowFinal:
    end = 50 * number * PACKET
    return do.ShowFinal(1, number, Hypothesis("words", is_final=True), end - 2000, end - 100, end)


async def test_finals_reach_the_journal_while_audio_flows_on_a_slow_disk():
    """Two packets arrive during each append: nine of ten finals are on the disk before the audio ends."""
    session_log = SlowSessionLog()
    recorder = recorder_on(session_log)
    packets = iter(range(501))
    audio_ended, journalled = anyio.Event(), []

    async def speak(_log: str = "") -> None:
        for _ in range(2):
            if (number := next(packets, None)) is None:
                journalled.append(session_log.journalled(b'"final"'))
                audio_ended.set()
                return
            await recorder.write_audio(AudioChunk(bytes(2 * PACKET), number * PACKET))
            if number and number % 50 == 0:
                recorder.record(final(number // 50), None)

    session_log.meanwhile = speak
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(recorder.run)
        await speak()
        await audio_ended.wait()
        tasks.cancel_scope.cancel()

    assert journalled[0] >= 9


async def test_journalled_reply_has_all_of_its_audio_on_the_disk():
    """Its tail and its end come while the audio before is written."""
    session_log = SlowSessionLog()
    recorder = recorder_on(session_log)
    await recorder.write_audio(AudioChunk(bytes(2 * PACKET), 0))
    recorder.record(do.ShowReplyStart(1, "hi"), None)
    recorder.record(do.PlayAudio(1, AudioChunk(b"head", 0)), None)

    async def end_of_reply(log: str) -> None:
        if log == "reply-0001" and not session_log.journalled(b'"replied"') and (1, "tail") not in seen:
            seen.append((1, "tail"))
            recorder.record(do.PlayAudio(1, AudioChunk(b"tail", 2)), None)
            recorder.record(do.ShowReply(1, "Hello."), None)

    seen = []
    session_log.meanwhile = end_of_reply
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(recorder.run)
        with anyio.fail_after(5):
            while not session_log.journalled(b'"replied"'):
                await anyio.lowlevel.checkpoint()
        before = session_log.order[
            : next(n for n, (_, record) in enumerate(session_log.order) if b'"replied"' in record)
        ]
        tasks.cancel_scope.cancel()

    assert b"".join(record for log, record in before if log == "reply-0001") == b"headtail"


async def test_reply_under_way_at_session_end_is_recorded_as_cancelled():
    """With its text as far as it was sent, once."""
    session_log = SlowSessionLog()
    recorder = recorder_on(session_log)
    await recorder.write_audio(AudioChunk(bytes(2 * PACKET), 0))
    recorder.record(do.ShowReplyStart(3, "hi"), None)
    recorder.record(do.ShowReplyDelta(3, "Well, "), None)
    recorder.record(do.PlayAudio(3, AudioChunk(b"head", 0)), None)

    await recorder.finish("2026-01-02T12:01:00.000+00:00")

    (entry,) = [record for log, record in session_log.order if log == JOURNAL and b'"replied"' in record]
    assert b'"turn":3,"text":"Well,","cancelled":"session_ended"' in entry
    assert session_log.records["one"]["reply-0001"] == [b"head"]


async def test_closed_reply_is_not_cancelled_again_at_session_end():
    """Nor is one that was complete."""
    session_log = SlowSessionLog()
    recorder = recorder_on(session_log)
    await recorder.write_audio(AudioChunk(bytes(2 * PACKET), 0))
    for turn, end in ((1, do.ShowReply(1, "Hello.")), (2, do.RecordReplyCancelled(2, "disconnected"))):
        recorder.record(do.ShowReplyStart(turn, "hi"), None)
        recorder.record(do.ShowReplyDelta(turn, "Hello."), None)
        recorder.record(end, None)

    await recorder.finish("2026-01-02T12:01:00.000+00:00")

    assert session_log.journalled(b'"replied"') == 2
    assert session_log.journalled(b'"cancelled":"disconnected"') == 1
    assert session_log.journalled(b'"cancelled":"session_ended"') == 0


async def test_the_words_of_a_final_are_recorded_in_samples_of_the_session():
    """An engine counts from the utterance's first sample."""
    session_log = SlowSessionLog()
    shown = do.ShowFinal(1, 1, Hypothesis("hi", is_final=True, words=(Word("hi", 100, 300, 0.75),)), 0, 500, PACKET)
    recorder = recorder_on(session_log)
    for number in range(3):
        await recorder.write_audio(AudioChunk(bytes(2 * PACKET), number * PACKET))
    recorder.record(replace(shown, start=PACKET, speech_end=PACKET + 500, end=2 * PACKET), None)
    await recorder.finish("2026-01-02T12:00:01.000+00:00")

    entry = next(record for log, record in session_log.order if log == JOURNAL and b'"final"' in record)
    assert msgspec.json.decode(entry)["final"]["words"] == [
        {"text": "hi", "start": PACKET + 100, "end": PACKET + 300, "confidence": 0.75}
    ]
