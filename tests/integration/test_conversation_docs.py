"""The curl examples of docs/conversations.md, run as they are printed, against a real server."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from anyio import to_thread

from tests.clips import HANDS
from tests.integration.conversation_service import conversation_server

pytestmark = pytest.mark.anyio
PAGE = Path(__file__).parents[2] / "docs" / "conversations.md"


async def test_curl_examples_of_the_page_work_one_after_the_other(tmp_path):
    """Each fails the script where its status is an error."""
    examples = "\n".join(re.findall(r"```sh\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL))
    shutil.copy(HANDS.path, tmp_path / "question.wav")
    async with conversation_server(f"sqlite+aiosqlite:///{tmp_path}/parley.db") as server:
        environment = {
            "KEY": "acme-key",
            "URL": f"http://{server.address}",
            "PATH": "/usr/bin:/bin",
            "HOME": str(tmp_path),
        }
        command = ["bash", "-euo", "pipefail", "-c", examples]
        done = await to_thread.run_sync(
            lambda: subprocess.run(
                command, capture_output=True, text=True, timeout=60, check=False, env=environment, cwd=tmp_path
            )
        )

    assert done.returncode == 0, done.stderr
    assert "event: delta\n" in done.stdout
    assert "event: done\n" in done.stdout
    assert "# Weather\n" in done.stdout
    assert '"deleted":{"messages":6}' in done.stdout
