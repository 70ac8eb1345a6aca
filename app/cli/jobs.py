"""`parley jobs`: list, show, watch and cancel the transcription jobs of a server."""

import json
import sys
import time
from typing import Any

import click
from rich.table import Table

from app.cli.command_group import CommandGroup
from app.cli.server_address import url_option
from app.cli.server_request import ask, read_events
from app.cli.tables import print_table, whole
from app.domain.errors import ProviderDown, ProviderRefused
from app.domain.job import FINISHED, JobState

RECONNECT_AFTER_S = 2.0
RECONNECTS = 30
"""Attempts in a row to find the server again, while a job is watched."""
_HINTS = {
    401: "a key with the scope `transcribe` is needed, see --key",
    403: "a key with the scope `transcribe` is needed, see --key",
    404: "there is no such job, or what answers is no Parley server",
    503: "the server cannot say now; try again in a moment",
}

_url = url_option()
_key = click.option("--key", envvar="PARLEY_KEY", show_envvar=True, help="An API key, where the server asks for one.")
_job = click.argument("job")


@click.group(cls=CommandGroup)
def jobs() -> None:
    """List, show, watch and cancel the transcription jobs of uploaded files."""


@jobs.command("list")
@_url
@_key
@click.option("--state", type=click.Choice([state.value for state in JobState]), help="In this state alone.")
@click.option("--tenant", help="Of this tenant, for an administrator.")
@click.option("--limit", type=click.IntRange(1, 200), default=50, show_default=True, help="At most so many.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def list_(url: str, key: str | None, state: str | None, tenant: str | None, limit: int, *, as_json: bool) -> None:
    """The jobs, the newest first."""
    query = {"limit": str(limit), "state": state, "tenant": tenant}
    asked = {name: value for name, value in query.items() if value is not None}
    found = ask("GET", url, "/jobs", key, asked, _HINTS)["jobs"]
    if as_json:
        for each in found:
            click.echo(json.dumps(each))
        return
    table = Table(whole("job"), whole("tenant"), "created", "state", "attempts", "audio", "reason")
    for each in found:
        reason = each["message"] or ""
        table.add_row(
            each["id"],
            each["tenant"],
            each["created"],
            each["state"],
            str(each["attempts"]),
            _progress(each),
            reason,
        )
    print_table(table)


@jobs.command()
@_url
@_key
@_job
def show(url: str, key: str | None, job: str) -> None:
    """One job, as JSON."""
    click.echo(json.dumps(ask("GET", url, f"/jobs/{job}", key, {}, _HINTS), indent=2))


@jobs.command()
@_url
@_key
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@_job
def watch(url: str, key: str | None, job: str, *, as_json: bool) -> None:
    """Print a line whenever the job changes, until it is over. Status 0: it is done."""
    failures = 0
    while True:
        try:
            for event, found in read_events(url, f"/jobs/{job}/events", key, _HINTS):
                failures = 0
                if event == "deleted":
                    raise ProviderRefused(url, "the job was deleted")
                click.echo(json.dumps(found) if as_json else _line(found))
                if found["state"] in FINISHED:
                    sys.exit(0 if found["state"] == JobState.DONE else 1)
        except ProviderDown:  # it is restarted, or another one takes its place
            failures += 1
            if failures > RECONNECTS:
                raise
        time.sleep(RECONNECT_AFTER_S)


@jobs.command()
@_url
@_key
@_job
def cancel(url: str, key: str | None, job: str) -> None:
    """Cancel a job: its file and what was recorded of it are deleted. One that is over stays as it is."""
    found = ask("DELETE", url, f"/jobs/{job}", key, {}, _HINTS)
    click.echo(_line(found))


def _line(job: dict[str, Any]) -> str:
    reason = f": {job['message']}" if job["message"] else ""
    return f"{job['id']} {job['state']} {_progress(job)}{reason}".rstrip()


def _progress(job: dict[str, Any]) -> str:
    done, total = job["progress"]["seconds"], job["progress"]["of"]
    if not done:
        return ""
    return f"{done:.0f} s" if total is None else f"{done:.0f} of {total:.0f} s"
