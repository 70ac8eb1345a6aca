"""`parley models` as a person uses it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from app.cli.models import models
from app.models.catalogue import Model

from .conftest import CONFIG, WEIGHTS, LoopbackHub


class Terminal:
    """Types `parley models ...` with a catalogue of two models: `echo`, which is a default, and `other`."""

    def __init__(self, tmp_path: Path, model: Model, hub: LoopbackHub) -> None:
        self.models_dir = tmp_path / "models"
        self.catalogue = tmp_path / "catalogue.toml"
        self.hub = hub
        files = "".join(
            f'[[model.file]]\nname = "{file.name}"\nsize = {file.size}\nsha256 = "{file.sha256}"\n'
            for file in model.files
        )
        self.catalogue.write_text(
            "".join(
                f'[[model]]\nname = "{name}"\npurpose = "draft"\nformat = "ctranslate2"\nlicence = "MIT"\n'
                f"default = {default}\n{files}"
                '[[model.source]]\nkind = "hub"\nrepo = "some/echo"\nrevision = "main"\n'
                for name, default in (("echo", "true"), ("other", "false"))
            )
        )

    def types(self, *words: str) -> Result:
        return CliRunner().invoke(
            models,
            ["--catalogue", str(self.catalogue), *words],
            env={"PARLEY_MODELS_DIR": str(self.models_dir), "HF_ENDPOINT": self.hub.address},
        )


@pytest.fixture
def terminal(tmp_path: Path, model: Model, hub: LoopbackHub) -> Terminal:
    return Terminal(tmp_path, model, hub)


@pytest.fixture
def stick(tmp_path: Path) -> Path:
    folder = tmp_path / "stick" / "echo"
    folder.mkdir(parents=True)
    (folder / "config.json").write_bytes(CONFIG)
    (folder / "model.bin").write_bytes(WEIGHTS)
    return folder.parent


def test_pull_without_a_name_downloads_the_default_set(terminal: Terminal) -> None:
    """And says so; the second time it says that nothing was needed."""
    first, second = terminal.types("pull"), terminal.types("pull")

    assert first.exit_code == 0
    assert "echo: fetched and verified" in first.output
    assert "other" not in first.output
    assert second.output == "echo: already there\n"


def test_list_shows_state_of_each_model(terminal: Terminal) -> None:
    """One line a model, tabs between, when nobody looks at it."""
    terminal.types("pull", "other")

    assert terminal.types("list").output == "echo\tdraft\tMIT\t0.3 MB\tabsent\nother\tdraft\tMIT\t0.3 MB\tready\n"


def test_verify_succeeds_when_all_models_are_valid(terminal: Terminal) -> None:
    """Models that are not there are not missed when no name is given."""
    terminal.types("pull")

    result = terminal.types("verify")

    assert result.exit_code == 0
    assert result.output == "echo: good\n"


def test_verify_fails_when_a_file_is_corrupted(terminal: Terminal) -> None:
    """A changed byte is found, named, and mended by the command it names."""
    terminal.types("pull")
    (terminal.models_dir / "echo" / "model.bin").write_bytes(WEIGHTS[::-1])

    result = terminal.types("verify")

    assert result.exit_code == 1
    assert "echo: model.bin has the wrong checksum" in result.output
    assert terminal.types("pull", "echo").exit_code == 0
    assert terminal.types("verify").exit_code == 0


def test_verify_fails_for_a_missing_model(terminal: Terminal) -> None:
    """Whoever names it expects it."""
    result = terminal.types("verify", "echo")

    assert result.exit_code == 1
    assert "echo: config.json is missing, model.bin is missing" in result.output


def test_verify_fails_without_any_model(terminal: Terminal) -> None:
    """An empty folder is not a good one."""
    result = terminal.types("verify")

    assert result.exit_code == 1
    assert "run `parley models pull`" in result.output


def test_path_prints_only_the_folder(terminal: Terminal) -> None:
    """So that a script can use it."""
    terminal.types("pull")

    assert terminal.types("path", "echo").output == f"{terminal.models_dir / 'echo'}\n"
    assert terminal.types("path", "other").exit_code == 1


@pytest.mark.parametrize("inner", ["", "echo"])
def test_pull_from_a_folder_uses_no_network(terminal: Terminal, stick: Path, inner: str) -> None:
    """The folder is the model's own, or holds one of the model's name."""
    result = terminal.types("pull", "echo", "--from", str(stick / inner))

    assert result.exit_code == 0
    assert not terminal.hub.requests
    assert terminal.types("path", "echo").exit_code == 0


def test_models_command_reports_errors_in_one_sentence(terminal: Terminal, tmp_path: Path) -> None:
    """No traceback reaches a person: not for a wrong name, an empty hub, or a broken catalogue."""
    terminal.hub.files.clear()

    wrong_name, nothing_there = terminal.types("pull", "eco"), terminal.types("pull")
    terminal.catalogue.write_text("[[model]")
    broken = terminal.types("list")

    assert wrong_name.output == "Error: There is no model named 'eco'; the catalogue has echo, other.\n"
    assert "answered 404" in nothing_there.output
    assert "line 1, column 8" in broken.output
    assert {result.exit_code for result in (wrong_name, nothing_there, broken)} == {1}


def test_models_folder_is_read_from_the_env_file(
    terminal: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is a setting as any other: `parley serve` looks where `parley models pull` has put them."""
    (tmp_path / ".env").write_text("PARLEY_MODELS_DIR=elsewhere\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PARLEY_MODELS_DIR", raising=False)

    result = CliRunner().invoke(
        models, ["--catalogue", str(terminal.catalogue), "pull"], env={"HF_ENDPOINT": terminal.hub.address}
    )

    assert result.exit_code == 0, result.output
    assert (tmp_path / "elsewhere" / "echo" / "model.bin").exists()


def test_retries_are_logged_on_standard_error(terminal: Terminal) -> None:
    """A script that reads the output gets results alone."""
    terminal.hub.cuts = [len(CONFIG), 100_000]
    variables = {"PARLEY_MODELS_DIR": str(terminal.models_dir), "HF_ENDPOINT": terminal.hub.address}

    done = subprocess.run(
        [sys.executable, "-m", "app", "models", "--catalogue", str(terminal.catalogue), "pull"],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout == "echo: fetched and verified\n"
    assert "stamina.retry_scheduled" in done.stderr
