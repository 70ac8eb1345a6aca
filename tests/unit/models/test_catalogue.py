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


def test_every_default_model_is_on_the_hub_too_at_a_pinned_revision() -> None:
    """A branch that moves would break the checksums; none is named."""
    hubs = [source for model in load_catalogue().models for source in model.sources if isinstance(source, Hub)]

    assert {hub.revision for hub in hubs}.isdisjoint({"main", "master"})
    assert all(any(isinstance(source, Hub) for source in model.sources) for model in load_catalogue().defaults)


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
    assert plain.sources[0].members(plain.files[0]) == ("echo_wheel/model/model.bin",)
    assert isinstance(joined.sources[0], Wheels)
    assert joined.sources[0].members(joined.files[0]) == ("a/one", "b/two")


@pytest.mark.parametrize(
    ("good", "bad", "words"),
    [
        ('name = "echo"', "", "line 2: model: object missing required field `name`"),
        ('purpose = "draft"', 'purpose = "fun"', "line 4: model.purpose: invalid enum value 'fun'"),
        ("size = 10", 'size = "ten"', "line 9: model.file.size: expected `int`, got `str`"),
        ("size = 10", "size = true", "line 9: model.file.size: expected `int`, got `bool`"),
        ("size = 10", "size = 0", "line 9: model.file.size: expected `int` >= 1"),
        ("a" * 64, "A" * 63, "line 10: model.file.sha256: expected `str` matching"),
        ('name = "model.bin"', 'name = "../model.bin"', "line 8: model.file.name: expected `str` matching"),
        ('folder = "echo_wheel/model"', 'folder = "../model"', "line 13: model.source.folder: expected `str` matching"),
        (
            'folder = "echo_wheel/model"',
            'fodler = "echo"',
            "line 13: model.source.fodler: object contains unknown field",
        ),
        (
            'folder = "echo_wheel/model"',
            'parts = { "other.bin" = ["a"] }',
            "line 2: model: parts names other.bin, which are no files of this model",
        ),
        (
            'folder = "echo_wheel/model"',
            'parts = { "model.bin" = [] }',
            "line 13: model.source.parts: expected `array` of length >= 1",
        ),
        ("echo-wheel==1.0", "echo-wheel>=1.0", "line 14: model.source.wheels.requirement: expected `str` matching"),
        ("echo-wheel==1.0", "--index-url==1.0", "line 14: model.source.wheels.requirement: expected `str` matching"),
        ('repo = "some/echo"', 'repo = "echo"', "line 17: model.source.repo: expected `str` matching"),
        ('kind = "folder"', 'kind = "ftp"', "line 20: model.source.kind: invalid value 'ftp'"),
        ("[[model.file]]", "[model.file]", "line 7: model.file: expected `array`, got `object`"),
        (GOOD, GOOD + GOOD, "more than one model is named echo"),
        (GOOD, "[[model]", "line 1, column 8"),
    ],
)
def test_invalid_catalogue_error_names_the_location(tmp_path: Path, good: str, bad: str, words: str) -> None:
    """The message names the file, the line and the key."""
    path = written(tmp_path, GOOD.replace(good, bad))

    with pytest.raises(SettingsError) as caught:
        load_catalogue(path)

    assert words in str(caught.value)
    assert str(path) in str(caught.value)


def test_invalid_entry_is_found_among_several(tmp_path: Path) -> None:
    """The line is that of the second model's file, not of the first key with that name."""
    text = GOOD + GOOD.replace('"echo"', '"other"').replace("size = 10", "size = 0")
    line = text.splitlines().index("size = 0") + 1

    with pytest.raises(SettingsError, match=rf"line {line}: model\.file\.size: expected `int` >= 1"):
        load_catalogue(written(tmp_path, text))


def test_missing_catalogue_is_a_settings_error(tmp_path: Path) -> None:
    """A path that leads nowhere is a setting that cannot work."""
    with pytest.raises(SettingsError, match="cannot be read"):
        load_catalogue(tmp_path / "none.toml")


def test_unknown_model_name_error_lists_known_models() -> None:
    """Whoever mistypes a name sees the right one."""
    with pytest.raises(ModelUnavailable, match=r"whisper-bse.*whisper-base"):
        load_catalogue().find("whisper-bse")
