"""Whether a principal that authenticated earlier is still valid."""

import pytest

from app.domain.tenant import Tenant, fingerprint
from app.runtime.authentication import OpenAuthenticator, Peer, TenantKeys

pytestmark = pytest.mark.anyio
ANYWHERE = Peer("203.0.113.7")
OLD, NEW = fingerprint("old"), fingerprint("new")


@pytest.mark.parametrize(
    ("tenants_now", "expected"),
    [
        ((Tenant("acme", (OLD, NEW)),), True),
        ((Tenant("acme", (OLD,), max_sessions=1),), True),
        ((Tenant("acme", (NEW,)),), False),
        ((Tenant("acme"), Tenant("globex", (OLD,))), False),
        ((), False),
    ],
    ids=["same keys", "other limits", "key removed", "key moved to another tenant", "tenant removed"],
)
async def test_principal_is_valid_while_its_tenant_has_its_key(tenants_now, expected):
    tenants = (Tenant("acme", (OLD, NEW)),)
    authenticator = TenantKeys(lambda: tenants)
    principal = await authenticator.authenticate("old", ANYWHERE)

    tenants = tenants_now

    assert await authenticator.is_valid(principal) is expected


async def test_without_keys_every_principal_stays_valid():
    authenticator = OpenAuthenticator()

    assert await authenticator.is_valid(await authenticator.authenticate(None, ANYWHERE))


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "::ffff:127.0.0.1"])
async def test_without_keys_this_machine_is_an_administrator_and_a_forwarded_request_is_not(address):
    """A server that listens on `::` sees its IPv4 clients at addresses in IPv6 form."""
    authenticator = OpenAuthenticator()

    own = await authenticator.authenticate(None, Peer(address))
    forwarded = await authenticator.authenticate(None, Peer(address, is_forwarded=True))

    assert (own.is_admin, forwarded.is_admin) == (True, False)
