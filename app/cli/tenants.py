"""`parley tenants`: API keys of tenants."""

import click

from app.cli.command_group import CommandGroup
from app.data.api_keys import new_secret
from app.domain.tenant import fingerprint
from app.policy.tenants_file import TENANT_NAME_RULE, is_tenant_name


@click.group(cls=CommandGroup)
def tenants() -> None:
    """API keys of tenants (setting PARLEY_TENANTS)."""


@tenants.command()
@click.argument("name", default="default")
def key(name: str) -> None:
    """Create a key for the tenant NAME: on standard output, and its line for the tenants file on standard error.

    The key is shown once; the file holds its fingerprint only.
    """
    if not is_tenant_name(name):
        raise click.BadParameter(f"{name!r}: {TENANT_NAME_RULE}", param_hint="NAME")
    fresh = new_secret()
    click.echo(fresh)
    click.echo("\nThis is the key, shown once. Add to the file that PARLEY_TENANTS names:\n", err=True)
    click.echo(f'[{name}]\nkeys = ["{fingerprint(fresh)}"]', err=True)
