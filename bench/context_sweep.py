"""Context margins of the encoder: WER and time for each margin, model and beam.

    python -m bench.context_sweep --model models/whisper-base --beam 1

Each row is a margin of silence behind the audio. `raw` is the first pass; `with fallback` is the same with
hallucination detection and the schedule of wider contexts. The last row is full context.
"""

import argparse
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

from bench.speech import DEFAULT, Clip, clips, word_error_rate
from providers.local.asr.hallucination import Verdict, assess
from providers.local.asr.recognizer import DecodeRequest
from providers.local.asr.whisper.context_schedule import FULL_CONTEXT, context_schedule
from providers.local.asr.whisper.decode import encode, generate, prepare
from providers.local.asr.whisper.fallback import decode_with_fallback
from providers.local.asr.whisper.model import WhisperModel, load
from providers.local.mel import encoder_features, samples_of
from providers.local.thread_plan import ThreadPlan

MARGINS = (0, 50, 100, 150, 200, 300, 400, FULL_CONTEXT)


@dataclass(frozen=True, slots=True)
class Row:
    margin: int
    raw: float
    with_fallback: float
    flagged: int
    retried: int
    milliseconds: float


def sweep(model: WhisperModel, chosen: list[Clip], *, margin: int, beam: int, corpus: Path) -> Row:
    spoken = [samples_of(clip.pcm) for clip in chosen]
    raw, flagged = [], 0
    with_fallback, retried, times = [], 0, []
    for samples in spoken:
        mel = model.filters.log_mel(samples)
        contexts = context_schedule(mel.shape[1], margin)
        request = DecodeRequest(samples, "en", beam_size=beam)
        began = time.perf_counter()
        memory = encode(model, [encoder_features(mel, contexts[0])])
        prepared = prepare(model, request, mel, memory)
        first = generate(model, memory, [prepared])[0]
        raw.append(first.evidence.text)
        flagged += assess(first.evidence) in (Verdict.LOOP, Verdict.BROKEN)
        result = decode_with_fallback(model, prepared, memory, first, contexts)
        times.append(time.perf_counter() - began)
        with_fallback.append(result.text)
        retried += result.passes > 1
    wers = [word_error_rate(corpus, chosen, texts) for texts in (raw, with_fallback)]
    return Row(margin, wers[0], wers[1], flagged, retried, 1000 * mean(times))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--speech", type=Path, default=DEFAULT, help="the corpus")
    parser.add_argument("--model", type=Path, required=True, help="folder of a CTranslate2 Whisper model")
    parser.add_argument("--beam", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--margins", type=int, nargs="*", default=MARGINS, help="frames of 10 ms")
    args = parser.parse_args()

    model = load(args.model, device="auto", compute_type="auto", plan=ThreadPlan(1, args.threads))
    chosen = [clip for clip in clips(args.speech) if not clip.long and clip.seconds <= 30]
    print(f"{args.model.name}, beam {args.beam}, {len(chosen)} clips")
    print("| margin, ms | WER raw | WER with fallback | flagged | retried | ms per clip |")
    print("| --- | --- | --- | --- | --- | --- |")
    for margin in args.margins:
        row = sweep(model, chosen, margin=margin, beam=args.beam, corpus=args.speech)
        name = "full" if margin >= FULL_CONTEXT else str(margin * 10)
        print(
            f"| {name} | {row.raw:.2f} | {row.with_fallback:.2f} | {row.flagged} | {row.retried} "
            f"| {row.milliseconds:.0f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
