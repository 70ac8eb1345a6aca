"""`parley tenants`: API keys of tenants."""

import click

from app.cli.command_group import CommandGroup
from app.data.api_keys import new_secret
from app.domain.tenant import fingerprint


@click.group(cls=CommandGroup)
def tenants() -> None:
    """API keys of tenants (setting PARLEY_TENANTS)."""


@tenants.command()
@click.argument("name", default="default")
def key(name: str) -> None:
    """Create a key for the tenant NAME. It is shown once; the file holds its fingerprint only."""
    fresh = new_secret()
    click.echo(f"{fresh}\n\nThis is the key. Add to the file that PARLEY_TENANTS names:\n")
    click.echo(f'[{name}]\nkeys = ["{fingerprint(fresh)}"]')
