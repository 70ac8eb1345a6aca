"""`POST /v1/audio/speech`: text to speech, as OpenAI has it; and the lists of voices that clients look for."""

import base64
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated, Any, Literal

import msgspec
from anyio import to_thread
from litestar import Request, get, post
from litestar.datastructures import State

from app.domain.dialog.conversation import estimate_tokens
from app.domain.errors import ClientError, ClientFault
from app.domain.principal import Principal, Scope
from app.media.speech_stream import SpeechStream, media_type
from app.runtime.service import Service
from app.runtime.spoken_text import spoken_text
from app.web.auth.middleware import ANYONE, requires
from app.web.event_stream import DONE, EVENT_STREAM, HEARTBEAT, LateStartResponse, event
from app.web.openai.json_body import json_body
from app.web.openai.late_error import error_event

MAX_INPUT_CHARACTERS = 4096
RATE = 24_000
"""OpenAI's own; clients take `pcm` for it without being told."""
TOKENS_PER_S = 20
"""Of audio, as OpenAI counts what its models speak."""
VOICES = [
    "alloy",
    "ash",
    "ballad",
    "cedar",
    "coral",
    "echo",
    "fable",
    "marin",
    "nova",
    "onyx",
    "sage",
    "shimmer",
    "verse",
]
"""OpenAI's names: each stands for the voice of this server."""
MODELS = ("tts-1", "tts-1-hd", "gpt-4o-mini-tts")


class VoiceId(msgspec.Struct, frozen=True):
    id: str


class SpeechRequest(msgspec.Struct, frozen=True):
    """The fields that this endpoint uses; it passes over the others."""

    input: str
    model: str = ""
    """Any name."""
    voice: str | VoiceId = VOICES[0]
    response_format: Literal["mp3", "opus", "aac", "flac", "wav", "pcm"] = "mp3"
    speed: Annotated[float, msgspec.Meta(ge=0.25, le=4.0)] = 1.0
    stream_format: Literal["audio", "sse"] = "audio"

    @property
    def voice_name(self) -> str | None:
        """A name of a voice of this server; None: its usual one."""
        name = self.voice.id if isinstance(self.voice, VoiceId) else self.voice
        return None if name.casefold() in VOICES else name


_request = msgspec.json.Decoder(SpeechRequest)


@post("/v1/audio/speech", opt=requires(Scope.SPEAK))
async def speech(request: Request[Principal, Any, Any], state: State) -> LateStartResponse:
    """The input as speech, sent while it is spoken. Any `model` is taken, and OpenAI's names of voices.

    It takes one of the tenant's places, and counts for its budgets.
    """
    asked = await json_body(request, _request)
    if not asked.input.strip():
        raise ClientError(ClientFault.BAD_MESSAGE, "input is empty", param="input")
    if len(asked.input) > MAX_INPUT_CHARACTERS:
        reason = f"input has {len(asked.input)} characters; {MAX_INPUT_CHARACTERS} is the most"
        raise ClientError(ClientFault.BAD_MESSAGE, reason, param="input")
    stream = SpeechStream(asked.response_format, rate=RATE, speed=asked.speed)
    pieces = _encoded(state.service, request.user, asked, stream)
    if asked.stream_format == "sse":
        events = _events(pieces, asked, stream)
        return LateStartResponse(events, media_type=EVENT_STREAM, heartbeat=HEARTBEAT, late_error=error_event)
    return LateStartResponse(pieces, media_type=media_type(asked.response_format, RATE))


@get("/v1/audio/voices", opt=ANYONE)
async def voices() -> dict[str, Any]:
    """Names that `voice` takes, each for the voice of this server."""
    return {"voices": [{"id": name, "name": name.capitalize()} for name in VOICES]}


@get("/v1/audio/models", opt=ANYONE)
async def speech_models() -> dict[str, Any]:
    """Names that `model` takes for speech; any other is taken just as well."""
    return {"models": [{"id": name} for name in MODELS]}


async def _encoded(
    service: Service, principal: Principal, asked: SpeechRequest, stream: SpeechStream
) -> AsyncGenerator[bytes, None]:
    async with aclosing(spoken_text(service, principal.tenant, asked.input, voice=asked.voice_name)) as chunks:
        async for chunk in chunks:
            if piece := await to_thread.run_sync(stream.push, chunk.pcm):
                yield piece
    if rest := await to_thread.run_sync(stream.finish):
        yield rest


async def _events(
    pieces: AsyncGenerator[bytes, None], asked: SpeechRequest, stream: SpeechStream
) -> AsyncGenerator[bytes, None]:
    async with aclosing(pieces):
        async for piece in pieces:
            yield event({"type": "speech.audio.delta", "audio": base64.b64encode(piece).decode()})
    read, spoken = estimate_tokens(asked.input), -(-stream.samples * TOKENS_PER_S // RATE)
    usage = {"input_tokens": read, "output_tokens": spoken, "total_tokens": read + spoken}
    yield event({"type": "speech.audio.done", "usage": usage})
    yield DONE
