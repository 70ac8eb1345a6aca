"""`parley sessions`: list and end the running sessions of a server, and drain it."""

import click
from rich.table import Table

from app.cli.command_group import CommandGroup
from app.cli.server_address import url_option
from app.cli.server_request import ask
from app.cli.tables import print_table, whole

_HINTS = {
    401: "an administrator's key is needed, see --key",
    403: "an administrator's key is needed, see --key",
    404: "no such session runs there, or what answers is no Parley server",
}

_url = url_option()
_key = click.option(
    "--key", envvar="PARLEY_KEY", show_envvar=True, help="An administrator's key, where the server asks for one."
)


@click.group(cls=CommandGroup)
def sessions() -> None:
    """List and end the running sessions of a server, and drain it."""


@sessions.command("list")
@_url
@_key
@click.option("--tenant", help="Of this tenant alone.")
def list_(url: str, key: str | None, tenant: str | None) -> None:
    """The running sessions, the oldest first."""
    answer = ask("GET", url, "/admin/sessions", key, {"tenant": tenant} if tenant else {}, _HINTS)
    table = Table(
        whole("session"), whole("tenant"), whole("key"), whole("address"), "since", "audio", "US$", "state", "client"
    )
    for each in answer["sessions"]:
        key_name = each["keyName"] or each["keyId"]
        spent = f"{each['costUsd']:.4f}"
        audio = f"{each['audioSeconds']:.0f} s"
        columns = each["id"], each["tenant"], key_name, each["address"], each["started"], audio, spent, each["state"]
        table.add_row(*columns, each["userAgent"][:40])
    print_table(table)
    if answer["draining"]:
        click.echo("The server is draining: no new session begins.")


@sessions.command()
@_url
@_key
@click.option("--tenant", help="Every session of this tenant.")
@click.argument("session", required=False)
def end(url: str, key: str | None, tenant: str | None, session: str | None) -> None:
    """End SESSION, or every session of a tenant. What was said is kept."""
    if (session is None) == (tenant is None):
        raise click.UsageError("name one session, or a tenant with --tenant")
    if session is not None:
        answer = ask("DELETE", url, f"/admin/sessions/{session}", key, {}, _HINTS)
    else:
        answer = ask("DELETE", url, "/admin/sessions", key, {"tenant": str(tenant)}, _HINTS)
    for ended in answer["ended"]:
        click.echo(f"{ended} is ended")
    if not answer["ended"]:
        click.echo(f"the tenant {tenant} has no running session")


@sessions.command()
@_url
@_key
@click.option("--stop", is_flag=True, help="Let new sessions begin again.")
def drain(url: str, key: str | None, *, stop: bool) -> None:
    """Let no new session begin; running ones go on to their end."""
    answer = ask("DELETE" if stop else "POST", url, "/admin/drain", key, {}, _HINTS)
    doing = "draining" if answer["draining"] else "taking new sessions"
    click.echo(f"the server is {doing}; {answer['sessions']} sessions run")
