"""`parley models`: see, fetch and check the models."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import click
from msgspec.structs import replace
from rich.table import Table

from app.assembly.requirements import Process
from app.cli.command_group import CommandGroup
from app.cli.model_progress import shown_progress
from app.cli.requirements import requirements_of
from app.cli.tables import print_table, whole
from app.config import read_settings
from app.domain.errors import ModelUnavailable, ParleyError
from app.models.catalogue import BUILT_IN, Catalogue, Folder, Model, load_catalogue
from app.models.disk_space import megabytes, translate_disk_errors
from app.models.fetch import pull as pull_model
from app.models.hub import PUBLIC_HUB
from app.models.resolve import resolve
from app.models.verification import ModelState, state
from app.models.verification import verify as verify_model


@dataclass(frozen=True, slots=True)
class ModelFolders:
    """The catalogue and the models folder that every command here works on."""

    catalogue: Catalogue
    models_dir: Path

    def named(self, names: tuple[str, ...]) -> tuple[Model, ...]:
        return tuple(self.catalogue.find(name) for name in dict.fromkeys(names))

    def of_catalogue(self, names: tuple[str, ...]) -> tuple[Model, ...]:
        """The same, without those that are folders of the user's own."""
        return self.named(tuple(name for name in names if name in self.catalogue))

    def installed(self) -> tuple[Model, ...]:
        return tuple(each for each in self.catalogue.models if self.state(each) is not ModelState.ABSENT)

    def state(self, model: Model) -> ModelState:
        return state(model, self.models_dir / model.name)


@click.group(cls=CommandGroup)
@click.option(
    "--models-dir",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder with the models (setting PARLEY_MODELS_DIR).",
)
@click.option(
    "--catalogue",
    type=click.Path(path_type=Path, dir_okay=False),
    default=BUILT_IN,
    help="Another catalogue than the built-in one.",
)
@click.pass_context
def models(context: click.Context, models_dir: Path | None, catalogue: Path) -> None:
    """See, fetch and check the models that run on this machine."""
    with _readable_errors():
        context.obj = ModelFolders(load_catalogue(catalogue), models_dir or read_settings().models_dir)


@models.command("list")
@click.pass_obj
def list_models(folders: ModelFolders) -> None:
    """Show each model with its purpose, licence, size and state."""
    head = ("name", "purpose", "licence", "size", "state")
    rows = [
        (each.name, each.purpose, each.licence, megabytes(each.size), str(folders.state(each)))
        for each in folders.catalogue.models
    ]
    if not sys.stdout.isatty():
        for row in rows:
            click.echo("\t".join(row))
        return
    table = Table(whole(head[0]), *head[1:], box=None, pad_edge=False)
    for row in rows:
        table.add_row(*row)
    print_table(table)


@models.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option(
    "--from",
    "origin",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="A folder that holds the model's files, or a folder NAME with them; then no network is used.",
)
@click.option("--hub", envvar="HF_ENDPOINT", default=PUBLIC_HUB, show_default=True, help="[env: HF_ENDPOINT]")
@click.option(
    "--needed-by",
    "process",
    type=click.Choice(["serve", "worker"]),
    help="Those that this process needs or prefers with the settings in force (`parley requirements`).",
)
@click.pass_obj
def pull(folders: ModelFolders, names: tuple[str, ...], origin: Path | None, hub: str, process: Process | None) -> None:
    """Fetch models; with no NAME those that a local installation needs."""
    with _readable_errors():
        chosen, preferred = folders.named(names) if names else folders.catalogue.defaults, tuple[Model, ...]()
        if process:
            needed = requirements_of(read_settings(), process)
            chosen, preferred = folders.of_catalogue(needed.models), folders.of_catalogue(needed.preferred_models)
        for model in (*chosen, *preferred):
            wanted = replace(model, sources=(_origin(origin, model, alone=len(chosen) == 1),)) if origin else model
            try:
                with shown_progress(model.name) as progress:
                    fetched = pull_model(wanted, folders.models_dir, hub=hub, progress=progress)
            except ModelUnavailable as error:
                if model not in preferred:
                    raise
                click.echo(f"{model.name}: left out, the server does without it: {error}", err=True)
                continue
            click.echo(f"{model.name}: {'fetched and verified' if fetched else 'already there'}")


@models.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.pass_obj
def verify(folders: ModelFolders, names: tuple[str, ...]) -> None:
    """Read models in full and compare every checksum; with no NAME all that are there."""
    wrong = False
    with _readable_errors(), translate_disk_errors(folders.models_dir):
        chosen = folders.named(names) if names else folders.installed()
        if not chosen:
            raise click.ClickException(
                f"There is no model in {folders.models_dir.absolute()}: run `parley models pull`."
            )
        for model in chosen:
            with shown_progress(model.name) as progress:
                faults = verify_model(model, folders.models_dir / model.name, progress)
            click.echo(f"{model.name}: {', '.join(map(str, faults)) or 'good'}")
            wrong = wrong or bool(faults)
    if wrong:
        raise click.ClickException("Not all models are good: `parley models pull NAME` mends one.")


@models.command()
@click.argument("name")
@click.pass_obj
def path(folders: ModelFolders, name: str) -> None:
    """Print the folder of a model that is there and whole."""
    with _readable_errors():
        click.echo(resolve(name, folders.models_dir, folders.catalogue))


def _origin(origin: Path, model: Model, *, alone: bool) -> Folder:
    named = origin / model.name
    return Folder(origin if alone and not named.is_dir() else named)


@contextmanager
def _readable_errors() -> Iterator[None]:
    """Our errors as click errors: one sentence, status 1."""
    try:
        yield
    except ParleyError as error:
        raise click.ClickException(str(error)) from error
