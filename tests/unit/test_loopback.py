"""Which hosts are this machine, by their name or address alone."""

import pytest

from app.domain.loopback import is_loopback

NAMES = ["localhost", "LocalHost", "localhost.", "ollama.localhost", "a.b.localhost."]
ADDRESSES = ["127.0.0.1", "127.9.9.9", "127.0.0.1.", "::1", "0:0:0:0:0:0:0:1", "::ffff:127.0.0.1", "::ffff:7f00:1"]
OTHER_NAMES = ["", ".", "evillocalhost", "localhost.evil.example", "127.0.0.1.nip.io", "localhost..", "local host"]
OTHER_ADDRESSES = ["0.0.0.0", "::", "192.168.1.5", "fe80::1", "::ffff:192.168.1.5", "128.0.0.1", "::2"]
NO_ADDRESSES = ["127.1", "2130706433", "0x7f.0.0.1", "0177.0.0.1", "127.0.0.1:80", "[::1]", "127.0.0.1 ", "127.0.0.1/8"]


@pytest.mark.parametrize("host", [*NAMES, *ADDRESSES])
def test_host_on_the_loopback_interface_is_loopback(host):
    assert is_loopback(host)


@pytest.mark.parametrize("host", [*OTHER_NAMES, *OTHER_ADDRESSES])
def test_any_other_host_is_not_loopback(host):
    assert not is_loopback(host)


@pytest.mark.parametrize("host", NO_ADDRESSES)
def test_host_that_is_no_plain_address_is_not_loopback(host):
    """Some programs read a few of these as 127.0.0.1, and others do not: trust is given to none."""
    assert not is_loopback(host)
