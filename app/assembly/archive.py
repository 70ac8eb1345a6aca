"""Opens the archive from the settings: blob store, session log, encryption, sources of recordings."""

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from app import registry
from app.config import Settings
from app.domain.errors import SettingsError
from app.domain.ports import BlobStore
from app.domain.tenant import Tenant
from app.environment import variable
from app.runtime.jobs.upload import RecordingSource
from app.runtime.recording.uploader import Uploader


@asynccontextmanager
async def open_archive(
    settings: Settings, tenants: Callable[[], Sequence[Tenant]] | None = None
) -> AsyncGenerator[Uploader, None]:
    """The uploader over the session log and the blob store; nothing is uploaded before it is running."""
    folder = spool_folder(settings)
    limit = settings.spool_max_mb << 20
    async with (
        open_store(settings) as store,
        registry.opened(
            registry.SESSION_LOGS,
            "disk",
            folder=folder,
            limit=limit,
            fsync=settings.spool_fsync,
            cipher=_cipher(settings),
        ) as session_log,
    ):
        yield Uploader(
            session_log,
            store,
            archive_by_default=settings.archive_sessions,
            audio=settings.archive_format,
            keep_days=settings.archive_keep_days,
            tenant_keep_days=lambda: {t.name: t.keep_days for t in (tenants or tuple)() if t.keep_days is not None},
        )


@asynccontextmanager
async def open_store(settings: Settings) -> AsyncGenerator[BlobStore, None]:
    """The blob store; encrypted where there is a key. Raises SettingsError."""
    options: dict[str, Any]
    match settings.blob_store:
        case "s3":
            _require(settings, "s3_bucket")
            options = {"bucket": settings.s3_bucket, "endpoint_url": settings.s3_endpoint_url or None}
        case "azure":
            _require(settings, "azure_container")
            options = {
                "container": settings.azure_container,
                "connection_string": _secret(settings.azure_connection_string),
                "account_url": settings.azure_account_url or None,
                "sas_token": _secret(settings.azure_sas_token),
            }
        case "filesystem":
            options = {"folder": settings.audio_storage_dir}
    if settings.blob_store != "filesystem":
        options["prefix"] = settings.blob_prefix
    async with registry.opened(registry.BLOB_STORES, settings.blob_store, **options) as store:
        cipher = _cipher(settings)
        yield registry.load(registry.CIPHERS, "store")(store, cipher) if cipher else store


@asynccontextmanager
async def open_source(settings: Settings) -> AsyncGenerator[RecordingSource | None, None]:
    """Where recordings can be fetched from by a link; None where nothing is set."""
    if settings.google_drive_service_account is None:
        yield None
        return
    account = settings.google_drive_service_account
    async with registry.opened(registry.SOURCES, "google_drive", service_account=account) as source:
        yield source


def spool_folder(settings: Settings) -> Path:
    """The folder of the session log."""
    return settings.spool_dir or settings.audio_storage_dir / ".spool"


def _cipher(settings: Settings) -> Any:
    key = _secret(settings.archive_key)
    return registry.load(registry.CIPHERS, "aes")(key) if key else None


def _secret(value: SecretStr | None) -> str | None:
    return value.get_secret_value() if value else None


def _require(settings: Settings, name: str) -> None:
    if not getattr(settings, name):
        raise SettingsError(f"PARLEY_BLOB_STORE is {settings.blob_store}, and {variable(name)} is not set")


def archive_place(settings: Settings) -> str:
    """Where recordings are stored, as a phrase for people."""
    match settings.blob_store:
        case "s3":
            return f"the bucket {settings.s3_bucket}"
        case "azure":
            return f"the container {settings.azure_container}"
        case "filesystem":
            return str(settings.audio_storage_dir.resolve())
