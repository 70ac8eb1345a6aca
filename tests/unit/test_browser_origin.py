"""Which host names and which web origins a browser may use."""

import pytest

from app.web.browser.content_security import content_security_policy
from app.web.browser.headers import cors_headers
from app.web.browser.origin import is_allowed_host, is_allowed_origin, is_loopback_host

LOCAL = ["localhost", "localhost:8000", "LocalHost.", "parley.localhost:8000", "127.0.0.1:8000", "[::1]:8000", "[::1]"]


@pytest.mark.parametrize("host", [None, *LOCAL, "192.168.1.5:8000", "[fe80::1]:8000"])
def test_localhost_and_addresses_are_always_allowed_hosts(host):
    """A page of such an origin came from that address: there is no name to rebind."""
    assert is_allowed_host(host, ())


REBOUND = ["evil.example", "evil.example:8000", "localhost.evil.example", "127.0.0.1.nip.io", "evillocalhost"]
UNREADABLE = [
    "",
    ":8000",
    "[",
    "[::1",
    "a:b",
    "box:99999999",
    "x@localhost",
    "[::1]8000.evil",
    "localhost/evil",
    "localhost?x",
    "a b\\c",
]


@pytest.mark.parametrize("host", [*REBOUND, *UNREADABLE])
def test_any_other_host_is_refused_against_dns_rebinding(host):
    assert not is_allowed_host(host, ())
    assert not is_allowed_host(host, ("voice.example.org",))


def test_a_named_host_is_allowed_in_any_case_and_at_any_port():
    names = ("voice.example.org",)

    assert all(is_allowed_host(host, names) for host in ("voice.example.org", "VOICE.example.org:8443"))
    assert not is_allowed_host("a.voice.example.org", names)
    assert is_allowed_host("evil.example", ("*",))


def test_loopback_hosts_are_those_of_this_machine_alone():
    assert all(map(is_loopback_host, LOCAL))
    assert not any(map(is_loopback_host, [None, "192.168.1.5", "voice.example.org", "0.0.0.0", *UNREADABLE]))


@pytest.mark.parametrize(
    ("origin", "own"),
    [
        (None, "http://box:8000"),
        ("http://box:8000", "http://box:8000"),
        ("https://voice.example.org", "https://voice.example.org:443"),
        ("http://voice.example.org:80", "http://voice.example.org"),
        ("https://VOICE.example.org", "https://voice.example.org"),
    ],
)
def test_a_page_of_our_own_origin_may_connect(origin, own):
    assert is_allowed_origin(origin, own, ())


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example",
        "http://voice.example.org",  # somebody in the network can write into such a page
        "https://voice.example.org:8443",
        "https://voice.example.org.evil.example",
        "null",
        "",
        "file://",
        "http://[",
        "http://[::1",
        "http://]",
        "\u201chttp://box\u201d",
        "https://voice.example.org:99999999",
    ],
)
def test_a_page_of_another_origin_is_refused(origin):
    own = "https://voice.example.org"

    assert not is_allowed_origin(origin, own, ())
    assert not is_allowed_origin(origin, own, ("https://app.example",))
    assert is_allowed_origin(origin, own, ("*",))


def test_an_origin_is_allowed_by_its_name():
    assert is_allowed_origin("https://app.example", "http://box", ("https://app.example",))


@pytest.mark.parametrize("origin", ["http://[::1]8000.evil.example", "http://[::1].evil.example", "http://a@[::1]"])
def test_an_address_with_something_behind_it_is_not_that_address(origin):
    assert not is_allowed_origin(origin, "http://[::1]", ())


def test_a_request_without_host_has_no_origin_of_its_own():
    assert not is_allowed_origin("http://", "http://", ())
    assert not is_allowed_origin("null", "http://", ())


def test_cors_names_the_origin_that_is_allowed_and_never_credentials():
    allowed = ("https://app.example",)

    granted = cors_headers("https://app.example", allowed, "GET")

    assert granted["access-control-allow-origin"] == "https://app.example"
    assert "parley-recording" in granted["access-control-expose-headers"]
    assert not any("credentials" in name for name in granted)
    assert cors_headers("https://evil.example", allowed, "GET") == {"vary": "origin"}
    assert cors_headers(None, allowed, "GET") == {"vary": "origin"}
    assert cors_headers("https://app.example", (), "GET") == {}
    assert cors_headers("https://app.example", ("*",), "GET")["access-control-allow-origin"] == "*"


def test_only_a_page_on_this_machine_may_speak_to_any_server_of_this_machine():
    assert "connect-src 'self' ws://localhost:*" in content_security_policy("localhost:8000")
    assert "connect-src 'self';" in content_security_policy("voice.example.org")
    assert "connect-src 'self';" in content_security_policy(None)
