"""`parley bundle`: one folder with everything that an offline machine needs."""

import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import click
from msgspec.structs import replace

from app.cli import ollama_models
from app.cli.model_progress import shown_progress
from app.cli.requirements import requirements_of
from app.config import read_settings, settings_from
from app.domain.errors import ModelUnavailable
from app.models.catalogue import Folder, load_catalogue
from app.models.fetch import pull
from app.models.verification import sha256_of

CHECKOUT = Path(__file__).parents[2]
NO_FILE = Path("there is no such .env")
FILES = {
    "infra/jetson/compose.yaml": "compose.yaml",
    "infra/jetson/install.sh": "install.sh",
    "infra/jetson/parley.service": "parley.service",
    "infra/jetson/avahi-wyoming.service": "avahi-wyoming.service",
    "infra/jetson/README.md": "README.md",
    "infra/docker/certificate.sh": "certificate.sh",
    "infra/docker/nginx/parley.conf.template": "nginx/parley.conf.template",
    "requirements/serve.txt": "requirements.txt",
}
BOXES = {"aarch64": {"PARLEY_DEVICE": "cuda", "PARLEY_REPLY_PROVIDER": "ollama"}, "x86_64": {"PARLEY_DEVICE": "cpu"}}
"""Settings of a box, as far as they decide what it needs: the Jetson's are in its compose file, x86-64 has none."""
NO_WHEEL = {"aarch64": ("cyllama", "ctranslate2"), "x86_64": ()}
"""Packages to leave out: cyllama has no wheel for ARM; CTranslate2's has no CUDA there, the image builds its own."""


@dataclass(frozen=True, slots=True)
class Machine:
    """The platform that the wheels must fit."""

    name: str
    python: str

    @property
    def tags(self) -> tuple[str, ...]:
        return (*(f"manylinux_2_{minor}_{self.name}" for minor in range(35, 16, -1)), f"manylinux2014_{self.name}")


@click.command()
@click.argument("output", type=click.Path(path_type=Path, file_okay=False))
@click.option("--model", "models", multiple=True, help="A model to include, in place of those that the box needs.")
@click.option(
    "--config",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="A file with settings of the box, as `.env` has them: its models are included.",
)
@click.option(
    "--models-dir",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder with models that need not be fetched (setting PARLEY_MODELS_DIR).",
)
@click.option(
    "--ollama-models",
    "ollama",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="Ollama's folder of models here, for instance ~/.ollama/models: they are included.",
)
@click.option("--machine", type=click.Choice(sorted(NO_WHEEL)), default="aarch64", show_default=True)
@click.option("--python", "version", default="3.11", show_default=True, help="Python's version on the box.")
@click.option("--wheels/--no-wheels", default=True, show_default=True, help="Include Python packages.")
@click.option("--images/--no-images", default=True, show_default=True, help="Include container images (needs docker).")
def bundle(
    output: Path,
    models: tuple[str, ...],
    config: Path | None,
    models_dir: Path | None,
    ollama: Path | None,
    machine: str,
    version: str,
    *,
    wheels: bool,
    images: bool,
) -> None:
    """Write to OUTPUT what a Jetson needs to become a voice box without a network.

    Run it in a checkout, on a machine that has a network; carry OUTPUT over and run `install.sh` there, which
    compares every checksum first.
    """
    if not (CHECKOUT / "infra" / "jetson").is_dir():
        raise click.ClickException(
            "A bundle is made in a checkout of Parley: the installed package does not have all files."
        )
    output.mkdir(parents=True, exist_ok=True)
    if any(output.iterdir()):
        raise click.ClickException(f"{output} is not empty: name a new folder.")
    for source, name in FILES.items():
        (output / name).parent.mkdir(exist_ok=True)
        shutil.copy(CHECKOUT / source, output / name)
    _copy_models(models or models_of_box(machine, config), models_dir or read_settings().models_dir, output / "models")
    if ollama:
        _copy_ollama_models(ollama, output / "ollama" / "models")
    if wheels:
        _download_wheels(Machine(machine, version), output)
    _save_images(output, machine, save=images)
    (output / "SHA256SUMS").write_text(checksums(output), encoding="utf-8")
    click.echo(f"{output} is ready: carry it over and run install.sh there.")


def models_of_box(machine: str, config: Path | None = None) -> tuple[str, ...]:
    """The models that a box needs or prefers, with the settings in this file. Raises SettingsError."""
    needed = requirements_of(settings_from(BOXES[machine], config or NO_FILE, {}), "serve")
    return (*needed.models, *needed.preferred_models)


def without(requirements: str, left_out: tuple[str, ...]) -> str:
    """The pinned requirements with their hashes, except those packages."""
    blocks = re.split(r"\n(?=[A-Za-z0-9])", requirements)
    return "\n".join(block for block in blocks if re.split("[=;[ ]", block, maxsplit=1)[0] not in left_out)


def images_of(compose: str) -> tuple[str, ...]:
    """The images a compose file names, with the defaults of their variables."""
    named = re.findall(r"^    image: (\S+)$", compose, re.MULTILINE)
    return tuple(dict.fromkeys(re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", each) for each in named))


def checksums(folder: Path) -> str:
    """A line for each file, as `sha256sum --check` reads them."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return "".join(f"{sha256_of(path)}  ./{path.relative_to(folder).as_posix()}\n" for path in files)


def _copy_models(names: tuple[str, ...], models_dir: Path, folder: Path) -> None:
    catalogue = load_catalogue()
    try:
        for name in dict.fromkeys(names):
            model = catalogue.find(name)
            here = Folder(models_dir / name)
            with shown_progress(name) as progress:
                pull(replace(model, sources=(here, *model.sources)), folder, progress=progress)
    except ModelUnavailable as error:
        raise click.ClickException(str(error)) from error
    shutil.rmtree(folder / ".fetching", ignore_errors=True)


def _copy_ollama_models(folder: Path, into: Path) -> None:
    try:
        for name in ollama_models.copy_models(folder, into):
            click.echo(f"Ollama's {name}: copied")
    except ModelUnavailable as error:
        raise click.ClickException(str(error)) from error


def _download_wheels(machine: Machine, output: Path) -> None:
    requirements = output / "requirements.txt"
    requirements.write_text(without(requirements.read_text(encoding="utf-8"), NO_WHEEL[machine.name]), encoding="utf-8")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    fits = [word for tag in machine.tags for word in ("--platform", tag)]
    _run(
        [
            *pip,
            "download",
            "--no-deps",
            "--require-hashes",
            "--only-binary",
            ":all:",
            *fits,
            "--python-version",
            machine.python,
            "--dest",
            str(output / "wheels"),
            "-r",
            str(requirements),
        ],
        "the packages",
    )
    _run(
        [
            *pip,
            "wheel",
            "--no-deps",
            "--no-build-isolation",
            "--no-index",
            "--wheel-dir",
            str(output / "wheels"),
            str(CHECKOUT),
        ],
        "Parley's own wheel",
    )


def _save_images(output: Path, machine: str, *, save: bool) -> None:
    """`images.txt` names each image and, where it was saved, its file."""
    lines = []
    platform = {"aarch64": "linux/arm64", "x86_64": "linux/amd64"}[machine]
    for image in images_of((output / "compose.yaml").read_text(encoding="utf-8")):
        file = f"images/{re.sub('[^A-Za-z0-9.]+', '-', image)}.tar"
        if save:
            (output / "images").mkdir(exist_ok=True)
            if not image.startswith("parley:"):
                _run(["docker", "pull", "--quiet", "--platform", platform, image], image)
            _run(["docker", "save", "--output", str(output / file), image], image)
        lines.append(f"{image} {file if save else ''}".rstrip() + "\n")
    (output / "images.txt").write_text("".join(lines), encoding="utf-8")


def _run(command: list[str], what: str) -> None:
    try:
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL)  # noqa: S603 because the words are ours
    except FileNotFoundError as error:
        raise click.ClickException(
            f"{command[0]} is not installed, and {what} need it; --no-images only lists them."
        ) from error
    except subprocess.CalledProcessError as error:
        raise click.ClickException(f"{what} could not be fetched: see above.") from error
