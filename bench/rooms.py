"""A loudspeaker and a microphone in one room, simulated."""

import numpy as np
from numpy.typing import NDArray

from app.domain.audio import SAMPLE_RATE

Samples = NDArray[np.float32]


def room_impulse_response(rng: np.random.Generator, reverberation_s: float) -> Samples:
    """A direct sound, and behind it noise that decays by 60 dB in this time; of unit energy."""
    length = int(SAMPLE_RATE * reverberation_s)
    tail = rng.normal(size=length) * 10 ** (-3 * np.arange(length) / length)
    tail[: SAMPLE_RATE // 400] = 0  # the first wall is at least 2.5 ms away
    response = 0.25 * tail / np.sqrt(np.sum(tail**2))
    response[0] = 1
    return np.asarray(response / np.sqrt(np.sum(response**2)), np.float32)


def microphone(
    rng: np.random.Generator,
    played: Samples,
    *,
    level_db: float | None,
    delay: int,
    reverberation_s: float = 0.4,
    noise_db: float = -62.0,
    over: tuple[Samples, int] | None = None,
) -> Samples:
    """What a microphone hears: noise, and the played sound at a level (None: a headset) and a delay in samples.

    `over` is speech of a person, and its first sample.
    """
    heard = rng.normal(size=len(played) + SAMPLE_RATE).astype(np.float32) * np.float32(10 ** (noise_db / 20))
    if level_db is not None:
        echo = np.convolve(played, room_impulse_response(rng, reverberation_s)) * 10 ** (level_db / 20)
        heard[delay:][: len(echo)] += echo[: len(heard) - delay].astype(np.float32)
    if over is not None:
        speech, at = over
        heard[at:][: len(speech)] += speech[: len(heard) - at]
    return np.asarray(np.clip(heard, -1, 1), np.float32)


def at_level(pcm: bytes, level_db: float = -22.0) -> Samples:
    """Recorded speech with this level where it is loud."""
    audio = np.frombuffer(pcm, "<i2").astype(np.float32) / np.float32(32768)
    loud = audio[np.abs(audio) > 0.01]
    return np.asarray(audio * 10 ** (level_db / 20) / np.sqrt(np.mean(loud**2)), np.float32)


def pcm16(audio: Samples) -> bytes:
    return np.rint(audio * 32767).astype("<i2").tobytes()
