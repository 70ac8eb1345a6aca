"""A model is there whole or not at all, whatever happens on the way."""

import contextlib
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from msgspec.structs import replace

from app.domain.errors import ModelUnavailable
from app.models.catalogue import Folder, Model
from app.models.fetch import pull
from app.models.verification import ModelState, state

from .conftest import CONFIG, WEIGHTS, LoopbackHub, file_of

Change = Callable[..., Model]
ROOT = Path(__file__).parents[3]


@pytest.fixture
def filled(tmp_path: Path) -> Path:
    """A folder with the files, as another machine would have them."""
    folder = tmp_path / "stick"
    folder.mkdir()
    (folder / "config.json").write_bytes(CONFIG)
    (folder / "model.bin").write_bytes(WEIGHTS)
    return folder


def test_installed_model_is_not_downloaded_again(tmp_path: Path, hub: LoopbackHub, model: Model) -> None:
    """The second pull asks nobody."""
    pull(model, tmp_path, hub=hub.address)
    asked = len(hub.requests)

    assert not pull(model, tmp_path, hub="http://127.0.0.1:9")

    assert len(hub.requests) == asked


def test_copied_model_folder_is_accepted_after_verification(tmp_path: Path, model: Model, filled: Path) -> None:
    """Without a stamp it is read once in full, and then has one."""
    filled.rename(tmp_path / "echo")

    assert not pull(model, tmp_path, hub="http://127.0.0.1:9")

    assert state(model, tmp_path / "echo") is ModelState.READY


def test_local_folder_is_a_source(tmp_path: Path, from_sources: Change, filled: Path) -> None:
    """The files are copied, not moved."""
    assert pull(from_sources(Folder(filled)), tmp_path / "models")

    assert (tmp_path / "models" / "echo" / "model.bin").read_bytes() == WEIGHTS
    assert (filled / "model.bin").exists()


def test_only_the_corrupted_file_is_downloaded(tmp_path: Path, hub: LoopbackHub, model: Model) -> None:
    """The mended model keeps its good files."""
    pull(model, tmp_path, hub=hub.address)
    hub.requests.clear()
    (tmp_path / "echo" / "model.bin").write_bytes(b"half")

    assert pull(model, tmp_path, hub=hub.address)

    assert [path for path, _ in hub.requests] == ["/some/echo/resolve/main/model.bin"]
    assert state(model, tmp_path / "echo") is ModelState.READY


def test_file_changed_in_place_is_detected(tmp_path: Path, hub: LoopbackHub, model: Model) -> None:
    """Same size, other bytes: the stamp no longer holds, and the pull mends it."""
    pull(model, tmp_path, hub=hub.address)
    (tmp_path / "echo" / "model.bin").write_bytes(WEIGHTS[::-1])

    assert state(model, tmp_path / "echo") is ModelState.UNVERIFIED
    assert pull(model, tmp_path, hub=hub.address)


def test_concurrent_pulls_download_once(tmp_path: Path, hub: LoopbackHub, model: Model) -> None:
    """The second waits for the first and then finds the model there."""
    with ThreadPoolExecutor() as pool:
        fetched = list(pool.map(lambda _: pull(model, tmp_path, hub=hub.address), range(4)))

    assert sorted(fetched) == [False, False, False, True]
    assert len(hub.requests) == 2


CHILD = """
import sys
from pathlib import Path
from app.models.catalogue import Hub, Model, ModelFile
from app.models.fetch import pull
files = tuple(ModelFile(name, int(size), sha) for name, size, sha in zip(*[iter(sys.argv[3:])] * 3))
model = Model("echo", "draft", "ctranslate2", "MIT", files, (Hub("some/echo", "main"),))
pull(model, Path(sys.argv[1]), hub=sys.argv[2], progress=lambda *step: print(*step, flush=True))
"""


def test_killed_pull_leaves_no_partial_model_and_is_resumed(tmp_path: Path, hub: LoopbackHub, model: Model) -> None:
    """Killed in the middle of a file: no model is there, and the next pull asks for the rest."""
    hub.stall_after = 200_000
    told = [str(value) for file in model.files for value in (file.name, file.size, file.sha256)]
    command = [sys.executable, "-c", CHILD, str(tmp_path), hub.address, *told]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        for line in child.stdout:
            if line.startswith("model.bin 2"):
                child.send_signal(signal.SIGKILL)
                break
    hub.stall_after = None
    hub.released.set()

    assert state(model, tmp_path / "echo") is ModelState.ABSENT
    assert pull(model, tmp_path, hub=hub.address)

    last = hub.ranges_asked[-1]
    assert last is not None
    assert int(last.removeprefix("bytes=").removesuffix("-")) > 100_000
    assert (tmp_path / "echo" / "model.bin").read_bytes() == WEIGHTS


@contextlib.contextmanager
def no_file_longer_than(size: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_refused_write_is_reported_in_one_sentence(tmp_path: Path, hub: LoopbackHub, model: Model) -> None:
    """It says that the disk is full; afterwards the pull goes on from what was kept."""
    with no_file_longer_than(150_000), pytest.raises(ModelUnavailable, match="is full: free some space and pull again"):
        pull(model, tmp_path, hub=hub.address)

    assert not (tmp_path / "echo").exists()
    assert pull(model, tmp_path, hub=hub.address)
    assert hub.ranges_asked[-1] is not None


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = os.geteuid() == 0 and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(disk)], check=False, capture_output=True
    )
    if not mounted or mounted.returncode:
        pytest.skip("only a privileged user can mount a small disk")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_insufficient_disk_space_is_detected_before_download(small_disk: Path, hub: LoopbackHub, model: Model) -> None:
    """The message says how much there is and how much it takes."""
    (small_disk / "filler").write_bytes(b"x" * 400_000)

    with pytest.raises(ModelUnavailable, match=r"0\.1 MB free and 0\.3 MB are needed"):
        pull(model, small_disk, hub=hub.address)

    assert not hub.requests


def test_disk_full_during_download_leaves_no_partial_model(small_disk: Path, hub: LoopbackHub, model: Model) -> None:
    """Somebody else takes the room in the middle; when it is given back the pull goes on."""
    filler = small_disk / "filler"

    def fill(*_: object) -> None:
        with contextlib.suppress(OSError), filler.open("ab", buffering=0) as out:
            out.write(b"x" * 500_000)

    with pytest.raises(ModelUnavailable, match="is full"):
        pull(model, small_disk, hub=hub.address, progress=fill)
    assert not (small_disk / "echo").exists()
    filler.unlink()

    assert pull(model, small_disk, hub=hub.address)


def test_folder_that_cannot_be_created_is_reported_in_one_sentence(tmp_path: Path, model: Model) -> None:
    """A file stands where the folder should be."""
    (tmp_path / "models").write_text("")

    with pytest.raises(ModelUnavailable, match=r"models cannot be used.*--models-dir"):
        pull(model, tmp_path / "models", hub="http://127.0.0.1:9")


def test_model_is_downloaded_again_when_the_catalogue_changes(tmp_path: Path, hub: LoopbackHub, model: Model) -> None:
    """The stamp is for the checksum it was given for, not for the name."""
    pull(model, tmp_path, hub=hub.address)
    changed = WEIGHTS[::-1]
    hub.files["/some/echo/resolve/main/model.bin"] = changed
    newer = replace(model, files=(model.files[0], file_of("model.bin", changed)))

    assert pull(newer, tmp_path, hub=hub.address)

    assert (tmp_path / "echo" / "model.bin").read_bytes() == changed
