"""Commands that talk to a server look for it where the settings have put it."""

import pytest
from click.testing import CliRunner

from app.cli import parley
from app.cli.server_address import complete_url, default_url
from app.config import Settings
from tests.clips import HANDS


@pytest.mark.parametrize(
    ("host", "port", "address"),
    [
        ("127.0.0.1", 8000, "ws://localhost:8000/ws"),
        ("0.0.0.0", 9001, "ws://localhost:9001/ws"),
        ("::", 9001, "ws://localhost:9001/ws"),
        ("192.0.2.7", 9001, "ws://192.0.2.7:9001/ws"),
        ("2001:db8::7", 9001, "ws://[2001:db8::7]:9001/ws"),
        ("127.0.0.1", 0, "ws://localhost:8000/ws"),
    ],
)
def test_default_url_is_that_of_a_server_with_the_same_settings(host, port, address):
    assert default_url(Settings(host=host, port=port), "ws", "/ws") == address


@pytest.mark.parametrize(
    ("given", "scheme", "address"),
    [
        ("box", "ws", "ws://box:9001"),
        ("box:8251", "ws", "ws://box:8251"),
        ("box/ws/raw", "ws", "ws://box:9001/ws/raw"),
        ("[2001:db8::7]", "ws", "ws://[2001:db8::7]:9001"),
        ("[2001:db8::7]:80", "http", "http://[2001:db8::7]:80"),
        ("http://box:8251/", "ws", "ws://box:8251/"),
        ("https://voice.example.org", "ws", "wss://voice.example.org"),
        ("wss://voice.example.org/ws/raw", "ws", "wss://voice.example.org/ws/raw"),
        ("ws://box:8251", "http", "http://box:8251"),
        ("ftp://box", "http", "ftp://box"),
    ],
)
def test_an_address_is_completed_as_people_write_it(given, scheme, address):
    """A bare host has the port of the settings."""
    assert complete_url(given, scheme, lambda: 9001) == address


@pytest.mark.parametrize("variable", ["PARLEY_PORT", "PORT"])
@pytest.mark.parametrize(
    "command",
    [
        ("sessions", "list"),
        ("sessions", "drain"),
        ("policy", "explain"),
        ("policy", "summary"),
        ("talk", str(HANDS.path), "--no-reply"),
    ],
)
def test_command_without_url_asks_the_server_at_the_configured_port(monkeypatch, command, variable):
    """Nothing listens on port 9, and the sentence says where the command has looked."""
    monkeypatch.setenv(variable, "9")

    result = CliRunner().invoke(parley, command)

    assert "localhost:9" in str(result.exception)


@pytest.mark.parametrize("command", [("sessions", "list"), ("policy", "explain"), ("talk",)])
def test_help_names_the_settings_that_the_default_url_follows(command):
    shown = " ".join(CliRunner().invoke(parley, [*command, "--help"]).output.split())

    assert "://PARLEY_HOST:PARLEY_PORT" in shown
