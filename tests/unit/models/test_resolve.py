"""A name or a path becomes what an engine opens, without a network."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from app.domain.errors import ModelUnavailable
from app.models.catalogue import Catalogue, Model
from app.models.fetch import pull
from app.models.resolve import resolve, resolve_file
from app.models.verification import ModelState, state, verify

from .conftest import CONFIG, WEIGHTS, LoopbackHub


@pytest.fixture
def catalogue(model: Model) -> Catalogue:
    return Catalogue((model,))


def fill(folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "config.json").write_bytes(CONFIG)
    (folder / "model.bin").write_bytes(WEIGHTS)


def test_resolve_returns_the_folder_of_an_installed_model(
    tmp_path: Path, hub: LoopbackHub, model: Model, catalogue: Catalogue
) -> None:
    """No request is made for it."""
    pull(model, tmp_path, hub=hub.address)
    hub.requests.clear()

    assert resolve("echo", tmp_path, catalogue) == tmp_path / "echo"

    assert not hub.requests


def test_resolve_copied_folder_offline(tmp_path: Path, model: Model, catalogue: Catalogue) -> None:
    """It is read in full the first time, and gets its stamp."""
    fill(tmp_path / "echo")

    assert resolve("echo", tmp_path, catalogue) == tmp_path / "echo"

    assert state(model, tmp_path / "echo") is ModelState.READY


def test_resolve_read_only_folder(tmp_path: Path, model: Model, catalogue: Catalogue) -> None:
    """As on a read-only mount, it is read in full each time. (Here a folder stands where the stamp would.)"""
    fill(tmp_path / "echo")
    (tmp_path / "echo" / ".verified.json").mkdir()

    assert resolve("echo", tmp_path, catalogue) == tmp_path / "echo"

    assert state(model, tmp_path / "echo") is ModelState.UNVERIFIED


def test_missing_model_error_names_the_pull_command(tmp_path: Path, catalogue: Catalogue) -> None:
    """The sentence holds the command."""
    with pytest.raises(ModelUnavailable, match="run `parley models pull echo`"):
        resolve("echo", tmp_path, catalogue)


def test_missing_model_error_names_the_absolute_folder_and_its_setting(
    tmp_path: Path, catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The default folder is relative: a command that is run elsewhere looks elsewhere."""
    monkeypatch.chdir(tmp_path)

    with pytest.raises(ModelUnavailable) as refused:
        resolve("echo", Path("models"), catalogue)

    assert f"is not in {tmp_path / 'models'} (PARLEY_MODELS_DIR)" in str(refused.value)


@pytest.mark.parametrize("content", [b"half", WEIGHTS[::-1]])
def test_corrupted_model_error_names_the_pull_command(tmp_path: Path, catalogue: Catalogue, content: bytes) -> None:
    """Wrong in size or wrong in checksum."""
    fill(tmp_path / "echo")
    (tmp_path / "echo" / "model.bin").write_bytes(content)

    with pytest.raises(ModelUnavailable, match=r"damaged \(model\.bin has .*pull echo` to repair it"):
        resolve("echo", tmp_path, catalogue)


def test_resolve_path_without_verification(tmp_path: Path, catalogue: Catalogue) -> None:
    """Its files are the user's business."""
    (tmp_path / "mine").mkdir()

    assert resolve(str(tmp_path / "mine"), tmp_path / "models", catalogue) == tmp_path / "mine"


def test_resolve_user_folder_in_the_models_folder_by_name(tmp_path: Path, catalogue: Catalogue) -> None:
    """The catalogue does not have to know it."""
    (tmp_path / "mine").mkdir()

    assert resolve("mine", tmp_path, catalogue) == tmp_path / "mine"


def test_resolve_unknown_name_lists_known_models(tmp_path: Path) -> None:
    """The built-in catalogue is the one that is asked when none is given."""
    with pytest.raises(ModelUnavailable, match="whisper-base"):
        resolve("whisper-bse", tmp_path)


def test_resolve_file_returns_the_single_model_file(tmp_path: Path, catalogue: Catalogue) -> None:
    """By the folder's name, or by naming the file."""
    fill(tmp_path / "echo")

    assert resolve_file("echo", tmp_path, ".bin", catalogue) == tmp_path / "echo" / "model.bin"
    assert resolve_file(str(tmp_path / "echo" / "model.bin"), tmp_path, ".bin", catalogue).name == "model.bin"


def test_resolve_file_refuses_two_candidates(tmp_path: Path, catalogue: Catalogue) -> None:
    """Which of them is meant is not guessed."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "a.gguf").touch()
    (tmp_path / "mine" / "b.gguf").touch()

    with pytest.raises(ModelUnavailable, match=r"one \.gguf file and holds 2"):
        resolve_file("mine", tmp_path, ".gguf", catalogue)


def test_verify_detects_changes_that_keep_size_and_mtime(
    tmp_path: Path, model: Model, change_quietly: Callable[[Path], None]
) -> None:
    """Bytes that changed while size and time did not are found by reading, and the stamp is taken away."""
    fill(tmp_path / "echo")
    assert not verify(model, tmp_path / "echo")
    change_quietly(tmp_path / "echo" / "model.bin")
    assert state(model, tmp_path / "echo") is ModelState.READY

    faults = verify(model, tmp_path / "echo")

    assert [str(fault) for fault in faults] == ["model.bin has the wrong checksum"]
    assert state(model, tmp_path / "echo") is ModelState.UNVERIFIED


@pytest.fixture
def change_quietly() -> Callable[[Path], None]:
    def change(path: Path) -> None:
        before = path.stat()
        path.write_bytes(path.read_bytes()[::-1])
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))

    return change
