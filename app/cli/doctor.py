"""`parley doctor`: does everything that the settings name work from here?"""

import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

import anyio
import click
from anyio import to_thread
from rich.console import Console
from rich.table import Table

from app import registry
from app.assembly.archive import open_store, place
from app.assembly.replies import reply_provider
from app.assembly.speech import finals_model, model_folder
from app.config import Settings, read_settings
from app.domain.errors import ParleyError, SettingsError


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What is known of one thing the service needs."""

    what: str
    detail: str
    works: bool = True


@click.command()
@click.option("--aws", is_flag=True, help="Ask Amazon too, also where no setting names it.")
def doctor(aws: bool) -> None:
    """Check models, engines and the archive, with identity, region and round-trip time, and say what is wrong."""
    findings = anyio.run(_findings, read_settings(), aws)
    table = Table("", "what", "finding", box=None)
    for finding in findings:
        mark = "[green]ok[/green]" if finding.works else "[red]!![/red]"
        table.add_row(mark, finding.what, finding.detail)
    Console().print(table)
    sys.exit(0 if all(finding.works for finding in findings) else 1)


async def _findings(settings: Settings, aws: bool) -> list[CheckResult]:
    found = [await _model(settings, "drafts", settings.draft_model_id)]
    found.append(await _model(settings, "finals", finals_model(settings)))
    found.append(await _timed("replies", lambda: _replies(settings)))
    if settings.speech_provider == "piper":
        found.append(await _model(settings, "voice", settings.voice_model_id))
    found.append(await _timed("archive", lambda: _archive(settings)))
    if aws or settings.speech_provider == "polly":
        found += [finding async for finding in _amazon(settings)]
    return found


async def _model(settings: Settings, what: str, name: str) -> CheckResult:
    async def folder() -> str:
        return str(await to_thread.run_sync(model_folder, settings, name))

    return await _timed(what, folder)


async def _replies(settings: Settings) -> str:
    provider = await reply_provider(settings)
    if provider == "embedded":
        return f"embedded: {await to_thread.run_sync(model_folder, settings, settings.reply_model_id)}"
    if provider == "ollama":
        model_problem = registry.load(registry.PROBES, "ollama")
        if problem := await model_problem(settings.ollama_base_url, settings.ollama_model):
            raise SettingsError(problem)
        return f"ollama: {settings.ollama_model} at {settings.ollama_base_url}"
    return provider


async def _archive(settings: Settings) -> str:
    async with open_store(settings) as store:
        await store.put("doctor/hello", b"hello", content_type="text/plain")
        await store.get("doctor/hello")
        await store.delete("doctor/hello")
    return f"{place(settings)}: written, read and deleted"


async def _amazon(settings: Settings) -> AsyncIterator[CheckResult]:
    check = registry.load(registry.PROBES, "aws")
    for found in await check(
        region=settings.aws_region,
        transcribe_endpoint_url=settings.aws_endpoint_url_transcribe_streaming,
        voice=settings.polly_voice,
        engine=settings.polly_engine,
    ):
        who = f", as {found.identity}" if found.identity else ""
        detail = found.problem or f"{found.round_trip_ms:.0f} ms{who}"
        yield CheckResult(f"aws {found.service}", f"{found.region}: {detail}", works=found.problem is None)


async def _timed(what: str, ask: Callable[[], Awaitable[str]]) -> CheckResult:
    began = time.perf_counter()
    try:
        detail = await ask()
    except ParleyError as error:
        return CheckResult(what, str(error), works=False)
    return CheckResult(what, f"{detail} ({(time.perf_counter() - began) * 1000:.0f} ms)")
