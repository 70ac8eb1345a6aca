"""The session object of a Realtime client: its defaults, its partial updates, and what they ask of Parley's session."""

from typing import Annotated, Any, Literal, TypeAlias

import msgspec

from app.domain.dialog import events as ev
from app.domain.errors import ClientError
from app.domain.interruption_mode import InterruptionMode
from app.domain.key_terms import key_terms_in, merge_key_terms
from app.domain.language import parse_languages
from app.domain.tools import Tool
from app.domain.turn_mode import MAX_SILENCE_MS, MIN_SILENCE_MS, TurnMode
from app.web.realtime.audio_format import PCM, AudioFormat
from app.web.realtime.errors import EventRefused, refused_shape

SessionType: TypeAlias = Literal["realtime", "transcription"]
DEFAULT_MODEL = "gpt-realtime"
"""What a session says that it is where the client names no model: every name is taken, and none chooses an engine."""
MAX_INSTRUCTIONS = 32_000
MAX_TOOLS = 128
WRONG_TYPE = "Passing a {} session update event to a {} session is not allowed."

VENDOR_VOICES = frozenset(
    "alloy ash ballad cedar coral echo fable marin nova onyx sage shimmer verse".split()  # noqa: SIM905 because it is a table
)
"""OpenAI's voices: each is an alias of the voice that the profile or the settings have."""

_LEAVES = frozenset({"format", "transcription", "turn_detection", "noise_reduction", "tools", "tool_choice", "voice"})
"""An update replaces these as a whole; the objects around them are merged."""


class TurnDetection(msgspec.Struct, frozen=True, omit_defaults=True):
    """What ends the user's turn; without it the client does, by `input_audio_buffer.commit`."""

    type: Literal["server_vad", "semantic_vad"]
    create_response: bool | None = None
    interrupt_response: bool | None = None
    threshold: Annotated[float, msgspec.Meta(ge=0, le=1)] | None = None
    prefix_padding_ms: Annotated[int, msgspec.Meta(ge=0)] | None = None
    silence_duration_ms: Annotated[int, msgspec.Meta(ge=0)] | None = None
    idle_timeout_ms: Annotated[int, msgspec.Meta(ge=0)] | None = None
    eagerness: Literal["low", "medium", "high", "auto"] | None = None


class Transcription(msgspec.Struct, frozen=True, omit_defaults=True):
    """How the user's audio is transcribed; None in its place: its text is not sent."""

    model: str | None = None
    language: str | None = None
    languages: list[str] | None = None
    prompt: str | None = None
    keywords: list[str] | None = None
    delay: str | int | None = None


class AudioInput(msgspec.Struct, frozen=True):
    format: AudioFormat = PCM
    transcription: Transcription | None = None
    noise_reduction: dict[str, Any] | None = None
    turn_detection: TurnDetection | None = None


class AudioOutput(msgspec.Struct, frozen=True):
    format: AudioFormat = PCM
    voice: str | dict[str, Any] = "alloy"
    speed: Annotated[float, msgspec.Meta(ge=0.25, le=1.5)] = 1.0


class SessionAudio(msgspec.Struct, frozen=True):
    input: AudioInput
    output: AudioOutput | None = None


class FunctionTool(msgspec.Struct, frozen=True, tag_field="type", tag="function", omit_defaults=True):
    """A function of the client."""

    name: Annotated[str, msgspec.Meta(pattern=r"^[a-zA-Z0-9_-]{1,64}$")]
    description: str = ""
    parameters: dict[str, Any] = {}


class NamedTool(msgspec.Struct, frozen=True):
    """The one function that is to be called."""

    type: Literal["function"]
    name: str


class RealtimeSession(msgspec.Struct, frozen=True, omit_defaults=True):
    """The effective configuration, as `session.created` and `session.updated` have it."""

    type: SessionType
    audio: SessionAudio
    id: str = ""
    object: str = ""
    model: str | None = None
    instructions: Annotated[str, msgspec.Meta(max_length=MAX_INSTRUCTIONS)] | None = None
    output_modalities: list[Literal["audio", "text"]] | None = None
    tools: Annotated[list[FunctionTool], msgspec.Meta(max_length=MAX_TOOLS)] | None = None
    tool_choice: Literal["auto", "none", "required"] | NamedTool | None = None
    max_output_tokens: int | Literal["inf"] | None = None
    include: list[str] | None = None
    truncation: str | dict[str, Any] | None = None

    @property
    def turn_detection(self) -> TurnDetection | None:
        return self.audio.input.turn_detection

    @property
    def is_manual(self) -> bool:
        """The client ends the user's turns."""
        return self.turn_detection is None

    @property
    def speaks(self) -> bool:
        return self.output_modalities != ["text"]


def new_session(kind: SessionType, session: str, model: str | None) -> RealtimeSession:
    """The configuration before the first update: Parley's own turn detection, as `semantic_vad`."""
    turns = TurnDetection("semantic_vad", create_response=kind == "realtime", interrupt_response=kind == "realtime")
    if kind == "transcription":
        audio = SessionAudio(AudioInput(transcription=Transcription(model), turn_detection=turns))
        return RealtimeSession(kind, audio, session, "realtime.transcription_session")
    return RealtimeSession(
        kind,
        SessionAudio(AudioInput(turn_detection=turns), AudioOutput()),
        session,
        "realtime.session",
        model or DEFAULT_MODEL,
        instructions="",
        output_modalities=["audio"],
        tools=[],
        tool_choice="auto",
        max_output_tokens="inf",
    )


def updated(session: RealtimeSession, update: dict[str, Any]) -> RealtimeSession:
    """The configuration with this partial update; what it does not name stays. Raises EventRefused.

    OpenAI refuses the other type of session; here an update may change it before anything else has happened.
    """
    if session.type == "transcription" and update.get("type") == "realtime":
        raise EventRefused(WRONG_TYPE.format("realtime", "transcription"), "invalid_session_type", "session.type")
    base = msgspec.to_builtins(session)
    if session.type == "realtime" and update.get("type") == "transcription":
        base = msgspec.to_builtins(new_session("transcription", session.id, session.model))
    kept = {name: value for name, value in update.items() if name not in ("id", "object")}
    try:
        merged = msgspec.convert(_merged(base, kept), RealtimeSession)
    except msgspec.ValidationError as error:
        raise refused_shape(error, "session") from error
    _check(merged)
    return merged


def described(session: RealtimeSession) -> dict[str, Any]:
    """As the client gets it."""
    found: dict[str, Any] = msgspec.to_builtins(session)
    return found


def configured(session: RealtimeSession) -> ev.ClientConfigured:
    """What it asks of Parley's session. Raises EventRefused."""
    detection, transcription = session.turn_detection, session.audio.input.transcription or Transcription()
    turns, silence_ms = TurnMode.AUTO, None
    if detection is None:
        turns = TurnMode.MANUAL
    elif detection.type == "server_vad":
        turns = TurnMode.SILENCE
        silence_ms = min(max(detection.silence_duration_ms or 500, MIN_SILENCE_MS), MAX_SILENCE_MS)
    is_realtime = session.type == "realtime"
    return ev.ClientConfigured(
        language=_language(transcription),
        reply=is_realtime and detection is not None and detection.create_response is not False,
        speak=session.speaks,
        key_terms=_key_terms(transcription),
        turns=turns,
        interruptions=_interruptions(detection),
        silence_ms=silence_ms,
        events=True,
        tools=client_tools(session.tools or [], session.tool_choice),
        keeps_unanswered=is_realtime,
        instructions=session.instructions or None,
        voice=_voice(session),
    )


def client_tools(tools: list[FunctionTool], choice: object) -> tuple[Tool, ...]:
    """What the model may call; whether it does is up to the model, but for `none`."""
    if choice == "none":
        return ()
    empty = {"type": "object", "properties": {}}
    return tuple(Tool(tool.name, tool.description, parameters=tool.parameters or empty) for tool in tools)


def _interruptions(detection: TurnDetection | None) -> InterruptionMode:
    is_off = detection is not None and detection.interrupt_response is False
    return InterruptionMode.OFF if is_off else InterruptionMode.AUTO


def _voice(session: RealtimeSession) -> str | None:
    output = session.audio.output
    voice = output.voice if output else ""
    name = voice if isinstance(voice, str) else str(voice.get("id", ""))
    return "" if name in VENDOR_VOICES else name


def _language(transcription: Transcription) -> str:
    named = [transcription.language] if transcription.language else transcription.languages or []
    try:
        return parse_languages(named)
    except ClientError as error:
        raise EventRefused(str(error), error.code, "session.audio.input.transcription.language") from error


def _key_terms(transcription: Transcription) -> tuple[str, ...]:
    try:
        return merge_key_terms(transcription.keywords or (), key_terms_in(transcription.prompt or ""))
    except ClientError as error:
        raise EventRefused(str(error), error.code, "session.audio.input.transcription.prompt") from error


def _merged(base: dict[str, Any], update: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for name, value in update.items():
        both = name not in _LEAVES and isinstance(value, dict) and isinstance(base.get(name), dict)
        merged[name] = _merged(base[name], value) if both else value
    return merged


def _check(session: RealtimeSession) -> None:
    modalities = session.output_modalities
    if modalities is not None and modalities not in (["audio"], ["text"]):
        message = "Invalid modalities: use either ['audio'] or ['text']."
        raise EventRefused(message, "invalid_value", "session.output_modalities")
    for name, audio in (
        ("input", session.audio.input.format),
        ("output", (session.audio.output or AudioOutput()).format),
    ):
        if audio.law and audio.rate is not None:
            param = f"session.audio.{name}.format.rate"
            raise EventRefused(f"Invalid value for '{param}': {audio.type} has no rate.", "invalid_value", param)
    limit = session.max_output_tokens
    if isinstance(limit, int) and not 1 <= limit <= 4096:
        param = "session.max_output_tokens"
        raise EventRefused(f"Invalid value for '{param}': 1 to 4096, or \"inf\".", "invalid_value", param)
