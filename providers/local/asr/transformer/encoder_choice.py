"""Test each encoder path of a model on this processor, once: its output and its time, kept beside the graphs."""

import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import structlog

from app.domain.audio import SAMPLE_RATE
from providers.local.asr.transformer.encoder_path import EncoderChoice, EncoderPath, PathTest, choose_path
from providers.local.asr.transformer.processor import processor_id
from providers.local.asr.transformer.quantization import Floats
from providers.local.mel import Samples

_log = structlog.get_logger("parley.encoder")

TEST_INPUT, TEST_OUTPUT = "test-input.npy", "test-output.npy"
"""What the encoder is tested with, and what it makes of it in float32; written by the export."""

_TEST_S = 2
_ROUNDS = 6
"""The first ones of a graph are slower, and so are those that share the caches with other work."""
_BUDGET_S = 0.15
"""Time after which no further round of a path begins."""

Encode = Callable[[Floats], Floats]
OpenPath = Callable[[], Encode]


def sample_sound() -> Samples:
    """Two seconds like a vowel, whose pitch and level move; the same at every call."""
    seconds = np.arange(_TEST_S * SAMPLE_RATE) / SAMPLE_RATE
    phase = 2 * np.pi * np.cumsum(120 + 20 * np.sin(3 * np.pi * seconds)) / SAMPLE_RATE
    voice = np.sum([np.sin(harmonic * phase) / harmonic**1.2 for harmonic in range(1, 30)], axis=0)
    level = 0.1 * (0.55 + 0.45 * np.sin(8 * np.pi * seconds))
    hiss = np.random.default_rng(0).normal(0.0, 1e-3, len(seconds))
    samples: Samples = (level * voice + hiss).astype(np.float32)
    return samples


def write_test(folder: Path, features: Floats, output: Floats) -> None:
    np.save(folder / TEST_INPUT, features)
    np.save(folder / TEST_OUTPUT, output)


def choose_encoder(graphs: Path, paths: Mapping[EncoderPath, OpenPath], configured: str = "auto") -> EncoderChoice:
    """The path to use: the one that is configured where the model has it, else by test. Blocking."""
    if configured in paths:
        return EncoderChoice(EncoderPath(configured), read_tests(graphs), is_set=True)
    note = "" if configured == "auto" else f"because this model has no path {configured}"
    tests = read_tests(graphs)
    if {test.path for test in tests} != set(paths):
        tests, seconds = _test(graphs, paths)
        _keep(graphs, tests)
        return EncoderChoice(choose_path(tests), tests, note, test_s=seconds)
    return EncoderChoice(choose_path(tests), tests, note)


def read_tests(graphs: Path) -> tuple[PathTest, ...]:
    """The tests made on this processor before; empty where there are none."""
    try:
        rows = json.loads(_record(graphs).read_text("utf-8"))
        return tuple(PathTest(EncoderPath(path), float(error), float(cpu_ms)) for path, error, cpu_ms in rows)
    except (OSError, ValueError, TypeError):  # none yet, or not whole: they are made again
        return ()


def _test(graphs: Path, paths: Mapping[EncoderPath, OpenPath]) -> tuple[tuple[PathTest, ...], float]:
    """One path after the other, so that the memory of one is enough; and the seconds it took."""
    began, model = time.perf_counter(), graphs.parent.name
    _log.info("testing encoder paths, once on this processor", model=model, paths=" ".join(paths))
    features, expected = np.load(graphs / TEST_INPUT), np.load(graphs / TEST_OUTPUT)
    short = features[..., : features.shape[-1] // 2]
    scale = float(np.abs(expected).mean())
    tests = []
    for path, open_path in paths.items():
        encode = open_path()
        error = float(np.abs(encode(features) - expected).mean()) / scale
        tests.append(PathTest(path, error, 1000 * _cpu_s(encode, short)))
        _log.info("tested encoder path", model=model, result=tests[-1].describe())
    seconds = time.perf_counter() - began
    _log.info("tested encoder paths", model=model, chosen=str(choose_path(tests)), seconds=round(seconds, 2))
    return tuple(tests), seconds


def _cpu_s(encode: Encode, features: Floats) -> float:
    """The least processor time of a few rounds: what else the machine does at start counts little in it."""
    began = time.perf_counter()
    times: list[float] = []
    while len(times) < _ROUNDS and (not times or time.perf_counter() - began < _BUDGET_S):
        before = time.process_time()
        encode(features)
        times.append(time.process_time() - before)
    return min(times)


def _keep(graphs: Path, tests: Sequence[PathTest]) -> None:
    record = _record(graphs)
    unfinished = record.with_suffix(f".{os.getpid()}")
    with suppress(OSError):  # where the folder is read-only the test is repeated at the next start
        try:
            unfinished.write_text(json.dumps([(test.path, test.error, test.cpu_ms) for test in tests]), "utf-8")
            unfinished.replace(record)
        finally:
            unfinished.unlink(missing_ok=True)


def _record(graphs: Path) -> Path:
    return graphs / f"encoder-test-{processor_id()}.json"
