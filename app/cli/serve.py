"""`parley serve`: the server."""

import socket
from functools import partial
from typing import Any

import anyio
import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from app.assembly.service import open_service
from app.assembly.tracing import open_tracing
from app.cli.connection_limits import connection_limits
from app.cli.embedded_metrics import emit_metrics
from app.cli.log import set_up_log
from app.config import Settings, read_settings
from app.runtime.open_files import raise_open_files_limit
from app.runtime.service import Service
from app.web.listener import GracefulServer, bound_socket, http_url
from app.web.server import create_app
from app.wyoming.announcement import can_be_found
from app.wyoming.server import serve_wyoming


@click.command()
@click.option("--host", help="Address to listen on (setting PARLEY_HOST).")
@click.option("--port", type=int, help="Port to listen on (setting PARLEY_PORT).")
@click.option(
    "--vitals", "emits_metrics", is_flag=True, help="Write the occupancy to standard output, in JSON, every 15 s."
)
def serve(host: str | None, port: int | None, *, emits_metrics: bool) -> None:
    """Start the server, and print what runs in it."""
    overrides: dict[str, Any] = {k: v for k, v in (("host", host), ("port", port)) if v is not None}
    settings = read_settings(**overrides)
    set_up_log(settings.log_level, settings.log_format)
    raise_open_files_limit()
    anyio.run(_serve, settings, emits_metrics)


async def _serve(settings: Settings, emits_metrics: bool) -> None:
    with bound_socket(settings.host, settings.port) as listening:
        async with open_tracing(settings), open_service(settings) as service, service.running():
            _print_components(_local_url(settings.host, listening), service)
            async with anyio.create_task_group() as tasks:
                if settings.wyoming_port:
                    tasks.start_soon(
                        partial(
                            serve_wyoming,
                            service,
                            settings.host,
                            settings.wyoming_port,
                            tenant=settings.wyoming_tenant,
                            is_announced=settings.wyoming_zeroconf and can_be_found(settings.host),
                        )
                    )
                if emits_metrics:
                    tasks.start_soon(emit_metrics, service.admission, service.uploader.status)
                await GracefulServer(
                    create_app(service), root_path=settings.root_path, **connection_limits(settings)
                ).serve([listening])
                tasks.cancel_scope.cancel()


def _local_url(host: str, listening: socket.socket) -> str:
    """Where a browser on this machine finds the server."""
    return http_url("localhost" if host in ("127.0.0.1", "0.0.0.0", "::") else host, listening)  # noqa: S104 because this compares


def _print_components(url: str, service: Service) -> None:
    table = Table.grid(padding=(0, 2))
    for name, sentence in service.components:
        table.add_row(f"[dim]{name}[/dim]", sentence)
    console = Console(stderr=True)
    console.print(f"\n[bold]Parley[/bold] listens on {escape(url)}\n")
    console.print(table)
    console.print()
