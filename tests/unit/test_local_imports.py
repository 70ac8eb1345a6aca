"""What a module of the local engines pulls in: models that a process does not use cost it no import."""

import subprocess
import sys
from textwrap import dedent

import pytest


@pytest.mark.parametrize(
    "module",
    ["providers.local.inference_pool", "providers.local.scheduler", "providers.local.turn.smart_turn"],
)
def test_queue_and_turn_detector_do_not_import_whisper(module):
    """Neither CTranslate2 nor faster-whisper nor tokenizers."""
    script = dedent(
        f"""
        import sys, {module}
        print(*sorted({{"ctranslate2", "faster_whisper", "tokenizers"}} & set(sys.modules)))
        """
    )

    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert run.stdout.split() == []
