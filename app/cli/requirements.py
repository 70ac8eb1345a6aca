"""`parley requirements`: what a configuration needs, as JSON."""

from pathlib import Path
from typing import cast

import click
import msgspec

from app.assembly.requirements import Device, Process, Requirements, server_requirements, worker_requirements
from app.assembly.speech import device as chosen_device
from app.config import Settings, read_settings, settings_from
from app.domain.errors import SettingsError
from app.models.catalogue import load_catalogue
from app.policy.routes_file import read_routes


@click.command()
@click.option(
    "--config",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="A file with settings, as `.env` has them; without it the environment and `.env`.",
)
@click.option("--process", type=click.Choice(["serve", "worker"]), default="serve", show_default=True)
@click.option(
    "--device",
    type=click.Choice(["cpu", "cuda"]),
    help="Where the speech models will run; without it as PARLEY_DEVICE says, and where that is `auto`, as here.",
)
def requirements(config: Path | None, process: Process, device: Device | None) -> None:
    """Print what a configuration needs: models, extras, variables, ports, connections and scopes.

    It is one JSON object; nothing is opened or asked.
    """
    settings = settings_from({}, config, {}) if config else read_settings()
    found = requirements_of(settings, process, device)
    click.echo(msgspec.json.format(msgspec.json.encode(found), indent=2).decode())


def requirements_of(settings: Settings, process: Process, device: Device | None = None) -> Requirements:
    """What this process needs. Blocking. Raises SettingsError."""
    where = device or (settings.device if settings.device != "auto" else _device_here(settings))
    catalogue = load_catalogue()
    if process == "worker":
        return worker_requirements(settings, where, catalogue)
    return server_requirements(settings, read_routes(settings.routes), where, catalogue)


def _device_here(settings: Settings) -> Device:
    try:
        return cast(Device, chosen_device(settings)[0])
    except SettingsError:  # without the extra `local` no model runs here
        return "cpu"
