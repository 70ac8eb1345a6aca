"""The local speech-to-text engine with real models: long audio, noise, many sessions, damaged folders."""

import shutil
import threading
import time
from contextlib import aclosing

import anyio
import numpy as np
import pytest

from app.domain.audio import SAMPLE_RATE
from app.domain.dialog.agreement import LocalAgreement
from app.domain.errors import ModelUnavailable, RequestRefused
from app.runtime.jobs.batch_transcription import transcribe_recording
from providers.local.asr.engine import SpeechEngine, open_speech_engine
from providers.local.asr.session import EngineParts
from providers.local.asr.whisper.recognizer import open_whisper_recognizer
from providers.local.inference_pool import InferencePool
from providers.local.scheduler import Priority, QueueLimits
from providers.local.thread_plan import ThreadPlan
from providers.local.vad.silero import load_network
from providers.local.vad.speech_segments import SpeechFinder
from providers.local.vad.webrtc import open_webrtc_vad
from tests.clips import COUNTRY, HANDS, HOUR, NOISE, silence, word_error_rate
from tests.contracts.test_speech_detector import chunked
from tests.models import model

pytestmark = [pytest.mark.anyio, pytest.mark.models]

PAUSE = silence(0.8)


@pytest.fixture(scope="module")
async def engine():
    async with open_speech_engine(model=model("whisper-tiny.en"), device="cpu") as opened:
        yield opened


@pytest.fixture(scope="module")
async def multilingual():
    async with open_speech_engine(model=model("whisper-base"), device="cpu") as opened:
        yield opened


async def final(engine, pcm, **options):
    async with aclosing(engine.transcribe(chunked(pcm, (8000,)), **options)) as hypotheses:
        return [one async for one in hypotheses][-1]


async def test_quiet_words_of_an_old_recording_are_not_taken_for_noise(multilingual):
    """ "ask not", cut out of the speech: the detector is in doubt of all but a few frames."""
    words = COUNTRY.pcm[2 * int(3.2 * SAMPLE_RATE) : 2 * int(4.3 * SAMPLE_RATE)]

    hypothesis = await final(multilingual, words, language="en")

    assert word_error_rate("ask not", hypothesis.text) == 0


async def test_utterance_longer_than_the_context_keeps_every_word(engine):
    """Whisper's context is thirty seconds; the caller need not know."""
    clips = [HANDS, HOUR, COUNTRY] * 3
    pcm = b"".join(clip.pcm + PAUSE for clip in clips)

    hypothesis = await final(engine, pcm)

    assert word_error_rate(" ".join(clip.words for clip in clips), hypothesis.text) <= 0.2


@pytest.fixture
def single_worker():
    """A pool of one worker thread, which runs one job after the other."""
    pool = InferencePool(1, QueueLimits())
    yield pool
    pool.close()


async def test_live_final_overtakes_an_upload_that_was_queued_first(single_worker):
    """A recording's passes wait for every live final: the live speaker has an answer before the file has its first."""
    opened = open_whisper_recognizer(model("whisper-tiny.en"), device="cpu", compute_type="int8", plan=ThreadPlan(1, 1))
    engine = SpeechEngine(EngineParts(opened, single_worker, SpeechFinder(load_network())), beam_size=1)
    finished = []

    async def upload(detector):
        chunks = chunked(silence(1) + COUNTRY.pcm + silence(1), (8000,))
        found = transcribe_recording(chunks, detector=detector, transcriber=engine.for_batch(), language="en")
        async with aclosing(found) as segments:
            finished.extend([("upload", segment.text) async for segment in segments])

    async def speak():
        finished.append(("live", (await final(engine.for_session(), HANDS.pcm, language="en")).text))

    running, resume = threading.Event(), threading.Event()
    async with open_webrtc_vad() as detector, anyio.create_task_group() as tasks:
        tasks.start_soon(occupy, single_worker, running, resume)
        await anyio.to_thread.run_sync(running.wait)
        tasks.start_soon(upload, detector)
        await queued(engine, 1)
        tasks.start_soon(speak)
        await queued(engine, 2)
        resume.set()

    (first, live_text), *uploaded = finished
    assert first == "live"
    assert word_error_rate(HANDS.words, live_text) <= 0.2
    assert word_error_rate(COUNTRY.words, " ".join(text for _, text in uploaded)) <= 0.2


async def occupy(pool, running, resume):
    """Keep the pool's only worker busy until `resume`."""

    def wait(requests):
        running.set()
        assert resume.wait(20)
        return requests

    await pool.run(wait, None, priority=Priority.FINAL, session="busy", kind="busy")


async def queued(engine, count):
    with anyio.fail_after(20):
        while engine.queued < count:
            await anyio.lowlevel.checkpoint()


@pytest.mark.parametrize(
    "pcm",
    [
        NOISE.pcm,
        b"\xff\x7f" * SAMPLE_RATE,
        (b"\xff\x7f" * 40 + b"\x00\x80" * 40) * 400,
        np.random.default_rng(3).integers(-32768, 32767, 3 * SAMPLE_RATE).astype("<i2").tobytes(),
        b"\1",
    ],
    ids=["noise", "stuck at the top", "square wave", "full-scale noise", "half a sample"],
)
async def test_audio_without_speech_has_no_words(engine, pcm):
    """Nothing is made up, and nothing breaks."""
    assert (await final(engine, pcm)).text == ""


async def test_snippet_of_50_ms_has_few_words(engine):
    """50 ms out of a word, as a final and as a draft: few words or none, and an answer."""
    snippet = HANDS.pcm[32_000 : 32_000 + 1600]

    assert len((await final(engine, snippet)).text.split()) <= 3
    draft = await engine.for_session().draft(snippet)
    assert draft is None or len(draft.text.split()) <= 3


@pytest.mark.parametrize("seconds", [0.0, 0.05, 4.0])
async def test_draft_of_digital_silence_is_empty(engine, seconds):
    """Zeros have no logarithm, and still no words."""
    assert (await engine.for_session().draft(silence(seconds))).text == ""


async def test_clipped_speech_is_transcribed(engine):
    """A microphone turned up too far costs accuracy, not the session."""
    loud = np.clip(np.frombuffer(HANDS.pcm, "<i2").astype(np.int32) * 20, -32768, 32767).astype("<i2").tobytes()

    assert word_error_rate(HANDS.words, (await final(engine, loud)).text) <= 0.5


async def test_draft_window_moves_over_a_long_utterance(engine):
    """A draft of a long utterance costs no more than one of a short one."""
    pcm = b"".join(clip.pcm for clip in (HANDS, COUNTRY, HOUR) * 2)
    session, agreed, longest = engine.for_session(), LocalAgreement(), 0
    for end in range(SAMPLE_RATE, len(pcm), SAMPLE_RATE):
        draft = await session.draft(pcm[:end], stable=agreed.stable_text, language="en")
        agreed = agreed.update(draft.text if draft else "")
        longest = max(longest, session.draft_state.window)

    assert longest <= 17 * SAMPLE_RATE
    assert word_error_rate(" ".join(clip.words for clip in (HANDS, COUNTRY, HOUR) * 2), agreed.text) <= 0.35


async def test_overlapping_drafts_of_one_session_do_not_mix(engine):
    """A cancelled draft may still be running when the session's next utterance is drafted."""
    session, texts = engine.for_session(), {}

    async def draft(clip):
        draft = await session.draft(clip.pcm)
        texts[clip] = draft.text if draft else ""  # because the newer one may have replaced it

    for _ in range(3):
        async with anyio.create_task_group() as tasks:
            for clip in (HANDS, HOUR):
                tasks.start_soon(draft, clip)

        assert word_error_rate(HOUR.words, texts[HOUR]) <= 0.2
        assert texts[HANDS] == "" or word_error_rate(HANDS.words, texts[HANDS]) <= 0.2


async def test_english_model_refuses_a_request_in_another_language(engine):
    """It is the request's fault, not the engine's, and known before the first sample."""
    with pytest.raises(RequestRefused, match="English only"):
        await final(engine, HANDS.pcm, language="de")


async def test_multilingual_model_detects_the_language(multilingual):
    """Nobody needs to say that this is English."""
    hypothesis = await final(multilingual, HANDS.pcm)

    assert hypothesis.language == "en"
    assert word_error_rate(HANDS.words, hypothesis.text) <= 0.2


async def test_two_models_share_the_pool_without_blocking_the_event_loop(engine, multilingual):
    """Eight sessions at once all get their words, and the event loop never stands still."""
    lags, finals = [], []

    async def watch():
        while True:
            began = time.monotonic()
            await anyio.sleep(0.01)
            lags.append(time.monotonic() - began - 0.01)

    async def speak(clip):
        session, agreed = engine.for_session(), LocalAgreement()
        for end in range(2 * SAMPLE_RATE, len(clip.pcm), 2 * SAMPLE_RATE):
            draft = await session.draft(clip.pcm[:end], stable=agreed.stable_text)
            agreed = agreed.update(draft.text if draft else "")
        finals.append(word_error_rate(clip.words, (await final(multilingual.for_session(), clip.pcm)).text))

    async with anyio.create_task_group() as watching:
        watching.start_soon(watch)
        async with anyio.create_task_group() as sessions:
            for clip in (HANDS, HOUR, HANDS, HOUR) * 2:
                sessions.start_soon(speak, clip)
        watching.cancel_scope.cancel()

    assert max(finals) <= 0.2
    assert sorted(lags)[int(0.95 * len(lags))] < 0.1


@pytest.mark.parametrize("language", ["xx", "deu", "nospeech", "translate"])
async def test_multilingual_model_refuses_a_request_in_an_unknown_language(multilingual, language):
    """Drafts as well as finals; a special token of the model is no language."""
    with pytest.raises(RequestRefused, match=language):
        await final(multilingual, HANDS.pcm, language=language)
    with pytest.raises(RequestRefused, match=language):
        await multilingual.for_session().draft(HANDS.pcm, language=language)


@pytest.mark.parametrize("name", ["model.bin", "config.json", "tokenizer.json"])
async def test_model_folder_with_a_missing_file_is_unavailable(tmp_path, name):
    """Whoever reads the sentence knows what to fetch."""
    shutil.copytree(model("whisper-tiny.en"), tmp_path / "model", copy_function=lambda a, b: None)
    for other in {"model.bin", "config.json", "tokenizer.json"} - {name}:
        (tmp_path / "model" / other).write_bytes(b"{}")

    with pytest.raises(ModelUnavailable, match=name):
        async with open_speech_engine(model=tmp_path / "model"):
            pass


async def test_damaged_model_is_unavailable(tmp_path):
    """Not CTranslate2's words, ours."""
    folder = tmp_path / "model"
    shutil.copytree(model("whisper-tiny.en"), folder)
    (folder / "model.bin").write_bytes(b"\0" * 4096)

    with pytest.raises(ModelUnavailable, match="fetch the model again"):
        async with open_speech_engine(model=folder, device="cpu"):
            pass


async def test_self_test_measures_the_speed_of_the_model():
    """A sentence is decoded as a final and as a draft before the first session; a draft is the cheaper one."""
    async with open_speech_engine(model=model("whisper-tiny.en"), device="cpu", self_test_pcm=HANDS.pcm) as engine:
        speed = engine.speed

    assert speed.sound_s == pytest.approx(len(HANDS.pcm) / 32_000)
    assert 0 < speed.draft_s < 2 * speed.final_s
    assert speed.rtf < 1


async def test_engine_without_self_test_audio_has_no_speed(engine):
    """`parley transcribe` begins at once."""
    assert engine.speed is None


async def test_left_context_helps_the_second_half_of_a_sentence(multilingual):
    """A session remembers the utterance before; its finals hold what is new and nothing twice."""
    session = multilingual.for_session()
    half = len(COUNTRY.pcm) * 2 // 3 // 2 * 2
    texts = []
    for start, pcm in ((0, COUNTRY.pcm[:half]), (half // 2, COUNTRY.pcm[half:])):
        chunks = chunked(pcm, (4000,), first=start)
        async with aclosing(session.transcribe(chunks, language="en")) as hypotheses:
            texts.append([one async for one in hypotheses][-1].text)

    assert word_error_rate(COUNTRY.words, " ".join(texts)) <= 0.15
    assert all(texts)


async def test_silence_behind_left_context_has_no_words(multilingual):
    """The context is not transcribed again."""
    session = multilingual.for_session()
    async with aclosing(session.transcribe(chunked(HANDS.pcm, (8000,)), language="en")) as hypotheses:
        assert [one async for one in hypotheses][-1].text
    quiet = chunked(silence(1), (16_000,), first=len(HANDS.pcm) // 2)
    async with aclosing(session.transcribe(quiet, language="en")) as hypotheses:
        assert [one async for one in hypotheses][-1].text == ""


async def test_final_knows_the_draft_text_of_its_utterance(engine, multilingual):
    """Of this utterance only; for another one there is none."""
    drafter = engine.for_session()
    finals = multilingual.for_session(drafter)
    draft = await drafter.draft(HANDS.pcm[:-16000], language="en")

    assert finals.draft_text(HANDS.pcm) == draft.text != ""
    assert finals.draft_text(HOUR.pcm) == ""
