"""`parley archive`: checks the recordings in the archive, and re-encrypts them under another key."""

import sys
from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import anyio
import click
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn

from app.assembly.archive import open_encrypted_store, open_spool, open_store
from app.cli.command_group import CommandGroup
from app.config import Settings, read_settings
from app.domain.errors import ProviderRefused
from app.runtime.recording.archive_check import ArchiveCheck, ArchiveCheckReport, check_spool
from app.runtime.recording.rekey import RekeyReport, rekey_blobs, rekey_spool

_SHOWN_PROBLEMS = 20


@click.group(cls=CommandGroup)
def archive() -> None:
    """Recordings in the archive: check them, re-encrypt them (settings PARLEY_BLOB_STORE, PARLEY_ARCHIVE_KEY)."""


@archive.command()
def check() -> None:
    """Read, decrypt and compare every blob with its checksum; status 1 where one is wrong. Nothing is written."""
    sys.exit(anyio.run(_check, read_settings()))


@archive.command()
@click.option("--dry-run", is_flag=True, help="Only count what would be re-encrypted.")
def rekey(*, dry_run: bool) -> None:
    """Re-encrypt every recording under PARLEY_ARCHIVE_KEY; the old keys are PARLEY_ARCHIVE_OLD_KEYS.

    A run that was interrupted is repeated; what is done is skipped. Status 1 where a recording could not be decrypted.
    """
    sys.exit(anyio.run(_rekey, read_settings(), dry_run))


async def _check(settings: Settings) -> int:
    async with open_store(settings, writes=False) as store:
        with _progress() as progress:
            task = progress.add_task("")

            def show(key: str, report: ArchiveCheckReport) -> None:
                progress.update(task, description=f"{key}: {report.blobs} blobs, {len(report.problems)} problems")

            blobs = await ArchiveCheck(store, show).run()
    async with _spool(settings) as session_log:
        spool = await check_spool(session_log) if session_log else ArchiveCheckReport()
    click.echo(f"{blobs.recordings} recordings, {blobs.blobs} blobs; {spool.blobs} logs in the spool")
    return _print_problems({**blobs.problems, **spool.problems})


async def _rekey(settings: Settings, dry_run: bool) -> int:
    async with open_encrypted_store(settings, writes=not dry_run) as store:
        with _progress() as progress:
            task = progress.add_task("")

            def show(key: str, report: RekeyReport) -> None:
                progress.update(task, description=f"{key}: {report.replaced} re-encrypted, {report.current} current")

            blobs = await rekey_blobs(store, dry_run=dry_run, on_blob=show)
    async with _spool(settings) as session_log:
        spool = await rekey_spool(session_log, dry_run=dry_run) if session_log else RekeyReport()
    done = "to re-encrypt" if dry_run else "re-encrypted"
    click.echo(f"blobs: {blobs.replaced} {done}, {blobs.current} current, {blobs.foreign} of other programs")
    click.echo(f"logs in the spool: {spool.replaced} {done}, {spool.current} current")
    if not (dry_run or blobs.failed):
        click.echo("The store needs no old key any more; a server does until its spool is empty.")
    return _print_problems({**blobs.failed, **spool.failed})


@asynccontextmanager
async def _spool(settings: Settings) -> AsyncGenerator[Any, None]:
    """The session log of this machine; None where a running server has it, which uploads what lies there itself."""
    async with AsyncExitStack() as stack:
        try:
            session_log = await stack.enter_async_context(open_spool(settings))
        except ProviderRefused as error:
            click.echo(f"The spool is left out: {error}", err=True)
            session_log = None
        yield session_log


def _print_problems(problems: Mapping[str, str]) -> int:
    """The status of the command."""
    for name, problem in sorted(problems.items())[:_SHOWN_PROBLEMS]:
        click.echo(f"{name}: {problem}")
    if len(problems) > _SHOWN_PROBLEMS:
        click.echo(f"... and {len(problems) - _SHOWN_PROBLEMS} more")
    return 1 if problems else 0


def _progress() -> Progress:
    return Progress(SpinnerColumn(), TextColumn("{task.description}"), console=Console(stderr=True), transient=True)
