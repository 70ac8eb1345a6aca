"""`parley audit`: prints the audit log of the configured database."""

from datetime import datetime

import anyio
import click
import msgspec

from app.config import read_settings
from app.data.audit import audit_in
from app.data.database import open_database
from app.domain.audit import AuditAction, AuditFilter, AuditOutcome


@click.command()
@click.option("--action", type=click.Choice([action.value for action in AuditAction]))
@click.option("--outcome", type=click.Choice([outcome.value for outcome in AuditOutcome]))
@click.option("--tenant", help="Whose object it is.")
@click.option("--target", help="The object: a session, a key's id, a path.")
@click.option("--key", help="Id of the key that was used.")
@click.option("--peer", help="Address that the request came from.")
@click.option("--since", type=click.DateTime(), help="UTC.")
@click.option("--until", type=click.DateTime(), help="UTC.")
@click.option("--limit", type=click.IntRange(1), default=100, show_default=True)
def audit(
    action: str | None,
    outcome: str | None,
    tenant: str | None,
    target: str | None,
    key: str | None,
    peer: str | None,
    since: datetime | None,
    until: datetime | None,
    limit: int,
) -> None:
    """Print the audit log (who did what), the newest first, one JSON object a line."""
    criteria = AuditFilter(action, tenant, target, key, peer, outcome, since, until, limit=limit)
    anyio.run(_audit, criteria)


async def _audit(criteria: AuditFilter) -> None:
    async with open_database(read_settings().database_url) as database, audit_in(database) as table:
        for entry in await table.find(criteria):
            click.echo(msgspec.json.encode(entry))
