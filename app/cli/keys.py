"""`parley keys`: creates, lists and revokes API keys, in the configured database or at a running server."""

import os
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Protocol

import anyio
import click
import httpx
from rich.table import Table

from app.assembly.authentication import open_key_store
from app.assembly.tenants import open_tenants
from app.cli.command_group import CommandGroup
from app.cli.tables import print_table, whole
from app.config import read_settings
from app.data.api_keys import KeyStore
from app.data.audit import audit_in
from app.data.database import open_database
from app.domain.api_key import key_fields
from app.domain.audit import AuditAction
from app.domain.errors import ParleyError
from app.domain.principal import Scope
from app.proxies import proxy_of
from app.runtime.audit import AuditLog
from app.runtime.authentication import Tenants, find_tenant

TIMEOUT_S = 20.0
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}


class KeysFailed(ParleyError):
    """The keys could not be read or changed. The message says why."""


class KeyAdministration(Protocol):
    """Where the commands take effect. Keys are objects of `GET /admin/keys`. Every method raises a ParleyError."""

    async def create(self, name: str, tenant: str, scopes: Sequence[str], expires: datetime | None) -> dict[str, Any]:
        """The new key, its secret as `key`."""
        ...

    async def listed(self) -> Sequence[dict[str, Any]]: ...

    async def revoke(self, key_id: str) -> None: ...


def _lifetime(_: click.Context, __: click.Parameter, value: str | None) -> timedelta | None:
    if value is None:
        return None
    parts = re.fullmatch(r"([1-9]\d{0,5})([mhd])", value)
    if parts is None:
        raise click.BadParameter(f"{value!r} is no number of minutes, hours or days, like 30d")
    return timedelta(**{_UNITS[parts[2]]: int(parts[1])})


_url = click.option("--url", help="A running server; without it, the configured database.")
_key = click.option("--key", envvar="PARLEY_KEY", show_envvar=True, help="An administrator's key, for --url.")


@click.group(cls=CommandGroup)
def keys() -> None:
    """API keys: in the database of PARLEY_DATABASE_URL, or with --url at a running server."""


@keys.command()
@click.argument("name")
@click.option("--tenant", default="default", show_default=True, help="Whose key it is.")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    required=True,
    type=click.Choice([scope.value for scope in Scope]),
    help="What it may do; repeatable.",
)
@click.option("--expires", callback=_lifetime, help="Lifetime, like 12h or 30d; without it the key does not expire.")
@_url
@_key
def create(
    name: str, tenant: str, scopes: tuple[str, ...], expires: timedelta | None, url: str | None, key: str | None
) -> None:
    """Create a key. It is printed on standard output, once: the database has its fingerprint only."""
    moment = None if expires is None else datetime.now(UTC) + expires
    made = _run(url, key, lambda where: where.create(name, tenant, scopes, moment))
    until = f", until {made['expires']}" if made["expires"] else ""
    click.echo(f"key {made['id']} of tenant {tenant}: {', '.join(made['scopes'])}{until}", err=True)
    click.echo(made["key"])


@keys.command("list")
@_url
@_key
def list_(url: str | None, key: str | None) -> None:
    """List the keys, without their secrets."""
    table = Table(whole("id"), whole("name"), whole("tenant"), "scopes", "state", "expires", "last used")
    for each in _run(url, key, lambda where: where.listed()):
        scopes, times = " ".join(each["scopes"]), (each["expires"] or "never", each["lastUsed"] or "never")
        table.add_row(each["id"], each["name"], each["tenant"], scopes, each["state"], *times)
    print_table(table)


@keys.command()
@click.argument("id_or_name")
@_url
@_key
def revoke(id_or_name: str, url: str | None, key: str | None) -> None:
    """Revoke the key with this id or name, for good."""
    found = _run(url, key, lambda where: _revoke(where, id_or_name))
    click.echo(f"key {found} is revoked", err=True)


async def _revoke(where: KeyAdministration, id_or_name: str) -> str:
    """The id of the revoked key. Raises KeysFailed where none has this id or name, or several have the name."""
    listed = await where.listed()
    ids = [each["id"] for each in listed if each["id"] == id_or_name] or [
        each["id"] for each in listed if each["name"] == id_or_name and each["state"] == "active"
    ]
    if len(ids) != 1:
        problem = (
            f"several keys have the name {id_or_name}: {', '.join(ids)}" if ids else f"there is no key {id_or_name}"
        )
        raise KeysFailed(problem)
    await where.revoke(ids[0])
    return str(ids[0])


def _run(url: str | None, key: str | None, work: Callable[[KeyAdministration], Awaitable[Any]]) -> Any:
    return anyio.run(partial(_with_administration, url, key, work))


async def _with_administration(
    url: str | None, key: str | None, work: Callable[[KeyAdministration], Awaitable[Any]]
) -> Any:
    async with _remote(url, key) if url else _local() as where:
        return await work(where)


class _InDatabase:
    def __init__(self, store: KeyStore, tenants: Tenants | None, audit: AuditLog) -> None:
        self._store = store
        self._tenants = tenants
        self._audit = audit

    async def create(self, name: str, tenant: str, scopes: Sequence[str], expires: datetime | None) -> dict[str, Any]:
        if find_tenant(tenant, self._tenants) is None:
            raise KeysFailed(f"the tenants file has no tenant {tenant}")
        secret, key = await self._store.create(name, tenant, frozenset(map(Scope, scopes)), expires)
        self._audit.record(AuditAction.KEY_CREATED, target=key.id, tenant=tenant, user=os.environ.get("USER"))
        return {"key": secret, **key_fields(key, datetime.now(UTC))}

    async def listed(self) -> Sequence[dict[str, Any]]:
        now = datetime.now(UTC)
        return [key_fields(key, now) for key in self._store.all_keys()]

    async def revoke(self, key_id: str) -> None:
        await self._store.revoke(key_id)
        self._audit.record(AuditAction.KEY_REVOKED, target=key_id, user=os.environ.get("USER"))


@asynccontextmanager
async def _local() -> AsyncIterator[KeyAdministration]:
    settings = read_settings()
    async with (
        open_tenants(settings.tenants) as tenants,
        open_database(settings.database_url) as database,
        audit_in(database) as table,
    ):
        yield _InDatabase(await open_key_store(database), tenants, AuditLog(table))


class _AtServer:
    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def create(self, name: str, tenant: str, scopes: Sequence[str], expires: datetime | None) -> dict[str, Any]:
        body = {"name": name, "tenant": tenant, "scopes": list(scopes), "expires": expires and expires.isoformat()}
        made: dict[str, Any] = await self._request("POST", "", body)
        return made

    async def listed(self) -> Sequence[dict[str, Any]]:
        found: Sequence[dict[str, Any]] = (await self._request("GET"))["keys"]
        return found

    async def revoke(self, key_id: str) -> None:
        await self._request("DELETE", f"/{key_id}")

    async def _request(self, method: str, path: str = "", body: dict[str, Any] | None = None) -> Any:
        try:
            answer = await self._client.request(method, f"/admin/keys{path}", json=body)
            if answer.is_success:
                return answer.json() if answer.content else None
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            raise KeysFailed(f"no Parley server answers at {self._client.base_url}: {error}") from error
        raise KeysFailed(f"the server refuses with {answer.status_code}: {_message(answer)}")


def _message(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["message"])
    except (ValueError, KeyError, TypeError):
        return answer.reason_phrase


@asynccontextmanager
async def _remote(url: str, key: str | None) -> AsyncIterator[KeyAdministration]:
    headers = {"authorization": f"Bearer {key}"} if key else {}
    async with httpx.AsyncClient(
        base_url=url.rstrip("/"), headers=headers, timeout=TIMEOUT_S, proxy=proxy_of(url), trust_env=False
    ) as client:
        yield _AtServer(client)
