"""One session end to end: engines are started, fed and closed, and its audio and words are recorded."""

import io
import itertools
from dataclasses import dataclass
from datetime import UTC, datetime

import anyio
import msgspec
import pytest
from structlog.testing import capture_logs

from app.domain.audio import ScoredChunk
from app.domain.dialog import effects as do
from app.domain.dialog import events as ev
from app.domain.dialog.state import DialogState, TurnRules
from app.domain.errors import ProviderBusy, ProviderDown
from app.domain.residency import Place
from app.domain.routing.route import Route
from app.media.decode import decode_trusted
from app.runtime.dialog.engines import Engines
from app.runtime.dialog.session import run_session
from app.runtime.dialog.telemetry import TurnTelemetry
from app.runtime.recording.uploader import Uploader
from providers.local.vad.frames import reframe
from tests.fakes import (
    SILENCE,
    SPEECH,
    Browser,
    EagerClock,
    MemoryBlobStore,
    MemorySessionLog,
    ScriptedDetector,
    ScriptedEmbedder,
    ScriptedGenerator,
    ScriptedSynthesizer,
    ScriptedTranscriber,
    ScriptedTurnDetector,
    SingleRouteFinals,
)

pytestmark = pytest.mark.anyio
LOCAL = Route("local", Place.ON_PREM)
TURN = (*[SPEECH] * 20, *[SILENCE] * 40)


class SessionUnderTest:
    """A session's surroundings, and what is left of it."""

    def __init__(
        self,
        transcriber=None,
        generator=None,
        synthesizer=None,
        *,
        live=False,
        rules=None,
        turns=None,
        detector=None,
        echo=None,
        drafter=None,
        embedder=None,
        max_reply_characters=1000,
        refuse_speech=lambda: None,
    ) -> None:
        self.transcriber = transcriber or ScriptedTranscriber()
        self.generator = generator or ScriptedGenerator()
        self.synthesizer = synthesizer or ScriptedSynthesizer()
        self.store = MemoryBlobStore()
        self.session_log = MemorySessionLog()
        self.live = live
        self.turns = turns
        self.detector = detector or ScriptedDetector()
        self.echo = echo
        self.embedder = embedder
        self.drafter = drafter or ScriptedTranscriber("draft")
        self.max_reply_characters = max_reply_characters
        self.refuse_speech = refuse_speech
        self.state = DialogState(rules or TurnRules(language="en"))

    async def run(self, browser: Browser, *, cancelled_after_s: float = 10) -> Browser:
        engines = Engines(
            self.detector,
            SingleRouteFinals(LOCAL, self.transcriber, live=self.live),
            self.drafter,
            self.generator,
            self.synthesizer,
            self.turns,
            echo=self.echo,
            embedder=self.embedder,
            max_reply_characters=self.max_reply_characters,
            refuse_speech=self.refuse_speech,
        )
        clock = EagerClock()
        uploader = Uploader(self.session_log, self.store, now=lambda: datetime(2026, 1, 2, tzinfo=UTC), chunk_ms=1000)
        with anyio.fail_after(10):
            async with uploader.running():
                with anyio.move_on_after(cancelled_after_s):
                    async with uploader.record_session("one", acknowledge=browser.acknowledge) as recorder:
                        telemetry = TurnTelemetry("one", clock)
                        await run_session(
                            browser, engines, self.state, clock=clock, recorder=recorder, telemetry=telemetry
                        )
        return browser

    @property
    def manifest(self) -> dict:
        return msgspec.json.decode(self.store.blobs["sessions/2026-01-02/one/manifest.json"])


async def test_one_turn_is_drafted_finalized_and_answered():
    """Speech, then silence, is drafted, finalised, answered in words and aloud."""
    session = SessionUnderTest()

    browser = await session.run(Browser(*TURN, do.ShowReply))

    assert {d.text for d in browser.got(do.ShowDraft)} == {"draft"}
    assert [f.hypothesis.text for f in browser.got(do.ShowFinal)] == ["hello"]
    assert browser.got(do.ShowReplyStart) == [do.ShowReplyStart(1, "hello")]
    assert "".join(d.text for d in browser.got(do.ShowReplyDelta)) == "You said it. Well done."
    assert session.synthesizer.spoken == ["You said it.", "Well done."]
    assert len(browser.got(do.PlayAudio)) == 2
    assert browser.got(do.ShowReply) == [do.ShowReply(1, "You said it. Well done.")]


async def test_speakers_are_told_apart_on_the_way_to_the_client_and_into_the_manifest():
    """Utterances long enough to tell, of two voices in turn."""
    long = [SPEECH] * 60 + [SILENCE] * 30
    voices = ScriptedEmbedder([(1.0, 0.0), (0.0, 1.0)])
    session = SessionUnderTest(rules=TurnRules(language="en", speakers=True, reply=False), embedder=voices)

    script = [*long, do.ShowFinal, *long, do.ShowFinal, *long, do.ShowFinal]
    browser = await session.run(Browser(*script))

    assert [final.speaker for final in browser.got(do.ShowFinal)] == [1, 2, 1]
    assert [final["speaker"] for final in session.manifest["finals"] if final["text"]] == [1, 2, 1]


async def test_a_speaker_label_that_comes_late_reaches_the_client_and_the_manifest():
    """Behind its final, which did not wait."""
    embedder = ScriptedEmbedder(go=anyio.Event())
    session = SessionUnderTest(rules=TurnRules(language="en", speakers=True, reply=False), embedder=embedder)

    class Waiting(Browser):
        def show(self, shown, *, ttfs_ms=None):
            if isinstance(shown, do.ShowFinal):
                embedder.go.set()
            super().show(shown, ttfs_ms=ttfs_ms)

    browser = await session.run(Waiting(*[SPEECH] * 60, *[SILENCE] * 30, do.ShowFinal, do.ShowSpeaker))

    assert [final.speaker for final in browser.got(do.ShowFinal)] == [None]
    assert browser.got(do.ShowSpeaker) == [do.ShowSpeaker(1, 1, 1)]
    assert [final["speaker"] for final in session.manifest["finals"] if final["text"]] == [1]


async def test_every_engine_is_closed_after_a_turn():
    """Nothing is left running."""
    session = SessionUnderTest()

    await session.run(Browser(*TURN, do.ShowReply))

    assert (session.transcriber.finals, session.transcriber.closed) == (1, 1)
    assert (session.synthesizer.closed, session.generator.cut_off) == (1, 0)


async def test_barge_in_closes_the_synthesizer():
    """Words over the reply close its engines."""
    session = SessionUnderTest(synthesizer=ScriptedSynthesizer(forever=True))

    browser = await session.run(Browser(*TURN, do.PlayAudio, *[SPEECH] * 20, do.ShowReplyCancelled))

    assert browser.got(do.ShowReplyCancelled) == [do.ShowReplyCancelled(1, "barge_in")]
    assert session.synthesizer.closed == 1


async def test_a_failed_final_shows_the_newest_draft():
    """An engine that is down costs quality, not words, and the session continues."""
    session = SessionUnderTest(ScriptedTranscriber(error=ProviderDown("local", "asked to fail")))

    browser = await session.run(Browser(*TURN, do.ShowReply))

    (final,) = browser.got(do.ShowFinal)
    assert (final.hypothesis.text, final.route) == ("draft", None)
    assert len(browser.got(do.ShowError)) == 1
    assert len(browser.got(do.ShowReply)) == 1


async def test_a_failed_reply_is_reported_and_cancelled():
    """The client reads why nothing is said, and may speak again."""
    session = SessionUnderTest(generator=ScriptedGenerator(("Well, ",), ProviderBusy("embedded", "asked to fail")))

    browser = await session.run(Browser(*TURN, do.ShowReplyCancelled))

    assert browser.got(do.ShowReplyCancelled) == [do.ShowReplyCancelled(1, "failed")]
    assert isinstance(browser.got(do.ShowError)[0].error, ProviderBusy)


async def test_a_reply_that_breaks_off_is_recorded_as_failed():
    """As far as it was sent, in the manifest as in what the client was told."""
    session = SessionUnderTest(generator=ScriptedGenerator(("Well, ", "I "), ProviderDown("openai", "asked to fail")))

    await session.run(Browser(*TURN, do.ShowReplyCancelled))

    (reply,) = session.manifest["replies"]
    assert (reply["text"], reply["cancelled"]) == ("Well, I", "failed")


async def test_a_reply_whose_voice_fails_goes_on_as_text():
    """The error is shown; no word of the text is lost."""
    voice = ScriptedSynthesizer(error=ProviderDown("polly", "asked to fail"), fails_after=1)
    session = SessionUnderTest(synthesizer=voice)

    browser = await session.run(Browser(*TURN, do.ShowReply))

    assert browser.got(do.ShowReply) == [do.ShowReply(1, "You said it. Well done.")]
    assert [shown.error for shown in browser.got(do.ShowError)] == [voice.error]
    assert voice.spoken == ["You said it."]


SCORED = TurnRules(score_end_of_turn=True)


async def test_the_turn_detector_gets_the_audio_of_this_turn_only():
    """In each pause, from the first sample of the turn on."""
    session = SessionUnderTest(rules=SCORED, turns=ScriptedTurnDetector())

    browser = await session.run(Browser(*TURN, do.ShowReply, *TURN, do.ShowReply))

    finals = browser.got(do.ShowFinal)
    assert len(finals) == len(session.turns.scored_samples) == 2
    for final, samples in zip(finals, session.turns.scored_samples, strict=True):
        assert final.speech_end - final.start < samples <= final.end - final.start


@pytest.mark.parametrize("error", [None, ProviderBusy("local", "asked to fail")])
async def test_a_busy_or_negative_turn_detector_delays_no_final(error):
    """Busy, or sure that the user goes on: the silence alone ends the utterance."""
    session = SessionUnderTest(rules=SCORED, turns=ScriptedTurnDetector(0.1, error))

    browser = await session.run(Browser(*TURN, do.ShowReply))

    assert [f.hypothesis.text for f in browser.got(do.ShowFinal)] == ["hello"]
    assert len(session.turns.scored_samples) == 1


async def test_a_live_route_is_streamed_the_utterance_once():
    """The engine is fed from the first sample on, and not asked twice."""
    session = SessionUnderTest(live=True)

    browser = await session.run(Browser(*TURN, do.ShowFinal))

    (final,) = browser.got(do.ShowFinal)
    assert session.transcriber.finals == 1
    assert session.transcriber.utterance_samples == [final.end - final.start]


async def test_a_dropped_speculative_final_is_cancelled():
    """Speech that resumes stops the final begun in the pause; the next one hears everything."""
    session = SessionUnderTest()

    browser = await session.run(Browser(*[SPEECH] * 20, *[SILENCE] * 7, *[SPEECH] * 10, *[SILENCE] * 20, do.ShowFinal))

    (final,) = browser.got(do.ShowFinal)
    assert final.wasted == 1
    assert session.transcriber.utterance_samples[-1] > session.transcriber.utterance_samples[0] + 30 * 16 * 10
    assert session.transcriber.finals == session.transcriber.closed == 2


async def test_messages_keep_their_place_in_the_audio():
    """`end` counts behind the audio sent before it, and before the audio sent after it."""
    session = SessionUnderTest()

    browser = await session.run(Browser(*[SPEECH] * 20, ev.ClientEnded(), do.ShowReply))

    (final,) = browser.got(do.ShowFinal)
    assert final.end == 20 * 480


async def test_every_sample_is_recorded_and_in_one_final():
    """The chunks and the finals each cover the whole session without a gap."""
    session = SessionUnderTest()

    await session.run(Browser(*TURN, do.ShowReply, *TURN, *[SILENCE] * 50))

    manifest = session.manifest
    assert manifest["samples"] == (60 + 60 + 50) * 480
    for covering in (manifest["chunks"], manifest["finals"]):
        edges = [(c["start"], c["end"]) for c in covering]
        assert edges[0][0] == 0
        assert edges[-1][1] == manifest["samples"]
        assert all(one[1] == other[0] for one, other in itertools.pairwise(edges))
    assert [f["text"] for f in manifest["finals"]] == ["hello", "hello", ""]
    assert manifest["replies"][0]["text"] == "You said it. Well done."
    assert manifest["ended"]


async def test_the_recording_holds_the_very_samples():
    """FLAC is lossless: what comes out is what went in."""
    session = SessionUnderTest()
    await session.run(Browser(*TURN, *[SPEECH] * 7))

    stored = [b"".join(decode_trusted(io.BytesIO(session.store.blobs[c["key"]]))) for c in session.manifest["chunks"]]

    assert b"".join(stored) == b"".join((*TURN, *[SPEECH] * 7))


async def test_a_client_that_disconnects_in_mid_speech_has_a_recorded_final():
    """Its last word has a final, though nobody is there to read it."""
    session = SessionUnderTest()

    await session.run(Browser(*[SPEECH] * 20))

    assert [(f["text"], f["end"]) for f in session.manifest["finals"]] == [("hello", 20 * 480)]


async def test_without_replies_no_turn_is_answered():
    """A transcription service is a session with replies turned off."""
    session = SessionUnderTest(rules=TurnRules(reply=False))

    browser = await session.run(Browser(*TURN, do.ShowFinal, *TURN))

    assert session.generator.asked == []
    assert len(browser.got(do.ShowFinal)) == 2


async def test_every_sample_is_acknowledged_in_the_end():
    """Acknowledged samples increase up to all that was sent."""
    browser = await SessionUnderTest().run(Browser(*TURN, do.ShowReply))

    assert browser.acknowledged == sorted(set(browser.acknowledged))
    assert browser.acknowledged[-1] == 60 * 480


async def test_a_blob_store_that_is_down_does_not_disturb_the_session():
    """The session goes on, all of it is on the disk, and nothing of it in the store."""
    session = SessionUnderTest()
    session.store.error = ProviderDown("filesystem", "asked to fail")

    browser = await session.run(Browser(*TURN, do.ShowReply, *TURN))

    assert len(browser.got(do.ShowFinal)) == 2
    assert browser.acknowledged[-1] == 120 * 480
    assert session.store.blobs == {}
    assert sum(
        len(r) - 8 for log, records in session.session_log.records["one"].items() if "audio" in log for r in records
    ) == (2 * 120 * 480)


async def test_without_consent_nothing_is_recorded():
    """`archive: false` before the audio: no file, no blob, no acknowledgement; the words are there all the same."""
    session = SessionUnderTest()

    browser = await session.run(Browser(ev.ClientConfigured(archive=False), *TURN, do.ShowReply))

    assert len(browser.got(do.ShowFinal)) == 1
    assert (session.session_log.records, session.store.blobs, browser.acknowledged) == ({}, {}, [])


async def test_consent_cannot_be_changed_after_the_first_audio():
    """It is too late then, and the client gets an error."""
    session = SessionUnderTest()

    browser = await session.run(Browser(SPEECH, ev.ClientConfigured(archive=False), *TURN, do.ShowFinal))

    assert browser.got(do.ShowError)[0].error.code == "bad_message"
    assert session.manifest["samples"] == 61 * 480


async def test_person_is_recorded_and_cannot_be_changed_after_the_first_audio():
    """The same person again is no error."""
    session = SessionUnderTest()
    named = [ev.ClientConfigured(person=person) for person in ("anna", "anna", "bert")]

    browser = await session.run(Browser(named[0], SPEECH, *named[1:], *TURN, do.ShowFinal))

    assert [shown.error.code for shown in browser.got(do.ShowError)] == ["bad_message"]
    assert session.manifest["person"] == "anna"


async def test_a_barge_in_while_a_complete_reply_plays_is_recorded_once():
    """One reply of the turn in the manifest, one line in the log, and the client is told to stop its sound."""
    session = SessionUnderTest()
    words_over_it = Browser(*TURN, do.ShowReply, *[SPEECH] * 20, do.StopPlayback)

    with capture_logs() as logs:
        browser = await session.run(words_over_it)

    assert browser.got(do.StopPlayback) == [do.StopPlayback(1, "barge_in")]
    assert browser.got(do.ShowReplyCancelled) == []
    assert [(r["turn"], r["text"]) for r in session.manifest["replies"]] == [(1, "You said it. Well done.")]
    assert [(line["turn"], line.get("cancelled")) for line in logs if line["event"] == "turn over"] == [(1, None)]


async def test_the_reply_under_way_at_a_disconnect_is_in_the_manifest():
    """With its text and its sound, as far as they were sent, and nothing more is sent."""
    session = SessionUnderTest(synthesizer=ScriptedSynthesizer(forever=True))

    browser = await session.run(Browser(*TURN, do.PlayAudio))

    (reply,) = session.manifest["replies"]
    assert (reply["turn"], reply["cancelled"]) == (1, "disconnected")
    assert reply["text"].startswith("You said it.")
    assert reply["samples"] == sum(played.chunk.samples for played in browser.got(do.PlayAudio))
    assert browser.got(do.ShowReplyCancelled) == []


async def test_the_words_of_a_session_that_is_cancelled_are_in_the_manifest():
    """A server that stops keeps what was said: the newest draft stands for the final."""
    session = SessionUnderTest(
        ScriptedTranscriber(go=anyio.Event()), rules=TurnRules(speculative_finals=False, reply_after_ms=10_000)
    )
    browser = Browser(*[SPEECH] * 20, do.ShowDraft, *[SILENCE] * 20, do.ShowReply)

    await session.run(browser, cancelled_after_s=0.3)

    assert [f["text"] for f in session.manifest["finals"]] == ["draft", ""]


async def test_end_takes_the_last_samples_into_the_final():
    """What a detector holds for its next frame comes before the `end`, not behind it."""
    session = SessionUnderTest(detector=FramingDetector(512))

    browser = await session.run(Browser(*[SPEECH] * 20, SPEECH[:200], ev.ClientEnded(), do.ShowReply))

    (final,) = browser.got(do.ShowFinal)
    assert (20 * 480) % 512 != 0
    assert final.end == 20 * 480 + 100


async def test_audio_after_an_end_begins_a_new_turn():
    """The detector goes on where the audio goes on; no sample is missing between the turns."""
    session = SessionUnderTest(detector=FramingDetector(512))

    browser = await session.run(
        Browser(*[SPEECH] * 20, ev.ClientEnded(), do.ShowReply, *TURN, do.ShowFinal, do.ShowReply)
    )

    first, second = browser.got(do.ShowFinal)
    assert first.end <= second.start
    assert session.manifest["samples"] == 80 * 480


async def test_without_replies_each_turn_has_a_log_line():
    """A transcription service has its timings in the log as well."""
    session = SessionUnderTest(rules=TurnRules(reply=False))

    with capture_logs() as logs:
        await session.run(Browser(*TURN, do.ShowFinal, *TURN, do.ShowFinal))

    lines = [line for line in logs if line["event"] == "turn over"]
    assert [(line["turn"], line["finals"]) for line in lines] == [(1, 1), (2, 1)]


async def test_a_reply_engine_that_ignores_its_limit_is_stopped():
    """The reply is complete at the limit, and the engine's generator is closed."""
    generator = ScriptedGenerator(("word ",) * 5000)
    session = SessionUnderTest(generator=generator, max_reply_characters=52)

    browser = await session.run(Browser(*TURN, do.ShowReply))

    assert browser.got(do.ShowReply) == [do.ShowReply(1, ("word " * 11)[:52].strip())]
    assert generator.cut_off == 1


async def test_an_eager_reply_that_fails_is_started_again_at_the_end_of_the_turn():
    """Nobody sees the first attempt."""
    generator = FailsOnce()
    session = SessionUnderTest(generator=generator)

    browser = await session.run(Browser(*TURN, do.ShowReply))

    assert generator.attempts == 2
    assert browser.got(do.ShowError) == browser.got(do.ShowReplyCancelled) == []


class FailsOnce:
    """The first reply fails before its first delta."""

    attempts = 0

    async def reply(self, conversation):
        self.attempts += 1
        await anyio.lowlevel.checkpoint()
        if self.attempts == 1:
            raise ProviderBusy("embedded", "asked to fail")
        yield "Here it is."


@dataclass
class FramingDetector:
    """Scores frames of so many samples, as the real detectors do; what is shorter is scored when the audio ends."""

    samples: int

    async def score(self, audio):
        async for frame in reframe(audio, self.samples):
            yield ScoredChunk(frame, float(frame.pcm[0] != 0))
