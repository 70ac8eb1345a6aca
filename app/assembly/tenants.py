"""Who may come in, as the file of the setting PARLEY_TENANTS has it now."""

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
async def open_tenants(path: Path | None) -> AsyncGenerator[Callable[[], Sequence[Tenant]] | None, None]:
    """None without a file: nobody is asked for a key. Raises SettingsError."""
    if path is None:
        yield None
        return
    tenants = await open_reloading_file(path, read_tenants)
    async with run_in_background({"tenants_file": partial(tenants.reload_loop, SystemClock())}):
        yield lambda: tenants.value


def asked_for(tenants: Callable[[], Sequence[Tenant]] | None) -> str:
    """Who comes in, in words."""
    return "anyone, without a key" if tenants is None else f"{', '.join(t.name for t in tenants())}, each by its key"
