"""Time and WER of the local engine and of faster-whisper with 30 s padding, alternating clip by clip.

    python -m bench.engine --drafts models/whisper-tiny.en --finals models/whisper-base

Finals of the finals model and drafts of the drafts model, by faster-whisper (30 s of context for everything) and by the
local engine. They take turns on every clip, so what else the machine does weighs on both. A draft pass is one of an
utterance in progress: every half second, behind the stable words of earlier drafts.
"""

import argparse
import json
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from pathlib import Path
from statistics import median
from typing import Any

import anyio
import numpy as np
from anyio import to_thread
from faster_whisper import WhisperModel as Padded

from app.domain.audio import AudioChunk, ms, split_audio
from app.domain.dialog.agreement import LocalAgreement
from bench.speech import DEFAULT, Clip, clips, word_error_rate
from providers.local.asr.engine import SpeechEngine, open_speech_engine
from providers.local.mel import samples_of
from providers.local.thread_plan import usable_cores

CHUNK = ms(100)
DRAFT_EVERY = ms(500)


async def chunked(pcm: bytes) -> AsyncGenerator[AudioChunk, None]:
    for chunk in split_audio(AudioChunk(pcm, 0), CHUNK):
        yield chunk


async def timed(work: Callable[[], Any]) -> tuple[float, str]:
    began = time.perf_counter()
    text = await work()
    return time.perf_counter() - began, text


def padded(model: Padded, beam: int) -> Callable[[bytes], Any]:
    """Transcribe with faster-whisper, which encodes 30 s at every call."""

    def call(pcm: bytes) -> str:
        segments, _ = model.transcribe(samples_of(pcm), language="en", beam_size=beam, condition_on_previous_text=False)
        return " ".join(segment.text.strip() for segment in segments)

    return lambda pcm: to_thread.run_sync(call, pcm)


def local(engine: SpeechEngine) -> Callable[[bytes], Any]:
    """Transcribe with the local engine."""

    async def call(pcm: bytes) -> str:
        async with aclosing(engine.transcribe(chunked(pcm), language="en")) as hypotheses:
            return [h.text async for h in hypotheses][-1]

    return call


async def time_finals(
    engines: dict[str, Callable[[bytes], Any]], chosen: Sequence[Clip]
) -> dict[str, list[tuple[float, str]]]:
    """Seconds and text of every clip, for every engine; the engines take turns clip by clip."""
    times: dict[str, list[tuple[float, str]]] = {name: [] for name in engines}
    for clip in chosen:
        for name, transcribe in engines.items():
            times[name].append(await timed(lambda: transcribe(clip.pcm)))  # noqa: B023 because it is called at once
    return times


async def time_drafts(
    engine: SpeechEngine, other: Callable[[bytes], Any], chosen: Sequence[Clip]
) -> dict[str, list[float]]:
    """Seconds of each draft pass over utterances in progress; every fourth one is repeated with `other`."""
    times: dict[str, list[float]] = {"faster-whisper": [], "local": []}
    for clip in chosen:
        session, agreed = engine.for_session(), LocalAgreement()
        for end in range(2 * DRAFT_EVERY, len(clip.pcm) // 2, DRAFT_EVERY):
            pcm = clip.pcm[: 2 * end]
            seconds, text = await timed(lambda: _draft(session, pcm, agreed))  # noqa: B023 because it is called at once
            agreed = agreed.update(text)
            times["local"].append(seconds)
            if (end // DRAFT_EVERY) % 4 == 2:
                times["faster-whisper"].append((await timed(lambda: other(pcm)))[0])  # noqa: B023 likewise
    return times


async def _draft(session: Any, pcm: bytes, agreed: LocalAgreement) -> str:
    hypothesis = await session.draft(pcm, stable=agreed.stable_text, language="en")
    return str(hypothesis.text) if hypothesis else agreed.text


async def run(args: argparse.Namespace) -> dict[str, Any]:
    cores = args.threads or usable_cores()
    scored = [clip for clip in clips(args.speech) if clip.seconds <= 30 and not clip.long]
    short = [clip for clip in scored if 2 <= clip.seconds <= 8]
    noise = [clip for clip in clips(args.speech, "noise") if clip.text == ""]
    kind = {"device": "cpu", "compute_type": "int8", "cpu_threads": cores}
    report: dict[str, Any] = {"cores": cores, "beam": args.beam}
    async with (
        open_speech_engine(model=args.finals, device="cpu", threads=cores, beam_size=args.beam) as final_engine,
        open_speech_engine(model=args.drafts, device="cpu", threads=cores) as draft_engine,
    ):
        padded_finals = padded(await to_thread.run_sync(lambda: Padded(str(args.finals), **kind)), args.beam)
        padded_drafts = padded(await to_thread.run_sync(lambda: Padded(str(args.drafts), **kind)), 1)
        for row, engine, other in (
            ("finals", final_engine, padded_finals),
            ("drafts model, whole clips", draft_engine, padded_drafts),
        ):
            times = await time_finals({"faster-whisper": other, "local": local(engine)}, scored)
            report[row] = _compare(times, scored, short, args.speech)
        passes = await time_drafts(draft_engine, padded_drafts, short)
        medians = {name: 1000 * median(seconds) for name, seconds in passes.items()}
        report["draft pass"] = {
            "ms": medians,
            "ratio": medians["faster-whisper"] / medians["local"],
            "passes": {name: len(seconds) for name, seconds in passes.items()},
        }
        invented = await time_finals({"faster-whisper": padded_finals, "local": local(final_engine)}, noise)
        report["words on noise"] = {
            name: sum(len(text.split()) for _, text in answers) for name, answers in invented.items()
        }
    return report


def _compare(
    times: dict[str, list[tuple[float, str]]], scored: Sequence[Clip], short: Sequence[Clip], corpus: Path
) -> dict[str, Any]:
    wer = {name: word_error_rate(corpus, scored, [text for _, text in rows]) for name, rows in times.items()}
    brief = [n for n, clip in enumerate(scored) if clip in short]
    milliseconds = {name: 1000 * median(rows[n][0] for n in brief) for name, rows in times.items()}
    ratios = [times["faster-whisper"][n][0] / times["local"][n][0] for n in brief]
    return {
        "wer": wer,
        "ms, clips of 2-8 s": milliseconds,
        "ratio, median of clips": median(ratios),
        "ratio, least": min(ratios),
        "all clips, total ratio": float(
            np.sum([s for s, _ in times["faster-whisper"]]) / np.sum([s for s, _ in times["local"]])
        ),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--speech", type=Path, default=DEFAULT, help="the corpus")
    parser.add_argument("--drafts", type=Path, required=True, help="folder of the model for drafts")
    parser.add_argument("--finals", type=Path, required=True, help="folder of the model for finals")
    parser.add_argument("--beam", type=int, default=1)
    parser.add_argument("--threads", type=int, default=0, help="0 takes every core this process may use")
    args = parser.parse_args()
    report = anyio.run(run, args)
    for row in ("finals", "drafts model, whole clips", "draft pass", "words on noise"):
        print(row)
        for name, value in report[row].items():
            print(f"  {name:28} {_shown(value)}")
    print(json.dumps(report))


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return "   ".join(f"{name} {_shown(one)}" for name, one in value.items())
    return f"{value:.2f}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    main()
