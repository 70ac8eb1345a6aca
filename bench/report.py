"""Summarise the figures of many clips: percentiles, WER, CPU and memory; print them as a table."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from rich.table import Table

from bench.load import Load
from bench.metrics import ClipMetrics, measure
from bench.score import Errors, Scorer


def percentile(values: Sequence[float], percent: float) -> float | None:
    """Interpolated linearly between the two nearest values; None of no values."""
    return float(np.percentile(values, percent)) if values else None


@dataclass(frozen=True, slots=True)
class Summary:
    """One load, in figures. Times in seconds, rates as fractions."""

    sessions: int
    clips: int
    first_draft_p50: float | None
    first_draft_p95: float | None
    first_right_word_p50: float | None
    first_right_word_p95: float | None
    no_right_word: int
    draft_age_p50: float | None
    draft_age_p95: float | None
    churn: float | None
    ttfs_p50: float | None
    ttfs_p95: float | None
    ttfs_p99: float | None
    end_late_p50: float | None
    end_late_p95: float | None
    voice_to_voice_p50: float | None
    voice_to_voice_p95: float | None
    finals_missing: int
    replies_missing: int | None
    """None where no reply was asked for."""
    disconnected: int
    """Clips during which the server went away."""
    wer: float | None
    wer_one_shot: float | None
    cpu_per_audio_second: float | None
    cores: float | None
    max_rss_mib: float | None
    harness_late_ms: float


def summarise(load: Load, scorer: Scorer, one_shot: Mapping[str, str]) -> tuple[Summary, list[dict[str, Any]]]:
    """The figures, and beneath them one record a clip."""
    measured = [measure(played, scorer.normalise) for played in load.played]
    streamed, whole = Errors(), Errors()
    records: list[dict[str, Any]] = []
    for played, one in zip(load.played, measured, strict=True):
        errors = scorer.errors(played.clip.text, one.final_text)
        streamed += errors
        if played.clip.name in one_shot:
            whole += scorer.errors(played.clip.text, one_shot[played.clip.name])
        record = {"file": played.clip.name, "onset": played.onset, "end": played.end, "errors": errors.errors}
        figures = {name: value for name, value in asdict(one).items() if name != "draft_ages"}
        records.append(
            record | {"words": errors.words, **figures, "events": [asdict(event) for event in played.events]}
        )
    return _summary(load, measured, streamed, whole), records


def _summary(load: Load, measured: Sequence[ClipMetrics], streamed: Errors, whole: Errors) -> Summary:
    drafts = _known(one.first_draft for one in measured)
    words = _known(one.first_right_word for one in measured)
    ages = [age for one in measured for age in one.draft_ages]
    ttfs = _known(one.ttfs for one in measured)
    late = _known(one.end_late for one in measured)
    spoken = _known(one.voice_to_voice for one in measured)
    shown = sum(one.words_shown for one in measured)
    asked = any(played.reply for played in load.played)
    audio, usage = sum(played.streamed for played in load.played), load.usage
    return Summary(
        sessions=load.sessions,
        clips=len(measured),
        first_draft_p50=percentile(drafts, 50),
        first_draft_p95=percentile(drafts, 95),
        first_right_word_p50=percentile(words, 50),
        first_right_word_p95=percentile(words, 95),
        no_right_word=len(measured) - len(words),
        draft_age_p50=percentile(ages, 50),
        draft_age_p95=percentile(ages, 95),
        churn=sum(one.words_taken_back for one in measured) / shown if shown else None,
        ttfs_p50=percentile(ttfs, 50),
        ttfs_p95=percentile(ttfs, 95),
        ttfs_p99=percentile(ttfs, 99),
        end_late_p50=percentile(late, 50),
        end_late_p95=percentile(late, 95),
        voice_to_voice_p50=percentile(spoken, 50),
        voice_to_voice_p95=percentile(spoken, 95),
        finals_missing=len(measured) - len(ttfs),
        replies_missing=len(measured) - len(spoken) if asked else None,
        disconnected=sum(played.disconnected for played in load.played),
        wer=streamed.rate,
        wer_one_shot=whole.rate,
        cpu_per_audio_second=usage.cpu_seconds / audio if usage.cpu_seconds is not None and audio else None,
        cores=usage.cpu_seconds / usage.wall_seconds if usage.cpu_seconds is not None and usage.wall_seconds else None,
        max_rss_mib=usage.max_rss_mib,
        harness_late_ms=max((played.late_ms for played in load.played), default=0.0),
    )


def _known(values: Iterable[float | None]) -> list[float]:
    return [value for value in values if value is not None]


def rows(summary: Summary) -> list[tuple[str, str]]:
    """What a figure is called, and how it is written."""
    s = summary
    return [
        ("sessions at once", str(s.sessions)),
        ("clips played", str(s.clips)),
        ("first draft after onset p50 / p95", _seconds(s.first_draft_p50, s.first_draft_p95)),
        ("first right word p50 / p95", _seconds(s.first_right_word_p50, s.first_right_word_p95)),
        ("  clips without it", str(s.no_right_word)),
        ("age of the newest draft p50 / p95", _seconds(s.draft_age_p50, s.draft_age_p95)),
        ("words taken back per word shown", _number(s.churn)),
        ("TTFS p50 / p95 / p99", _seconds(s.ttfs_p50, s.ttfs_p95, s.ttfs_p99)),
        ("  end of speech seen late by p50 / p95", _seconds(s.end_late_p50, s.end_late_p95)),
        ("voice to voice p50 / p95", _seconds(s.voice_to_voice_p50, s.voice_to_voice_p95)),
        ("finals missing", str(s.finals_missing)),
        ("replies missing", "-" if s.replies_missing is None else str(s.replies_missing)),
        ("server disconnected", str(s.disconnected)),
        ("WER of the finals / one-shot", f"{_percent(s.wer)} / {_percent(s.wer_one_shot)}"),
        ("CPU seconds per second of audio", _number(s.cpu_per_audio_second)),
        ("cores used", _number(s.cores)),
        ("memory, largest", "-" if s.max_rss_mib is None else f"{s.max_rss_mib:.0f} MiB"),
        ("harness late at most", f"{s.harness_late_ms:.0f} ms"),
    ]


def table(summaries: Sequence[Summary]) -> Table:
    """One column a load."""
    drawn = Table(box=None, padding=(0, 2), show_header=False)
    for _ in range(len(summaries) + 1):
        drawn.add_column(no_wrap=True)
    for cells in zip(*(rows(summary) for summary in summaries), strict=True):
        drawn.add_row(cells[0][0], *(value for _, value in cells))
    return drawn


HEADINGS = (
    "| server | sessions | first draft p50/p95 | first right word p50/p95 | churn | TTFS p50/p95/p99 "
    "| voice to voice p50/p95 | missing | WER / one-shot | cores | MiB |\n"
    "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |"
)


def markdown(name: str, summary: Summary) -> str:
    """One row below HEADINGS."""
    cells = dict(rows(summary))
    picked = (
        cells["sessions at once"],
        cells["first draft after onset p50 / p95"],
        cells["first right word p50 / p95"],
        cells["words taken back per word shown"],
        cells["TTFS p50 / p95 / p99"],
        cells["voice to voice p50 / p95"],
        cells["finals missing"],
        cells["WER of the finals / one-shot"],
        cells["cores used"],
        cells["memory, largest"].removesuffix(" MiB"),
    )
    return f"| {name} | {' | '.join(picked)} |"


def _seconds(*values: float | None) -> str:
    if all(value is None for value in values):
        return "-"
    return " / ".join("-" if value is None else f"{value:.2f}" for value in values) + " s"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f} %"
