"""Whisper on onnxruntime, beside CTranslate2's, with real models."""

import json
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from providers.local.asr.context_schedule import context_schedule
from providers.local.asr.decode import DecodeRequest, asked_in_its_language, encode, generate
from providers.local.asr.fallback import decode
from providers.local.asr.transformer import graph_cache as networks
from providers.local.asr.transformer.encoder import adds_bytes_exactly
from providers.local.asr.whisper_model import load
from providers.local.mel import samples_of, scaled
from tests.clips import COUNTRY, HANDS, HOUR, NOISE, word_error_rate
from tests.models import model

pytestmark = pytest.mark.models

CLIPS = [HANDS, HOUR, COUNTRY]


@pytest.fixture(scope="module", params=["whisper-base", "whisper-tiny.en"])
def opened(request):
    return opened_from(model(request.param))


@pytest.fixture
def copied(tmp_path):
    """A model of one's own, without networks."""
    here = tmp_path / "model"
    shutil.copytree(model("whisper-tiny.en"), here, ignore=shutil.ignore_patterns(".*"))
    return here


def opened_from(folder):
    return load(folder, device="cpu", compute_type="int8", threads=1)


def written(opened, clip, **wishes):
    """What one pass writes, the tokens and the evidence."""
    ask = DecodeRequest(opened.filters.columns(samples_of(clip.pcm)), "en", **wishes)
    encoded = encode(opened, [scaled(ask.power, context_schedule(ask.power.shape[1])[0])])
    return generate(opened, encoded, [asked_in_its_language(opened, ask, encoded)])[0]


@pytest.mark.parametrize("clip", CLIPS, ids=lambda clip: clip.name)
def test_it_writes_what_ctranslate2_writes(opened, clip):
    """The same words and, within what 8 bits round, just as sure of them."""
    ours, theirs = (written(one, clip) for one in (opened, replace(opened, encoder=None, decoder=None)))

    assert opened.decoder is not None
    assert word_error_rate(theirs.evidence.text, ours.evidence.text) == 0
    assert ours.evidence.log_probability == pytest.approx(theirs.evidence.log_probability, abs=0.05)
    assert ours.evidence.no_speech == pytest.approx(theirs.evidence.no_speech, abs=0.05)
    assert not ours.evidence.ran_on


@pytest.mark.parametrize("clip", CLIPS, ids=lambda clip: clip.name)
@pytest.mark.parametrize("foreseen", ["right", "half", "wrong"])
def test_a_guess_changes_the_time_and_not_the_words(opened, clip, foreseen):
    """Right, right in part, or nothing to do with what was said: only the number of steps differs."""
    plain = written(opened, clip)
    words = plain.evidence.text.split()
    guess = {
        "right": " ".join(words),
        "half": " ".join([*words[: len(words) // 2], "nonsense", *words[len(words) // 2 + 2 :]]),
        "wrong": "It is a truth universally acknowledged that a single man must be in want of a wife.",
    }[foreseen]
    steps = []
    one = replace(opened, decoder=Counting(opened.decoder, steps))

    guessed = written(one, clip, guess=guess)

    assert guessed.evidence.text == plain.evidence.text
    assert len(steps) < len(plain.tokens) / 2 or foreseen != "right"
    assert len(steps) <= len(plain.tokens) + 1


class Counting:
    """A decoder whose steps are counted."""

    def __init__(self, decoder, steps):
        self._decoder, self._steps = decoder, steps

    def __getattr__(self, name):
        return getattr(self._decoder, name)

    def step(self, heard, past, tokens, at, rows):
        self._steps.append(len(tokens))
        return self._decoder.step(heard, past, tokens, at, rows)


def test_the_words_of_a_text_are_the_tokens_that_were_written(opened):
    """A guess, a prefix and a prompt go through the tokenizer, which must cut as the model does."""
    for clip in CLIPS:
        heard = written(opened, clip)
        assert tuple(opened.tokenizer("en").encode(" " + heard.evidence.text)) == heard.tokens


def test_words_that_are_known_are_read_in_one_step(opened):
    """Decoding goes on behind them."""
    words = COUNTRY.words.split()
    steps = []
    known = " ".join(words[:5])

    heard = written(replace(opened, decoder=Counting(opened.decoder, steps)), COUNTRY, said=known)

    assert heard.evidence.text.startswith(known)
    assert word_error_rate(COUNTRY.words, heard.evidence.text) <= 0.15
    assert steps[0] > 5
    assert len(steps) <= len(heard.tokens) - 4


@pytest.mark.parametrize("seconds", [1, 4, 30])
def test_it_hears_what_ctranslate2_hears(opened, seconds):
    """What the encoder makes of a sound, short or with all its silence, differs by what 8 bits round."""
    if opened.encoder is None:
        pytest.skip("this processor adds 8-bit integers with an overflow; CTranslate2 encodes")
    features = [scaled(opened.filters.columns(samples_of(HOUR.pcm)), 100 * seconds)]

    ours, theirs = (np.array(encode(one, features)) for one in (opened, replace(opened, encoder=None)))

    assert ours.shape == theirs.shape
    assert np.abs(ours - theirs).mean() < 0.1 * np.abs(theirs).mean()


def test_noise_is_known_to_be_no_speech(opened):
    """Both decoders have the same opinion of it."""
    ours, theirs = (written(one, NOISE).evidence.no_speech for one in (opened, replace(opened, decoder=None)))
    assert ours == pytest.approx(theirs, abs=0.1)


def test_threads_do_not_read_each_others_texts(opened):
    """One decoder, many passes at once."""
    alone = {clip.name: written(opened, clip).tokens for clip in CLIPS}
    with ThreadPoolExecutor(4) as threads:
        together = list(threads.map(lambda clip: (clip.name, written(opened, clip).tokens), CLIPS * 4))
    assert all(alone[name] == tokens for name, tokens in together)


def test_networks_are_made_once_and_again_for_other_weights(copied, monkeypatch):
    """The second start finds them; weights that were fetched anew get new ones, and the old ones go."""
    made = []
    monkeypatch.setattr(networks, "_make", lambda *given, make=networks._make: (made.append(given), make(*given)))

    opened_from(copied)
    opened_from(copied)
    assert len(made) == 1

    os.utime(copied / "model.bin", (1, 1))
    assert "hands" in decode(opened_from(copied), [DecodeRequest(columns(copied), "en")])[0].text
    assert len(made) == 2
    (kept,) = copied.glob(".*")
    assert kept.stat().st_mode == copied.stat().st_mode


def columns(folder):
    return replace(opened_from(folder), decoder=None).filters.columns(samples_of(HANDS.pcm))


def test_a_folder_that_may_not_be_written_is_left_alone(copied, monkeypatch):
    """The networks are made for this start, elsewhere."""

    def refused(**_):
        raise PermissionError(30, "Read-only file system")

    monkeypatch.setattr(networks, "mkdtemp", refused)

    opened = opened_from(copied)

    assert opened.decoder is not None
    assert opened.note == ""
    assert not list(copied.glob(".*"))


def test_a_model_may_name_no_tokens_that_it_never_writes(copied):
    """Its configuration holds them only since some version of the converter."""
    config = json.loads((copied / "config.json").read_text())
    rest = {key: value for key, value in config.items() if not key.startswith("suppress")}
    (copied / "config.json").write_text(json.dumps(rest))

    opened = opened_from(copied)

    assert opened.decoder is not None
    assert "hands" in written(opened, HANDS).evidence.text


def test_weights_of_another_make_are_written_with_by_ctranslate2_and_it_is_said(copied):
    """Slower, and no secret."""
    content = bytearray((copied / "model.bin").read_bytes())
    at = content.index(b"decoder/activation\0") + len(b"decoder/activation\0") + 6
    assert content[at] == 3
    content[at] = 0  # ReLU
    (copied / "model.bin").write_bytes(content)

    opened = opened_from(copied)

    assert (opened.encoder, opened.decoder) == (None, None)
    assert "CTranslate2" in opened.note
    assert decode(opened, [DecodeRequest(opened.filters.columns(samples_of(HANDS.pcm)), "en")])


def test_whoever_wants_other_numbers_gets_ctranslate2_and_no_note():
    """8 bits are this decoder's; float32 is what was asked for."""
    opened = load(Path(model("whisper-tiny.en")), device="cpu", compute_type="float32", threads=1)
    assert (opened.encoder, opened.decoder, opened.note) == (None, None, "")


@pytest.mark.parametrize(
    ("cpu", "exact"),
    [
        ("flags : fpu sse2 avx2 avx512_vnni", True),
        ("flags : fpu avx2 avx_vnni", True),
        ("Features : fp asimd asimddp", True),
        ("aarch64", True),
        ("flags : fpu sse2 avx2 avx512bw", False),
        ("x86_64", False),
    ],
)
def test_processors_that_overflow_are_known(cpu, exact):
    """There CTranslate2 encodes."""
    assert adds_bytes_exactly(cpu) is exact
