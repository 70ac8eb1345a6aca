"""Programs that other people wrote, as clients of ours: each in an environment of its own, built once and kept.

The folder of PARLEY_CLIENTS_DIR has them, by default one in the user's cache; its packages come from PyPI and npm.
"""

import fcntl
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import anyio
import pytest

from tests.strict import missing

CLIENTS = Path(os.environ.get("PARLEY_CLIENTS_DIR", Path.home() / ".cache" / "parley-clients"))
SCRIPTS = Path(__file__).parent / "official_clients"
BUILD_TIMEOUT_S = 600


@dataclass(frozen=True)
class ClientEnvironment:
    """An interpreter with one vendor's packages, which runs the scripts of `tests/official_clients`."""

    command: Sequence[str]
    folder: Path
    environment: Mapping[str, str]

    async def run(self, script: str, *arguments: str, timeout_s: float = 60, variables: Mapping[str, str] = {}) -> Any:
        """What the script prints, read as JSON; fails with what it says where it ends with an error."""
        words = [*self.command, str(SCRIPTS / script), *arguments]
        environment = {**os.environ, **self.environment, **variables}
        environment.pop("PYTHONPATH", None)
        with anyio.fail_after(timeout_s):
            done = await anyio.run_process(words, check=False, env=environment, cwd=self.folder)
        assert done.returncode == 0, done.stderr.decode()[-4000:]
        return json.loads(done.stdout)


def python_client(name: str, *requirements: str, python: tuple[int, int] = (3, 11)) -> ClientEnvironment:
    """A virtual environment with these packages of PyPI. Skips, or in a strict run fails, where it cannot be built.

    Skips, also in a strict run, where the packages need a newer Python than there is on this machine.
    """
    interpreter = _interpreter(python)
    with _kept(name, (interpreter, *requirements)) as (folder, is_built):
        if not is_built:
            _call(interpreter, "-m", "venv", str(folder))
            _call(str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", *requirements)
            _finish(folder)
    return ClientEnvironment([str(folder / "bin" / "python"), "-I", "-W", "ignore"], folder, {})


def _interpreter(oldest: tuple[int, int]) -> str:
    """This one, if it is new enough, else another of this machine: on the path, or one that pyenv has installed."""
    if sys.version_info >= oldest:
        return sys.executable
    names = [f"python{oldest[0]}.{minor}" for minor in range(oldest[1], oldest[1] + 3)]
    on_path = [found for name in names if (found := shutil.which(name))]
    of_pyenv = [str(found) for name in names for found in Path.home().glob(f".pyenv/versions/*/bin/{name}")]
    for candidate in [*on_path, *of_pyenv]:
        done = subprocess.run([candidate, "--version"], capture_output=True, timeout=BUILD_TIMEOUT_S, check=False)
        if done.returncode == 0:  # pyenv puts names on the path that start nothing
            return candidate
    pytest.skip(f"no Python {oldest[0]}.{oldest[1]} or newer on this machine")


def node_client(name: str, *packages: str) -> ClientEnvironment:
    """A folder of node modules with these packages of npm. Skips, or in a strict run fails, without Node or npm."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        missing("Node with npm")
    with _kept(name, packages) as (folder, is_built):
        if not is_built:
            folder.mkdir(parents=True)
            (folder / "package.json").write_text('{"private": true}')
            _call("npm", "install", "--no-audit", "--no-fund", "--prefix", str(folder), *packages)
            _finish(folder)
    return ClientEnvironment(["node"], folder, {"CLIENT_MODULES": str(folder / "node_modules")})


@contextmanager
def _kept(name: str, packages: Sequence[str]):
    """The folder of this environment, and whether it is whole; one process at a time builds it."""
    CLIENTS.mkdir(parents=True, exist_ok=True)
    folder = CLIENTS / f"{name}-{sha256(' '.join(packages).encode()).hexdigest()[:12]}"
    with (CLIENTS / f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        is_built = _mark(folder).exists()
        if not is_built and folder.exists():
            shutil.rmtree(folder)
        yield folder, is_built


def _mark(folder: Path) -> Path:
    return folder / "built"


def _finish(folder: Path) -> None:
    _mark(folder).touch()


def _call(*words: str) -> None:
    try:
        done = subprocess.run(words, check=False, capture_output=True, timeout=BUILD_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        missing(f"an answer of the package index to {words[0]}")
    if done.returncode:
        missing(f"what {' '.join(words[:5])} installs ({done.stderr.decode()[-400:].strip()})")
