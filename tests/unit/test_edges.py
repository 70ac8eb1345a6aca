"""Noise beside short audio, only where speech touches its edges."""

import numpy as np

from providers.local.asr.edges import EDGE, with_edges


def tone(seconds, level=0.1):
    return (level * np.sin(np.arange(int(16_000 * seconds)) * 0.2)).astype(np.float32)


QUIET = tone(0.1, 1e-4)


def test_tightly_cut_speech_gets_noise_on_both_sides():
    samples, before = with_edges(tone(0.5))

    assert before == EDGE
    assert len(samples) == 8000 + 2 * EDGE
    assert (samples[EDGE : EDGE + 8000] == tone(0.5)).all()
    assert 0 < np.abs(samples[:EDGE]).max() < 0.01


def test_speech_behind_a_pre_roll_gets_noise_behind_it_alone():
    samples, before = with_edges(np.concatenate((QUIET, tone(0.5))))

    assert before == 0
    assert len(samples) == 1600 + 8000 + EDGE


def test_speech_between_pauses_and_longer_audio_stay_as_they_are():
    between, long = np.concatenate((QUIET, tone(0.5), QUIET)), tone(2.0)

    assert with_edges(between)[0].tolist() == between.tolist()
    assert with_edges(long) == (long, 0)


def test_no_audio_stays_none():
    assert len(with_edges(tone(0))[0]) == 0
