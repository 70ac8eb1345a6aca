"""Occupancy of this process as JSON lines on standard output, which CloudWatch's metric filters read."""

import click
import msgspec
from anyio import sleep

from app.runtime.admission import Admission

EMIT_EVERY_SECONDS = 15


async def emit_metrics(admission: Admission) -> None:
    """One line at once, then one every 15 seconds, without end."""
    while True:
        click.echo(embedded_metrics(len(admission.sessions), admission.max_sessions))
        await sleep(EMIT_EVERY_SECONDS)


def embedded_metrics(sessions: int, max_sessions: int) -> str:
    """The line; `occupancy` is the share of session slots in use, in percent."""
    line = {
        "event": "vitals",
        "sessions": sessions,
        "maxSessions": max_sessions,
        "occupancy": round(100 * sessions / max_sessions, 1),
    }
    return msgspec.json.encode(line).decode()
