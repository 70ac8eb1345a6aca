"""Proxies: the environment's are used where they can be, and never to this machine."""

import pytest

from app.domain.errors import SettingsError
from app.proxies import proxy_of

NAMES = ("ALL_PROXY", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    """Without proxies, whatever the machine's own environment is."""
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    return monkeypatch


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"])
@pytest.mark.parametrize("url", ["https://voice.example/v1", "wss://voice.example/ws/transcribe"])
def test_the_environments_proxy_is_used(environment, name, url):
    """For sockets as for requests."""
    environment.setenv(name, "http://proxy.example:3128")

    assert proxy_of(url) == "http://proxy.example:3128"


def test_a_proxy_without_a_scheme_is_an_http_proxy(environment):
    """As curl reads it."""
    environment.setenv("HTTP_PROXY", "proxy.example:3128")

    assert proxy_of("http://voice.example/") == "http://proxy.example:3128"


def test_without_a_proxy_the_connection_is_direct():
    """As on most machines."""
    assert proxy_of("https://voice.example/") is None


@pytest.mark.parametrize("host", ["localhost", "ollama.localhost", "127.0.0.1", "127.9.9.9", "[::1]"])
@pytest.mark.parametrize("proxy", ["http://proxy.example:3128", "socks5://127.0.0.1:1080"])
def test_this_machine_is_never_reached_through_a_proxy(environment, host, proxy):
    """A proxy elsewhere would look for the server on itself."""
    environment.setenv("ALL_PROXY", proxy)

    assert proxy_of(f"http://{host}:11434/v1") is None


def test_a_host_in_no_proxy_is_reached_directly(environment):
    """Whatever kind the proxy is."""
    environment.setenv("ALL_PROXY", "socks5://127.0.0.1:1080")
    environment.setenv("NO_PROXY", "voice.example")

    assert proxy_of("https://voice.example/") is None


@pytest.mark.parametrize(
    "proxy", ["socks5://127.0.0.1:1080", "socks://u:secret@127.0.0.1/", "127.0.0.1:none", "http://"]
)
def test_a_proxy_that_cannot_be_used_is_one_sentence(environment, proxy):
    """It says what to do, and not the password."""
    environment.setenv("ALL_PROXY", proxy)

    with pytest.raises(SettingsError, match=r"set HTTPS_PROXY, or put voice\.example into NO_PROXY") as caught:
        proxy_of("https://voice.example/")

    assert "secret" not in str(caught.value)
