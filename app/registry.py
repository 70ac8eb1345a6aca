"""Registry of engines and stores: name to opener. One line adds one.

Openers are named by strings, so an engine whose extra is not installed costs nothing; the error for it names the
extra to install.
"""

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from importlib import import_module
from typing import Any, TypeAlias

from app.domain.errors import SettingsError


@dataclass(frozen=True, slots=True)
class EngineEntry:
    opener: str
    """`module:function`; the function is an async context manager that yields the engine."""

    extra: str | None = None
    """The optional dependency it needs."""


EngineTable: TypeAlias = Mapping[str, EngineEntry]

DETECTORS: EngineTable = {
    "silero": EngineEntry("providers.local.vad.silero:open_silero_vad", "local"),
    "webrtc": EngineEntry("providers.local.vad.webrtc:open_webrtc_vad", "local"),
}
ECHO_DETECTORS: EngineTable = {
    "mel": EngineEntry("providers.local.vad.echo:open_echo_detectors", "local"),
}
"""What they open makes a detector for each session."""
TRANSCRIBERS: EngineTable = {
    "aws": EngineEntry("providers.aws.transcribe:open_transcribe", "aws"),
    "local": EngineEntry("providers.local.asr.engine:open_speech_engine", "local"),
    "openai": EngineEntry("providers.openai.transcription:open_transcription", "openai"),
}
TURN_DETECTORS: EngineTable = {
    "smart_turn": EngineEntry("providers.local.turn.smart_turn:open_smart_turn", "local"),
}
SPEAKER_EMBEDDERS: EngineTable = {
    "d_vector": EngineEntry("providers.local.speaker.embedder:open_speaker_embedder", "local"),
}
REPLY_GENERATORS: EngineTable = {
    "embedded": EngineEntry("providers.local.llm.embedded:open_embedded", "local"),
    "ollama": EngineEntry("providers.openai.chat:open_chat", "openai"),
    "openai": EngineEntry("providers.openai.chat:open_chat", "openai"),
    "receiver": EngineEntry("providers.local.receiver.replies:open_receiver"),
}
SYNTHESIZERS: EngineTable = {
    "piper": EngineEntry("providers.local.tts.piper:open_piper", "piper"),
    "polly": EngineEntry("providers.aws.polly:open_polly", "aws"),
}
BLOB_STORES: EngineTable = {
    "azure": EngineEntry("storage.azure:open_azure", "azure"),
    "filesystem": EngineEntry("storage.filesystem:open_filesystem"),
    "s3": EngineEntry("storage.s3:open_s3", "aws"),
}
SOURCES: EngineTable = {
    "google_drive": EngineEntry("storage.google_drive:open_google_drive", "drive"),
}
"""Sources from which recordings can be imported."""
SESSION_LOGS: EngineTable = {
    "disk": EngineEntry("storage.session_log:open_session_log"),
}
CIPHERS: EngineTable = {
    "aes": EngineEntry("storage.aes:cipher_from_keys", "encryption"),
    "store": EngineEntry("storage.encrypted:EncryptedBlobStore", "encryption"),
    "checked_store": EngineEntry("storage.key_check:CheckedBlobStore"),
    "require_plain": EngineEntry("storage.key_check:require_plain"),
}
"""Encryption: of bytes, and of a store's blobs; the check that a store's blobs are encrypted with these keys."""
PROBES: EngineTable = {
    "aws": EngineEntry("providers.aws.check:check", "aws"),
    "chat_model": EngineEntry("providers.openai.models:model_problem", "openai"),
    "device": EngineEntry("providers.local.asr.whisper.model:choose_device", "local"),
    "encoder": EngineEntry("providers.local.asr.encoder_report:encoder_report", "local"),
    "languages": EngineEntry("providers.local.asr.languages:supported_languages"),
    "moonshine": EngineEntry("providers.local.asr.languages:is_moonshine"),
    "precision": EngineEntry("providers.local.asr.whisper.model:choose_precision", "local"),
    "receiver": EngineEntry("providers.local.receiver.connection:receiver_problem"),
    "voice_language": EngineEntry("providers.local.tts.voice_language:voice_language"),
}
"""Checks of a provider that is not opened."""
TRACE_EXPORTERS: EngineTable = {
    "otlp": EngineEntry("app.assembly.otlp:export_spans", "otel"),
}


def load(table: EngineTable, name: str) -> Any:
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
        raise SettingsError(
            f"{name} needs the package {error.name}: pip install 'parley-voice[{entry.extra}]'"
        ) from error


def opened(table: EngineTable, name: str, **options: Any) -> AbstractAsyncContextManager[Any]:
    """The engine's async context manager."""
    engine: AbstractAsyncContextManager[Any] = load(table, name)(**options)
    return engine
