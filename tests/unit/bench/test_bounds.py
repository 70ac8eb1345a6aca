import numpy as np
import pytest

from app.domain.audio import SAMPLE_RATE
from bench.bounds import levels_db, refine
from bench.room_tone import room_tone
from tests.unit.bench.making import sound

NOISY = np.concatenate([sound(1.0, level_db=-70), sound(2.0, level_db=-20), sound(1.0, level_db=-70)])


@pytest.mark.parametrize("rough", [(0.9, 3.1), (1.0, 3.0)])
def test_speech_bounds_follow_the_audio_level(rough):
    """Around a loud stretch the bounds lie within ten milliseconds of it."""
    bounds = refine(levels_db(NOISY), rough)

    assert bounds.onset <= 1.0
    assert bounds.end == pytest.approx(3.0, abs=0.01)
    assert bounds.floor_db == pytest.approx(-70, abs=1)


def test_speech_bounds_take_the_earlier_of_vad_and_level():
    """An onset before the audible one and an end before the audible end are kept."""
    bounds = refine(levels_db(NOISY), (0.8, 2.8))

    assert (bounds.onset, bounds.end) == (0.8, 2.8)


def test_click_far_from_speech_is_not_speech_onset():
    """A sound half a second before the rough onset does not move it."""
    clicked = NOISY.copy()
    clicked[round(0.4 * SAMPLE_RATE) : round(0.45 * SAMPLE_RATE)] = sound(0.05, level_db=-20)

    bounds = refine(levels_db(clicked), (1.0, 3.0))

    assert bounds.onset == pytest.approx(1.0, abs=0.01)


def test_silence_keeps_the_vad_bounds():
    """Where no frame is louder than another nothing is refined."""
    bounds = refine(levels_db(np.zeros(SAMPLE_RATE, np.float32)), (0.2, 0.2))

    assert (bounds.onset, bounds.end) == (0.2, 0.2)


@pytest.mark.parametrize(("floor_db", "level_db"), [(-75.0, -75.0), (-96.0, -84.0), (-40.0, -60.0)])
def test_room_tone_level_matches_background_within_bounds(floor_db, level_db):
    """Never digital silence, never louder than a quiet room."""
    tone = np.frombuffer(room_tone(NOISY, 2.0, floor_db), "<i2") / 32768

    assert len(tone) == 2 * SAMPLE_RATE
    assert 20 * np.log10(np.sqrt(np.mean(tone**2))) == pytest.approx(level_db, abs=0.5)
