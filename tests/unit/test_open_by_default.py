"""Whether a server asks for keys, and that none is open to strangers by accident."""

import pytest

from app.assembly.authentication import KeySources, asks_for_keys, open_authentication
from app.config import Settings
from app.data.database import open_database
from app.domain.errors import SettingsError
from app.domain.principal import Scope
from app.domain.tenant import Tenant, fingerprint
from app.runtime.authentication import STRANGER_SCOPES, Peer

pytestmark = pytest.mark.anyio
NOTHING, NO_VALID_KEY, A_KEY = KeySources(False, False), KeySources(True, False), KeySources(True, True)
LOCAL, REMOTE, PROXIED = Peer("127.0.0.1"), Peer("203.0.113.7"), Peer("127.0.0.1", is_forwarded=True)


@pytest.mark.parametrize(
    ("mode", "host", "sources", "expected"),
    [
        ("auto", "127.0.0.1", NOTHING, False),
        ("auto", "::1", NOTHING, False),
        ("auto", "localhost", NOTHING, False),
        ("auto", "127.0.0.1", A_KEY, True),
        ("auto", "127.0.0.1", NO_VALID_KEY, None),
        ("auto", "0.0.0.0", NOTHING, None),
        ("auto", "::", NOTHING, None),
        ("auto", "192.168.1.5", NOTHING, None),
        ("auto", "box.local", NOTHING, None),
        ("auto", "0.0.0.0", A_KEY, True),
        ("keys", "127.0.0.1", NOTHING, None),
        ("keys", "127.0.0.1", A_KEY, True),
        ("none", "127.0.0.1", A_KEY, False),
        ("none", "0.0.0.0", NOTHING, False),
    ],
)
def test_keys_are_asked_for_wherever_a_stranger_could_connect(mode, host, sources, expected):
    """None: the server does not start, and the sentence says how to make a key."""
    if expected is None:
        with pytest.raises(SettingsError, match=r"^PARLEY_AUTH is .*without any key: make one"):
            asks_for_keys(mode, host, sources, advice="make one")
    else:
        assert asks_for_keys(mode, host, sources, advice="make one") is expected


@pytest.fixture
def authentication(tmp_path):
    async def principal_of(credential, peer, *, tenants=None, **settings):
        url = f"sqlite+aiosqlite:///{tmp_path}/parley.db"
        async with (
            open_database(url) as database,
            open_authentication(Settings(**settings), database, tenants) as authentication,
        ):
            return await authentication.authenticator.authenticate(credential, peer)

    return principal_of


async def test_without_a_key_the_server_starts_on_loopback_alone(authentication):
    principal = await authentication(None, LOCAL)

    assert principal.is_admin
    with pytest.raises(SettingsError, match=r"parley keys create .*PARLEY_AUTH=none"):
        await authentication(None, LOCAL, host="0.0.0.0")


async def test_tenants_file_without_a_key_and_no_other_key_does_not_start(authentication):
    """On loopback, too: somebody meant to ask for keys."""
    with pytest.raises(SettingsError, match="without any key"):
        await authentication(None, LOCAL, tenants=lambda: (Tenant("acme"),))


@pytest.mark.parametrize("peer", [REMOTE, PROXIED])
async def test_auth_none_serves_strangers_without_admin_rights_and_without_recordings(authentication, peer):
    """Strangers share one tenant, so none may read or delete what another said."""
    principal = await authentication(None, peer, host="0.0.0.0", auth="none")

    assert principal.scopes == STRANGER_SCOPES
    assert not STRANGER_SCOPES & {Scope.ADMIN, Scope.RECORDINGS_READ, Scope.RECORDINGS_DELETE}


async def test_auth_none_still_knows_the_key_of_an_administrator(authentication):
    principal = await authentication("k" * 32, REMOTE, host="0.0.0.0", auth="none", admin_key="k" * 32)

    assert principal.is_admin


async def test_admin_key_has_every_scope_and_another_key_none(authentication):
    right, wrong, missing = [
        await authentication(credential, LOCAL, host="0.0.0.0", admin_key="k" * 32)
        for credential in ("k" * 32, "w" * 32, None)
    ]

    assert right.is_admin
    assert (wrong, missing) == (None, None)


async def test_keys_of_the_tenants_file_keep_working(authentication):
    acme = Tenant("acme", (fingerprint("acme-key"),), max_sessions=2)

    principal = await authentication("acme-key", REMOTE, host="0.0.0.0", tenants=lambda: (acme,))

    assert principal.tenant == acme
