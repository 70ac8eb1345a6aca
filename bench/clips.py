"""Clips of the speech corpus with reference text and true bounds of speech."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click
import msgspec
import numpy as np
from numpy.typing import NDArray

from app.domain.audio import BYTES_PER_SAMPLE, SAMPLE_RATE
from app.media.decode import decode_trusted
from bench.bounds import speech_bounds
from bench.room_tone import room_tone

TONE_SECONDS = 15.0


class ManifestEntry(msgspec.Struct, frozen=True):
    """A line of the corpus's manifest, as far as it is needed here."""

    file: str
    text: str | None
    seconds: float
    long: bool = False
    speaker: str = ""
    segments: tuple["Segment", ...] = ()


class Segment(msgspec.Struct, frozen=True):
    """An utterance of a joined recording."""

    text: str


@dataclass(frozen=True, slots=True)
class Clip:
    """One recording, ready to be played."""

    name: str
    text: str
    pcm: bytes
    onset: float
    """Seconds into the clip at which speech begins."""
    end: float
    """Seconds into the clip at which speech ends."""
    tone: bytes
    """Room tone of the recording, to play before and after the clip."""

    @property
    def seconds(self) -> float:
        return len(self.pcm) / BYTES_PER_SAMPLE / SAMPLE_RATE


def read_manifest(folder: Path, *, long: bool = False) -> list[ManifestEntry]:
    """The clips that have a reference text."""
    manifest = folder / "dev" / "manifest.jsonl"
    if not manifest.is_file():
        raise click.UsageError(f"no speech corpus at {folder}: name it with --speech or PARLEY_SPEECH_DIR")
    entries = (
        msgspec.json.decode(line, type=ManifestEntry) for line in manifest.read_bytes().splitlines() if line.strip()
    )
    return [entry for entry in entries if entry.text and (long or not entry.long)]


def choose(entries: Sequence[ManifestEntry], count: int) -> list[ManifestEntry]:
    """That many of them, spread evenly over the manifest; 0 for all."""
    if not count or count >= len(entries):
        return list(entries)
    return [entries[at * len(entries) // count] for at in range(count)]


def load_clip(folder: Path, entry: ManifestEntry) -> Clip:
    """Decode the recording, and find where speech begins and ends in it."""
    pcm = b"".join(decode_trusted(folder / "dev" / entry.file))
    audio = samples(pcm)
    bounds = speech_bounds(audio)
    return Clip(
        entry.file, entry.text or "", pcm, bounds.onset, bounds.end, room_tone(audio, TONE_SECONDS, bounds.floor_db)
    )


def samples(pcm: bytes) -> NDArray[np.float32]:
    """PCM16 as numbers from -1 to 1."""
    return np.frombuffer(pcm, "<i2").astype(np.float32) / np.float32(32768)
