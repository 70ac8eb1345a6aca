"""`parley doctor`: checks that the server can start with these settings, and that what it uses answers."""

import sys

import anyio
import click
from anyio import to_thread
from rich.table import Table
from rich.text import Text

from app.cli.checks.replies import reply_checks
from app.cli.checks.result import CheckMark, CheckResult, run_checks
from app.cli.checks.routes import amazon_results, route_checks
from app.cli.checks.server import archive_checks, server_checks
from app.cli.checks.speech import speech_checks
from app.cli.tables import print_table
from app.config import Settings, read_settings
from app.domain.errors import ParleyError
from app.policy.routes_file import ONLY_LOCAL, read_routes

_COLOURS = {CheckMark.OK: "green", CheckMark.WARNING: "yellow", CheckMark.WRONG: "red"}


@click.command()
@click.option("--aws", is_flag=True, help="Check Amazon even where no setting names it.")
def doctor(aws: bool) -> None:
    """Check models, files, database, engines and the archive, and say what is wrong.

    `!!` marks what would not work: the status is 1 then. `!` marks what works, and probably not as it is meant.
    """
    results = anyio.run(_check_all, read_settings(), aws)
    table = Table("", "what", "finding", box=None)
    for result in results:
        table.add_row(Text(result.mark.value, _COLOURS[result.mark]), result.what, result.detail)
    print_table(table)
    sys.exit(1 if any(result.mark is CheckMark.WRONG for result in results) else 0)


async def _check_all(settings: Settings, aws: bool) -> list[CheckResult]:
    checks = [
        *server_checks(settings),
        *await route_checks(settings),
        *speech_checks(settings),
        *await reply_checks(settings),
        *archive_checks(settings),
    ]
    results = await run_checks(checks)
    try:
        routes = await to_thread.run_sync(read_routes, settings.routes)
    except ParleyError:  # which the check of the routes has said
        routes = ONLY_LOCAL
    return [*results, *await amazon_results(settings, routes, always=aws)]
