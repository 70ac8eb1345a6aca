"""Context margins of the encoder: WER and time for each margin, model and beam.

    python -m bench.context_sweep --model models/whisper-base --beam 1

Each row is a margin of silence after the audio. `raw` is the decoder alone;
`guarded` is the same with hallucination checks and fallback to more context. The last row is full context.
"""

import argparse
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

from bench.speech import DEFAULT, Clip, clips, word_error_rate
from providers.local.asr import fallback as decoding
from providers.local.asr.context_schedule import FULL, context_schedule
from providers.local.asr.decode import DecodeRequest, asked_in_its_language, encode, generate
from providers.local.asr.hallucination import Verdict, judge
from providers.local.asr.whisper_model import WhisperModel, load
from providers.local.mel import samples_of, scaled

MARGINS = (0, 50, 100, 150, 200, 300, 400, FULL)


@dataclass(frozen=True, slots=True)
class Row:
    margin: int
    raw: float
    guarded: float
    flagged: int
    retried: int
    milliseconds: float


def sweep(model: WhisperModel, chosen: list[Clip], *, margin: int, beam: int, corpus: Path) -> Row:
    mels = [model.filters.columns(samples_of(clip.pcm)) for clip in chosen]
    raw, flagged = [], 0
    guarded, retried, taken = [], 0, []
    for mel in mels:
        rungs = context_schedule(mel.shape[1], margin)
        ask = DecodeRequest(mel, "en", beam_size=beam)
        begun = time.perf_counter()
        encoded = encode(model, [scaled(mel, rungs[0])])
        asked = asked_in_its_language(model, ask, encoded)
        first = generate(model, encoded, [asked])[0]
        raw.append(first.evidence.text)
        flagged += judge(first.evidence) in (Verdict.LOOP, Verdict.BROKEN)
        heard = decoding.decode_with_fallback(model, asked, encoded, first, rungs)
        taken.append(time.perf_counter() - begun)
        guarded.append(heard.text)
        retried += heard.passes > 1
    wers = [word_error_rate(corpus, chosen, texts) for texts in (raw, guarded)]
    return Row(margin, wers[0], wers[1], flagged, retried, 1000 * mean(taken))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--speech", type=Path, default=DEFAULT, help="the corpus")
    parser.add_argument("--model", type=Path, required=True, help="folder of a CTranslate2 Whisper model")
    parser.add_argument("--beam", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--margins", type=int, nargs="*", default=MARGINS, help="frames of 10 ms")
    args = parser.parse_args()

    model = load(args.model, device="auto", compute_type="auto", threads=args.threads)
    chosen = [clip for clip in clips(args.speech) if not clip.long and clip.seconds <= 30]
    print(f"{args.model.name}, beam {args.beam}, {len(chosen)} clips")
    print("| margin, ms | WER raw | WER guarded | flagged | retried | ms per clip |")
    print("| --- | --- | --- | --- | --- | --- |")
    for margin in args.margins:
        row = sweep(model, chosen, margin=margin, beam=args.beam, corpus=args.speech)
        name = "full" if margin >= FULL else str(margin * 10)
        print(
            f"| {name} | {row.raw:.2f} | {row.guarded:.2f} | {row.flagged} | {row.retried} | {row.milliseconds:.0f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
