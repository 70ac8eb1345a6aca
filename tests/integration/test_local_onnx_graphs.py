"""Whisper's encoder and decoder on onnxruntime, compared with CTranslate2's, with real models."""

import json
import os
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import ctranslate2
import numpy as np
import pytest

from providers.local.asr.recognizer import DecodeRequest
from providers.local.asr.transformer import encoder_choice, graph_cache
from providers.local.asr.transformer.encoder_choice import read_tests
from providers.local.asr.transformer.encoder_path import EncoderPath, right_paths
from providers.local.asr.whisper.context_schedule import context_schedule
from providers.local.asr.whisper.decode import align, encode, generate, language_probabilities, prepare
from providers.local.asr.whisper.encoder import GRAPH_PATHS, encode_with
from providers.local.asr.whisper.fallback import decode
from providers.local.asr.whisper.model import load
from providers.local.mel import encoder_features, samples_of
from providers.local.thread_plan import ThreadPlan
from tests.clips import COUNTRY, HANDS, HOUR, NOISE, word_error_rate
from tests.models import model

pytestmark = pytest.mark.models

CLIPS = [HANDS, HOUR, COUNTRY]


@pytest.fixture(scope="module", params=["whisper-base", "whisper-tiny.en"])
def folder(request):
    return model(request.param)


@pytest.fixture(scope="module")
def opened(folder):
    return opened_from(folder)


@pytest.fixture
def copied(tmp_path):
    """A copy of a model, without exported graphs."""
    here = tmp_path / "model"
    shutil.copytree(model("whisper-tiny.en"), here, ignore=shutil.ignore_patterns(".*"))
    return here


@pytest.fixture(scope="module")
def exact(folder):
    """The same model in float32."""
    return ctranslate2.models.Whisper(str(folder), device="cpu", compute_type="float32")


def opened_from(folder, **options):
    return load(folder, device="cpu", compute_type="int8", plan=ThreadPlan(1, 1), **options)


def decoded(opened, clip, **options):
    """One pass over a clip: its tokens and its evidence."""
    request = DecodeRequest(samples_of(clip.pcm), "en", **options)
    log_mel = opened.filters.log_mel(request.samples)
    memory = encode(opened, [encoder_features(log_mel, context_schedule(log_mel.shape[1])[0])])
    return generate(opened, memory, [prepare(opened, request, log_mel, memory)])[0]


@pytest.mark.parametrize("clip", CLIPS, ids=lambda clip: clip.name)
def test_onnx_decoder_writes_what_ctranslate2_writes(opened, clip):
    """The same words and, within what 8 bits round, just as sure of them."""
    ours, theirs = (decoded(one, clip) for one in (opened, replace(opened, encoder=None, decoder=None)))

    assert opened.decoder is not None
    assert word_error_rate(theirs.evidence.text, ours.evidence.text) == 0
    assert ours.evidence.avg_logprob == pytest.approx(theirs.evidence.avg_logprob, abs=0.05)
    assert ours.evidence.no_speech_prob == pytest.approx(theirs.evidence.no_speech_prob, abs=0.05)
    assert not ours.evidence.hit_token_limit


@pytest.mark.parametrize("clip", CLIPS, ids=lambda clip: clip.name)
@pytest.mark.parametrize("draft", ["right", "half", "wrong"])
def test_draft_text_changes_the_time_and_not_the_words(opened, clip, draft):
    """Right, right in part, or nothing to do with the audio: only the number of steps differs."""
    plain = decoded(opened, clip)
    words = plain.evidence.text.split()
    draft_text = {
        "right": " ".join(words),
        "half": " ".join([*words[: len(words) // 2], "nonsense", *words[len(words) // 2 + 2 :]]),
        "wrong": "It is a truth universally acknowledged that a single man must be in want of a wife.",
    }[draft]
    steps = []
    one = replace(opened, decoder=CountingDecoder(opened.decoder, steps))

    drafted = decoded(one, clip, draft_text=draft_text)

    assert drafted.evidence.text == plain.evidence.text
    assert len(steps) < len(plain.tokens) / 2 or draft != "right"
    assert len(steps) <= len(plain.tokens) + 1


class CountingDecoder:
    """A decoder whose steps are counted."""

    def __init__(self, decoder, steps):
        self._decoder, self._steps = decoder, steps

    def __getattr__(self, name):
        return getattr(self._decoder, name)

    def step(self, cross_kv, past, tokens, position, rows):
        self._steps.append(len(tokens))
        return self._decoder.step(cross_kv, past, tokens, position, rows)


@pytest.mark.parametrize("clip", CLIPS, ids=lambda clip: clip.name)
def test_word_times_are_those_of_ctranslate2s_alignment(opened, clip):
    """Of the same words; 19 of 20 edges within two positions of the encoder's output, 0.04 s."""
    request = DecodeRequest(samples_of(clip.pcm), "en")
    log_mel = opened.filters.log_mel(request.samples)
    memory = encode(opened, [encoder_features(log_mel, context_schedule(log_mel.shape[1])[0])])
    prepared = prepare(opened, request, log_mel, memory)
    one_pass = generate(opened, memory, [prepared])[0]

    ours, theirs = (align(opened, prepared, memory, one) for one in (one_pass, replace(one_pass, decoder=None)))

    assert [word.text for word in ours] == [word.text for word in theirs]
    assert len(ours) == len(one_pass.evidence.text.split())
    off = [abs(a.start_s - b.start_s) for a, b in zip(ours, theirs, strict=True)]
    off += [abs(a.end_s - b.end_s) for a, b in zip(ours, theirs, strict=True)]
    assert np.quantile(off, 0.95) <= 0.041
    assert np.mean([abs(a.probability - b.probability) for a, b in zip(ours, theirs, strict=True)]) < 0.05


def test_languages_are_as_likely_as_in_ctranslate2():
    opened = opened_from(model("whisper-base"))
    log_mel = opened.filters.log_mel(samples_of(COUNTRY.pcm))
    memory = encode(opened, [encoder_features(log_mel, context_schedule(log_mel.shape[1])[0])])

    ours, theirs = (language_probabilities(one, memory) for one in (opened, replace(opened, decoder=None)))

    assert ours.keys() == theirs.keys()
    assert max(ours, key=ours.__getitem__) == "en"
    assert ours == pytest.approx(theirs, abs=0.05)


@pytest.mark.parametrize("name", ["whisper-base", "whisper-tiny.en"])
def test_ctranslate2s_weights_are_not_loaded_for_words_with_times_in_any_language(name):
    opened = opened_from(model(name))
    if opened.encoder is None:
        pytest.skip("CTranslate2 encodes on this processor")

    result = decode(opened, [DecodeRequest(samples_of(COUNTRY.pcm), word_timestamps=True)])[0]

    assert result.language == "en"
    assert len(result.words) == len(result.text.split())
    assert not opened.ct2.model_is_loaded


def test_tokenizer_round_trips_decoded_text(opened):
    """Draft text and prefix go through the tokenizer, which must cut as the model does."""
    for clip in CLIPS:
        one_pass = decoded(opened, clip)
        assert tuple(opened.tokenizer("en").encode(" " + one_pass.evidence.text)) == one_pass.tokens


def test_prefix_is_read_in_one_step(opened):
    """Decoding goes on behind them."""
    words = COUNTRY.words.split()
    steps = []
    known = " ".join(words[:5])

    one_pass = decoded(replace(opened, decoder=CountingDecoder(opened.decoder, steps)), COUNTRY, prefix=known)

    assert one_pass.evidence.text.startswith(known)
    assert word_error_rate(COUNTRY.words, one_pass.evidence.text) <= 0.15
    assert steps[0] > 5
    assert len(steps) <= len(one_pass.tokens) - 4


@pytest.mark.parametrize("path", GRAPH_PATHS)
@pytest.mark.parametrize("seconds", [1, 4, 30])
def test_every_encoder_path_that_is_right_here_equals_ctranslate2_in_float32(folder, opened, exact, path, seconds):
    """The outputs for audio, short or with all its silence, differ by what 7 or 8 bits round."""
    if path not in {test.path for test in right_paths(opened.choice.tests)}:
        pytest.skip(f"{path} is wrong on this processor")
    encoder = opened_from(folder, encoder_path=path).encoder
    features = encoder_features(opened.filters.log_mel(samples_of(HOUR.pcm)), 100 * seconds)[None]

    ours, theirs = encoder(features), encode_with(exact, features)

    assert ours.shape == theirs.shape
    assert np.abs(ours - theirs).mean() < 0.12 * np.abs(theirs).mean()


def test_encoder_path_is_tested_once_for_a_processor(copied, monkeypatch):
    """The second start reads what the first has measured; another processor's test is not taken for this one's."""
    tested = []
    monkeypatch.setattr(encoder_choice, "_cpu_s", lambda encode, features: (tested.append(encode), 0.001)[1])

    first, second = opened_from(copied), opened_from(copied)

    assert len(tested) == len(GRAPH_PATHS) + 1
    assert first.choice == second.choice
    monkeypatch.setattr(encoder_choice, "processor_id", lambda: "another")
    opened_from(copied)
    assert len(tested) == 2 * (len(GRAPH_PATHS) + 1)


@pytest.mark.parametrize("damage", ["", "[[", '[["int9", 0.1, 3]]', '{"a": 1}', "[1]"])
def test_damaged_record_of_the_encoder_test_is_made_again(copied, damage):
    (folder,) = (opened_from(copied), *copied.glob(".onnx-*"))[1:]
    (record,) = folder.glob("encoder-test-*.json")
    record.write_text(damage)

    assert opened_from(copied).choice.tests
    assert read_tests(folder)


def test_encoder_path_can_be_set_and_one_that_is_lacking_is_named(copied):
    """CTranslate2's encoder is a path of Whisper, float32 is not."""
    assert opened_from(copied, encoder_path="ctranslate2").encoder is None
    assert opened_from(copied, encoder_path="uint8").choice.path is EncoderPath.UINT8
    assert "this model has no path float32" in opened_from(copied, encoder_path="float32").choice.describe()


def test_no_speech_probability_of_noise_equals_ctranslate2(opened):
    """Both decoders have the same opinion of it."""
    ours, theirs = (decoded(one, NOISE).evidence.no_speech_prob for one in (opened, replace(opened, decoder=None)))
    assert ours == pytest.approx(theirs, abs=0.1)


def test_concurrent_passes_do_not_mix(opened):
    """One decoder, many passes at once."""
    alone = {clip.name: decoded(opened, clip).tokens for clip in CLIPS}
    with ThreadPoolExecutor(4) as threads:
        together = list(threads.map(lambda clip: (clip.name, decoded(opened, clip).tokens), CLIPS * 4))
    assert all(alone[name] == tokens for name, tokens in together)


def test_graphs_are_exported_once_and_again_for_other_weights(copied, monkeypatch):
    """The second start finds them; weights that were downloaded anew get new ones, and the old ones are removed."""
    exports = []
    run = subprocess.run
    monkeypatch.setattr(subprocess, "run", lambda *command, **rest: (exports.append(command), run(*command, **rest))[1])

    opened_from(copied)
    opened_from(copied)
    assert len(exports) == 1

    os.utime(copied / "model.bin", (1, 1))
    assert "hands" in decode(opened_from(copied), [DecodeRequest(samples_of(HANDS.pcm), "en")])[0].text
    assert len(exports) == 2
    (kept,) = copied.glob(".*")
    assert kept.stat().st_mode == copied.stat().st_mode


def test_read_only_model_folder_is_left_alone(copied, monkeypatch):
    """The graphs are exported for this start, elsewhere."""

    def refused(**_):
        raise PermissionError(30, "Read-only file system")

    monkeypatch.setattr(graph_cache, "mkdtemp", refused)

    opened = opened_from(copied)

    assert opened.decoder is not None
    assert opened.note == ""
    assert not list(copied.glob(".*"))


def test_model_without_a_list_of_suppressed_tokens_decodes(copied):
    """Its configuration holds them only since some version of the converter."""
    config = json.loads((copied / "config.json").read_text())
    rest = {key: value for key, value in config.items() if not key.startswith("suppress")}
    (copied / "config.json").write_text(json.dumps(rest))

    opened = opened_from(copied)

    assert opened.decoder is not None
    assert "hands" in decoded(opened, HANDS).evidence.text


def test_weights_of_another_architecture_run_on_ctranslate2_with_a_note(copied):
    """Slower, and no secret."""
    content = bytearray((copied / "model.bin").read_bytes())
    at = content.index(b"decoder/activation\0") + len(b"decoder/activation\0") + 6
    assert content[at] == 3
    content[at] = 0  # ReLU
    (copied / "model.bin").write_bytes(content)

    opened = opened_from(copied)

    assert (opened.encoder, opened.decoder) == (None, None)
    assert "CTranslate2" in opened.note
    assert decode(opened, [DecodeRequest(samples_of(HANDS.pcm), "en")])


def test_other_compute_types_run_on_ctranslate2_without_a_note():
    """The graphs have 8 bits; float32 is what was configured."""
    opened = load(Path(model("whisper-tiny.en")), device="cpu", compute_type="float32", plan=ThreadPlan(1, 1))
    assert (opened.encoder, opened.decoder, opened.note) == (None, None, "")
