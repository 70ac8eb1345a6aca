"""Speech corpus for the engine benchmarks: clips, reference texts and the scorer of the corpus."""

import importlib.util
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from app.media.decode import decode_trusted

DEFAULT = Path(os.environ.get("PARLEY_SPEECH_DIR", Path(__file__).parents[2] / "shared" / "speech"))
"""Where the corpus lies: `dev/`, `noise/` and `score.py`."""


@dataclass(frozen=True, slots=True)
class Clip:
    """A recording and its reference transcript."""

    file: str
    pcm: bytes
    """16 kHz mono signed 16-bit."""

    seconds: float
    text: str | None
    """None where the corpus does not want it scored."""

    long: bool


def read_pcm(path: Path) -> bytes:
    """An audio file of any format, as 16 kHz mono signed 16-bit PCM."""
    return b"".join(decode_trusted(path))


def clips(corpus: Path, part: str = "dev") -> list[Clip]:
    """Every clip of one part of the corpus, in the order of its manifest."""
    lines = (corpus / part / "manifest.jsonl").read_text().splitlines()
    entries = [json.loads(line) for line in lines if line.strip()]
    return [
        Clip(
            entry["file"],
            read_pcm(corpus / part / entry["file"]),
            entry["seconds"],
            entry["text"],
            bool(entry.get("long")),
        )
        for entry in entries
    ]


def word_error_rate(corpus: Path, chosen: Sequence[Clip], texts: Sequence[str]) -> float:
    """Percent, by the corpus's own normaliser."""
    scorer = _scorer(corpus)
    manifest = [{"file": clip.file, "text": clip.text, "seconds": clip.seconds} for clip in chosen]
    transcripts = [{"file": clip.file, "text": text} for clip, text in zip(chosen, texts, strict=True)]
    results = scorer.score(manifest, transcripts, scorer.normaliser("builtin"), True)
    return float(scorer.summary(results)["wer"]) * 100


def _scorer(corpus: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("corpus_score", corpus / "score.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Known by name before it runs, because its dataclasses look their own module up.
    sys.modules["corpus_score"] = module
    spec.loader.exec_module(module)
    return module
