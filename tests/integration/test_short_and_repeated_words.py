"""Commands of one word that are cut tightly, and sentences said twice, with real models and synthetic voices."""

import re
import subprocess
from contextlib import aclosing
from functools import cache
from shutil import which

import numpy as np
import pytest
import soxr

from app.domain.transcript import bare_word
from providers.local.asr.engine import open_speech_engine
from providers.local.tts.piper import open_piper
from tests.clips import silence, word_error_rate
from tests.contracts.test_speech_detector import chunked
from tests.models import model
from tests.strict import missing

pytestmark = [pytest.mark.anyio, pytest.mark.models]

COMMANDS = re.findall(
    r"\w+",
    "Stop Two Yes No Hi Go Start Pause Play Help Next Back Cancel Okay Hello One Three Four Five Six Seven Eight Nine "
    "Ten Up Down Left Right Louder Repeat Continue Wait Thanks Goodbye Off Mute",
)
SENTENCES = ("Turn on the light.", "I would like a coffee.", "Please call me back tomorrow morning.")
NUMBERS = re.findall(r"\w+", "one two three four five six seven eight nine ten")
SAME = {str(number): word for number, word in enumerate(NUMBERS, 1)} | {
    "ok": "okay",
    "to": "two",
    "too": "two",
    "for": "four",
    "weight": "wait",
    "high": "hi",
    "good-bye": "goodbye",
}
"""Digits, and what sounds the same."""


@pytest.fixture(scope="module", params=["whisper-base", "moonshine-base-en"])
async def engine(request):
    async with open_speech_engine(model=model(request.param), device="cpu") as opened:
        yield opened


@pytest.fixture(scope="module")
async def piper():
    async with open_piper(model=model("piper-en_US-joe-medium")) as opened:
        yield opened


async def one(text):
    yield text


async def by_piper(piper, text):
    async with aclosing(piper.synthesize(one(text))) as speech:
        return tight(b"".join([chunk.pcm async for chunk in speech]))


@cache
def by_espeak(text):
    if which("espeak-ng") is None:
        missing("espeak-ng")
    wav = subprocess.run(["espeak-ng", "-v", "en-us", "--stdout", text], capture_output=True, check=True).stdout
    samples = soxr.resample(np.frombuffer(wav[44:], "<i2").astype(np.float32), 22_050, 16_000)
    return tight(np.clip(samples, -32768, 32767).astype("<i2").tobytes())


def tight(pcm):
    """Without what is 40 dB quieter than the loudest sample, on both sides."""
    samples = np.frombuffer(pcm, "<i2")
    loud = np.flatnonzero(np.abs(samples.astype(np.int32)) > 0.01 * np.abs(samples.astype(np.int32)).max())
    return samples[loud[0] : loud[-1] + 1].tobytes()


def plain(text):
    words = [bare_word(word) for word in text.split()]
    return " ".join(SAME.get(word, word) for word in words if word)


async def text_of(engine, pcm):
    async with aclosing(engine.transcribe(chunked(pcm, (8000,)), language="en")) as hypotheses:
        return plain([one.text async for one in hypotheses][-1])


async def test_short_words_with_nothing_around_them_are_these_words(engine, piper):
    """Piper never says a word twice alike: one of six may be taken for another word, none becomes a sentence."""
    words = ["Stop", "Three", "Eight", "Cancel", "Seven", "Yes"]
    texts = [await text_of(engine, await by_piper(piper, f"{word}.")) for word in words]

    assert sum(text == word.lower() for text, word in zip(texts, words, strict=True)) >= 5, texts
    assert all(len(text.split()) <= 2 for text in texts), texts


@pytest.mark.timeout(600)  # because 72 words are synthesized and transcribed
async def test_commands_cut_tightly_are_words_and_mostly_the_right_ones(engine, piper):
    """Two voices, of which Piper's never says a word twice alike; some have no ends to be told by ("up", "off")."""
    texts = {(word, "piper"): await text_of(engine, await by_piper(piper, word + ".")) for word in COMMANDS}
    texts |= {(word, "espeak"): await text_of(engine, by_espeak(word + ".")) for word in COMMANDS}

    lost_or_invented = {key: text for key, text in texts.items() if not 1 <= len(text.split()) <= 3}
    assert len(lost_or_invented) <= 0.06 * len(texts), lost_or_invented
    wrong = {key: text for key, text in texts.items() if text != plain(key[0])}
    assert len(wrong) <= 0.35 * len(texts), wrong


@pytest.mark.parametrize("pause", [0.0, 0.2, 0.4, 0.7, 1.0])
@pytest.mark.parametrize("sentence", SENTENCES)
async def test_a_sentence_said_twice_comes_twice(engine, piper, sentence, pause):
    """Whisper alone writes it once: its decoder ends where its training texts would."""
    once = await by_piper(piper, sentence)

    text = await text_of(engine, once + silence(pause) + once)

    assert word_error_rate(plain(f"{sentence} {sentence}"), text) <= 0.3, text


async def test_a_sentence_said_once_comes_once(engine, piper):
    for sentence in SENTENCES:
        text = await text_of(engine, await by_piper(piper, sentence) + silence(1.0))
        assert word_error_rate(plain(sentence), text) <= 0.3, text
