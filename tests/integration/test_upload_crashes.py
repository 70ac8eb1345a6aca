"""Two gateways die in the middle of everything, and every file that was accepted is recorded once."""

import random
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def kill_gateways(folder: Path, kills: int, url: str) -> None:
    """See tests/upload_crashes.py."""
    seed = random.randrange(1 << 30)
    command = [sys.executable, "-m", "tests.upload_crashes", str(folder), str(kills), str(seed), url]
    ran = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)

    assert ran.returncode == 0, (seed, ran.stdout)
    assert "each recorded once" in ran.stdout


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_accepted_files_survive_kill_9_of_their_gateways(tmp_path, url):
    kill_gateways(tmp_path / "site", 10, url)


@pytest.mark.nightly
@pytest.mark.timeout(1800)
def test_accepted_files_survive_a_hundred_kills_of_their_gateways(tmp_path, url):
    kill_gateways(tmp_path / "site", 100, url)
