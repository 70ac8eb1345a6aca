"""Word error rate by the scorer of the speech corpus."""

import importlib.util
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import click


@dataclass(frozen=True, slots=True)
class Errors:
    """Words of a reference, and edits between it and what was written."""

    words: int = 0
    errors: int = 0

    @property
    def rate(self) -> float | None:
        """Errors per word; None where there are no words."""
        return self.errors / self.words if self.words else None

    def __add__(self, other: "Errors") -> "Errors":
        return Errors(self.words + other.words, self.errors + other.errors)


@dataclass(frozen=True, slots=True)
class Scorer:
    """The scorer of a speech folder. Sum its errors over clips; rates are not to be averaged."""

    module: Any

    def normalise(self, text: str) -> Sequence[str]:
        words: list[str] = self.module.normalise(text)
        return words

    def errors(self, reference: str, written: str) -> Errors:
        entry, hypothesis = {"file": "a", "text": reference}, {"file": "a", "text": written}
        counts = self.module.score([entry], [hypothesis], self.module.normalise)[0].words
        return Errors(counts.length, counts.errors)


def load_scorer(folder: Path) -> Scorer:
    """The folder's `score.py`. Raises UsageError where there is none."""
    file = folder / "score.py"
    if not file.is_file():
        raise click.UsageError(f"no score.py in {folder}: name the speech corpus with --speech or PARLEY_SPEECH_DIR")
    return Scorer(_load(file))


def _load(file: Path) -> ModuleType:
    name = "speech_corpus_score"
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # its dataclasses look their module up
    spec.loader.exec_module(module)
    return module
