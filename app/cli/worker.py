"""`parley worker`: the speech engine alone, behind OpenAI's transcription endpoint."""

import anyio
import click
from rich.console import Console
from rich.markup import escape

from app.assembly.speech import open_worker
from app.assembly.tracing import open_tracing
from app.cli.connection_limits import connection_limits
from app.cli.log import set_up_log
from app.config import Settings, read_settings
from app.runtime.open_files import raise_open_files_limit
from app.web.listener import GracefulServer, bound_socket, http_url
from app.web.openai.worker import create_worker


@click.command()
@click.option("--host", help="Address to listen on (setting PARLEY_HOST).")
@click.option("--port", type=int, help="Port to listen on (setting PARLEY_PORT).")
@click.option("--model", help="Model for finals (setting PARLEY_TRANSCRIPTION_MODEL_ID).")
@click.option(
    "--at-once", "concurrency", type=click.IntRange(1), default=1, show_default=True, help="Finals it works on at once."
)
@click.option(
    "--waiting", "max_waiting", type=click.IntRange(0), default=8, show_default=True, help="Finals that may wait."
)
def worker(host: str | None, port: int | None, model: str | None, concurrency: int, max_waiting: int) -> None:
    """Offer the speech model as `POST /v1/audio/transcriptions`, to gateways and to any OpenAI client."""
    overrides = {"host": host, "port": port, "transcription_model_id": model}
    settings = read_settings(**{name: value for name, value in overrides.items() if value is not None})
    set_up_log(settings.log_level, settings.log_format)
    raise_open_files_limit()
    anyio.run(_serve, settings, concurrency, max_waiting)


async def _serve(settings: Settings, concurrency: int, max_waiting: int) -> None:
    with bound_socket(settings.host, settings.port) as listening:
        async with (
            open_tracing(settings),
            open_worker(settings, concurrency=concurrency, max_waiting=max_waiting) as ready,
        ):
            url = escape(f"{http_url(settings.host, listening)}/v1")
            Console(stderr=True).print(f"[bold]Parley[/bold] worker: {ready.model} at {url}", soft_wrap=True)
            await GracefulServer(create_worker(ready), **connection_limits(settings)).serve([listening])
