"""The example client in frontend/PROTOCOL.md, run as it is printed, against a real server."""

import re
import subprocess
import sys
import wave
from pathlib import Path

import pytest
from anyio import to_thread

from tests.fakes import SILENCE, SPEECH
from tests.serving import scripted_service, served

pytestmark = pytest.mark.anyio

PROTOCOL = Path(__file__).parents[2] / "frontend" / "PROTOCOL.md"


async def test_example_client_prints_final_and_reply(tmp_path):
    """A file goes in, the final and the reply come out."""
    [example] = re.findall(r"```python\n(.*?)```", PROTOCOL.read_text("utf-8"), re.DOTALL)
    program, recording = tmp_path / "client.py", tmp_path / "speech.wav"
    program.write_text(example)
    with wave.open(str(recording), "wb") as audio:
        audio.setnchannels(1)
        audio.setsampwidth(2)
        audio.setframerate(16_000)
        audio.writeframes(SPEECH * 20 + SILENCE * 30)

    async with served(scripted_service()) as address:
        command = [sys.executable, str(program), f"ws://{address}/ws/transcribe", str(recording)]
        done = await to_thread.run_sync(
            lambda: subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        )

    assert done.stdout == "user: hello\nreply: You said it. Well done.\n", done.stderr
