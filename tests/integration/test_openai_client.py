"""The HTTP client of an OpenAI-compatible server: keys, addresses, proxies, and which models there are."""

import anyio
import pytest

from app.domain.errors import SettingsError
from providers.openai.client import open_client
from providers.openai.models import model_problem
from tests.emulators.openai import Script, serve_openai

pytestmark = pytest.mark.anyio

CLOUD = "https://api.openai.com/v1"
PROXIES = ("ALL_PROXY", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    """Without proxies, whatever the machine's own environment is."""
    for name in PROXIES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    return monkeypatch


async def open_and_close(base_url: str = CLOUD, api_key: str = "sk-test") -> None:
    async with open_client("openai", base_url, api_key, connect_timeout_s=1):
        pass


@pytest.mark.parametrize("key", ["“sk-abc”", "sk–abc", "sk-abc\n", "sk\u200babc"])  # noqa: RUF001 because these are meant
async def test_a_key_that_no_header_can_carry_is_a_settings_error(key):
    """Said when the engine is opened, and without the key."""
    with pytest.raises(SettingsError, match="plain ASCII") as raised:
        await open_and_close(api_key=key)

    assert "abc" not in str(raised.value)


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:1080", "socks://127.0.0.1:1080/", "127.0.0.1:none"])
async def test_an_unusable_proxy_is_a_settings_error(environment, proxy):
    """A scheme that httpx does not know, or knows only with another package."""
    environment.setenv("ALL_PROXY", proxy)

    with pytest.raises(SettingsError, match="proxy"):
        await open_and_close()


@pytest.mark.parametrize("base_url", ["localhost:11434/v1", "ftp://localhost/v1", "http://[::1/v1", "http://host:port"])
async def test_an_address_that_is_none_is_a_settings_error(base_url):
    """Each is named in the sentence."""
    with pytest.raises(SettingsError, match="openai: '"):
        await open_and_close(base_url)


async def test_a_host_in_no_proxy_needs_no_proxy(environment):
    """Nothing of the environment's proxies is opened for it."""
    environment.setenv("ALL_PROXY", "socks5://127.0.0.1:1080")
    environment.setenv("NO_PROXY", "api.openai.com")

    await open_and_close()


async def test_a_loopback_server_is_not_asked_through_a_proxy(environment):
    """An Ollama on this machine is found, whatever proxy the environment names."""
    environment.setenv("ALL_PROXY", "socks5://127.0.0.1:1080")
    environment.setenv("HTTP_PROXY", "http://127.0.0.1:9")

    with serve_openai() as server:
        assert await model_problem(server.base_url, "small", timeout_s=5) is None


@pytest.mark.parametrize("model", ["small", "tagged", "tagged:latest", "sized:1b"])
async def test_a_server_with_the_model_has_no_problem(model):
    """A name without a tag means `latest`, as in Ollama."""
    with serve_openai(models=("small", "tagged:latest", "sized:1b")) as server:
        assert await model_problem(server.base_url, model, timeout_s=5) is None


async def test_a_server_without_the_model_has_a_problem():
    """An Ollama that has other models cannot reply with this one."""
    with serve_openai(models=("qwen3:latest",)) as server:
        assert "has no model 'llama3.2'" in (await model_problem(server.base_url, "llama3.2", timeout_s=5) or "")


@pytest.mark.parametrize(
    ("script", "sentence"),
    [
        (Script(status=401), "HTTP 401"),
        (Script(status=500), "HTTP 500"),
        (Script(stalls_after=0), "went silent"),
    ],
    ids=repr,
)
async def test_a_server_that_fails_has_a_problem(script, sentence):
    """One that refuses, fails or keeps silent, within the time limit."""
    with serve_openai() as server:
        server.script = script
        with anyio.fail_after(10):
            problem = await model_problem(server.base_url, "small", timeout_s=0.3)

    assert sentence in (problem or "")


async def test_a_closed_port_has_a_problem():
    """Nothing listens there."""
    with serve_openai() as gone:
        address = gone.base_url

    assert "cannot be reached" in (await model_problem(address, "small") or "")
