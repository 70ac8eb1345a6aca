"""Reads profiles from TOML files, one each, whose name is the profile's: the shipped ones and an operator's own."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

from msgspec import UNSET, Meta, Struct, UnsetType

from app.domain.errors import SettingsError
from app.domain.interruption_mode import InterruptionMode
from app.domain.key_terms import MAX_KEY_TERMS, term_problem
from app.domain.profile import MAX_ROUNDS, Profile
from app.domain.tool_request import host_of, url_problem
from app.domain.tools import Tool, ToolMethod
from app.domain.turn_mode import MAX_SILENCE_MS, MIN_SILENCE_MS, TurnMode
from app.policy.routes_file import known_languages
from app.toml_file import TomlDocument, given, read_document

SHIPPED_PROFILES = Path(__file__).parent / "profiles"
SETTING = "PARLEY_PROFILES"

ProfileEngine: TypeAlias = Literal["openai", "ollama", "embedded", "receiver"]
Text: TypeAlias = Annotated[str, Meta(min_length=1)]
Host: TypeAlias = Annotated[str, Meta(pattern=r"^[a-z0-9:._-]+$")]

_OWN_HEADERS = frozenset(
    {"accept-encoding", "connection", "content-length", "content-type", "host", "transfer-encoding"}
)
"""Set by the request itself."""
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


class ToolTable(Struct, frozen=True, forbid_unknown_fields=True):
    """One `[[tools]]`."""

    name: Annotated[str, Meta(pattern="^[a-zA-Z0-9_-]{1,64}$")]
    description: Text
    url: Text
    method: ToolMethod | UnsetType = UNSET
    parameters: dict[str, Any] | UnsetType = UNSET
    headers: dict[str, str] = {}
    timeout_s: Annotated[float, Meta(gt=0, le=60)] | UnsetType = UNSET
    max_bytes: Annotated[int, Meta(ge=1, le=1_000_000)] | UnsetType = UNSET
    hosts: tuple[Host, ...] = ()
    private: bool | UnsetType = UNSET


VocabularyName: TypeAlias = Annotated[str, Meta(pattern=r"^[0-9a-zA-Z._-]{1,200}$")]
"""As Amazon Transcribe takes it."""


class ProfileTable(Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file."""

    description: str = ""
    instructions: str | None = None
    engine: ProfileEngine | UnsetType = UNSET
    model: Text | UnsetType = UNSET
    voice: Text | None = None
    languages: tuple[str, ...] = ()
    key_terms: Annotated[tuple[str, ...], Meta(max_length=MAX_KEY_TERMS)] = ()
    vocabulary: VocabularyName | None = None
    history_tokens: Annotated[int, Meta(ge=1, le=1_000_000)] | None = None
    max_rounds: Annotated[int, Meta(ge=1, le=10)] = MAX_ROUNDS
    turns: TurnMode | None = None
    silence_ms: Annotated[int, Meta(ge=MIN_SILENCE_MS, le=MAX_SILENCE_MS)] | None = None
    interruptions: InterruptionMode | None = None
    end_after_ms: Annotated[int, Meta(ge=200, le=5000)] | None = None
    end_after_done_ms: Annotated[int, Meta(ge=150, le=5000)] | None = None
    reply_after_ms: Annotated[int, Meta(ge=0, le=30_000)] | None = None
    reply_after_done_ms: Annotated[int, Meta(ge=0, le=30_000)] | None = None
    adaptive_waits: bool | None = None
    echo_detection: bool | None = None
    events: bool | None = None
    tools: Annotated[tuple[dict[str, Any], ...], Meta(max_length=64)] = ()
    """Each a ToolTable; they are read one by one, so that an error has its line."""


def read_profiles(folder: Path | None, environment: Mapping[str, str]) -> Mapping[str, Profile]:
    """The shipped profiles and those in the folder, which replace them by name. Blocking.

    Values of headers may name variables of `environment` as `${NAME}`. Raises SettingsError that names the file, the
    line and the key.
    """
    profiles = _read_folder(SHIPPED_PROFILES, environment)
    if folder is not None:
        if not folder.is_dir():
            raise SettingsError(f"{SETTING}: {folder} is no folder")
        profiles |= _read_folder(folder, environment)
    return profiles


def _read_folder(folder: Path, environment: Mapping[str, str]) -> dict[str, Profile]:
    return {path.stem: read_profile(path, environment) for path in sorted(folder.glob("*.toml"))}


def read_profile(path: Path, environment: Mapping[str, str]) -> Profile:
    """The profile in this file. Blocking. Raises SettingsError."""
    if not re.fullmatch("[a-z0-9][a-z0-9-]{0,62}", path.stem):
        raise SettingsError(f"{path}: a profile's name has up to 63 small letters, digits and hyphens")
    document = read_document(path, setting=SETTING)
    table = document.convert(ProfileTable)
    if table.model is not UNSET and table.engine is UNSET:
        raise SettingsError(document.complaint("model", "name the engine that has this model, too"))
    if table.model is not UNSET and table.engine == "receiver":
        raise SettingsError(document.complaint("model", "a receiver cannot be told which model replies"))
    require_key_terms(document, "key_terms", table.key_terms)
    tools = tuple(_tool(document, f"tools[{number}]", environment) for number in range(len(table.tools)))
    names = [tool.name for tool in tools]
    if double := next((name for name in names if names.count(name) > 1), None):
        raise SettingsError(document.complaint("tools", f"two tools are named {double}"))
    languages = known_languages(document, "languages", table.languages)
    return Profile(path.stem, **{**given(table), "tools": tools, "languages": languages})


def require_key_terms(document: TomlDocument, key: str, terms: Sequence[str]) -> None:
    """Raises SettingsError for a text that can be no key term."""
    for number, term in enumerate(terms, 1):
        if problem := term_problem(term):
            raise SettingsError(document.complaint(key, f"term {number} {problem}"))


def _tool(document: TomlDocument, at: str, environment: Mapping[str, str]) -> Tool:
    table = document.convert(ToolTable, under=at)
    if table.parameters is not UNSET and table.parameters.get("type") != "object":
        raise SettingsError(document.complaint(f"{at}.parameters", 'the schema of an object has type = "object"'))
    headers = {name: _header(document, at, name, value, environment) for name, value in table.headers.items()}
    hosts = frozenset(table.hosts or filter(None, [host_of(table.url)]))
    tool = Tool(**{**given(table), "headers": headers, "hosts": hosts})
    if problem := url_problem(tool, tool.url):
        raise SettingsError(document.complaint(f"{at}.url", problem))
    return tool


def _header(document: TomlDocument, at: str, name: str, value: str, environment: Mapping[str, str]) -> str:
    """The value with the variables that it names. An error never repeats it."""
    where = f"{at}.headers.{name}"
    if missing := next((each for each in _VARIABLE.findall(value) if not environment.get(each)), None):
        raise SettingsError(document.complaint(where, f"the variable {missing} is not set"))
    value = _VARIABLE.sub(lambda found: environment[found[1]], value)
    is_possible = re.fullmatch("[A-Za-z0-9-]+", name) and value.isascii() and value.isprintable()
    if not is_possible or name.lower() in _OWN_HEADERS:
        raise SettingsError(document.complaint(where, "no header of a tool can have this name and value"))
    return value
