"""The `accuracy` benchmark: WER of live sessions in virtual time, beside the same engine on whole clips."""

import logging
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import anyio.to_thread
import msgspec
import structlog
from anyio import TemporaryDirectory
from rich.console import Console
from rich.progress import track

from app.assembly.service import open_service
from app.config import Settings, read_settings
from app.domain.audio import AudioChunk, ms, seconds, split_audio
from app.domain.dialog import effects as do
from app.domain.ports import Transcriber
from app.domain.tenant import DEFAULT_TENANT
from app.runtime.service import Service
from bench.clips import Clip, choose, load_clip, read_manifest
from bench.load import Load
from bench.protocols import ServerEvent
from bench.report import Summary, percentile, summarise
from bench.score import load_scorer
from bench.server import Usage
from bench.virtual_session import Shown, play
from bench.voice import LEADING_TONE_SECONDS, PlayedClip, size
from storage.session_log import open_session_log
from tests.fakes import EagerClock

TRAILING_TONE_SECONDS = 3.0
HEADINGS = (
    "| engine | clips | WER live | errors / words | one-shot | finals / clip | churn | TTFS p50 / p95 | CPU s / s "
    "| one-shot |\n| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |"
)


async def measure_accuracy(
    folder: Path, count: int, results: Path, console: Console, *, name: str, with_drafts: bool, with_long: bool
) -> None:
    """Print a row for the engines of the settings; texts and times of every clip go to `results`."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    scorer = load_scorer(folder)
    entries = choose(read_manifest(folder, long=with_long), count)
    clips = [await anyio.to_thread.run_sync(load_clip, folder, entry) for entry in entries]
    async with TemporaryDirectory(prefix="parley-accuracy-") as scratch, open_service(_settings(scratch)) as service:
        assert service.policy is not None
        service.policy.routes.clock = EagerClock()  # it stands still: no deadline is missed, and no route is probed
        whole, whole_cpu = await _one_shot(service, clips, console)
        load, shown = await _live(service, clips, Path(scratch), console, with_drafts=with_drafts)
    summary, records = summarise(load, scorer, whole)
    for record, finals in zip(records, shown, strict=True):
        record["one_shot"] = whole[record["file"]]
        record["cuts"] = [
            {"start": final.start, "speech_end": final.speech_end, "end": final.end, "text": final.hypothesis.text}
            for final in finals
        ]
    await anyio.to_thread.run_sync(_keep, results, records)
    row = _row(
        name,
        summary,
        records,
        [final for finals in shown for final in finals],
        whole_cpu / sum(clip.seconds for clip in clips),
    )
    print(f"{HEADINGS}\n{row}")  # as it stands in docs/benchmarks.md
    console.print(f"[dim]{results}[/dim]")


def _keep(results: Path, records: Sequence[dict[str, Any]]) -> None:
    results.parent.mkdir(parents=True, exist_ok=True)
    results.write_bytes(msgspec.json.format(msgspec.json.encode(records)))


def _settings(scratch: str) -> Settings:
    """Those of the environment, without replies, voice and an archive of their own."""
    storage = Path(scratch)
    return read_settings().model_copy(
        update={
            "reply_provider": (),
            "speech_provider": (),
            "audio_storage_dir": storage / "recordings",
            "database_url": f"sqlite+aiosqlite:///{storage}/parley.db",
        }
    )


async def _one_shot(service: Service, clips: Sequence[Clip], console: Console) -> tuple[dict[str, str], float]:
    """Every clip as a whole, by the model for finals, and what that costs in CPU seconds."""
    assert service.batch_transcriber is not None
    engine, language = service.batch_transcriber.transcriber, service.batch_transcriber.language
    began, texts = time.process_time(), dict[str, str]()
    for clip in track(clips, "one-shot", console=console, transient=True):
        texts[clip.name] = await _whole(engine, clip.pcm, language)
    return texts, time.process_time() - began


async def _whole(engine: Transcriber, pcm: bytes, language: str | None) -> str:
    async with aclosing(engine.transcribe(_packets(pcm), language=language)) as hypotheses:
        return [hypothesis.text async for hypothesis in hypotheses][-1]


async def _packets(pcm: bytes) -> AsyncGenerator[AudioChunk, None]:
    for packet in split_audio(AudioChunk(pcm, 0), ms(1000)):
        yield packet


async def _live(
    service: Service, clips: Sequence[Clip], scratch: Path, console: Console, *, with_drafts: bool
) -> tuple[Load, list[list[do.ShowFinal]]]:
    """Every clip in a live session of its own, between its room tone; and the finals that were shown of each."""
    played: list[PlayedClip] = []
    finals: list[list[do.ShowFinal]] = []
    began = time.process_time()
    async with open_session_log(folder=scratch / "spool", fsync="never", reserve=0) as log:
        for clip in track(clips, "live", console=console, transient=True):
            lead, trailing = size(LEADING_TONE_SECONDS), size(TRAILING_TONE_SECONDS)
            pcm = clip.tone[:lead] + clip.pcm + clip.tone[lead : lead + trailing]
            async with service.session_engines("bench", DEFAULT_TENANT) as engines:
                own = engines if with_drafts else replace(engines, drafter=None)
                shown = await play(pcm, own, service.initial_state, log)
            finals.append([each.effect for each in shown if isinstance(each.effect, do.ShowFinal)])
            played.append(_played(clip, pcm, shown))
    return Load(1, tuple(played), Usage(cpu_seconds=time.process_time() - began)), finals


def _played(clip: Clip, pcm: bytes, shown: Sequence[Shown]) -> PlayedClip:
    """The session as the benchmarks of real servers see one."""
    events = [event for each in shown if (event := _event(each)) is not None]
    return PlayedClip(clip, reply=False, events=events, streamed=seconds(len(pcm) // 2))


def _event(shown: Shown) -> ServerEvent | None:
    match shown.effect:
        case do.ShowDraft(utterance=number, text=text):
            return ServerEvent(shown.at, "draft", text, str(number))
        case do.ShowFinal(utterance=number, hypothesis=final, start=start, speech_end=end):
            return ServerEvent(shown.at, "final", final.text, str(number), seconds(start), seconds(end))
        case _:
            return None


def _row(
    name: str, summary: Summary, records: Sequence[dict[str, Any]], finals: Sequence[do.ShowFinal], whole_cpu: float
) -> str:
    errors, words = (sum(cast(int, record[key]) for record in records) for key in ("errors", "words"))
    late = [record["ttfs"] for record in records if record["ttfs"] is not None]
    churn = "-" if summary.churn is None else f"{summary.churn:.2f}"
    ttfs = " / ".join(
        "-" if value is None else f"{value:.2f}" for value in (percentile(late, 50), percentile(late, 95))
    )
    cells = (
        name,
        str(len(records)),
        f"{100 * (summary.wer or 0):.2f} %",
        f"{errors} / {words}",
        f"{100 * (summary.wer_one_shot or 0):.2f} %",
        f"{len(finals) / len(records):.1f}, {sum(final.wasted for final in finals) / len(records):.1f} wasted",
        churn,
        f"{ttfs} s",
        f"{summary.cpu_per_audio_second:.3f}",
        f"{whole_cpu:.3f}",
    )
    return f"| {' | '.join(cells)} |"
