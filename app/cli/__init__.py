"""The `parley` command: one file for each subcommand; `main` is the entry point."""

import sys

import click

from app.cli.archive import archive
from app.cli.audit import audit
from app.cli.bundle import bundle
from app.cli.db import db
from app.cli.doctor import doctor
from app.cli.export import export
from app.cli.keys import keys
from app.cli.models import models
from app.cli.policy import policy
from app.cli.retranscribe import retranscribe
from app.cli.serve import serve, set_up_log
from app.cli.sessions import sessions
from app.cli.talk import talk
from app.cli.tenants import tenants
from app.cli.transcribe import transcribe
from app.cli.worker import worker
from app.domain.errors import ParleyError
from app.runtime.malloc_arenas import limit_malloc_arenas


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="parley-voice")
def parley() -> None:
    """Real-time voice: drafts while you speak, a final the moment you pause, a spoken reply.

    Every setting is an environment variable, or a line in `.env`; `.env.example` explains them all.
    """


for command in (
    serve,
    talk,
    transcribe,
    retranscribe,
    archive,
    worker,
    policy,
    keys,
    sessions,
    tenants,
    models,
    audit,
    export,
    db,
    doctor,
    bundle,
):
    parley.add_command(command)


def main() -> None:
    """Run the command: results on standard output, logs and errors, as one sentence, on standard error."""
    set_up_log("warning")
    limit_malloc_arenas()
    try:
        parley()
    except ParleyError as error:
        click.secho(f"parley: {error}", fg="red", err=True)
        sys.exit(1)
