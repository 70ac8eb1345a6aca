"""How full this process is, as a line for whoever counts and scales."""

import click
import msgspec
from anyio import sleep

from app.runtime.service import Service

VITALS_EVERY_SECONDS = 15


async def emit_metrics(service: Service) -> None:
    """A line of JSON on standard output, at once and then for ever."""
    while True:
        click.echo(embedded_metrics(len(service.admission.sessions), service.admission.max_sessions))
        await sleep(VITALS_EVERY_SECONDS)


def embedded_metrics(sessions: int, max_sessions: int) -> str:
    """`occupancy` is the share of places taken, in percent."""
    line = {
        "event": "vitals",
        "sessions": sessions,
        "maxSessions": max_sessions,
        "occupancy": round(100 * sessions / max_sessions, 1),
    }
    return msgspec.json.encode(line).decode()
