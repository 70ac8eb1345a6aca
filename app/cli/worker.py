"""`parley worker`: the speech engine alone, for gateways elsewhere."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from typing import Any

import click
import uvicorn
from rich.console import Console

from app.assembly import open_worker
from app.cli.serve import DRAIN_SECONDS, set_up_log
from app.config import read_settings
from app.domain.errors import ParleyError
from app.runtime.worker import Worker
from app.web.worker import create_worker


@click.command()
@click.option("--host", help="Address to listen on (setting HOST).")
@click.option("--port", type=int, help="Port to listen on (setting PORT).")
@click.option("--model", help="Model for finals (setting TRANSCRIPTION_MODEL_ID).")
@click.option("--at-once", type=click.IntRange(1), default=1, show_default=True, help="Finals it works on at once.")
@click.option("--waiting", type=click.IntRange(0), default=8, show_default=True, help="Finals that may wait.")
def worker(host: str | None, port: int | None, model: str | None, at_once: int, waiting: int) -> None:
    """Offer the speech model as `POST /v1/audio/transcriptions`, to gateways and to any OpenAI client."""
    overrides = {"host": host, "port": port, "transcription_model_id": model}
    settings = read_settings(**{name: value for name, value in overrides.items() if value is not None})
    set_up_log(settings.log_level)
    failure: list[ParleyError] = []

    @asynccontextmanager
    async def opened() -> AsyncGenerator[Worker, None]:
        try:
            async with open_worker(settings, at_once=at_once, waiting=waiting) as ready:
                _print(settings.host, settings.port, ready)
                yield ready
        except ParleyError as error:
            failure.append(error)
            raise

    server = uvicorn.Server(
        uvicorn.Config(
            create_worker(opened),
            host=settings.host,
            port=settings.port,
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=DRAIN_SECONDS,
        )
    )
    with suppress(KeyboardInterrupt):  # uvicorn has shut down in good order and raises the signal again
        server.run()
    if failure:
        raise failure[0]
    if not server.started:
        raise SystemExit(1)


def _print(host: str, port: int, ready: Worker) -> None:
    console: Any = Console(stderr=True)
    console.print(f"[bold]Parley[/bold] worker: {ready.model} at http://{host}:{port}/v1")
