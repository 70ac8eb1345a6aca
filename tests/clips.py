"""Recorded speech with reference transcripts, and the word error rate."""

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from app.domain.audio import SAMPLE_RATE
from app.media.decode import decode_trusted

FOLDER = Path(__file__).parent / "recordings"


@dataclass(frozen=True, slots=True)
class Clip:
    name: str
    words: str

    @property
    def pcm(self) -> bytes:
        return _pcm(self.name)

    @property
    def path(self) -> Path:
        return FOLDER / f"{self.name}.flac"


HANDS = Clip("arctic-aew-a0003", "For the twentieth time that evening the two men shook hands.")
HOUR = Clip("ls-1089-134691-0001", "For a full hour he had paced up and down, waiting, but he could wait no longer.")
STEELS = Clip("arctic-aew-a0001", "Author of the danger trail, Philip Steels, etc.")
COUNTRY = Clip(
    "jfk-inaugural",
    "And so, my fellow Americans, ask not what your country can do for you, ask what you can do for your country.",
)
NOISE = Clip("white-noise", "")


def silence(seconds: float) -> bytes:
    return bytes(2 * int(SAMPLE_RATE * seconds))


def word_error_rate(said: str, heard: str) -> float:
    """Edits from the words heard to the words said, over the words said."""
    reference, hypothesis = _words(said), _words(heard)
    row = list(range(len(hypothesis) + 1))
    for i, word in enumerate(reference, 1):
        diagonal, row[0] = row[0], i
        for j, other in enumerate(hypothesis, 1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (word != other))
    return row[-1] / max(1, len(reference))


def _words(text: str) -> list[str]:
    return re.findall(r"[a-z0-9']+", text.lower().replace("20th", "twentieth").replace("2 men", "two men"))


@cache
def _pcm(name: str) -> bytes:
    return b"".join(decode_trusted(FOLDER / f"{name}.flac"))
