"""Which engine replies where the settings leave it open."""

import subprocess
import sys

import pytest

from app.assembly.replies import reply_provider
from app.config import Settings
from app.domain.errors import SettingsError
from tests.emulators.openai import serve_openai

pytestmark = pytest.mark.anyio

NOBODY = "http://127.0.0.1:9/v1"


async def test_auto_takes_openai_where_a_key_is_set():
    """Nothing is asked before the first reply."""
    assert await reply_provider(Settings(openai_api_key="sk-test", openai_base_url=NOBODY)) == "openai"


async def test_auto_takes_ollama_only_where_it_has_the_model():
    """One that lacks it could answer nobody."""
    with serve_openai(models=("llama3.2:latest",)) as server:
        has_it = await reply_provider(Settings(ollama_base_url=server.base_url, ollama_model="llama3.2"))
        lacks_it = await reply_provider(Settings(ollama_base_url=server.base_url, ollama_model="qwen3"))

    assert (has_it, lacks_it) == ("ollama", "embedded")


async def test_auto_takes_the_embedded_model_where_no_ollama_answers():
    """As on a laptop without either."""
    assert await reply_provider(Settings(ollama_base_url=NOBODY)) == "embedded"


def test_auto_takes_the_embedded_model_where_the_openai_extra_is_missing():
    """A local installation starts without it."""
    program = (
        "import sys, anyio; sys.modules['openai'] = None\n"
        "from app.assembly.replies import reply_provider; from app.config import Settings\n"
        "print(anyio.run(reply_provider, Settings()))"
    )

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)

    assert (done.stdout, done.stderr) == ("embedded\n", "")


async def test_openai_without_a_key_is_a_settings_error():
    """The sentence names both variables."""
    with pytest.raises(SettingsError, match="PARLEY_REPLY_PROVIDER is openai, and OPENAI_API_KEY is not set"):
        await reply_provider(Settings(reply_provider="openai"))
