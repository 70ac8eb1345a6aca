"""Settings: documented, checked, and named when they are wrong."""

import re
from pathlib import Path

import pytest

from app.config import Settings, read_settings
from app.domain.errors import SettingsError

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def clean(monkeypatch, tmp_path):
    """No variable and no .env of the machine reaches these tests."""
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.chdir(tmp_path)


def test_the_example_names_every_setting_with_its_default():
    """.env.example is the code's settings, no more and no less."""
    example = (ROOT / ".env.example").read_text()
    documented = dict(re.findall(r"^#([A-Z0-9_]+)=(.*)$", example, re.MULTILINE))
    defaults = {name.upper(): _shown(field.default) for name, field in Settings.model_fields.items()}

    assert documented == defaults
    for field in Settings.model_fields.values():
        assert field.description in re.sub(r"\n# ", " ", example)


def test_the_readme_names_every_setting():
    """The table in the README leaves none out."""
    readme = (ROOT / "README.md").read_text()

    assert {name for name in Settings.model_fields if f"`{name.upper()}`" not in readme} == set()


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("PORT", "eighty"),
        ("PORT", "70000"),
        ("LOG_LEVEL", "loud"),
        ("VAD_AGGRESSIVENESS", "9"),
        ("REPLY_PROVIDER", "oracle"),
        ("LANGUAGE", "English"),
        ("MAX_SESSIONS", "-1"),
    ],
)
def test_a_wrong_value_is_refused_by_its_variables_name(monkeypatch, variable, value):
    """The start stops, and the sentence says which variable."""
    monkeypatch.setenv(variable, value)

    with pytest.raises(SettingsError, match=f"^{variable}: .*{value}"):
        read_settings()


def test_an_env_file_is_read_and_the_environment_wins(monkeypatch, tmp_path):
    """`.env` in the working folder counts; a variable counts more."""
    (tmp_path / ".env").write_text("PORT=9001\nHOST=0.0.0.0\nALLOWED_ORIGINS=https://a.example, https://b.example\n")
    monkeypatch.setenv("PORT", "9002")

    settings = read_settings()

    assert (settings.port, settings.host) == (9002, "0.0.0.0")
    assert settings.allowed_origins == ("https://a.example", "https://b.example")


def test_a_secret_does_not_show(monkeypatch):
    """A key may stand in a log of the settings without harm."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret")

    assert "very-secret" not in repr(read_settings())


def _shown(default: object) -> str:
    if default is None or default == ():
        return ""
    if isinstance(default, bool):
        return str(default).lower()
    return str(default)
