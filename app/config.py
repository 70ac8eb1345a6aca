"""Every setting of the service, read once: from the environment, then from `.env`."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from app.domain.errors import SettingsError


class Settings(BaseSettings):
    """A field's name in capitals is the variable's name."""

    model_config = SettingsConfigDict(env_file=".env", env_ignore_empty=True, extra="ignore", frozen=True)

    # The server
    host: str = Field("127.0.0.1", description="Address to listen on; 0.0.0.0 for every one.")
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on.")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="How much is logged.")
    allowed_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="Other web origins that may connect, comma-separated; `*` for all. Its own page always may."
    )
    max_sessions: int = Field(
        0, ge=0, description="Sessions at once; one more is refused with close code 1013. 0: what the self-test allows."
    )
    tenants: Path | None = Field(
        None,
        description="TOML file with those who may come in, and their keys; empty: everyone, without a key. "
        "A changed file takes effect at once.",
    )

    # Models
    parley_models_dir: Path = Field(Path("models"), description="Folder the models lie in.")
    draft_model_id: str = Field("whisper-tiny.en", description="Model for drafts: a name or a folder.")
    transcription_model_id: str = Field(
        "auto",
        description="Model for finals: a name, a folder, or `auto` (whisper-base; whisper-large-v3-turbo on CUDA).",
    )
    turn_model_id: str = Field(
        "smart-turn-v3",
        description="Model that hears whether someone is done: a name or a folder; `none`: words alone tell.",
    )
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="Where the speech models run.")
    compute_type: str = Field("auto", description="Precision: `auto` is int8 on a CPU, float16 on CUDA.")
    cpu_threads: int = Field(0, ge=0, description="Threads per model; 0 chooses by the number of cores.")
    beam_size: int = Field(1, ge=1, le=10, description="Beam for finals; 1 is greedy.")
    language: str = Field("en", pattern="^([a-z]{2,3})?$", description="Spoken language; empty detects it each time.")

    # Taking turns
    vad: Literal["silero", "webrtc"] = Field("silero", description="Which detector tells speech from no speech.")
    vad_aggressiveness: int = Field(2, ge=0, le=3, description="webrtc only: 3 calls the least speech.")
    end_after_ms: int = Field(
        640, ge=200, le=5000, description="Silence that ends an utterance; behind a whole sentence an eighth less."
    )
    end_after_done_ms: int = Field(
        300,
        ge=150,
        le=5000,
        description="Silence that ends an utterance whose speaker sounds done; never more than else.",
    )
    reply_after_ms: int = Field(1000, ge=0, le=30_000, description="Silence after which the user's turn is answered.")
    reply_after_done_ms: int = Field(
        500, ge=0, le=30_000, description="The same, where the user surely sounds done; never more than REPLY_AFTER_MS."
    )
    draft_every_ms: int = Field(300, ge=100, le=5000, description="New speech between two drafts.")
    speculative_finals: bool = Field(True, description="Begin the final in the pause, before the end is certain.")
    eager_replies: Literal["auto", "on", "off"] = Field(
        "auto", description="Begin the reply before the turn is certainly over; `auto`: where it costs nothing."
    )

    # Replies
    reply_provider: Literal["auto", "openai", "ollama", "embedded", "none"] = Field(
        "auto", description="`auto`: OpenAI where a key is set, else Ollama where it answers, else embedded."
    )
    reply_instructions: str = Field(
        "You are a friendly voice assistant. Answer in one or two short spoken sentences.",
        description="What the reply engine is told about its task.",
    )
    reply_max_tokens: int = Field(120, ge=1, le=4096, description="Longest reply, in tokens.")
    openai_api_key: SecretStr | None = Field(None, description="Key for OpenAI or any compatible service.")
    openai_base_url: str = Field("https://api.openai.com/v1", description="OpenAI or any compatible service.")
    openai_model: str = Field("gpt-4o-mini", description="Model that replies there.")
    ollama_base_url: str = Field("http://localhost:11434/v1", description="Ollama's OpenAI-compatible endpoint.")
    ollama_model: str = Field("llama3.2", description="Model that replies there.")
    reply_model_id: str = Field("smollm2-135m-instruct", description="Embedded model: a name or a folder.")

    # Speech
    speech_provider: Literal["piper", "polly", "none"] = Field("piper", description="Who speaks the replies.")
    voice_model_id: str = Field("piper-en_US-joe-medium", description="Piper voice: a name or a folder.")
    polly_voice: str = Field("Joanna", description="Amazon Polly's voice for English.")
    polly_engine: Literal["neural", "standard"] = Field("neural", description="Amazon Polly's kind of voice.")

    # Amazon (credentials come from the SDK's own chain: variables, profile, container role)
    aws_region: str = Field("us-east-1", description="Region of Transcribe and Polly.")
    aws_endpoint_url_transcribe_streaming: str | None = Field(
        None,
        description="Another address for Transcribe streaming (the SDK itself reads AWS_ENDPOINT_URL_POLLY).",
    )

    # Routes for finals
    parley_policy: str = Field(
        "private-first",
        description="Which route a final takes: a TOML file, or `offline`, `private-first`, `cheapest-in-time`, "
        "`fastest`, `accuracy`, `cloud-first`. A changed file takes effect at once.",
    )
    routes: Path | None = Field(
        None, description="TOML file with the routes finals may take; empty: only the model in this process."
    )
    database_url: str = Field(
        "sqlite+aiosqlite:///parley.db", description="Where decisions are kept: SQLite, or postgresql+asyncpg://...."
    )

    # Archive
    archive_sessions: bool = Field(
        True, description="Keep sessions that do not say; a client says with `configure`, `archive`."
    )
    archive_format: Literal["flac", "opus"] = Field("flac", description="flac is lossless, opus a tenth of its size.")
    archive_keep_days: int = Field(0, ge=0, description="Days after which a recording is deleted; 0 keeps all.")
    archive_key: SecretStr | None = Field(
        None, description="32 bytes in base64: encrypts what is archived, on the disk and in the store."
    )
    blob_store: Literal["filesystem", "s3", "azure"] = Field("filesystem", description="Where the archive lives.")
    blob_prefix: str = Field("", description="What every blob's name in s3 and azure begins with.")
    audio_storage_dir: Path = Field(Path("recordings"), description="Folder every session's audio is archived in.")
    s3_bucket: str = Field("", description="Bucket of the archive; credentials are found as the AWS SDK finds them.")
    s3_endpoint_url: str = Field("", description="Another service that speaks S3; empty is AWS.")
    azure_container: str = Field("", description="Container of the archive.")
    azure_connection_string: SecretStr | None = Field(None, description="All it takes to reach the account.")
    azure_account_url: str = Field(
        "", description="Or its address alone: with the SAS token, or the identity of where this runs."
    )
    azure_sas_token: SecretStr | None = Field(None, description="Token for that container.")
    spool_dir: Path | None = Field(
        None, description="Local folder audio is safe in until it is stored; empty is `.spool` in AUDIO_STORAGE_DIR."
    )
    spool_max_mb: int = Field(2048, ge=1, description="More than that waiting for the store refuses new sessions.")
    spool_fsync: Literal["always", "never"] = Field(
        "always", description="`always` survives a power cut, `never` the death of the process only."
    )
    recording_max_mb: int = Field(512, ge=1, description="Largest file POST /recordings takes.")
    google_drive_service_account: Path | None = Field(
        None, description="Key file of the service account that fetches recordings from Google Drive."
    )
    google_drive_token: SecretStr | None = Field(None, description="Or an access token, good for as long as it lasts.")

    @field_validator("allowed_origins", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


def read_settings(**overrides: Any) -> Settings:
    """The settings in force. Raises SettingsError that names each wrong variable."""
    try:
        return Settings(**overrides)
    except ValidationError as error:
        wrong = (f"{str(e['loc'][0]).upper()}: {e['msg'].lower()} (it is {e['input']!r})" for e in error.errors())
        raise SettingsError("; ".join(wrong)) from error
