"""`parley serve`: the server."""

import logging
import sys
from typing import Any

import anyio
import click
import structlog
from rich.console import Console
from rich.table import Table

from app.assembly.service import open_service
from app.cli.embedded_metrics import emit_metrics
from app.config import Settings, read_settings
from app.runtime.service import Service
from app.web.listener import GracefulServer, bound_socket
from app.web.server import create_app


@click.command()
@click.option("--host", help="Address to listen on (setting PARLEY_HOST).")
@click.option("--port", type=int, help="Port to listen on (setting PARLEY_PORT).")
@click.option("--vitals", is_flag=True, help="Say on standard output how full it is, in JSON, every 15 seconds.")
def serve(host: str | None, port: int | None, *, vitals: bool) -> None:
    """Start the server, and print what runs in it."""
    overrides: dict[str, Any] = {k: v for k, v in (("host", host), ("port", port)) if v is not None}
    settings = read_settings(**overrides)
    set_up_log(settings.log_level)
    anyio.run(_serve, settings, vitals)


async def _serve(settings: Settings, vitals: bool) -> None:
    with bound_socket(settings.host, settings.port) as listening:
        async with open_service(settings) as service, service.running():
            _print(settings.host, listening.getsockname()[1], service)
            async with anyio.create_task_group() as tasks:
                if vitals:
                    tasks.start_soon(emit_metrics, service)
                await GracefulServer(create_app(service)).serve([listening])
                tasks.cancel_scope.cancel()


def _print(host: str, port: int, service: Service) -> None:
    table = Table.grid(padding=(0, 2))
    for name, words in service.components:
        table.add_row(f"[dim]{name}[/dim]", words)
    console = Console(stderr=True)
    address = "localhost" if host in ("127.0.0.1", "0.0.0.0", "::") else host  # noqa: S104 because this compares
    console.print(f"\n[bold]Parley[/bold] listens on http://{address}:{port}\n")
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
