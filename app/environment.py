"""Which setting each variable of the environment and of `.env` gives: names, aliases, misspellings. No I/O.

A setting's variable is `PARLEY_` and the field's name in capitals, so that nothing of the operating system's
(`LANGUAGE`, `HOST`) is taken for ours. Two kinds of names have no prefix: those of the vendors, which other
programs read as well, and five short aliases, which hosting platforms set.
"""

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches

from app.domain.errors import SettingsError

PREFIX = "PARLEY_"

VENDOR_FIELDS = frozenset(
    {
        "aws_endpoint_url_transcribe_streaming",
        "aws_region",
        "ollama_base_url",
        "ollama_model",
        "openai_api_key",
        "openai_base_url",
        "openai_model",
    }
)
"""Their variables are the vendors' own, without the prefix."""

ALIASES = {
    "AUDIO_STORAGE_DIR": "audio_storage_dir",
    "HOST": "host",
    "LOG_LEVEL": "log_level",
    "PORT": "port",
    "TRANSCRIPTION_MODEL_ID": "transcription_model_id",
}
"""Names that need no prefix; the prefixed name wins."""

EMPTY_MEANS_SOMETHING = frozenset({"language"})
"""Every other variable that is empty counts as not set."""

NOT_SETTINGS = {
    "PARLEY_CLIENTS_DIR": "tests: where the environments of other programs' clients are made",
    "PARLEY_CONTAINER_ENGINE": "tests: the program that runs containers",
    "PARLEY_HOME": "infra/jetson: where everything of the box lies",
    "PARLEY_KEY": "`parley talk`, `parley policy` and `parley keys`: the key shown to a server",
    "PARLEY_MEMORY": "infra: the memory that the gateway may have",
    "PARLEY_NODE_MODULES": "tests: where the browser tests find their packages",
    "PARLEY_PICTURES": "tests: where screenshots go",
    "PARLEY_SPEECH_DIR": "bench and tests: the speech corpus",
    "PARLEY_STRICT": "tests: what is missing fails instead of being skipped",
    "PARLEY_TAG": "infra: the image's tag",
    "PARLEY_TERRAFORM_SCHEMAS": "tests: the providers' schemas",
    "PARLEY_UPSTREAM": "infra: where NGINX finds the gateway",
    "PARLEY_WORKER_MEMORY": "infra: the memory that the worker may have",
    "PARLEY_WRITE_DOCS": "tests: write generated pages anew",
}
"""Variables with the prefix that the program's settings do not have, and who reads them."""

_KUBERNETES = re.compile(r"PARLEY\w*_(SERVICE_(HOST|PORT\w*)|PORT_\d+_(TCP|UDP|SCTP)\w*)")
"""What Kubernetes sets in every container beside a Service whose name begins with `parley`."""
REMOVED = ("GOOGLE_DRIVE_TOKEN", "VAD_AGGRESSIVENESS")
"""Names of removed settings."""
_OF_OTHERS = frozenset({"AUTH", "DATABASE_URL", "DEVICE", "LANGUAGE"})
"""Old names that other programs set as well: no warning where they are in the environment."""


@dataclass(frozen=True, slots=True)
class GivenSettings:
    """What was set, not checked yet."""

    values: Mapping[str, str]
    """By field; white space around a value is gone."""
    names: Mapping[str, str]
    """The variable each came from."""
    warnings: tuple[str, ...]
    """Sentences about variables that were set and are not used."""


def variable(field: str) -> str:
    """The variable of this setting."""
    return field.upper() if field in VENDOR_FIELDS else f"{PREFIX}{field.upper()}"


def given_settings(
    fields: Collection[str],
    environment: Mapping[str, str],
    env_file: Mapping[str, str],
    *,
    complaints: Mapping[str, Callable[[str], str | None]],
) -> GivenSettings:
    """The settings in these two. A prefixed name wins over an alias, the environment over the file.

    `complaints` says, by alias, what is wrong with a value: `HOST` or `LOG_LEVEL` of another program is left alone
    where it is of no use here. Raises SettingsError where a variable has our prefix and no setting has its name.
    """
    sources = _own(environment), _own(env_file)
    _refuse_unknown(fields, sources)
    values, names = dict[str, str](), dict[str, str]()
    warnings = [*_old_names(fields, environment, _OF_OTHERS), *_old_names(fields, env_file, frozenset())]
    for field, name in _candidates(fields):
        value = _first(sources, name, or_empty=field in EMPTY_MEANS_SOMETHING)
        if value is None or field in values:
            continue
        if name in complaints and (complaint := complaints[name](value)):
            warnings.append(f"{name} is {value!r}, which is {complaint}, and is ignored; see {variable(field)}")
            continue
        values[field], names[field] = value, name
    return GivenSettings(values, names, tuple(warnings))


def _candidates(fields: Collection[str]) -> Iterator[tuple[str, str]]:
    """Each field with each name it may have, the one that wins first."""
    yield from ((field, variable(field)) for field in fields)
    yield from ((field, alias) for alias, field in ALIASES.items())


def _first(sources: Collection[Mapping[str, str]], name: str, *, or_empty: bool) -> str | None:
    return next((source[name] for source in sources if source.get(name) or (or_empty and name in source)), None)


def _own(variables: Mapping[str, str]) -> dict[str, str]:
    """Stripped, and without what Kubernetes sets in our name."""
    stripped = {name: value.strip() for name, value in variables.items()}
    return {
        name: value
        for name, value in stripped.items()
        if not _KUBERNETES.fullmatch(name) and not (name == "PARLEY_PORT" and value.startswith("tcp://"))
    }


def _refuse_unknown(fields: Collection[str], sources: Collection[Mapping[str, str]]) -> None:
    known = {*map(variable, fields), *NOT_SETTINGS}
    unknown = sorted({name for source in sources for name in source if name.upper().startswith(PREFIX)} - known)
    if not unknown:
        return
    sentences = []
    for name in unknown:
        close = get_close_matches(name.upper(), known, n=1)
        sentences.append(f"{name}: no setting has this name{f'; did you mean {close[0]}?' if close else ''}")
    raise SettingsError("; ".join(sentences))


def _old_names(fields: Collection[str], variables: Mapping[str, str], silent: Collection[str]) -> Iterator[str]:
    """Settings had no prefix before."""
    yield from (f"{name} is not read: the setting was removed" for name in REMOVED if name in variables)
    for field in fields:
        old = field.upper()
        if old in variables and variable(field) != old and old not in ALIASES and old not in silent:
            yield f"{old} is not read: the setting is named {variable(field)}"
