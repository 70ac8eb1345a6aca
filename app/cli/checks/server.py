"""Checks of the server: its addresses, who may connect, routes of finals, telephony, database, archive."""

import httpx
from anyio import Lock, to_thread

from app.assembly.archive import archive_place, describe_encryption, open_source, open_spool, open_store, spool_folder
from app.assembly.authentication import open_authentication
from app.assembly.telephony import twilio_account
from app.assembly.tenants import open_tenants
from app.cli.checks.result import Check
from app.cli.server_address import default_url
from app.config import Settings
from app.data.database import open_database
from app.data.decisions import open_decisions
from app.domain.errors import ProviderRefused, SettingsError
from app.domain.tenant import DEFAULT_TENANT
from app.policy.tenants_file import read_tenants
from app.web.listener import bound_socket


def server_checks(settings: Settings) -> list[Check]:
    database = Lock()  # because one check makes the tables that another reads
    checks = [
        Check("address", lambda: _address(settings)),
        Check("tenants", lambda: _tenants(settings)),
        Check("database", lambda: _database(settings, database)),
        Check("authentication", lambda: _authentication(settings, database)),
    ]
    if settings.wyoming_port:
        checks.append(Check("wyoming", lambda: _wyoming(settings)))
    if settings.twilio_auth_token is not None:
        checks.append(Check("telephone", lambda: _telephone(settings)))
    return checks


def archive_checks(settings: Settings) -> list[Check]:
    checks = [
        Check("archive", lambda: _archive(settings)),
        Check("spool", lambda: _spool(settings)),
        Check("encryption", lambda: describe_encryption(settings)),
    ]
    if settings.google_drive_service_account is not None:
        checks.append(Check("google drive", lambda: _google_drive(settings)))
    return checks


async def _address(settings: Settings) -> str:
    address = f"{settings.host}:{settings.port}"
    try:
        with bound_socket(settings.host, settings.port):
            return f"{address} is free"
    except SettingsError:
        if not await _is_parley(default_url(settings, "http", "/health")):
            raise
        return f"a Parley server listens on {address}"


async def _is_parley(url: str) -> bool:
    try:
        async with httpx.AsyncClient(timeout=5, trust_env=False) as client:
            answer = (await client.get(url)).json()
    except (httpx.HTTPError, ValueError):
        return False
    return isinstance(answer, dict) and answer.get("status") in ("ok", "full", "draining")


async def _tenants(settings: Settings) -> str:
    if settings.tenants is None:
        return "no tenants file"
    return ", ".join(tenant.name for tenant in await to_thread.run_sync(read_tenants, settings.tenants))


async def _database(settings: Settings, lock: Lock) -> str:
    async with lock, open_decisions(settings.database_url):
        return "opened"


async def _authentication(settings: Settings, lock: Lock) -> str:
    async with (
        lock,
        open_tenants(settings.tenants) as tenants,
        open_database(settings.database_url) as database,
        open_authentication(settings, database, tenants) as authentication,
    ):
        return authentication.description


async def _wyoming(settings: Settings) -> str:
    await _require_tenant(settings, "PARLEY_WYOMING_TENANT", settings.wyoming_tenant)
    address = f"{settings.host}:{settings.wyoming_port}"
    try:
        with bound_socket(settings.host, settings.wyoming_port):
            return f"{address} is free"
    except SettingsError as error:
        if await _is_parley(default_url(settings, "http", "/health")):
            return f"{address} is taken, and a Parley server listens on port {settings.port}"
        raise SettingsError(f"PARLEY_WYOMING_PORT: cannot listen on {address}: {error.__cause__}") from error


async def _telephone(settings: Settings) -> str:
    twilio_account(settings)
    await _require_tenant(settings, "PARLEY_TWILIO_TENANT", settings.twilio_tenant)
    return f"Twilio, as tenant {settings.twilio_tenant}, at {settings.public_url}"


async def _require_tenant(settings: Settings, variable: str, name: str) -> None:
    if settings.tenants is None or name in {"", DEFAULT_TENANT.name}:
        return
    names = {tenant.name for tenant in await to_thread.run_sync(read_tenants, settings.tenants)}
    if name not in names:
        raise SettingsError(f"{variable}: the tenants file has no tenant {name!r}")


async def _archive(settings: Settings) -> str:
    async with open_store(settings, writes=False) as store:
        await store.put("doctor/hello", b"hello", content_type="text/plain")
        await store.get("doctor/hello")
        await store.delete("doctor/hello")
    return f"{archive_place(settings)}: written, read and deleted"


async def _spool(settings: Settings) -> str:
    folder = spool_folder(settings).resolve()
    try:
        async with open_spool(settings):
            return str(folder)
    except ProviderRefused as error:
        if not isinstance(error.__cause__, BlockingIOError):
            raise
        return f"{folder}: a running server has it"


async def _google_drive(settings: Settings) -> str:
    async with open_source(settings):
        return f"{settings.google_drive_service_account}"
