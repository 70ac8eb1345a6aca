"""The manifest of a session: where its audio is stored, and which final covers which samples.

The finals cover the session's audio without a gap and without overlap: each one
begins where the one before it ended, so the silence before an utterance belongs to
it, and the silence behind the last utterance is an empty final of its own.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from app.domain.audio import SAMPLE_RATE
from app.domain.recording.subtitles import Segment
from app.domain.tenant import DEFAULT_TENANT
from app.domain.transcript import Word

FORMAT = 1
"""A later version that adds fields keeps the number, because they are skipped; one that changes the meaning of a field
raises it."""
MAX_SAMPLES = 1 << 48
"""Five hundred years; what a database takes as a number, too."""


@dataclass(frozen=True, slots=True)
class ArchivedChunk:
    key: str
    start: int
    """Samples from the session's first."""
    end: int
    sha256: str
    """Of the blob, before it is encrypted."""
    lost: tuple[tuple[int, int], ...] = ()
    """Samples [start, end) that were damaged on the local disk, and are silence in the blob."""


@dataclass(frozen=True, slots=True)
class ArchivedWord:
    """A word, and the samples [start, end) of the session in which it was said."""

    text: str
    start: int
    end: int
    confidence: float
    """0 to 1."""


@dataclass(frozen=True, slots=True)
class ArchivedFinal:
    """One final, and the samples it covers: [start, end)."""

    start: int
    end: int
    text: str
    turn: int | None = None
    utterance: int | None = None
    """None for the silence behind the last utterance."""
    speech: tuple[int, int] | None = None
    """From the utterance's first sample, pre-roll included, to the end of its speech."""
    route: str | None = None
    language: str | None = None
    ttfs_ms: int | None = None
    words: tuple[ArchivedWord, ...] = ()
    """Empty where the engine gave none."""
    speaker: int | None = None
    """Who spoke, from 1 in the order they spoke first; None where speakers were not told apart."""

    @property
    def segment(self) -> Segment:
        """As captions have it: its speech alone."""
        start, end = self.speech or (self.start, self.end)
        words = tuple(Word(word.text, word.start, word.end, word.confidence) for word in self.words)
        return Segment(start, end, self.text, self.language, words, self.speaker)


@dataclass(frozen=True, slots=True)
class ArchivedToolCall:
    """A tool that was called for a reply; long arguments are left out, and a long result is cut."""

    tool: str
    arguments: str
    """JSON."""
    result: str


@dataclass(frozen=True, slots=True)
class ArchivedReply:
    turn: int
    text: str
    cancelled: str | None = None
    """Why it ended early; its text and audio are what was sent until then. None: it was sent whole."""
    played: str | None = None
    """Where it was interrupted, what of its text the user had heard by then."""
    key: str | None = None
    """Of its audio; None for a reply in text alone."""
    samples: int = 0
    sha256: str | None = None
    tools: tuple[ArchivedToolCall, ...] = ()


@dataclass(frozen=True, slots=True)
class ArchivedTranscript:
    """The same audio, transcribed again by another model."""

    key: str
    model: str
    made: str
    """ISO 8601, UTC."""


@dataclass(frozen=True, slots=True)
class Manifest:
    session: str
    started: str
    """ISO 8601, UTC."""
    ended: str | None = None
    """None while the session lives, or where it was cut off."""
    recovered: bool = False
    """The service died in the middle of this session; what had been acknowledged is all here."""
    samples: int = 0
    chunks: tuple[ArchivedChunk, ...] = ()
    finals: tuple[ArchivedFinal, ...] = ()
    replies: tuple[ArchivedReply, ...] = ()
    transcripts: tuple[ArchivedTranscript, ...] = ()
    audio: str = "flac"
    tenant: str = DEFAULT_TENANT.name
    """The tenant it belongs to; manifests from before there were tenants do not say."""
    person: str | None = None
    """Who speaks, by the tenant's own identifier; None where nobody said so."""
    warnings: tuple[str, ...] = ()
    """Of a recording made of a file: what of it could not be decoded; one sentence each."""
    format: int = FORMAT
    sample_rate: int = SAMPLE_RATE

    @property
    def is_live(self) -> bool:
        return self.ended is None and not self.recovered

    @property
    def blob_keys(self) -> tuple[str, ...]:
        """Of every blob that it names."""
        replies = (reply.key for reply in self.replies if reply.key)
        return (*(chunk.key for chunk in self.chunks), *replies, *(transcript.key for transcript in self.transcripts))


def archived_words(words: Iterable[Word]) -> tuple[ArchivedWord, ...]:
    """Words that are timed in samples of the session."""
    return tuple(ArchivedWord(word.text, word.start, word.end, round(word.probability, 3)) for word in words)


def defect_of(manifest: Manifest) -> str | None:
    """What is impossible about the numbers of a manifest that was read; None: nothing."""
    if manifest.format < 1:
        return f"it has the format {manifest.format}"
    if manifest.sample_rate != SAMPLE_RATE:
        return f"its audio has {manifest.sample_rate} samples a second"
    if not 0 <= manifest.samples <= MAX_SAMPLES:
        return f"it has {manifest.samples} samples"
    spans = [(chunk.start, chunk.end) for chunk in manifest.chunks]
    if any(not 0 <= start < end <= manifest.samples for start, end in spans) or spans != sorted(spans):
        return "its chunks are not in order, or outside the recording"
    if any(not 0 <= final.start <= final.end <= MAX_SAMPLES for final in manifest.finals):
        return "a final ends before it begins"
    if any(not 0 <= reply.samples <= MAX_SAMPLES for reply in manifest.replies):
        return "a reply has no possible length"
    return None


def tile(finals: Iterable[ArchivedFinal], samples: int) -> tuple[ArchivedFinal, ...]:
    """Finals in the order of their audio, covering [0, samples) exactly."""
    tiles: list[ArchivedFinal] = []
    at = 0
    for final in sorted(finals, key=lambda f: f.start):
        if final.start >= samples:
            break
        tiles.append(replace(final, start=at))
        at = final.end
    if at < samples:
        tiles.append(ArchivedFinal(at, samples, ""))
    elif tiles and at > samples:
        tiles[-1] = replace(tiles[-1], end=samples)
    return tuple(tiles)
