"""Sounds over a reply for `bench interruptions`: recorded, spoken by espeak-ng, and made with numpy."""

import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import av
import numpy as np

from app.domain.audio import SAMPLE_RATE
from app.media.decode import decode_trusted
from bench.bounds import speech_bounds
from bench.clips import read_manifest
from bench.rooms import Samples, at_level, pcm16
from providers.local.vad.speech_segments import SpeechFinder, speech_segments

PERSON_DB = -22.0
"""Level of a person, where it is loud."""
LONGEST = 3 * SAMPLE_RATE
SHORTEST = int(1.2 * SAMPLE_RATE)
"""Of a recorded interruption, with the quarter of a second before and behind it."""
EACH = 9
"""Interruptions of one recording, at most."""
PROMPTS, QUIETEST = 60, 0.05
"""Prompts of a language, and the peak that tells them from silence."""
REPLIES = (
    (
        "Your parcel left the warehouse this morning.",
        "It should arrive at your address on Thursday, between nine and twelve o'clock.",
        "If nobody is at home, the driver will leave it with a neighbour or take it to the nearest shop.",
        "You can also choose another day on our website, up to six hours before the delivery.",
        "There is no charge for that.",
    ),
    (
        "The museum opens at ten and closes at six, except on Mondays.",
        "Tickets cost fourteen euros for adults, and children under twelve do not pay.",
        "The new exhibition about ancient Egypt is on the second floor, next to the library.",
        "Most visitors spend about two hours there, so you should arrive before four.",
    ),
    (
        "First, switch the machine off and wait until the light is out.",
        "Then open the door at the back, and take out the grey filter.",
        "Rinse it under warm water for a minute, and let it dry completely.",
        "Put it back with the arrow pointing up, and close the door until you hear a click.",
        "After that the warning on the screen should be gone.",
    ),
)
"""What the replies say, one sentence a piece, as a session's voice gets it."""

BACKCHANNELS_RECORDED = (
    ("ami-es2003a", 1.9, 2.45),
    ("ami-es2003a", 5.28, 5.82),
    ("ami-es2003a", 9.27, 9.66),
    ("ami-es2003a", 18.12, 18.68),
    ("ami-es2003a", 19.1, 19.32),
    ("ami-es2003a", 29.6, 29.97),
    ("ami-es2003b", 13.64, 14.1),
    ("mfa-acoustic-corpus", 8.02, 8.34),
    ("mfa-acoustic-corpus", 14.5, 14.76),
    ("mfa-acoustic-corpus", 22.8, 23.18),
    ("mfa-cold-corpus", 0.82, 1.42),
    ("mfa-cold-corpus", 7.04, 7.63),
    ("mfa-cold-corpus", 9.48, 10.1),
    ("mfa-cold-corpus", 17.8, 18.07),
    ("mfa-cold-corpus", 23.68, 24.05),
    ("mfa-cold-corpus3", 0.6, 1.15),
    ("mfa-cold-corpus3", 5.34, 5.86),
    ("mfa-cold-corpus3", 6.26, 6.78),
    ("mfa-cold-corpus3", 10.6, 10.8),
    ("mfa-cold-corpus3", 11.78, 12.05),
    ("mfa-cold-corpus3", 14.56, 14.88),
)
""" "Okay", "right", "yeah", "alright", "um", "uh" in recordings, between pauses, in seconds."""

VOICES = {
    "en": ("en-us", "en-gb", "en-us+f3", "en-gb+m4"),
    "de": ("de", "de+f2", "de+m3"),
    "es": ("es", "es+f2", "es-419+m3"),
}
BACKCHANNELS_SPOKEN = {
    "en": ("Yeah.", "Okay.", "Right.", "Sure.", "Uh-huh.", "Yes.", "Oh, okay.", "Yeah, right."),
    "de": ("Ja.", "Genau.", "Okay.", "Ach so.", "Stimmt.", "Aha.", "Ja, klar.", "Ja, genau."),
    "es": ("Sí.", "Claro.", "Vale.", "Ajá.", "Ya.", "Bueno.", "Sí, claro.", "Exacto."),
}
INTERRUPTIONS_SPOKEN = {
    "en": (
        "Stop.",
        "Wait a moment.",
        "No, that is wrong.",
        "Hold on.",
        "What do you mean by that?",
        "Can you repeat the last part?",
        "I have another question.",
        "Yes, but I need it today.",
    ),
    "de": (
        "Stopp.",
        "Warte mal.",
        "Nein, das ist falsch.",
        "Moment bitte.",
        "Was meinst du damit?",
        "Kannst du das wiederholen?",
        "Ich habe noch eine Frage.",
        "Ja, aber ich brauche es heute.",
        "Das reicht mir schon.",
        "Wie viel kostet das denn?",
    ),
    "es": (
        "Para.",
        "Espera un momento.",
        "No, eso está mal.",
        "Un momento, por favor.",
        "¿Qué quieres decir con eso?",
        "¿Puedes repetirlo?",
        "Tengo otra pregunta.",
        "Sí, pero lo necesito hoy.",
        "Ya tengo suficiente.",
        "¿Cuánto cuesta eso?",
    ),
}


class Group(StrEnum):
    """Rows of the table."""

    RECORDED = "interruption, recorded"
    SPOKEN = "interruption, synthetic"
    BACKCHANNEL = "backchannel, recorded"
    BACKCHANNEL_SPOKEN = "backchannel, synthetic"
    HUM = "hum, synthetic"
    COUGH = "cough, synthetic"
    NOISE = "noise"
    MUSIC = "music"
    BABBLE = "babble of 6 or 24"
    FIRST_ECHO = "echo alone, first reply"
    ECHO = "echo alone, later replies"

    @property
    def is_interruption(self) -> bool:
        return self in (Group.RECORDED, Group.SPOKEN)


@dataclass(frozen=True, slots=True)
class OverlapSound:
    """What is heard over a reply, with the level that it has there."""

    name: str
    group: Group
    language: str
    audio: Samples
    onset: int = 0
    """Its first audible sample."""
    relative_db: float = 0.0
    """Its level from that of a person's turns."""


def recorded_interruptions(folder: Path, finder: SpeechFinder) -> Iterator[OverlapSound]:
    """The beginnings of what is said behind a pause, in every recording of the corpus."""
    for entry in read_manifest(folder, long=True):
        name = Path(entry.file).stem
        audio = _levelled(folder, name)
        spans = [s for s in speech_segments(finder.probabilities(audio), len(audio)) if s.end - s.start >= SHORTEST]
        for span in spans[:: -(-len(spans) // EACH) or 1]:
            cut = audio[span.start : min(span.end, span.start + LONGEST)]
            yield _sound(f"{name} {span.start / SAMPLE_RATE:.1f}", Group.RECORDED, "en", cut)


def prompts(folder: Path, language: str) -> Iterator[OverlapSound]:
    """The beginnings of recorded telephone prompts in this language, raw G.722 files of 16 kHz."""
    paths = [path for voice in sorted(folder.glob(f"{language}_*")) for path in sorted(voice.glob("*.g722"))]
    spoken = [
        (path, audio) for path in paths if len(audio := _g722(path)) >= SHORTEST and np.abs(audio).max() > QUIETEST
    ]
    for path, audio in spoken[:: len(spoken) // PROMPTS or 1][:PROMPTS]:
        cut = at_level(pcm16(audio), PERSON_DB)[:LONGEST]
        yield _sound(f"{path.parent.name} {path.stem}", Group.RECORDED, language, cut)


def _g722(path: Path) -> Samples:
    with av.open(str(path), format="g722") as container:
        frames = [frame.to_ndarray().reshape(-1) for frame in container.decode(audio=0)]
    return np.concatenate(frames).astype(np.float32) / np.float32(32768)


def recorded_backchannels(folder: Path) -> Iterator[OverlapSound]:
    for name, start, end in BACKCHANNELS_RECORDED:
        audio = _levelled(folder, name)[int(start * SAMPLE_RATE) : int(end * SAMPLE_RATE)]
        audio = at_level(pcm16(_faded(audio)), PERSON_DB)
        for relative_db in (0.0, -6.0, -12.0):
            yield _sound(f"{name} {start} {relative_db}", Group.BACKCHANNEL, "en", audio, relative_db)


def spoken(language: str) -> Iterator[OverlapSound]:
    """Interruptions and backchannels by espeak-ng, in several voices and levels."""
    for group, texts in ((Group.SPOKEN, INTERRUPTIONS_SPOKEN), (Group.BACKCHANNEL_SPOKEN, BACKCHANNELS_SPOKEN)):
        for at, text in enumerate(texts[language]):
            for voice in VOICES[language]:
                audio = at_level(espeak(text, voice), PERSON_DB)
                relative_db = 0.0 if group is Group.SPOKEN else (0.0, -6.0, -12.0)[at % 3]
                yield _sound(f"{text} ({voice})", group, language, audio, relative_db)


def espeak(text: str, voice: str) -> bytes:
    """16 kHz PCM of this text. Raises FileNotFoundError where espeak-ng is not installed."""
    with tempfile.NamedTemporaryFile(suffix=".wav") as file:
        subprocess.run(["espeak-ng", "-v", voice, "-s", "160", "-w", file.name, text], check=True)
        return b"".join(decode_trusted(Path(file.name)))


def hums(rng: np.random.Generator) -> Iterator[OverlapSound]:
    """Hummed sounds, "mm" and "mm-hm": pulses of a voice through a closed mouth."""
    for number in range(24):
        f0 = float(rng.uniform(90, 240))
        syllables = [_hum(rng, f0 * bend, float(rng.uniform(0.16, 0.3))) for bend in (1.0, 1.15)[: 1 + number % 2]]
        gap = (rng.normal(size=int(0.06 * SAMPLE_RATE)) * 0.01).astype(np.float32)
        audio = np.concatenate([piece for syllable in syllables for piece in (syllable, gap)])
        relative_db = (0.0, -6.0, -12.0)[number % 3]
        yield _sound(f"hum {number}", Group.HUM, "en", at_level(pcm16(audio), PERSON_DB), relative_db)


def _hum(rng: np.random.Generator, f0: float, seconds: float) -> Samples:
    time = np.arange(int(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    phase = 2 * np.pi * np.cumsum(f0 * (1 + 0.03 * np.sin(2 * np.pi * 3 * time + rng.uniform(0, 6)))) / SAMPLE_RATE
    harmonics = np.arange(1, int(3000 / f0))
    weights = 1 / (1 + (harmonics * f0 / 300) ** 2) + 0.02
    tone = (np.sin(np.outer(harmonics, phase)) * weights[:, None]).sum(axis=0)
    return np.asarray(0.2 * tone * np.hanning(len(time)) ** 0.5 / np.abs(tone).max(), np.float32)


def coughs(rng: np.random.Generator) -> Iterator[OverlapSound]:
    """One to three bursts of noise through a throat, each with a click, a decay and some voice at its end."""
    for number in range(24):
        bursts = [_cough(rng) for _ in range(1 + number % 3)]
        gap = np.zeros(int(rng.uniform(0.08, 0.25) * SAMPLE_RATE), np.float32)
        audio = np.concatenate([piece for burst in bursts for piece in (burst, gap)])
        relative_db = (6.0, 0.0, -6.0)[number % 3]
        yield _sound(f"cough {number}", Group.COUGH, "en", at_level(pcm16(audio), PERSON_DB), relative_db)


def _cough(rng: np.random.Generator) -> Samples:
    length = int(rng.uniform(0.18, 0.35) * SAMPLE_RATE)
    spectrum = np.fft.rfft(rng.normal(size=length))
    hz = np.fft.rfftfreq(length, 1 / SAMPLE_RATE)
    resonances = ((rng.uniform(400, 700), 150), (rng.uniform(1000, 1600), 300), (rng.uniform(2300, 3200), 500))
    spectrum *= sum(1 / (1 + ((hz - centre) / width) ** 2) for centre, width in resonances) + 0.05
    noise = np.fft.irfft(spectrum, length)
    voiced = _hum(rng, float(rng.uniform(100, 200)), length / SAMPLE_RATE)[:length]
    time = np.arange(length) / length
    decay = np.exp(-4 * time) * np.minimum(1, np.arange(length) / 40)
    voice = np.pad(voiced, (0, length - len(voiced))) * (time > 0.4)
    return np.asarray(0.3 * noise / np.abs(noise).max() * decay + 0.3 * voice, np.float32)


def noises(folder: Path) -> Iterator[OverlapSound]:
    """Pieces of two seconds of everything in the corpus that is no speech, and of babble, at two levels."""
    for path in sorted((folder / "noise").glob("*.flac")):
        if path.stem.startswith("silence"):
            continue
        group = Group.MUSIC if path.stem.startswith("music") else Group.NOISE
        group = Group.BABBLE if path.stem.startswith("babble") else group
        audio = np.frombuffer(b"".join(decode_trusted(path)), "<i2").astype(np.float32) / np.float32(32768)
        piece = 2 * SAMPLE_RATE
        for at in range(0, len(audio) - piece, max(piece, len(audio) // 5)):
            cut = audio[at : at + piece]
            if not np.abs(cut).max() > 0.01:
                continue
            for relative_db in (0.0, -9.0):
                name = f"{path.stem} {at / SAMPLE_RATE:.0f} {relative_db}"
                yield OverlapSound(name, group, "en", _scaled(at_level(pcm16(cut), PERSON_DB), relative_db))


def _sound(name: str, group: Group, language: str, audio: Samples, relative_db: float = 0.0) -> OverlapSound:
    onset = int(speech_bounds(audio).onset * SAMPLE_RATE) if group.is_interruption else 0
    return OverlapSound(name, group, language, _scaled(audio, relative_db), onset, relative_db)


def _levelled(folder: Path, name: str) -> Samples:
    return at_level(b"".join(decode_trusted(folder / "dev" / f"{name}.flac")), PERSON_DB)


def _scaled(audio: Samples, db: float) -> Samples:
    return np.asarray(audio * 10 ** (db / 20), np.float32)


def _faded(audio: Samples) -> Samples:
    ramp = np.minimum(1, np.arange(len(audio)) / (0.02 * SAMPLE_RATE))
    return np.asarray(audio * ramp * ramp[::-1], np.float32)


def halves(sounds: Sequence[OverlapSound]) -> tuple[list[OverlapSound], list[OverlapSound]]:
    """By turns within each group and language: one half to choose thresholds with, the other to report."""
    chosen: tuple[list[OverlapSound], list[OverlapSound]] = [], []
    counts: dict[tuple[Group, str], int] = {}
    for sound in sounds:
        key = (sound.group, sound.language)
        counts[key] = counts.get(key, 0) + 1
        chosen[counts[key] % 2].append(sound)
    return chosen
