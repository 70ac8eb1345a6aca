"""`parley recordings`: list, search and delete recordings of a server; make the recordings index anew."""

from typing import Any

import anyio
import click
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn
from rich.table import Table

from app.assembly.archive import open_store
from app.cli.command_group import CommandGroup
from app.cli.server_address import url_option
from app.cli.server_request import ask
from app.cli.tables import print_table, whole
from app.config import read_settings
from app.data.database import open_database
from app.data.leases import LeaseTable
from app.data.recording_index import RecordingIndexTable
from app.domain.lease import INDEXING
from app.runtime.recording.recording_store import RecordingStore
from app.runtime.recording.reindexing import Reindexing, ReindexReport

_HINTS = {
    401: "a key is needed that may read recordings, and to delete them one that may do that; see --key",
    404: "there is no such recording, or what answers is no Parley server",
}
_LEASE_S = 60.0

_url = url_option()
_key = click.option("--key", envvar="PARLEY_KEY", show_envvar=True, help="A key, where the server asks for one.")
_limit = click.option("--limit", type=click.IntRange(1, 200), default=50, show_default=True)
_before = click.option("--before", help="Go on behind a page: what it printed as its end.")
_tenant = click.option("--tenant", help="Of this tenant alone.")
_day = click.DateTime(["%Y-%m-%d"])


@click.group(cls=CommandGroup)
def recordings() -> None:
    """Recordings: list, search and delete them at a server; make their index anew."""


@recordings.command("list")
@_url
@_key
@_limit
@_before
@_tenant
@click.option("--person", help="Of this person alone.")
@click.option("--kind", type=click.Choice(["live", "ended", "recovered"]))
@click.option("--route", help="With a final of this route.")
@click.option("--since", type=_day, help="From this day on.")
@click.option("--until", type=_day, help="Up to this day.")
def list_(url: str, key: str | None, **criteria: Any) -> None:
    """The newest first."""
    _print_page(url, key, criteria)


@recordings.command()
@_url
@_key
@_limit
@_before
@_tenant
@click.argument("text")
def search(url: str, key: str | None, **criteria: Any) -> None:
    """Recordings in which all of TEXT was said: words, "quoted phrases" and prefix*, in any case."""
    _print_page(url, key, criteria)


@recordings.command()
@_url
@_key
@click.argument("session")
def delete(url: str, key: str | None, session: str) -> None:
    """Delete every trace of the recording SESSION, for good; print what was deleted, and what remains."""
    receipt = ask("DELETE", url, f"/recordings/{session}", key, {"receipt": "true"}, _HINTS)
    click.echo(f"deleted: {', '.join(f'{count} {kind}' for kind, count in receipt['deleted'].items())}")
    for sentence in receipt["remaining"]:
        click.echo(f"remains: {sentence}")


@recordings.command()
@click.option("--tenant", help="Only the recordings of this tenant.")
def reindex(tenant: str | None) -> None:
    """Make the recordings index anew of the manifests in the store (PARLEY_BLOB_STORE, PARLEY_DATABASE_URL).

    Servers may run meanwhile. A run that was interrupted is repeated. Rows of recordings that are no longer in the
    store are removed.
    """
    report = anyio.run(_reindex, tenant)
    click.echo(
        f"{report.recordings} recordings indexed, {report.unreadable} of them cannot be read; "
        f"{report.removed} that are no longer in the store removed"
    )


async def _reindex(tenant: str | None) -> ReindexReport:
    settings = read_settings()
    columns = SpinnerColumn(), TextColumn("{task.description}")
    async with open_store(settings, writes=False) as store, open_database(settings.database_url) as database:
        with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
            task = progress.add_task("")

            def show(report: ReindexReport) -> None:
                progress.update(task, description=f"{report.recordings} recordings, {report.unreadable} unreadable")

            report = await Reindexing(RecordingStore(store), RecordingIndexTable(database), show).run(tenant)
        leases = LeaseTable(database)
        if tenant is None and await leases.take(INDEXING, _LEASE_S, progress=report.recordings):
            await leases.release(INDEXING, completed=True)
    return report


def _print_page(url: str, key: str | None, criteria: dict[str, Any]) -> None:
    query = {
        name: value.date().isoformat() if name in {"since", "until"} else str(value)
        for name, value in criteria.items()
        if value is not None
    }
    page = ask("GET", url, "/recordings", key, query, _HINTS)
    table = Table(whole("recording"), whole("tenant"), "person", "started", "length", "kind", "text")
    for each in page["recordings"]:
        length = f"{each['seconds']:.0f} s"
        columns = each["id"], each["tenant"], each["person"] or "", each["started"], length, each["kind"]
        table.add_row(*columns, each["text"][:80])
    print_table(table)
    if page["unreadable"]:
        click.echo(f"{page['unreadable']} more cannot be read.", err=True)
    if page["indexing"]:
        click.echo("Older recordings are still being added to the index.", err=True)
    if page["next"]:
        click.echo(f"More: --before {page['next']}", err=True)
