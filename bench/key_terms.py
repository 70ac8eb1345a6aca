"""Key terms: what a list of a hundred names recognises, what it costs other words, and what it invents.

    python -m bench.key_terms models/moonshine-base-en models/whisper-base

Recordings of the corpus, and sentences with names spoken by the Piper voice, each clean and with noise beside it.
Weights are chosen on one half of them and checked on the other. The list is `key_terms.toml`.
"""

import argparse
import json
import tomllib
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from functools import partial, reduce
from operator import add
from pathlib import Path

import anyio
import numpy as np

from bench.score import Scorer, load_scorer
from bench.speech import DEFAULT, clips, read_pcm
from bench.term_score import TermScore, score
from providers.local.asr.moonshine.recognizer import MoonshineRecognizer
from providers.local.asr.opening import open_recognizer
from providers.local.asr.recognizer import DecodeRequest, Recognizer
from providers.local.asr.transformer.key_terms import DEFAULT_WEIGHTS, TermWeights, bias_maker
from providers.local.asr.whisper.recognizer import WhisperRecognizer
from providers.local.asr.whisper.tokenizer import inner_tokens
from providers.local.mel import Samples, samples_of
from providers.local.thread_plan import thread_plan
from providers.local.tts.piper import open_piper
from providers.local.vad.silero import load_network
from providers.local.vad.speech_segments import SpeechFinder, chunk_segments

LIST = Path(__file__).with_name("key_terms.toml")
MAX_SAMPLES, JOIN_UP_TO = 28 * 16_000, 15 * 16_000
"""As the engine splits long audio."""


@dataclass(frozen=True, slots=True)
class TermClip:
    """Audio as the engine decodes it, in pieces."""

    name: str
    text: str
    pieces: tuple[Samples, ...]
    seconds: float


def with_weights(recognizer: Recognizer, weights: TermWeights) -> Recognizer:
    """The same model with other weights for its key terms."""
    match recognizer:
        case MoonshineRecognizer():
            tokenizer = recognizer.tokenizer
            return replace(recognizer, bias_of=bias_maker(tokenizer.encode, tokenizer.decode_inner, weights))
        case WhisperRecognizer():
            tokens = recognizer.model.tokens
            bias_of = bias_maker(partial(inner_tokens, tokens), tokens.decode, weights)
            return replace(recognizer, model=replace(recognizer.model, bias_of=bias_of))
        case _:
            raise TypeError(f"{recognizer} has no key terms")


def with_noise(speech: Samples, noise: Samples, snr_db: float) -> Samples:
    """Speech with noise at this signal-to-noise ratio."""
    noise = np.resize(noise, len(speech))
    gain = float(np.sqrt(np.mean(speech**2) / np.mean(noise**2))) / 10 ** (snr_db / 20)
    mixed: Samples = np.clip(speech + gain * noise, -1, 1).astype(np.float32)
    return mixed


def pieces_of(finder: SpeechFinder, samples: Samples) -> tuple[Samples, ...]:
    if len(samples) <= MAX_SAMPLES:
        return (samples,)
    spans = chunk_segments(finder.probabilities(samples), len(samples), max_samples=MAX_SAMPLES, join_up_to=JOIN_UP_TO)
    return tuple(samples[span.start : span.end] for span in spans)


async def spoken(sentences: Sequence[str], voice: Path) -> list[bytes]:
    """Each sentence by the Piper voice, 16 kHz s16le."""

    async def one(text: str) -> AsyncGenerator[str, None]:
        yield text

    async with open_piper(model=voice) as synthesizer:
        speech = []
        for sentence in sentences:
            async with aclosing(synthesizer.synthesize(one(sentence))) as chunks:
                speech.append(b"".join([chunk.pcm async for chunk in chunks]))
        return speech


def material(args: argparse.Namespace, listed: dict[str, list[str]]) -> Iterator[tuple[str, TermClip]]:
    """Pairs of a condition and a clip."""
    finder = SpeechFinder(load_network())
    sentences = [*listed["sentences"], *listed["near"]]
    recordings = [
        (clip.file, clip.text, clip.pcm) for part in ("dev", "dev/formats") for clip in clips(args.speech, part)
    ]
    synthetic = zip(sentences, anyio.run(spoken, sentences, args.voice), strict=True)
    sources = [*recordings, *((f"spoken-{text}", text, pcm) for text, pcm in synthetic)]
    noises = {
        "clean": None,
        "babble 10 dB": args.speech / "noise" / "babble-6.flac",
        "dishes 10 dB": args.speech / "noise" / "dishes.flac",
    }
    for condition, file in noises.items():
        noise = samples_of(read_pcm(file)) if file else None
        for name, text, pcm in sources:
            if text is None or (args.clean and noise is not None):
                continue
            samples = samples_of(pcm) if noise is None else with_noise(samples_of(pcm), noise, 10)
            yield condition, TermClip(name, text, pieces_of(finder, samples), len(samples) / 16_000)


def decoded(recognizer: Recognizer, clip: TermClip, terms: tuple[str, ...]) -> str:
    requests = [DecodeRequest(piece, "en", key_terms=terms) for piece in clip.pieces]
    return " ".join(recognizer.decode([request])[0].text for request in requests)


def run(args: argparse.Namespace) -> None:
    listed = tomllib.loads(LIST.read_text("utf-8"))
    terms = tuple(term for kind in ("recorded", "spoken", "unsaid") for term in listed[kind])
    all_clips = list(material(args, listed))
    halves = {"choose": all_clips[::2], "check": all_clips[1::2]}
    scorer = load_scorer(args.speech)
    for folder in args.models:
        recognizer = open_recognizer(
            folder, None, device="cpu", compute_type="auto", plan=thread_plan(1), encoder_path="auto"
        )
        rows: dict[str, tuple[Recognizer, tuple[str, ...]]] = {"without": (recognizer, ())}
        for weights in args.weights or [DEFAULT_WEIGHTS]:
            rows[" ".join(f"{value:g}" for value in weights)] = (with_weights(recognizer, weights), terms)
        for half in args.half or halves:
            for row, (model, row_terms) in rows.items():
                report(f"{folder.name} {half} {row}", halves[half], model, row_terms, terms, scorer, args.texts)


def report(
    row: str,
    chosen: Sequence[tuple[str, TermClip]],
    model: Recognizer,
    model_terms: tuple[str, ...],
    terms: Sequence[str],
    scorer: Scorer,
    texts: Path | None,
) -> None:
    """Print one row for each condition."""
    scores: dict[str, list[TermScore]] = {}
    for condition, clip in chosen:
        text = decoded(model, clip, model_terms)
        scores.setdefault(condition, []).append(score(clip.text, text, terms, scorer.normalise))
        if texts:
            with texts.open("a") as file:
                file.write(json.dumps({"row": row, "condition": condition, "clip": clip.name, "text": text}) + "\n")
    seconds = sum(clip.seconds for _, clip in chosen)
    for condition, each in (*scores.items(), ("all", [one for some in scores.values() for one in some])):
        total = reduce(add, each, TermScore())
        print(
            f"{row} | {condition} | {total.missed} of {total.said} names missed"
            f" | others {100 * total.other_errors / total.others:.2f} % of {total.others}"
            f" | inserted {len(total.inserted)} {' '.join(total.inserted)}",
            flush=True,
        )
    print(f"{row} | {seconds / 60:.1f} min", flush=True)


def _weights(text: str) -> TermWeights:
    return TermWeights(*map(float, text.split("/")))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", type=Path, help="folders of models for finals")
    parser.add_argument("--speech", type=Path, default=DEFAULT)
    parser.add_argument("--voice", type=Path, default=Path("models/piper-en_US-joe-medium"))
    parser.add_argument(
        "--weights", type=_weights, action="append", help="first/next/deficit; default: the built-in ones"
    )
    parser.add_argument("--half", choices=("choose", "check"), action="append", help="default: both")
    parser.add_argument("--clean", action="store_true", help="without noise")
    parser.add_argument("--texts", type=Path, help="append each text to this file, as JSON lines")
    run(parser.parse_args())


if __name__ == "__main__":
    main()
