"""The local engine with real models: long sound, noise, many sessions, wrong folders."""

import shutil
import time
from contextlib import aclosing

import anyio
import numpy as np
import pytest

from app.domain.audio import SAMPLE_RATE
from app.domain.dialog.agreement import LocalAgreement
from app.domain.errors import ModelUnavailable, ProviderRefused
from providers.local.asr.whisper import open_whisper
from tests.clips import COUNTRY, HANDS, HOUR, NOISE, silence, word_error_rate
from tests.contracts.test_speech_detector import chunked
from tests.models import model

pytestmark = [pytest.mark.anyio, pytest.mark.models]

PAUSE = silence(0.8)


@pytest.fixture(scope="module")
async def engine():
    async with open_whisper(model=model("whisper-tiny.en"), device="cpu") as opened:
        yield opened


@pytest.fixture(scope="module")
async def worldly():
    async with open_whisper(model=model("whisper-base"), device="cpu") as opened:
        yield opened


async def final(engine, pcm, **options):
    async with aclosing(engine.transcribe(chunked(pcm, (8000,)), **options)) as hypotheses:
        return [one async for one in hypotheses][-1]


async def test_an_utterance_of_more_than_half_a_minute_keeps_every_word(engine):
    """Whisper hears thirty seconds at a time; the caller need not know."""
    clips = [HANDS, HOUR, COUNTRY] * 3
    pcm = b"".join(clip.pcm + PAUSE for clip in clips)

    heard = await final(engine, pcm)

    assert word_error_rate(" ".join(clip.words for clip in clips), heard.text) <= 0.2


async def test_a_recording_comes_in_pieces_with_the_time_of_every_word(engine):
    """Words stand where they were said, and progress reaches the end."""
    pcm = silence(5) + HANDS.pcm + silence(20) + COUNTRY.pcm
    reached = []

    async with aclosing(
        engine.transcribe_recording(pcm, language="en", progress=lambda done, total: reached.append((done, total)))
    ) as pieces:
        heard = [one async for one in pieces]

    words = [word for piece in heard for word in piece.words]
    assert word_error_rate(f"{HANDS.words} {COUNTRY.words}", " ".join(one.text for one in heard)) <= 0.2
    assert " ".join(word.text for word in words) == " ".join(one.text for one in heard)
    assert all(word.start <= word.end for word in words)
    assert words[0].start >= 4.5 * SAMPLE_RATE
    assert heard[1].words[0].start >= 28 * SAMPLE_RATE
    assert reached[-1] == (len(pcm) // 2, len(pcm) // 2)


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
async def test_sound_that_is_no_speech_has_no_words(engine, pcm):
    """Nothing is made up, and nothing breaks."""
    assert (await final(engine, pcm)).text == ""


async def test_a_snippet_of_speech_harms_nobody(engine):
    """50 ms out of a word, as a final and as a draft: few words or none, and an answer."""
    snippet = HANDS.pcm[32_000 : 32_000 + 1600]

    assert len((await final(engine, snippet)).text.split()) <= 3
    draft = await engine.for_session().draft(snippet)
    assert draft is None or len(draft.text.split()) <= 3


@pytest.mark.parametrize("seconds", [0.0, 0.05, 4.0])
async def test_a_draft_of_digital_silence_is_empty(engine, seconds):
    """Zeros have no logarithm, and still no words."""
    assert (await engine.for_session().draft(silence(seconds))).text == ""


async def test_clipped_speech_is_still_speech(engine):
    """A microphone turned up too far costs accuracy, not the session."""
    loud = np.clip(np.frombuffer(HANDS.pcm, "<i2").astype(np.int32) * 20, -32768, 32767).astype("<i2").tobytes()

    assert word_error_rate(HANDS.words, (await final(engine, loud)).text) <= 0.5


async def test_a_draft_of_a_long_utterance_costs_no_more_than_one_of_a_short_one(engine):
    """The window moves on over what is stable."""
    pcm = b"".join(clip.pcm for clip in (HANDS, COUNTRY, HOUR) * 2)
    session, agreed, longest = engine.for_session(), LocalAgreement(), 0
    for end in range(SAMPLE_RATE, len(pcm), SAMPLE_RATE):
        draft = await session.draft(pcm[:end], stable=agreed.stable_text, language="en")
        agreed = agreed.update(draft.text if draft else "")
        longest = max(longest, session.known.mel.power.shape[1] - session.known.begins)

    assert longest <= 1700
    assert word_error_rate(" ".join(clip.words for clip in (HANDS, COUNTRY, HOUR) * 2), agreed.text) <= 0.35


async def test_a_draft_that_nobody_waits_for_any_more_does_not_mix_with_the_next(engine):
    """It may still be running when the session's next utterance is drafted beside it."""
    session, texts = engine.for_session(), {}

    async def draft(clip):
        texts[clip] = (await session.draft(clip.pcm)).text

    for _ in range(3):
        async with anyio.create_task_group() as tasks:
            for clip in (HANDS, HOUR):
                tasks.start_soon(draft, clip)

        assert word_error_rate(HOUR.words, texts[HOUR]) <= 0.2
        assert texts[HANDS] == "" or word_error_rate(HANDS.words, texts[HANDS]) <= 0.2


async def test_an_english_model_refuses_another_language(engine):
    """It says so before it has heard a sample."""
    with pytest.raises(ProviderRefused, match="English only"):
        await final(engine, HANDS.pcm, language="de")


async def test_a_model_of_many_languages_finds_out_which_it_hears(worldly):
    """Nobody needs to say that this is English."""
    heard = await final(worldly, HANDS.pcm)

    assert heard.language == "en"
    assert word_error_rate(HANDS.words, heard.text) <= 0.2


async def test_drafts_and_finals_of_two_models_share_the_cores(engine, worldly):
    """Eight sessions at once all get their words, and the event loop never stands still."""
    lags, finals = [], []

    async def watch():
        while True:
            begun = time.monotonic()
            await anyio.sleep(0.01)
            lags.append(time.monotonic() - begun - 0.01)

    async def speak(clip):
        session, agreed = engine.for_session(), LocalAgreement()
        for end in range(2 * SAMPLE_RATE, len(clip.pcm), 2 * SAMPLE_RATE):
            draft = await session.draft(clip.pcm[:end], stable=agreed.stable_text)
            agreed = agreed.update(draft.text if draft else "")
        finals.append(word_error_rate(clip.words, (await final(worldly.for_session(), clip.pcm)).text))

    async with anyio.create_task_group() as watching:
        watching.start_soon(watch)
        async with anyio.create_task_group() as sessions:
            for clip in (HANDS, HOUR, HANDS, HOUR) * 2:
                sessions.start_soon(speak, clip)
        watching.cancel_scope.cancel()

    assert max(finals) <= 0.2
    assert sorted(lags)[int(0.95 * len(lags))] < 0.1


@pytest.mark.parametrize("name", ["model.bin", "config.json", "tokenizer.json"])
async def test_a_folder_without_one_of_its_files_says_which(tmp_path, name):
    """Whoever reads the sentence knows what to fetch."""
    shutil.copytree(model("whisper-tiny.en"), tmp_path / "model", copy_function=lambda a, b: None)
    for other in {"model.bin", "config.json", "tokenizer.json"} - {name}:
        (tmp_path / "model" / other).write_bytes(b"{}")

    with pytest.raises(ModelUnavailable, match=name):
        async with open_whisper(model=tmp_path / "model"):
            pass


async def test_a_damaged_model_says_so(tmp_path):
    """Not CTranslate2's words, ours."""
    folder = tmp_path / "model"
    shutil.copytree(model("whisper-tiny.en"), folder)
    (folder / "model.bin").write_bytes(b"\0" * 4096)

    with pytest.raises(ModelUnavailable, match="fetch the model again"):
        async with open_whisper(model=folder, device="cpu"):
            pass


async def test_hotwords_reach_the_decoder_within_their_room(worldly):
    """A list of a thousand names slows nobody down."""
    names = [f"Whittemore{n}" for n in range(1000)]
    async with open_whisper(model=model("whisper-tiny.en"), device="cpu", hotwords=names) as engine:
        assert word_error_rate(HANDS.words, (await final(engine, HANDS.pcm)).text) <= 0.5


async def test_the_self_test_tells_how_fast_the_model_is_here():
    """A sentence is decoded as a final and as a draft before the first session; a draft is the cheaper one."""
    async with open_whisper(model=model("whisper-tiny.en"), device="cpu", timed_on=HANDS.pcm) as engine:
        speed = engine.speed

    assert speed.sound_s == pytest.approx(len(HANDS.pcm) / 32_000)
    assert 0 < speed.draft_s < 2 * speed.final_s
    assert speed.rtf < 1


async def test_an_engine_that_nobody_wants_timed_is_only_warmed(engine):
    """`parley transcribe` begins at once."""
    assert engine.speed is None


async def test_half_a_sentence_is_heard_behind_the_other_half(worldly):
    """A session remembers what it said just before; its finals hold what is new and nothing twice."""
    session = worldly.for_session()
    half = len(COUNTRY.pcm) * 2 // 3 // 2 * 2
    texts = []
    for start, pcm in ((0, COUNTRY.pcm[:half]), (half // 2, COUNTRY.pcm[half:])):
        chunks = chunked(pcm, (4000,), first=start)
        async with aclosing(session.transcribe(chunks, language="en")) as hypotheses:
            texts.append([one async for one in hypotheses][-1].text)

    assert word_error_rate(COUNTRY.words, " ".join(texts)) <= 0.15
    assert all(texts)


async def test_silence_behind_speech_says_nothing(worldly):
    """What led up to it is not said again."""
    session = worldly.for_session()
    async with aclosing(session.transcribe(chunked(HANDS.pcm, (8000,)), language="en")) as hypotheses:
        assert [one async for one in hypotheses][-1].text
    quiet = chunked(silence(1), (16_000,), first=len(HANDS.pcm) // 2)
    async with aclosing(session.transcribe(quiet, language="en")) as hypotheses:
        assert [one async for one in hypotheses][-1].text == ""


async def test_a_final_knows_what_the_drafts_of_its_utterance_heard(engine, worldly):
    """Of this utterance only; of another one nothing is guessed."""
    drafter = engine.for_session()
    finals = worldly.for_session(drafter)
    draft = await drafter.draft(HANDS.pcm[:-16000], language="en")

    assert finals.guess(HANDS.pcm) == draft.text != ""
    assert finals.guess(HOUR.pcm) == ""
