"""Who a key belongs to, and the file that says so."""

import os

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from app.cli.tenants import tenants as command
from app.domain.errors import SettingsError
from app.domain.residency import Residency
from app.domain.tenant import Tenant, fingerprint, identify
from app.policy.reloading_file import open_reloading_file
from app.policy.tenants_file import parse_tenants, read_tenants

ACME, GLOBEX = fingerprint("acme's key"), fingerprint("globex's key")
FILE = f"""
[acme]
keys = ["{ACME}"]
max_sessions = 2
budget_usd_per_day = 1.5
archive = false
keep_days = 30
place = "on_prem_only"

[ops]
keys = ["{GLOBEX}"]
operator = true
"""


@given(st.text(), st.text())
def test_a_key_opens_its_own_door_and_no_other(key, other):
    """Whatever characters it has; a tenant without keys is never met."""
    tenants = (Tenant("none"), Tenant("acme", (fingerprint(key),)))

    assert identify(key, tenants).name == "acme"
    assert (identify(other, tenants) is None) == (key != other)


def test_any_of_a_tenants_keys_opens():
    """So that a key can be changed without a moment in which none is good."""
    acme = Tenant("acme", (fingerprint("old"), fingerprint("new")))

    assert [identify(key, (acme,)) for key in ("old", "new", "", acme.keys[0])] == [acme, acme, None, None]


def test_the_file():
    """One table a tenant; what is not said is as the service has it."""
    acme, ops = parse_tenants(FILE, "tenants.toml")

    assert acme == Tenant("acme", (ACME,), False, 2, 1.5, False, 30, Residency.ON_PREM_ONLY)
    assert ops == Tenant("ops", (GLOBEX,), operator=True)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[acme]\nkeys = ["parley_secret"]', r"tenants.toml, line 2: acme.keys: (?!.*parley_secret)"),
        ("[acme]\n\nmax_sessions = 0", r"tenants.toml, line 3: acme.max_sessions: "),
        ('[acme]\nplace = "moon"', r"tenants.toml, line 2: acme.place: "),
        ("[acme]\nbudget = 1", r"tenants.toml, line 2: acme.budget: object contains unknown field"),
        ("acme = 3", r"tenants.toml, line 1: acme: "),
        ("[Acme]", r"tenants.toml: Acme: a tenant's name has"),
        ("[probes]", r"tenants.toml: probes: a tenant's name has"),
        (f'[a]\nkeys = ["{ACME}"]\n[b]\nkeys = ["{ACME}"]', r"tenants.toml: b.keys: sha256:........... is a key of a"),
        ("[acme]", r"PARLEY_TENANTS: tenants.toml has no key, so nobody could come in"),
        ("x = = 2", r"tenants.toml: invalid value"),
    ],
)
def test_a_wrong_line_is_named(text, words):
    """The line, the key, and what is wrong with it; never a secret that somebody put there."""
    with pytest.raises(SettingsError, match=words):
        parse_tenants(text, "tenants.toml")


@pytest.mark.anyio
async def test_a_changed_file_takes_effect_and_a_wrong_one_does_not(tmp_path):
    """A typing error locks nobody out and lets nobody in."""
    path = tmp_path / "tenants.toml"
    path.write_text(FILE)
    tenants = await open_reloading_file(path, read_tenants)

    for text, names in [("[acme]", ["acme", "ops"]), (FILE.replace("[ops]", "[boss]"), ["acme", "boss"])]:
        path.write_text(text)
        os.utime(path, ns=(0, path.stat().st_mtime_ns + 10**9))
        await tenants.reload_if_changed()
        assert [tenant.name for tenant in tenants.value] == names


def test_a_missing_file_is_named_by_its_setting(tmp_path):
    """The start stops: a server that should be closed does not come up open."""
    with pytest.raises(SettingsError, match=r"^PARLEY_TENANTS: .*none\.toml cannot be read"):
        read_tenants(tmp_path / "none.toml")


def test_a_new_key_and_its_line():
    """What the command prints can be pasted into the file, and then the key opens; no two are alike."""
    runs = [CliRunner().invoke(command, ["key", "acme"]).output for _ in range(2)]
    keys = [run.partition("\n")[0] for run in runs]
    (acme,) = parse_tenants(runs[0].rpartition("\n\n")[2], "printed")

    assert identify(keys[0], (acme,)) == acme
    assert identify(keys[1], (acme,)) is None
    assert all(len(key) == len("parley_") + 43 for key in keys)
