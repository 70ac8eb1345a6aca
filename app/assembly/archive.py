"""Opens the archive from the settings: blob store, session log, encryption, sources of recordings."""

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import structlog
from pydantic import SecretStr

from app import registry
from app.config import DEFAULT_REGION, Settings
from app.domain.errors import ProviderError, SettingsError
from app.domain.ports import BlobStore
from app.domain.tenant import Tenant
from app.domain.upload_limits import UploadLimits
from app.environment import variable
from app.runtime.jobs.file_blobs import FileBlobs
from app.runtime.jobs.file_uploads import FileUploads
from app.runtime.jobs.job_store import JobStore
from app.runtime.jobs.upload import RecordingSource
from app.runtime.recording.uploader import Uploader

KEY_CHECK_TIMEOUT_S = 5.0
"""How long a start waits for a store, to check the keys."""

_log = structlog.get_logger("parley.archive")


@asynccontextmanager
async def open_archive(
    settings: Settings, tenants: Callable[[], Sequence[Tenant]] | None = None
) -> AsyncGenerator[Uploader, None]:
    """The uploader over the session log and the blob store; nothing is uploaded before it is running."""
    async with open_store(settings) as store, open_spool(settings) as session_log:
        yield Uploader(
            session_log,
            store,
            archive_by_default=settings.archive_sessions,
            audio=settings.archive_format,
            keep_days=settings.archive_keep_days,
            tenant_keep_days=lambda: {t.name: t.keep_days for t in (tenants or tuple)() if t.keep_days is not None},
        )


def file_uploads(settings: Settings, uploader: Uploader, jobs: JobStore) -> FileUploads:
    """The uploaded files, in the blob store; at most half of what the session log may hold."""
    limits = UploadLimits(
        max_bytes=settings.recording_max_mb << 20,
        total_bytes=settings.spool_max_mb << 19,
        per_tenant=settings.uploads_per_tenant,
        per_tenant_bytes=own << 20 if (own := settings.uploads_per_tenant_mb) else settings.spool_max_mb << 18,
    )
    return FileUploads(jobs, FileBlobs(uploader.store, scratch=spool_folder(settings)), uploader, limits)


@asynccontextmanager
async def open_store(settings: Settings, *, writes: bool = True) -> AsyncGenerator[BlobStore, None]:
    """The blob store, encrypted where there is a key. Raises SettingsError where the archive has other keys.

    A store that is down is opened all the same; the keys are checked before its first use then. Without `writes`,
    opening writes no key check.
    """
    cipher = read_cipher(settings)
    async with _open_unencrypted(settings) as store:
        checked_store = registry.load(registry.CIPHERS, "checked_store")
        if cipher is None:
            require_plain = registry.load(registry.CIPHERS, "require_plain")
            checked = checked_store(store, lambda: require_plain(store))
        else:
            encrypted = registry.load(registry.CIPHERS, "store")(store, cipher)
            checked = checked_store(encrypted, partial(encrypted.check_keys, write=writes))
        try:
            with anyio.fail_after(KEY_CHECK_TIMEOUT_S):
                await checked.check()
        except (ProviderError, TimeoutError) as error:
            _log.warning("archive keys are not checked yet", kind=type(error).__name__, message=str(error))
        yield checked


@asynccontextmanager
async def open_encrypted_store(settings: Settings, *, writes: bool = True) -> AsyncGenerator[Any, None]:
    """The encrypted store itself, its keys checked. Raises SettingsError also where there is no key."""
    cipher = read_cipher(settings)
    if cipher is None:
        raise SettingsError("PARLEY_ARCHIVE_KEY is not set, so the archive is not encrypted")
    async with _open_unencrypted(settings) as store:
        encrypted = registry.load(registry.CIPHERS, "store")(store, cipher)
        await encrypted.check_keys(write=writes)
        yield encrypted


@asynccontextmanager
async def _open_unencrypted(settings: Settings) -> AsyncGenerator[BlobStore, None]:
    options: dict[str, Any]
    match settings.blob_store:
        case "s3":
            _require(settings, "s3_bucket")
            options = {
                "bucket": settings.s3_bucket,
                "endpoint_url": settings.s3_endpoint_url or None,
                "region": settings.aws_region if settings.aws_region != DEFAULT_REGION else None,  # else the SDK's own
            }
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
        yield store


@asynccontextmanager
async def open_spool(settings: Settings) -> AsyncGenerator[Any, None]:
    """The session log in the spool. Raises ProviderRefused where another process has it."""
    async with registry.opened(
        registry.SESSION_LOGS,
        "disk",
        folder=spool_folder(settings),
        limit=settings.spool_max_mb << 20,
        fsync=settings.spool_fsync,
        cipher=read_cipher(settings),
    ) as session_log:
        yield session_log


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


def read_cipher(settings: Settings) -> Any:
    """The cipher with the archive's keys; None where no key is set. Raises SettingsError."""
    keys = _read_keys(settings)
    return registry.load(registry.CIPHERS, "aes")(keys[0], keys[1:]) if keys else None


def _read_keys(settings: Settings) -> list[str]:
    """The active one first."""
    active, old = _secret(settings.archive_key), _secret(settings.archive_old_keys)
    if path := settings.archive_key_file:
        if active or old:
            raise SettingsError("set PARLEY_ARCHIVE_KEY_FILE, or PARLEY_ARCHIVE_KEY and PARLEY_ARCHIVE_OLD_KEYS")
        try:
            keys = path.read_text("utf-8").split()
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(f"PARLEY_ARCHIVE_KEY_FILE cannot be read: {path}: {type(error).__name__}") from error
        if not keys:
            raise SettingsError(f"PARLEY_ARCHIVE_KEY_FILE has no key: {path}")
        return keys
    if old and not active:
        raise SettingsError("PARLEY_ARCHIVE_OLD_KEYS is set, and PARLEY_ARCHIVE_KEY is not")
    return [active, *filter(None, (key.strip() for key in (old or "").split(",")))] if active else []


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


async def describe_encryption(settings: Settings) -> str:
    """Which keys are known and what may be unencrypted, as a phrase for people. Raises what open_store() raises."""
    cipher = read_cipher(settings)
    if cipher is None:
        async with _open_unencrypted(settings) as store:
            await registry.load(registry.CIPHERS, "require_plain")(store)
        return "none"
    async with open_encrypted_store(settings, writes=False) as encrypted:
        limit = encrypted.plain_before
    active, *old = cipher.key_ids
    keys = f"key {active}" + (f", old keys {', '.join(old)}" if old else "")
    return f"{keys}; unencrypted: {f'recordings before {limit:%Y-%m-%d %H:%M} UTC' if limit else 'none'}"
