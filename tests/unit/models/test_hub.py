"""Files come from the hub whole, checked, and are continued after a cut."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from app.domain.errors import ModelUnavailable, SettingsError
from app.models.catalogue import Hub, Model
from app.models.fetch import pull
from app.models.verification import ModelState, state

from .conftest import CONFIG, WEIGHTS, LoopbackHub


def test_pull_model_from_hub(tmp_path: Path, hub: LoopbackHub, model: Model) -> None:
    """Its files lie in a folder of its name, and nothing else is left over."""
    assert pull(model, tmp_path / "models", hub=hub.address)

    folder = tmp_path / "models" / "echo"
    assert (folder / "model.bin").read_bytes() == WEIGHTS
    assert (folder / "config.json").read_bytes() == CONFIG
    assert state(model, folder) is ModelState.READY
    assert sorted(path.name for path in (tmp_path / "models" / ".fetching").iterdir()) == ["echo.lock"]


def test_hub_url_includes_the_folder_in_the_repository(tmp_path: Path, hub: LoopbackHub, model: Model) -> None:
    """Voices lie deep in one large repository."""
    deep = {path.replace("/main/", "/v1/en/joe/"): content for path, content in hub.files.items()}
    hub.files = deep

    assert pull(replace(model, sources=(Hub("some/echo", "v1", "en/joe"),)), tmp_path, hub=hub.address + "/")


def test_interrupted_hub_download_is_resumed(tmp_path: Path, hub: LoopbackHub, model: Model) -> None:
    """Two cuts cost two requests, and no byte is sent twice."""
    hub.cuts = [len(CONFIG), 100_000, 50_000]

    assert pull(model, tmp_path, hub=hub.address)

    assert hub.ranges_asked == [None, None, "bytes=100000-", "bytes=150000-"]
    assert (tmp_path / "echo" / "model.bin").read_bytes() == WEIGHTS


def test_hub_connection_closed_without_progress_ends_attempt(tmp_path: Path, hub: LoopbackHub, model: Model) -> None:
    """What has come stays for the next pull, which asks for the rest."""
    hub.cuts = [len(CONFIG), 100_000, 0]

    with pytest.raises(ModelUnavailable, match="ended after 100000 of 307200 bytes"):
        pull(model, tmp_path, hub=hub.address)
    assert not (tmp_path / "echo").exists()
    assert pull(model, tmp_path, hub=hub.address)

    assert [path for path, _ in hub.requests].count("/some/echo/resolve/main/config.json") == 1
    assert hub.ranges_asked[-1] == "bytes=100000-"


def test_hub_download_restarts_when_ranges_are_ignored(tmp_path: Path, hub: LoopbackHub, model: Model) -> None:
    """An answer of 200 to a range is the whole file, not its rest."""
    hub.cuts, hub.ranges = [len(CONFIG), 100_000], False

    assert pull(model, tmp_path, hub=hub.address)

    assert (tmp_path / "echo" / "model.bin").read_bytes() == WEIGHTS


def test_wrong_checksum_installs_no_model(tmp_path: Path, hub: LoopbackHub, model: Model) -> None:
    """Bytes that are not the catalogue's are thrown away."""
    hub.files["/some/echo/resolve/main/model.bin"] = WEIGHTS[::-1]

    with pytest.raises(ModelUnavailable, match=r"model\.bin has the wrong checksum"):
        pull(model, tmp_path, hub=hub.address)

    assert not (tmp_path / "echo").exists()
    assert not list(tmp_path.rglob("model.bin*"))


def test_corrupted_partial_download_restarts_from_zero(tmp_path: Path, hub: LoopbackHub, model: Model) -> None:
    """A part that another pull left damaged costs one more download, not a person's attention."""
    part = tmp_path / ".fetching" / "echo" / "model.bin.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(b"?" * 1000)

    assert pull(model, tmp_path, hub=hub.address)

    assert hub.ranges_asked[-2:] == ["bytes=1000-", None]


def test_partial_download_longer_than_the_file_restarts(tmp_path: Path, hub: LoopbackHub, model: Model) -> None:
    """No range is asked for beyond the end."""
    part = tmp_path / ".fetching" / "echo" / "model.bin.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(WEIGHTS + b"?")

    assert pull(model, tmp_path, hub=hub.address)

    assert hub.ranges_asked == [None, None]


def test_hub_404_is_reported_in_one_sentence(tmp_path: Path, hub: LoopbackHub, model: Model) -> None:
    """It names the address, the answer and what to do."""
    del hub.files["/some/echo/resolve/main/model.bin"]

    with pytest.raises(ModelUnavailable, match=r"model\.bin.*answered 404.*parley models pull echo"):
        pull(model, tmp_path, hub=hub.address)


def test_unreachable_hub_is_reported_in_one_sentence(tmp_path: Path, model: Model) -> None:
    """Nobody listens there."""
    with pytest.raises(ModelUnavailable, match=r"cannot be reached.*--from FOLDER"):
        pull(model, tmp_path, hub="http://127.0.0.1:9")


def test_invalid_hub_url_is_a_settings_error(tmp_path: Path, model: Model) -> None:
    """The message names the variable."""
    with pytest.raises(SettingsError, match="HF_ENDPOINT"):
        pull(model, tmp_path, hub="file:///etc")


def test_progress_ends_at_the_size_of_each_file(tmp_path: Path, hub: LoopbackHub, model: Model) -> None:
    """Whoever watches sees every file through to its end."""
    seen = {}

    pull(model, tmp_path, hub=hub.address, progress=lambda what, done, total: seen.update({what: (done, total)}))

    assert seen["model.bin"] == (len(WEIGHTS), len(WEIGHTS))
    assert seen["checking model.bin"] == (len(WEIGHTS), len(WEIGHTS))
