"""Identifying a tenant by its key, and the tenants file."""

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
key_terms = ["Siobhan", "rigor mortis"]
vocabulary = "acme-drugs"
place = "on_prem_only"

[ops]
keys = ["{GLOBEX}"]
operator = true
"""


@given(st.text(), st.text())
def test_key_identifies_its_own_tenant_and_no_other(key, other):
    """Whatever characters it has; a tenant without keys is never identified."""
    tenants = (Tenant("none"), Tenant("acme", (fingerprint(key),)))

    assert identify(key, tenants).name == "acme"
    assert (identify(other, tenants) is None) == (key != other)


def test_each_of_several_keys_identifies_the_tenant():
    """So that keys can be rotated without an interval in which none is valid."""
    acme = Tenant("acme", (fingerprint("old"), fingerprint("new")))

    assert [identify(key, (acme,)) for key in ("old", "new", "", acme.keys[0])] == [acme, acme, None, None]


def test_tenants_file_is_parsed():
    """One table per tenant; absent fields have the service's defaults."""
    acme, ops = parse_tenants(FILE, "tenants.toml")

    assert acme == Tenant(
        "acme",
        (ACME,),
        max_sessions=2,
        budget_usd_per_day=1.5,
        archive=False,
        keep_days=30,
        place=Residency.ON_PREM_ONLY,
        key_terms=("Siobhan", "rigor mortis"),
        vocabulary="acme-drugs",
    )
    assert ops == Tenant("ops", (GLOBEX,), operator=True)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[acme]\nkeys = ["parley_secret"]', r"tenants.toml, line 2: acme.keys: (?!.*parley_secret)"),
        ("[acme]\n\nmax_sessions = 0", r"tenants.toml, line 3: acme.max_sessions: "),
        ('[acme]\nlanguages = ["en", "xx"]', r"tenants.toml, line 2: acme.languages: there is no language 'xx'"),
        ('[acme]\nplace = "moon"', r"tenants.toml, line 2: acme.place: "),
        ('[acme]\nvocabulary = "a b"', r"tenants.toml, line 2: acme.vocabulary"),
        ('[acme]\nkey_terms = ["a,b"]', r"tenants.toml, line 2: acme.key_terms: term 1 must have printable"),
        ("[acme]\nbudget = 1", r"tenants.toml, line 2: acme.budget: object contains unknown field"),
        ("acme = 3", r"tenants.toml, line 1: acme: "),
        ("[Acme]", r"tenants.toml: Acme: a tenant's name has"),
        ("[probes]", r"tenants.toml: probes: a tenant's name has"),
        (f'[a]\nkeys = ["{ACME}"]\n[b]\nkeys = ["{ACME}"]', r"tenants.toml: b.keys: sha256:........... is a key of a"),
        ("x = = 2", r"tenants.toml: invalid value"),
    ],
)
def test_error_in_the_tenants_file_names_line_and_field(text, words):
    """And what is wrong with it, but never a key that somebody wrote there in the clear."""
    with pytest.raises(SettingsError, match=words):
        parse_tenants(text, "tenants.toml")


@pytest.mark.anyio
async def test_changed_tenants_file_is_reloaded_and_an_invalid_one_is_not(tmp_path):
    """The last valid version stays in force."""
    path = tmp_path / "tenants.toml"
    path.write_text(FILE)
    tenants = await open_reloading_file(path, read_tenants)

    for text, names in [("[acme", ["acme", "ops"]), (FILE.replace("[ops]", "[boss]"), ["acme", "boss"])]:
        path.write_text(text)
        os.utime(path, ns=(0, path.stat().st_mtime_ns + 10**9))
        await tenants.reload_if_changed()
        assert [tenant.name for tenant in tenants.value] == names


def test_missing_tenants_file_is_a_settings_error(tmp_path):
    """A server that should ask for keys does not start without them."""
    with pytest.raises(SettingsError, match=r"^PARLEY_TENANTS: .*none\.toml cannot be read"):
        read_tenants(tmp_path / "none.toml")


def test_tenants_key_command_prints_a_key_and_its_table():
    """The printed table is valid in the file and identifies the printed key; no two keys are alike."""
    runs = [CliRunner().invoke(command, ["key", "acme"]).output for _ in range(2)]
    keys = [run.partition("\n")[0] for run in runs]
    (acme,) = parse_tenants(runs[0].rpartition("\n\n")[2], "printed")

    assert identify(keys[0], (acme,)) == acme
    assert identify(keys[1], (acme,)) is None
    assert all(len(key) == len("parley_") + 43 for key in keys)
