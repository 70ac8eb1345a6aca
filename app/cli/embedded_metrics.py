"""Occupancy of this process as JSON lines on standard output, which CloudWatch's metric filters read."""

from collections.abc import Callable

import click
import msgspec
from anyio import sleep

from app.runtime.admission import Admission
from app.runtime.recording.uploader import UploaderStatus

EMIT_EVERY_SECONDS = 15


async def emit_metrics(admission: Admission, spool: Callable[[], UploaderStatus]) -> None:
    """One line at once, then one every 15 seconds, without end."""
    while True:
        click.echo(embedded_metrics(len(admission.sessions), admission.max_sessions, spool().oldest_s))
        await sleep(EMIT_EVERY_SECONDS)


def embedded_metrics(sessions: int, max_sessions: int, spool_age_s: float) -> str:
    """The line. `occupancy`: percent of the session slots in use; `spoolAge`: seconds that the oldest upload waits."""
    line = {
        "event": "vitals",
        "sessions": sessions,
        "maxSessions": max_sessions,
        "occupancy": round(100 * sessions / max_sessions, 1),
        "spoolAge": spool_age_s,
    }
    return msgspec.json.encode(line).decode()
