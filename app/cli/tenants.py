"""`parley tenants`: keys for those who may come in."""

import secrets

import click

from app.domain.tenant import fingerprint


@click.group()
def tenants() -> None:
    """Keys for those who may come in (setting PARLEY_TENANTS)."""


@tenants.command()
@click.argument("name", default="default")
def key(name: str) -> None:
    """Make a new key for the tenant NAME. It is shown once; the file gets its fingerprint alone."""
    fresh = new_key()
    click.echo(f"{fresh}\n\nThat is the key. Into the file that PARLEY_TENANTS names:\n")
    click.echo(f'[{name}]\nkeys = ["{fingerprint(fresh)}"]')


def new_key() -> str:
    """256 random bits behind a word that scanners for lost secrets can look for."""
    return f"parley_{secrets.token_urlsafe(32)}"
