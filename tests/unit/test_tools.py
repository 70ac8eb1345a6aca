"""Tools: what a call is, where it may go, and what is kept of it."""

import json

import pytest

from app.domain.tool_request import ToolRequest, is_public, redirected, request_of, url_problem
from app.domain.tools import KEPT_CHARACTERS, Tool, ToolCall, arguments_of, readable, shortened

HOSTS = frozenset({"api.example.com", "cdn.example.com"})
WEATHER = Tool("weather", "The weather in a city.", "https://api.example.com/weather", hosts=HOSTS)
ORDER = Tool("order", "Order a pizza.", "https://api.example.com/orders?dry=1", "POST", hosts=HOSTS)


@pytest.mark.parametrize("arguments", ["{", "[1]", '"Bonn"', "null", "NaN{", "[" * 100_000])
def test_arguments_that_are_no_json_object_are_none(arguments):
    """However a model spoils them."""
    assert arguments_of(ToolCall("1", "weather", arguments)) is None
    assert readable(ToolCall("1", "weather", arguments)).arguments == "{}"


@pytest.mark.parametrize(("arguments", "read"), [("", {}), (" {} ", {}), ('{"city": "Bonn"}', {"city": "Bonn"})])
def test_arguments_may_be_left_out(arguments, read):
    """A tool without parameters is often called with an empty text."""
    assert arguments_of(ToolCall("1", "weather", arguments)) == read


def test_a_call_is_kept_with_a_short_result_and_arguments_that_are_whole():
    """Cut arguments would be no JSON any more; they are left out."""
    long = json.dumps({"text": "x" * KEPT_CHARACTERS})

    kept = shortened(ToolCall("1", "note", long, "y" * 2 * KEPT_CHARACTERS))

    assert kept == ToolCall("1", "note", "{}", "y" * KEPT_CHARACTERS + "…")
    assert shortened(ToolCall("1", "note", '{"a": 1}', "done")) == ToolCall("1", "note", '{"a": 1}', "done")


def test_the_arguments_of_a_get_are_its_query():
    """Texts as they are, other values as JSON."""
    request = request_of(WEATHER, {"city": "São Paulo & more", "days": 3, "units": ["C", "F"], "exact": True})

    assert request == ToolRequest(
        "GET",
        "https://api.example.com/weather?city=S%C3%A3o+Paulo+%26+more&days=3&units=%5B%22C%22%2C+%22F%22%5D&exact=true",
    )


def test_the_arguments_of_a_post_are_its_body():
    """The query of the configured address stays."""
    request = request_of(ORDER, {"size": "groß"})

    assert (request.method, request.url) == ("POST", ORDER.url)
    assert json.loads(request.body) == {"size": "groß"}


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("https://api.example.com/a", None),
        ("https://API.EXAMPLE.COM:8443/a", None),
        ("http://cdn.example.com", None),
        ("https://example.com/", "example.com is not among its hosts"),
        ("https://api.example.com.evil.net/", "api.example.com.evil.net is not among its hosts"),
        ("https://api.example.com@evil.net/", "it has a user name or a password"),
        ("https://user:secret@api.example.com/", "it has a user name or a password"),
        ("file:///etc/passwd", "it is no http or https URL"),
        ("//api.example.com/a", "it is no http or https URL"),
        ("https://api.example.com:99999/", "it is no URL"),
        ("https://[::1/", "it is no URL"),
    ],
)
def test_a_tool_is_called_at_its_hosts_alone(url, problem):
    """The host decides, by its whole name."""
    assert url_problem(WEATHER, url) == problem


@pytest.mark.parametrize(
    ("location", "follows"),
    [
        ("/v2/weather?city=Bonn", "https://api.example.com/v2/weather?city=Bonn"),
        ("https://cdn.example.com/w", "https://cdn.example.com/w"),
        ("//cdn.example.com/w", "https://cdn.example.com/w"),
    ],
)
def test_a_redirect_within_the_hosts_is_followed(location, follows):
    """Relative ones, too."""
    assert redirected(WEATHER, ToolRequest("GET", WEATHER.url), location) == ToolRequest("GET", follows)


@pytest.mark.parametrize(
    ("method", "location", "reason"),
    [
        ("GET", "https://evil.net/", "a redirect is not followed: evil.net is not among its hosts"),
        ("GET", "http://api.example.com/", "a redirect from https to http is not followed"),
        ("GET", "file:///etc/passwd", "a redirect is not followed: it is no http or https URL"),
        ("POST", "/v2/orders", "a redirect of POST is not followed"),
    ],
)
def test_a_redirect_to_elsewhere_is_not_followed(method, location, reason):
    """Neither to another host, nor without encryption, nor with a body."""
    assert redirected(WEATHER, ToolRequest(method, WEATHER.url), location) == reason


@pytest.mark.parametrize("address", ["93.184.216.34", "2606:2800:220:1:248:1893:25c8:1946", "::ffff:93.184.216.34"])
def test_public_addresses(address):
    """Of the Internet."""
    assert is_public(address)


PRIVATE = """127.0.0.1 10.0.0.7 172.16.3.4 192.168.1.1 169.254.169.254 100.64.0.1 0.0.0.0 224.0.0.1 255.255.255.255
::1 :: fe80::1%eth0 fd00::7 ff02::1 ::ffff:10.0.0.7 2002:a00:7:: 64:ff9b::a00:7 64:ff9b::a9fe:a9fe"""


@pytest.mark.parametrize("address", PRIVATE.split())
def test_private_addresses(address):
    """Of this machine, of local networks and of a cloud's metadata; also inside of an IPv6 address."""
    assert not is_public(address)


def test_headers_of_a_tool_are_in_no_text_of_it():
    """Where a tool is logged, or shown in a traceback."""
    assert "secret" not in repr(Tool("a", "b", "https://c.example", headers={"Authorization": "secret"}))
