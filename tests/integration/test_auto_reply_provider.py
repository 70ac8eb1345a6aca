"""`PARLEY_REPLY_PROVIDER=auto`: OpenAI with a key, Ollama where it has the model, else the embedded model."""

import pytest

from app.assembly.replies import reply_providers
from app.config import Settings
from tests.emulators.openai import serve_openai

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("models", "provider"),
    [
        (("llama3.2:latest", "qwen3:latest"), "ollama"),
        (("qwen3:latest",), "embedded"),
        ((), "embedded"),
    ],
)
async def test_auto_takes_ollama_only_where_it_has_the_model(models, provider):
    """A server that could not reply is not chosen."""
    with serve_openai(models=models) as server:
        settings = Settings(ollama_base_url=server.base_url, ollama_model="llama3.2")

        assert await reply_providers(settings) == [provider]


async def test_auto_takes_the_embedded_model_where_no_ollama_runs():
    """A closed port is no Ollama."""
    with serve_openai() as gone:
        address = gone.base_url

    assert await reply_providers(Settings(ollama_base_url=address)) == ["embedded"]


async def test_auto_takes_openai_where_there_is_a_key():
    """No server is asked."""
    settings = Settings(openai_api_key="sk-test", ollama_base_url="http://127.0.0.1:9/v1")

    assert await reply_providers(settings) == ["openai"]
