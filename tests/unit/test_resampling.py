"""The streaming resampler, for every rate and packet size."""

import numpy as np
import pytest

from app.domain.audio import SAMPLE_RATE, ms
from app.media.resampling import RateConverter, Resampler


def tone(rate: int, seconds: float = 1.0, hertz: float = 440.0) -> np.ndarray:
    return (12_000 * np.sin(2 * np.pi * hertz * np.arange(int(rate * seconds)) / rate)).astype("<i2")


def resampled(resampler: Resampler, rate: int, sound: np.ndarray, packet: int) -> np.ndarray:
    chunks = [c for at in range(0, len(sound), packet) for c in resampler.push(sound[at : at + packet].tobytes(), rate)]
    chunks += resampler.flush()
    assert [c.start for c in chunks[1:]] == [c.end for c in chunks[:-1]]
    return np.frombuffer(b"".join(c.pcm for c in chunks), "<i2")


@pytest.mark.parametrize("rate", [8_000, 11_025, 22_050, 44_100, 48_000, 96_000])
@pytest.mark.parametrize("packet", [1, 37, 1920])
def test_resampled_tone_keeps_length_pitch_and_level_across_packets(rate, packet):
    """Sample by sample like the same tone made at 16 kHz, whatever the packet size."""
    seconds = 0.2 if packet == 1 else 1.0

    output = resampled(Resampler(), rate, tone(rate, seconds), packet)

    expected = tone(SAMPLE_RATE, seconds)
    assert len(output) == pytest.approx(len(expected), abs=2)
    middle = slice(ms(50), len(expected) - ms(50))
    assert np.abs(output[middle].astype(float) - expected[middle]).max() < 300


@pytest.mark.parametrize("rate", [8_000, 44_100, 48_000])
def test_the_same_audio_gives_the_same_samples_however_it_is_cut(rate):
    """A connection that is lost changes the packets, and must not change a sample; nothing random is in them."""
    noise = np.random.default_rng(1).integers(-(2**15), 2**15, rate + 77).astype("<i2")

    whole = resampled(Resampler(), rate, noise, len(noise))

    for packet in (37, 1920, 1920):
        assert np.array_equal(resampled(Resampler(), rate, noise, packet), whole)


def test_silence_behind_speech_is_digital_silence():
    """No dither: the noise of one bit that it adds was once taken for speech at the end of a turn."""
    sound = np.concatenate([tone(48_000), np.zeros(48_000, "<i2")])

    output = resampled(Resampler(), 48_000, sound, 1920)

    assert not output[SAMPLE_RATE + ms(100) :].any()


def test_16_khz_is_passed_through_unchanged():
    """Neither filtered nor delayed."""
    sound = tone(SAMPLE_RATE)

    assert np.array_equal(resampled(Resampler(), SAMPLE_RATE, sound, 640), sound)


def test_sample_rate_may_change_between_packets():
    """What the old filter holds comes out before the new rate's first sample; time goes on."""
    resampler = Resampler()

    chunks = [c for rate in (48_000, 8_000, 16_000) for c in resampler.push(tone(rate).tobytes(), rate)]
    chunks += resampler.flush()

    assert chunks[-1].end == pytest.approx(3 * SAMPLE_RATE, abs=4)


def test_audio_after_a_flush_is_resampled_as_before():
    """An `end` takes what the filter holds; the same client speaks on at the same rate."""
    resampler = Resampler()

    first = resampled(resampler, 48_000, tone(48_000), 1920)
    second = resampled(resampler, 48_000, tone(48_000), 1920)

    assert len(first) == len(second) == pytest.approx(SAMPLE_RATE, abs=2)


@pytest.mark.parametrize("rate", [8_000, 24_000, 48_000])
def test_a_tone_keeps_its_length_pitch_and_level_at_another_rate(rate):
    """What clients get: 16 kHz in pieces of 20 ms, at their own rate; then another stream over the same converter."""
    converter, sound = RateConverter(SAMPLE_RATE, rate), tone(SAMPLE_RATE)

    for _ in range(2):
        pieces = [converter.push(sound[at : at + 320].tobytes()) for at in range(0, len(sound), 320)]
        output = np.frombuffer(b"".join([*pieces, converter.flush()]), "<i2")

        expected = tone(rate)
        assert len(output) == pytest.approx(len(expected), abs=2)
        middle = slice(rate // 20, len(expected) - rate // 20)
        assert np.abs(output[middle].astype(float) - expected[middle]).max() < 300
