"""Which engines there are, by name. One line adds one.

An engine is named by a string, so that one whose extra is not installed costs
nothing, and says which extra to install when it is asked for.
"""

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from importlib import import_module
from typing import Any, TypeAlias

from app.domain.errors import SettingsError


@dataclass(frozen=True, slots=True)
class Entry:
    opener: str
    """`module:function`; the function is an async context manager that yields the engine."""

    extra: str | None = None
    """The optional dependency it needs."""


Table: TypeAlias = Mapping[str, Entry]

DETECTORS: Table = {
    "silero": Entry("providers.local.silero:open_silero_vad", "local"),
    "webrtc": Entry("providers.local.webrtc:open_webrtc_vad", "local"),
}
TRANSCRIBERS: Table = {
    "aws": Entry("providers.aws.transcribe:open_transcribe", "aws"),
    "local": Entry("providers.local.whisper:open_whisper", "local"),
    "openai": Entry("providers.openai.transcription:open_transcription", "openai"),
}
TURN_DETECTORS: Table = {
    "smart_turn": Entry("providers.local.smart_turn:open_smart_turn", "local"),
}
REPLY_GENERATORS: Table = {
    "embedded": Entry("providers.local.embedded:open_embedded", "local"),
    "ollama": Entry("providers.openai.chat:open_chat", "openai"),
    "openai": Entry("providers.openai.chat:open_chat", "openai"),
}
SYNTHESIZERS: Table = {
    "piper": Entry("providers.local.piper:open_piper", "piper"),
    "polly": Entry("providers.aws.polly:open_polly", "aws"),
}
BLOB_STORES: Table = {
    "azure": Entry("storage.azure:open_azure", "azure"),
    "filesystem": Entry("storage.filesystem:open_filesystem"),
    "s3": Entry("storage.s3:open_s3", "aws"),
}
SOURCES: Table = {
    "google_drive": Entry("storage.google_drive:open_google_drive", "drive"),
}
"""Where recordings may be fetched from."""
SPOOLS: Table = {
    "disk": Entry("storage.spool:open_spool"),
}
SEALS: Table = {
    "aes": Entry("storage.sealing:seal_of", "encryption"),
    "store": Entry("storage.encrypted:EncryptedBlobStore", "encryption"),
}
"""Encryption: of bytes, and of a store's blobs."""
PROBES: Table = {
    "aws": Entry("providers.aws.check:check", "aws"),
    "device": Entry("providers.local.whisper_model:choose_device", "local"),
    "ollama": Entry("providers.openai.chat:answers", "openai"),
}
"""Questions to a provider that is not opened yet."""


def load(table: Table, name: str) -> Any:
    """The opener of this name. Raises SettingsError where there is none, or its extra is missing."""
    try:
        entry = table[name]
    except KeyError:
        raise SettingsError(f"no engine is named {name!r}; there are {', '.join(sorted(table))}") from None
    module, _, function = entry.opener.partition(":")
    try:
        return getattr(import_module(module), function)
    except ModuleNotFoundError as error:
        if entry.extra is None:
            raise
        raise SettingsError(f"{name} needs the package {error.name}: pip install 'parley[{entry.extra}]'") from error


def opened(table: Table, name: str, **options: Any) -> AbstractAsyncContextManager[Any]:
    """The engine of this name, ready to be entered."""
    manager: AbstractAsyncContextManager[Any] = load(table, name)(**options)
    return manager
