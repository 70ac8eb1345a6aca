"""`parley tenants key`."""

import pytest
from click.testing import CliRunner

from app.cli import parley
from app.domain.tenant import fingerprint
from app.policy.tenants_file import parse_tenants


def test_the_key_alone_is_on_standard_output_and_its_line_can_be_read():
    done = CliRunner().invoke(parley, ["tenants", "key", "acme"])

    secret = done.stdout.removesuffix("\n")
    (tenant,) = parse_tenants(done.stderr.partition("names:\n")[2], "tenants.toml")
    assert (done.exit_code, tenant.name, tenant.keys) == (0, "acme", (fingerprint(secret),))


@pytest.mark.parametrize("name", ["we ird/../x", "Acme", "", "-a"])
def test_a_name_that_the_file_cannot_have_is_refused(name):
    done = CliRunner().invoke(parley, ["tenants", "key", "--", name])

    assert (done.exit_code, done.stdout) == (2, "")
    assert "small letters, digits and hyphens" in done.stderr
