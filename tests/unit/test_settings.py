"""Settings: documented, checked, and named when they are wrong."""

import os
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.config import GROUPS, Settings, settings_from
from app.domain.errors import SettingsError
from app.environment import ALIASES, NOT_SETTINGS, variable

ROOT = Path(__file__).parents[2]


@pytest.fixture
def env_file(tmp_path) -> Path:
    return tmp_path / ".env"


@pytest.fixture
def read(env_file):
    """Reads settings from these variables and from `env_file` alone."""

    def read(**environment: str) -> Settings:
        return settings_from(environment, env_file, {})

    return read


@pytest.fixture
def warnings(caplog):
    """The sentences a start has warned with."""
    return lambda: [record.getMessage() for record in caplog.records if record.name == "parley.settings"]


# -- Documents --------------------------------------------------------------------------------------


def test_env_example_documents_every_setting_with_its_default():
    """.env.example is generated from the code, group by group (PARLEY_WRITE_DOCS=1 writes it)."""
    path, text = ROOT / ".env.example", "\n".join(env_example())

    if os.environ.get("PARLEY_WRITE_DOCS"):
        path.write_text(text)

    assert path.read_text() == text


def test_readme_table_documents_every_setting_with_its_default():
    """So is the table in the README."""
    path, rows = ROOT / "README.md", "\n".join(readme_rows())
    head, table, rest = re.split(r"(?<=\| --- \| --- \| --- \|\n)((?:\|.*\n)+)", path.read_text(), maxsplit=1)

    if os.environ.get("PARLEY_WRITE_DOCS"):
        table = f"{rows}\n"
        path.write_text(head + table + rest)

    assert table == f"{rows}\n"


def test_every_group_is_part_of_the_settings():
    """No setting is outside a group, and none is in two."""
    grouped = [field for group in GROUPS for field in group.model_fields]

    assert sorted(grouped) == sorted(Settings.model_fields)


def test_every_prefixed_variable_of_the_repository_is_known():
    """What tests, tools and deliveries read or set is a setting, or stands in the documented list."""
    folders = ("app", "bench", "docs", "frontend", "infra", "tests")
    files = {*ROOT.glob("*.md"), *(path for top in folders for path in (ROOT / top).rglob("*"))} - {Path(__file__)}
    texts = [path.read_text(errors="ignore") for path in files if path.suffix in (".py", ".md", ".yaml", ".sh", ".tf")]
    named = {name for text in texts for name in re.findall(r"\bPARLEY_[A-Z][A-Z_]*[A-Z]\b", text)}

    assert named - {*map(variable, Settings.model_fields), *NOT_SETTINGS} == set()


# -- Values -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PARLEY_PORT", "eighty"),
        ("PORT", "eighty"),
        ("PARLEY_PORT", "70000"),
        ("PARLEY_LOG_LEVEL", "loud"),
        ("PARLEY_REPLY_PROVIDER", "oracle"),
        ("PARLEY_LANGUAGE", "xx"),
        ("PARLEY_MAX_SESSIONS", "-1"),
    ],
)
def test_a_wrong_value_is_refused_by_its_variables_name(read, name, value):
    """The start stops, and the sentence says which variable, as it was written."""
    with pytest.raises(SettingsError, match=f"^{name}: .*{value}"):
        read(**{name: value})


def test_an_unknown_language_is_refused_with_how_to_write_one(read):
    """As it is to be written, capitals included."""
    with pytest.raises(SettingsError) as refused:
        read(PARLEY_LANGUAGE="xx")

    assert "PARLEY_LANGUAGE: there is no language 'xx'; write it like de, de-DE or German" in str(refused.value)


def test_an_env_file_is_read_and_the_environment_wins(read, env_file):
    """`.env` counts; a variable counts more."""
    env_file.write_text(
        "PARLEY_PORT=9001\nPARLEY_HOST=0.0.0.0\nPARLEY_ALLOWED_ORIGINS=https://a.example, https://b.example\n"
    )

    settings = read(PARLEY_PORT="9002")

    assert (settings.port, settings.host) == (9002, "0.0.0.0")
    assert settings.allowed_origins == ("https://a.example", "https://b.example")


def test_an_env_file_that_is_not_text_is_one_sentence(read, env_file):
    """Whatever an editor has made of it."""
    env_file.write_bytes(b"PARLEY_REPLY_INSTRUCTIONS=Gr\xfc\xdfe\n")

    with pytest.raises(SettingsError, match=r"\.env cannot be read"):
        read()


@pytest.mark.parametrize("name", sorted(ALIASES))
def test_short_names_work_and_the_prefixed_name_wins(read, name):
    """Hosting platforms set PORT; who writes PARLEY_PORT means Parley."""
    field = ALIASES[name]
    one, other = {"port": ("81", "82"), "log_level": ("debug", "error"), "host": ("::1", "::")}.get(field, ("a", "b"))

    short, both = read(**{name: one}), read(**{name: one, variable(field): other})

    assert (str(getattr(short, field)), str(getattr(both, field))) == (one, other)


def test_vendors_names_have_no_prefix(read):
    """Their own tools read them, too."""
    settings = read(OPENAI_MODEL="gpt-9", OLLAMA_MODEL="qwen3", AWS_REGION="eu-central-1")

    assert (settings.openai_model, settings.ollama_model, settings.aws_region) == ("gpt-9", "qwen3", "eu-central-1")


def test_an_override_wins_over_every_variable(read, env_file):
    """A command's option is the last word."""
    settings = settings_from({"PARLEY_PORT": "1", "PORT": "2"}, env_file, {"port": 3})

    assert settings.port == 3


# -- What the system sets ---------------------------------------------------------------------------


def test_the_systems_language_is_not_parleys(read, warnings):
    """Debian and Ubuntu export gettext's LANGUAGE."""
    settings = read(LANGUAGE="en_US:en", DATABASE_URL="postgres://another/program")

    assert settings.language == "en"
    assert settings.database_url.startswith("sqlite")
    assert warnings() == []


@pytest.mark.parametrize("host", ["x86_64-conda-linux-gnu", "no-such-host.invalid", "with space"])
def test_a_host_of_the_systems_that_is_no_address_is_ignored(read, warnings, host):
    """Conda's compilers export HOST; a wrong PARLEY_HOST is an error when the server listens."""
    settings = read(HOST=host)

    assert settings.host == "127.0.0.1"
    assert [host in warning and "PARLEY_HOST" in warning for warning in warnings()] == [True]


@pytest.mark.parametrize("name", ["LOG_LEVEL", "PARLEY_LOG_LEVEL"])
@pytest.mark.parametrize("level", ["DEBUG", "Debug", "debug"])
def test_log_level_has_any_case(read, warnings, name, level):
    settings = read(**{name: level})

    assert (settings.log_level, warnings()) == ("debug", [])


def test_log_level_of_another_program_is_ignored_with_a_warning(read, warnings):
    """Go and Node programs know levels that Parley has not; a wrong PARLEY_LOG_LEVEL is an error."""
    settings = read(LOG_LEVEL="TRACE")

    assert settings.log_level == "info"
    assert warnings() == [
        "LOG_LEVEL is 'TRACE', which is no log level of Parley's, and is ignored; see PARLEY_LOG_LEVEL"
    ]


def test_what_kubernetes_sets_for_a_service_named_parley_is_ignored(read):
    """PARLEY_PORT would be an address, and the others no settings."""
    settings = read(
        PARLEY_PORT="tcp://10.0.0.1:8000",
        PARLEY_SERVICE_HOST="10.0.0.1",
        PARLEY_SERVICE_PORT_HTTP="8000",
        PARLEY_PORT_8000_TCP_ADDR="10.0.0.1",
        PARLEY_GATEWAY_SERVICE_HOST="10.0.0.1",
    )

    assert settings.port == 8000


# -- Names ------------------------------------------------------------------------------------------

MISSPELT = {
    "PARLEY_MAX_SESSION": "PARLEY_MAX_SESSIONS",
    "PARLEY_OPENAI_API_KEY": "OPENAI_API_KEY",
    "parley_tenants": "PARLEY_TENANTS",
}


@pytest.mark.parametrize(("wrong", "right"), MISSPELT.items())
@pytest.mark.parametrize("where", ["environment", "file"])
def test_a_misspelt_name_is_refused_and_the_right_one_suggested(read, env_file, wrong, right, where):
    """A tenants file that is never read would leave the server open."""
    if where == "file":
        env_file.write_text(f"{wrong}=1\n")

    with pytest.raises(SettingsError, match=rf"^{wrong}: no setting has this name; did you mean {right}\?$"):
        read(**({wrong: "1"} if where == "environment" else {}))


def test_variables_of_tests_and_tools_are_no_settings(read):
    """They have the prefix as well."""
    assert read(**dict.fromkeys(NOT_SETTINGS, "1")) == Settings()


@pytest.mark.parametrize(
    ("old", "new"), [("LANGUAGE", "PARLEY_LANGUAGE"), ("TENANTS", "PARLEY_TENANTS"), ("S3_BUCKET", "PARLEY_S3_BUCKET")]
)
def test_an_old_name_in_the_env_file_is_not_read_and_a_warning_names_the_new_one(read, env_file, warnings, old, new):
    """Settings had no prefix before."""
    env_file.write_text(f"{old}=de\n")

    settings = read()

    assert settings == Settings()
    assert warnings() == [f"{old} is not read: the setting is named {new}"]


def test_an_old_name_in_the_environment_is_warned_of_where_nobody_else_sets_it(read, warnings):
    """A container that is still told TENANTS must not open in silence."""
    read(TENANTS="tenants.toml", GOOGLE_DRIVE_TOKEN="ya29")

    assert warnings() == [
        "GOOGLE_DRIVE_TOKEN is not read: the setting was removed",
        "TENANTS is not read: the setting is named PARLEY_TENANTS",
    ]


# -- Empty values and secrets -----------------------------------------------------------------------


@pytest.mark.parametrize("where", ["environment", "file"])
def test_an_empty_language_detects_it(read, env_file, where):
    """As README and .env.example say."""
    if where == "file":
        env_file.write_text("PARLEY_LANGUAGE=\n")

    settings = read(**({"PARLEY_LANGUAGE": ""} if where == "environment" else {}))

    assert settings.language == ""


def test_every_other_empty_variable_counts_as_not_set(read):
    """Compose hands on variables that are empty."""
    names = [variable(field) for field in Settings.model_fields if field != "language"]

    assert read(**dict.fromkeys([*names, *ALIASES], "")) == Settings()


def test_a_secret_does_not_show(read):
    """A key may stand in a log of the settings without harm."""
    assert "very-secret" not in repr(read(OPENAI_API_KEY="sk-very-secret"))


def test_white_space_around_a_key_is_dropped(read):
    """A file's last newline is no part of the key in it."""
    assert read(OPENAI_API_KEY=" sk-secret\n").openai_api_key.get_secret_value() == "sk-secret"


@pytest.mark.parametrize("key", ["“sk-secret”", "sk-\nsecret", "sk secret"])
def test_a_key_that_no_header_takes_is_refused_and_not_shown(read, key):
    """The sentence names the variable and the character."""
    with pytest.raises(SettingsError, match=r"^OPENAI_API_KEY: .*no such character as '") as caught:
        read(OPENAI_API_KEY=key)

    assert "secret" not in str(caught.value)


def env_example() -> Iterator[str]:
    """The lines of .env.example."""
    yield "# Every setting of Parley, with its default. Copy this file to .env and uncomment what you change."
    yield "# The short names AUDIO_STORAGE_DIR, HOST, LOG_LEVEL, PORT and TRANSCRIPTION_MODEL_ID work, too."
    for group in GROUPS:
        yield ""
        title, _, more = group.__doc__.rstrip(".").partition("; ")
        yield f"# -- {title} ".ljust(80, "-")
        yield from [f"# {more}".replace("# c", "# C", 1)] if more else []
        for field, details in group.model_fields.items():
            yield ""
            yield from (f"# {line}" for line in textwrap.wrap(details.description, 97))
            yield f"#{variable(field)}={shown(details.default)}"
    yield ""


def readme_rows() -> Iterator[str]:
    """The rows of the README's table."""
    for group in GROUPS:
        yield f"| **{group.__doc__.rstrip('.').partition(';')[0]}** | | |"
        for field, details in group.model_fields.items():
            default = shown(details.default)
            yield f"| `{variable(field)}` | {f'`{default}`' if default else ''} | {details.description} |"


def shown(default: object) -> str:
    if default is None or default == ():
        return ""
    if isinstance(default, tuple):
        return ",".join(default)
    if isinstance(default, bool):
        return str(default).lower()
    return str(default)
