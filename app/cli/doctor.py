"""`parley doctor`: checks that the server can start with these settings, and that what it uses answers."""

import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from functools import partial

import anyio
import click
from anyio import to_thread
from rich.table import Table
from rich.text import Text

from app import registry
from app.assembly.archive import archive_place, describe_encryption, open_store
from app.assembly.authentication import open_authentication
from app.assembly.replies import describe_replies, reply_providers, server_problem
from app.assembly.speech import (
    device,
    drafts_model,
    finals_model,
    model_folder,
    speaker_model_file,
    speech_model_folders,
    turn_model_file,
)
from app.assembly.tenants import open_tenants
from app.assembly.voices import voice_providers
from app.cli.tables import print_table
from app.config import Settings, read_settings
from app.data.database import open_database
from app.data.decisions import open_decisions
from app.domain.errors import ParleyError, SettingsError
from app.policy.routes_file import LocalRoute, read_routes
from app.policy.rules_file import read_rules, rules_path
from app.policy.tenants_file import read_tenants


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The outcome of one check."""

    what: str
    detail: str
    works: bool = True


@click.command()
@click.option("--aws", is_flag=True, help="Check Amazon even where no setting names it.")
def doctor(aws: bool) -> None:
    """Check models, files, database, engines and the archive, and say what is wrong; status 1 where anything is."""
    results = anyio.run(_check_all, read_settings(), aws)
    table = Table("", "what", "finding", box=None)
    for result in results:
        mark = Text("ok", "green") if result.works else Text("!!", "red")
        table.add_row(mark, result.what, result.detail)
    print_table(table)
    sys.exit(0 if all(result.works for result in results) else 1)


async def _check_all(settings: Settings, aws: bool) -> list[CheckResult]:
    results = [
        await _check("tenants", lambda: _tenants(settings)),
        await _check("authentication", lambda: _authentication(settings)),
        await _check("routing", lambda: _routing(settings)),
        await _check("database", lambda: _database(settings)),
        await _check("drafts", lambda: _whisper(settings, drafts_model(settings))),
        await _check("finals", lambda: _finals(settings)),
        await _check("speech detector", lambda: _speech_detector(settings)),
        await _check("turn detector", lambda: _turn_detector(settings)),
        await _check("speakers", lambda: _speakers(settings)),
        *await _reply_engines(settings),
        *await _voices(settings),
        await _check("archive", lambda: _archive(settings)),
        await _check("encryption", lambda: describe_encryption(settings)),
    ]
    if aws or "polly" in settings.speech_provider:
        results += [result async for result in _amazon(settings)]
    return results


async def _tenants(settings: Settings) -> str:
    if settings.tenants is None:
        return "no tenants file"
    tenants = await to_thread.run_sync(read_tenants, settings.tenants)
    return f"{', '.join(tenant.name for tenant in tenants)}"


async def _authentication(settings: Settings) -> str:
    async with (
        open_tenants(settings.tenants) as tenants,
        open_database(settings.database_url) as database,
        open_authentication(settings, database, tenants) as authentication,
    ):
        return authentication.description


async def _routing(settings: Settings) -> str:
    routes = await to_thread.run_sync(read_routes, settings.routes)
    rules = await to_thread.run_sync(read_rules, rules_path(settings.policy))
    return f"{', '.join(routes)}; policy {rules.name}"


async def _database(settings: Settings) -> str:
    async with open_decisions(settings.database_url):
        return "opened"


async def _whisper(settings: Settings, model: str) -> str:
    registry.load(registry.TRANSCRIBERS, "local")
    folder, _ = await to_thread.run_sync(speech_model_folders, settings, model)
    where, _ = await to_thread.run_sync(device, settings)
    if where != "cpu":
        return str(folder)
    report = registry.load(registry.PROBES, "encoder")
    return f"{folder}; {await to_thread.run_sync(report, folder, settings.encoder_path)}"


async def _finals(settings: Settings) -> str:
    routes = await to_thread.run_sync(read_routes, settings.routes)
    if not any(isinstance(route, LocalRoute) for route in routes.values()):
        return "not in this process"
    return await _whisper(settings, finals_model(settings))


async def _speech_detector(settings: Settings) -> str:
    registry.load(registry.DETECTORS, settings.vad)
    return settings.vad


async def _turn_detector(settings: Settings) -> str:
    if settings.turn_model_id == "none":
        return "none"
    registry.load(registry.TURN_DETECTORS, "smart_turn")
    return str(await to_thread.run_sync(turn_model_file, settings))


async def _speakers(settings: Settings) -> str:
    if not settings.speakers:
        return "not told apart"
    registry.load(registry.SPEAKER_EMBEDDERS, "d_vector")
    return str(await to_thread.run_sync(speaker_model_file, settings))


async def _reply_engines(settings: Settings) -> list[CheckResult]:
    """One result for each engine, in their order, the one over budget included."""
    try:
        providers = await reply_providers(settings)
    except SettingsError as error:
        return [CheckResult("replies", str(error), works=False)]
    if not providers:
        return [CheckResult("replies", "none")]
    reserve = {settings.reply_provider_over_budget} - {"none", *providers}
    return [await _check("replies", partial(_reply_engine, settings, name)) for name in (*providers, *reserve)]


async def _reply_engine(settings: Settings, provider: str) -> str:
    registry.load(registry.REPLY_GENERATORS, provider)
    if provider == "embedded":
        return f"embedded: {await to_thread.run_sync(model_folder, settings, settings.reply_model_id)}"
    if problem := await server_problem(settings, provider):
        raise SettingsError(problem)
    description = describe_replies(settings, [provider])
    return description if provider == "receiver" else f"{provider}: {description}"


async def _voices(settings: Settings) -> list[CheckResult]:
    providers = voice_providers(settings)
    if not providers:
        return [CheckResult("voice", "none")]
    return [await _check("voice", partial(_voice, settings, provider)) for provider in providers]


async def _voice(settings: Settings, provider: str) -> str:
    registry.load(registry.SYNTHESIZERS, provider)
    if provider == "polly":
        return f"polly: {settings.polly_voice}"
    return str(await to_thread.run_sync(model_folder, settings, settings.voice_model_id))


async def _archive(settings: Settings) -> str:
    async with open_store(settings, writes=False) as store:
        await store.put("doctor/hello", b"hello", content_type="text/plain")
        await store.get("doctor/hello")
        await store.delete("doctor/hello")
    return f"{archive_place(settings)}: written, read and deleted"


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


async def _check(what: str, check: Callable[[], Awaitable[str]]) -> CheckResult:
    began = time.perf_counter()
    try:
        detail = await check()
    except ParleyError as error:
        return CheckResult(what, str(error), works=False)
    except Exception as error:  # noqa: BLE001 because a defect in one check is a result, and the others are still made
        return CheckResult(what, f"{type(error).__name__}: {error}", works=False)
    return CheckResult(what, f"{detail} ({(time.perf_counter() - began) * 1000:.0f} ms)")
