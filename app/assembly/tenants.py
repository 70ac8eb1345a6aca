"""Tenants from the file that PARLEY_TENANTS names, reloaded when it changes."""

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from app.domain.tenant import Tenant
from app.policy.reloading_file import open_reloading_file
from app.policy.tenants_file import read_tenants
from app.runtime.clock import SystemClock
from app.runtime.supervision import run_in_background


@asynccontextmanager
async def open_tenants(
    path: Path | None, on_change: Callable[[str], None] = lambda _: None
) -> AsyncGenerator[Callable[[], Sequence[Tenant]] | None, None]:
    """A function that returns the current tenants; None without a file. Raises SettingsError.

    `on_change` is that of ReloadingFile.
    """
    if path is None:
        yield None
        return
    tenants = await open_reloading_file(path, read_tenants)
    tenants.on_change = on_change
    async with run_in_background({"tenants_file": partial(tenants.reload_loop, SystemClock())}):
        yield lambda: tenants.value
