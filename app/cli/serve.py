"""`parley serve`: the server."""

import logging
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from typing import Any

import click
import structlog
import uvicorn
from rich.console import Console
from rich.table import Table

from app.assembly import open_service
from app.config import Settings, read_settings
from app.domain.errors import ParleyError
from app.runtime.service import Service
from app.web.server import create_app

DRAIN_SECONDS = 20
"""How long sessions have to finish when the server is told to stop."""


@click.command()
@click.option("--host", help="Address to listen on (setting HOST).")
@click.option("--port", type=int, help="Port to listen on (setting PORT).")
def serve(host: str | None, port: int | None) -> None:
    """Start the server, and print what runs in it."""
    overrides: dict[str, Any] = {k: v for k, v in (("host", host), ("port", port)) if v is not None}
    settings = read_settings(**overrides)
    set_up_log(settings.log_level)
    failure: list[ParleyError] = []

    @asynccontextmanager
    async def service() -> AsyncGenerator[Service, None]:
        try:
            async with open_service(settings) as opened:
                _print(settings, opened)
                yield opened
        except ParleyError as error:
            failure.append(error)
            raise

    config = uvicorn.Config(
        create_app(service),
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,
        ws="websockets-sansio",
        ws_max_size=16 << 20,
        timeout_graceful_shutdown=DRAIN_SECONDS,
    )
    server = uvicorn.Server(config)
    with suppress(KeyboardInterrupt):  # uvicorn has shut down in good order and raises the signal again
        server.run()
    if failure:
        raise failure[0]
    if not server.started:
        sys.exit(1)


def _print(settings: Settings, service: Service) -> None:
    table = Table.grid(padding=(0, 2))
    for name, words in service.description:
        table.add_row(f"[dim]{name}[/dim]", words)
    console = Console(stderr=True)
    address = "localhost" if settings.host in ("127.0.0.1", "0.0.0.0", "::") else settings.host  # noqa: S104 because this compares
    console.print(f"\n[bold]Parley[/bold] listens on http://{address}:{settings.port}\n")
    console.print(table)
    console.print()


def set_up_log(level: str) -> None:
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s %(message)s")
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.dev.ConsoleRenderer() if sys.stderr.isatty() else structlog.processors.LogfmtRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
