"""Spoken sound, packed as MP3."""

import io

import av
import numpy as np
import pytest

from app.media.encode import encode_mp3


def decode(packed: bytes) -> np.ndarray:
    with av.open(io.BytesIO(packed)) as container:
        resampler = av.AudioResampler(format="s16", layout="mono")
        frames = [part for frame in container.decode(audio=0) for part in resampler.resample(frame)]
        return np.concatenate([frame.to_ndarray()[0] for frame in frames])


def tone(seconds: float, rate: int) -> np.ndarray:
    return (8000 * np.sin(2 * np.pi * 440 * np.arange(int(seconds * rate)) / rate)).astype("<i2")


@pytest.mark.parametrize("rate", [16_000, 24_000])
@pytest.mark.parametrize("seconds", [0.01, 1.0, 7.3])
def test_mp3_has_the_duration_of_its_pcm(seconds: float, rate: int):
    """Decoded, the file has the sound's length, give or take the codec's own frames."""
    sound = tone(seconds, rate)

    heard = decode(encode_mp3(sound.tobytes(), rate=rate))

    assert len(sound) <= len(heard) <= len(sound) + 3 * 1152


def test_mp3_has_the_level_of_its_pcm():
    """Decoded, the tone has its energy and its pitch."""
    sound = tone(2.0, 16_000)

    heard = decode(encode_mp3(sound.tobytes()))[2000:30_000].astype(float)

    assert np.sqrt(np.mean(heard**2)) == pytest.approx(np.sqrt(np.mean(sound.astype(float) ** 2)), rel=0.05)
    assert np.argmax(np.abs(np.fft.rfft(heard))) * 16_000 / len(heard) == pytest.approx(440, abs=2)


def test_mp3_is_much_smaller_than_pcm():
    """The default bit rate takes under a fifth of the room."""
    sound = tone(5.0, 16_000).tobytes()

    assert len(encode_mp3(sound)) < len(sound) / 5


def test_mp3_of_empty_pcm_is_empty():
    """Nothing said is an empty string, not a file without sound."""
    assert encode_mp3(b"") == b""
