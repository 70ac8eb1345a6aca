"""Which encoder path is chosen, from what each one made of a test sound."""

import time

import numpy as np
import pytest

from providers.local.asr.transformer import processor
from providers.local.asr.transformer.encoder_choice import (
    choose_encoder,
    sample_sound,
    write_test,
)
from providers.local.asr.transformer.encoder_path import EncoderChoice, EncoderPath, PathTest, choose_path, right_paths

INT8, INT7, UINT8, CT2, FLOAT32 = (
    EncoderPath.INT8,
    EncoderPath.INT7,
    EncoderPath.UINT8,
    EncoderPath.CTRANSLATE2,
    EncoderPath.FLOAT32,
)


def measured(**paths):
    return tuple(PathTest(EncoderPath(name), *result) for name, result in paths.items())


MEASURED = {
    "whisper-base with VNNI": (
        measured(int8=(0.086, 15), int7=(0.093, 14), uint8=(0.086, 37), ctranslate2=(0.082, 13)),
        INT8,
    ),
    "whisper-base on AVX2": (
        measured(int8=(0.129, 41), int7=(0.096, 41), uint8=(0.085, 49), ctranslate2=(0.140, 37)),
        INT7,
    ),
    "whisper-tiny.en on AVX2": (
        measured(int8=(0.088, 15), int7=(0.090, 17), uint8=(0.056, 20), ctranslate2=(0.089, 15)),
        UINT8,
    ),
    "moonshine with VNNI": (measured(int8=(0.098, 20), int7=(0.114, 20), uint8=(0.098, 35), float32=(0.0, 35)), INT8),
    "moonshine on AVX2": (measured(int8=(0.713, 40), int7=(0.114, 43), uint8=(0.101, 50), float32=(0.0, 58)), INT7),
}


@pytest.mark.parametrize(("tests", "chosen"), MEASURED.values(), ids=MEASURED)
def test_encoder_path_is_the_cheapest_that_is_right(tests, chosen):
    """As measured: where products of bytes overflow, none of them is chosen however cheap it is."""
    assert choose_path(tests) is chosen


def test_encoder_path_in_float32_is_chosen_where_it_is_the_cheapest():
    assert choose_path(measured(int8=(0.1, 90), float32=(0.0, 40))) is FLOAT32
    assert [test.path for test in right_paths(measured(int8=(0.3, 9), uint8=(0.1, 9), float32=(0.0, 9)))] == [
        UINT8,
        FLOAT32,
    ]


def test_encoder_choice_is_described_in_a_sentence():
    tests = measured(int8=(0.086, 15.2), int7=(0.093, 14.1))

    assert EncoderChoice(INT8, tests).describe() == (
        "int8, the cheapest that is right here; time and error of all: int8 15 ms, 8.6 %; int7 14 ms, 9.3 %"
    )
    assert (
        EncoderChoice(INT8, tests, test_s=0.71).describe().endswith("int7 14 ms, 9.3 %; tested at this start in 0.7 s")
    )
    assert EncoderChoice(INT7, is_set=True).describe() == "int7, as set"


@pytest.fixture
def graphs(tmp_path):
    """A folder whose encoder doubles its input."""
    write_test(tmp_path, np.ones((1, 4), np.float32), np.full((1, 4), 2, np.float32))
    return tmp_path


def paths(opened, **factors):
    """Encoders that multiply with a factor; each that is opened is noted."""

    def opener(path, factor):
        def open_path():
            opened.append(path)
            return lambda features: features * np.float32(factor)

        return open_path

    return {EncoderPath(name): opener(EncoderPath(name), factor) for name, factor in factors.items()}


def test_encoder_paths_are_tested_at_the_first_start_only(graphs):
    opened = []

    first = choose_encoder(graphs, paths(opened, int8=3.0, uint8=2.02))
    second = choose_encoder(graphs, paths(opened, int8=3.0, uint8=2.02))

    assert opened == [INT8, UINT8]
    assert first == second
    assert first.path is UINT8
    assert first.test_s is not None
    assert second.test_s is None
    assert {test.path: pytest.approx(test.error, abs=1e-3) for test in first.tests} == {INT8: 0.5, UINT8: 0.01}


def busy(*seconds):
    """An encoder whose rounds take this processor time; the last one goes on for ever."""
    left = list(seconds)

    def encode(features):
        until = time.process_time() + (left.pop(0) if len(left) > 1 else left[0])
        while time.process_time() < until:
            pass
        return features * np.float32(2)

    return lambda: encode


def test_encoder_path_is_timed_by_its_best_round(graphs):
    """A graph's first rounds on a new shape are its slowest, which says nothing of the others."""
    choice = choose_encoder(graphs, {INT8: busy(0.002, 0.004, 0.004, 0.0001), CT2: busy(0.002)})

    assert choice.path is INT8


def test_encoder_path_that_is_set_is_not_tested(graphs):
    opened = []

    choice = choose_encoder(graphs, paths(opened, int8=3.0, uint8=2.02), "int8")

    assert (choice.path, choice.is_set, opened) == (INT8, True, [])


def test_encoder_paths_of_another_release_are_tested_again(graphs):
    """A path that was not there when the record was made."""
    opened = []
    choose_encoder(graphs, paths(opened, int8=2.0))
    choose_encoder(graphs, paths(opened, int8=2.0, int7=2.0))

    assert opened == [INT8, INT8, INT7]


def test_encoder_test_is_repeated_where_its_record_cannot_be_written(graphs):
    (graphs / f"encoder-test-{processor.processor_id()}.json").mkdir()
    opened = []

    choices = [choose_encoder(graphs, paths(opened, int8=2.0)).path for _ in range(2)]

    assert choices == [INT8, INT8]
    assert opened == [INT8, INT8]
    assert len(list(graphs.iterdir())) == 3


def test_sample_sound_is_the_same_at_every_start_and_within_range():
    sound = sample_sound()

    assert np.array_equal(sound, sample_sound())
    assert 0.1 < np.abs(sound).max() <= 1
    assert sound.dtype == np.float32


def test_processor_is_identified_by_what_computes(monkeypatch, tmp_path):
    """By its name and flags, not by its clock, which differs from second to second."""
    info = tmp_path / "cpuinfo"
    monkeypatch.setattr(processor, "_CPU_INFO", info)
    found = []
    for text in (
        "processor\t: 0\nmodel name\t: A\ncpu MHz\t\t: 1.0\nflags\t\t: fpu avx2\n\nprocessor\t: 1\n",
        "processor\t: 0\nmodel name\t: A\ncpu MHz\t\t: 2.0\nflags\t\t: fpu avx2\n\nprocessor\t: 1\n",
        "processor\t: 0\nmodel name\t: A\ncpu MHz\t\t: 2.0\nflags\t\t: fpu avx2 avx_vnni\n\nprocessor\t: 1\n",
        "processor\t: 0\nFeatures\t: fp asimd asimddp i8mm\nCPU part\t: 0xd40\n\n",
    ):
        info.write_text(text)
        processor.processor_id.cache_clear()
        found.append((processor.processor_id(), processor.describe_processor()))
    processor.processor_id.cache_clear()

    assert found[0] == found[1]
    assert len({identity for identity, _ in found}) == 3
    assert [shown.partition("(")[2] for _, shown in found[1:]] == ["AVX2)", "AVX2, AVX VNNI)", "dot product, i8mm)"]
