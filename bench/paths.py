"""One row per encoder path: the time of finals and drafts and the WER of each model, beside CTranslate2's, in turns.

With `--avx2` the same is measured where these extensions are hidden (`avx2_only.py`): the kernels, the choice and the
errors are those of a processor with AVX2, the clock and the caches are this machine's.
"""

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from faster_whisper import WhisperModel as Padded
from rich.console import Console
from rich.table import Table

from app.domain.audio import SAMPLE_RATE
from bench.avx2_only import HIDDEN
from bench.speech import Clip, clips, word_error_rate
from providers.local.asr.encoder_report import encoder_report
from providers.local.asr.languages import is_moonshine
from providers.local.asr.opening import open_recognizer
from providers.local.asr.recognizer import DecodeRequest, Recognizer
from providers.local.asr.transformer.encoder_path import EncoderPath
from providers.local.asr.transformer.processor import describe_processor
from providers.local.mel import samples_of
from providers.local.thread_plan import ThreadPlan

DRAFT_S = 2.5
"""Audio of a draft, in seconds; nothing of it is known."""

Pass = Callable[[Clip], str]


@dataclass(slots=True)
class Row:
    """One model on one path."""

    name: str
    final: Pass
    draft: Pass | None = None
    final_s: list[float] = field(default_factory=list)
    draft_s: list[float] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)


def measure(models: Sequence[Path], corpus: Path, count: int, console: Console) -> None:
    """Print the table. Blocking."""
    chosen = [clip for clip in clips(corpus) if clip.seconds <= 30 and not clip.long][: count or None]
    rows = [row for folder in models for row in rows_of(folder)]
    for clip in chosen:
        for row in rows:
            row.texts.append(_timed(row.final_s, row.final, clip))
            if row.draft is not None:
                _timed(row.draft_s, row.draft, clip)
    seconds = sum(clip.seconds for clip in chosen)
    title = f"{describe_processor()}{', with AVX2 only' if HIDDEN in os.environ else ''}: {len(chosen)} clips"
    table = Table("", "final, CPU ms per second", "draft, CPU ms", "WER", title=title, box=None)
    for row in rows:
        final_ms, draft_ms = 1000 * sum(row.final_s) / seconds, 1000 * float(np.median(row.draft_s or [0.0]))
        wer = word_error_rate(corpus, chosen, row.texts)
        table.add_row(row.name, f"{final_ms:.1f}", f"{draft_ms:.0f}" if row.draft_s else "", f"{wer:.2f} %")
    console.print(table)
    for folder in models:
        console.print(f"{folder.name}, {encoder_report(folder, 'auto')}", soft_wrap=True)


def rows_of(folder: Path) -> list[Row]:
    """A row for each path of this model, and one for faster-whisper where the model is a Whisper one."""
    rows = []
    for path in EncoderPath:
        plan = ThreadPlan(workers=1, threads=1)
        opened = open_recognizer(folder, None, device="cpu", compute_type="int8", plan=plan, encoder_path=path)
        if opened.encoder_choice.startswith(f"{path}, as set"):
            rows.append(Row(f"{folder.name}, {path}", partial(_final, opened), partial(_draft, opened)))
    if not is_moonshine(folder):
        other = Padded(str(folder), device="cpu", compute_type="int8", cpu_threads=1)
        rows.append(Row(f"{folder.name}, faster-whisper, beam 5", partial(_faster_whisper, other)))
    return rows


def _faster_whisper(model: Padded, clip: Clip) -> str:
    segments, _ = model.transcribe(samples_of(clip.pcm), language="en", beam_size=5, condition_on_previous_text=False)
    return " ".join(segment.text.strip() for segment in segments)


def _final(opened: Recognizer, clip: Clip) -> str:
    return opened.decode([DecodeRequest(samples_of(clip.pcm), "en")])[0].text


def _draft(opened: Recognizer, clip: Clip) -> str:
    samples = samples_of(clip.pcm)[: int(DRAFT_S * SAMPLE_RATE)]
    return opened.decode([DecodeRequest(samples, "en", allow_fallback=False)])[0].text


def _timed(times: list[float], work: Pass, clip: Clip) -> str:
    began = time.process_time()
    text = work(clip)
    times.append(time.process_time() - began)
    return text
