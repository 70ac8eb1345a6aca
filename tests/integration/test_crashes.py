"""The service dies in the middle of everything, and what it acknowledged is in the store."""

import random
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_acknowledged_audio_survives_kill_9(tmp_path):
    """200 times, on a store that fails one time in four, with recoveries that are killed too; see tests/crashes.py."""
    seed = random.randrange(1 << 30)
    halves = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.crashes", str(tmp_path / str(half)), "100", str(seed + half)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for half in (0, 1)
    ]

    said = [half.communicate()[0] for half in halves]

    assert [half.returncode for half in halves] == [0, 0], (seed, said)
