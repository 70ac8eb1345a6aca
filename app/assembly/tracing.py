"""Opens the export of spans: OTLP over HTTP to a collector, in batches, on a thread of its own."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from anyio import to_thread

from app import registry
from app.config import Settings


@asynccontextmanager
async def open_tracing(settings: Settings) -> AsyncGenerator[None, None]:
    """Spans go to PARLEY_OTLP_URL while the context lasts; nowhere where it is empty. Raises SettingsError."""
    if not settings.otlp_url:
        yield
        return
    stop = registry.load(registry.TRACE_EXPORTERS, "otlp")(settings.otlp_url)
    try:
        yield
    finally:
        await to_thread.run_sync(stop)
