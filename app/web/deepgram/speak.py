"""`/v1/speak`: text to speech as Deepgram has it, in one request or over a WebSocket."""

from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from typing import Any, get_args

import anyio
import msgspec
from anyio import to_thread
from litestar import Request, WebSocket, post, websocket
from litestar.datastructures import State

from app.domain.dialog.sentences import SentenceChunker
from app.domain.errors import ClientError, ClientFault, ParleyError
from app.domain.principal import Principal, Scope
from app.json_input import decode_json
from app.media.speech_stream import Encoding, SpeechStream, media_type
from app.runtime.ids import new_id
from app.runtime.service import Service
from app.runtime.spoken_text import spoken_text
from app.web.auth.middleware import requires
from app.web.deepgram.client import DeepgramConnection
from app.web.deepgram.query import LEAST_RATE, Query, number_between
from app.web.deepgram.results import MODEL, MODEL_UUID
from app.web.deepgram.routes import query_of
from app.web.errors import error_reply
from app.web.event_stream import LateStartResponse
from app.web.request_body import small_body_of
from app.web.served_session import ClientGone, report_failure
from app.web.socket_handshake import refuse_handshake

MAX_CHARACTERS = 2000
"""Of one request, as Deepgram has it; over a socket between two flushes."""
MAX_WAITING = 64
"""Messages that may wait while a voice speaks; then no more are read."""
_ENCODINGS: dict[str, Encoding] = {
    "linear16": "pcm",
    "mulaw": "mulaw",
    "alaw": "alaw",
    "mp3": "mp3",
    "opus": "opus",
    "flac": "flac",
    "aac": "aac",
}
_STREAMED = frozenset({"linear16", "mulaw", "alaw"})
_encode = msgspec.json.Encoder().encode


class SpeakRequest(msgspec.Struct, frozen=True):
    text: str


class SpeakMessage(msgspec.Struct, frozen=True):
    """A text frame of the client; unknown types are passed over."""

    type: str
    text: str = ""


_request = msgspec.json.Decoder(SpeakRequest)
_message = msgspec.json.Decoder(SpeakMessage)


@dataclass(frozen=True, slots=True)
class SpeakOptions:
    encoding: Encoding = "mp3"
    rate: int = 24_000
    speed: float = 1.0

    def stream(self) -> SpeechStream:
        return SpeechStream(self.encoding, rate=self.rate, speed=self.speed)


def speak_options(query: Query, *, is_streamed: bool) -> SpeakOptions:
    """Raises ClientError that names the parameter."""
    name = (query.get("encoding") or ["linear16" if is_streamed else "mp3"])[-1]
    known = sorted(_STREAMED if is_streamed else _ENCODINGS)
    if name not in known:
        reason = f"encoding may be {', '.join(known)} here"
        raise ClientError(ClientFault.BAD_MESSAGE, reason, param="encoding")
    usual = 8000 if name in ("mulaw", "alaw") else 24_000
    rate = int(number_between(query, "sample_rate", LEAST_RATE, 48_000) or usual)
    container = (query.get("container") or ["none" if is_streamed or name != "linear16" else "wav"])[-1]
    encoding = "wav" if (name, container) == ("linear16", "wav") else _ENCODINGS[name]
    assert encoding in get_args(Encoding)
    return SpeakOptions(encoding, rate, number_between(query, "speed", 0.25, 4.0) or 1.0)


@post("/v1/speak", opt=requires(Scope.SPEAK))
async def speak(request: Request[Principal, Any, Any], state: State) -> LateStartResponse:
    """The text as speech, sent while it is spoken. Any `model` is taken."""
    options = speak_options(query_of(request), is_streamed=False)
    try:
        text = decode_json(await small_body_of(request) or b"{}", _request).text
    except msgspec.DecodeError as error:
        raise ClientError(ClientFault.BAD_MESSAGE, f"the body cannot be used: {error}", param="text") from error
    if not text.strip() or len(text) > MAX_CHARACTERS:
        raise ClientError(ClientFault.BAD_MESSAGE, f"text must have 1 to {MAX_CHARACTERS} characters", param="text")
    pieces = _encoded(state.service, request.user, text, options)
    headers = {"dg-request-id": new_id(), "dg-char-count": str(len(text)), "dg-model-name": MODEL["name"]}
    return LateStartResponse(pieces, media_type=media_type(options.encoding, options.rate), headers=headers)


async def _encoded(
    service: Service, principal: Principal, text: str, options: SpeakOptions
) -> AsyncGenerator[bytes, None]:
    stream = options.stream()
    async with aclosing(spoken_text(service, principal.tenant, text)) as chunks:
        async for chunk in chunks:
            if piece := await to_thread.run_sync(stream.push, chunk.pcm):
                yield piece
    if rest := await to_thread.run_sync(stream.finish):
        yield rest


@websocket("/v1/speak", opt=requires(Scope.SPEAK))
async def speak_socket(socket: WebSocket[Any, Any, Any], state: State) -> None:
    """Speech of what the client sends in pieces, sentence by sentence and at each Flush."""
    request_id = new_id()
    connection = DeepgramConnection(socket, request_id=request_id)
    try:
        options = speak_options(query_of(socket), is_streamed=True)
    except ClientError as error:
        await refuse_handshake(socket, error)
        return
    speaker = StreamedSpeech(connection, state.service, socket.user, options)
    try:
        await connection.accept()
        await speaker.run()
    except ClientGone:
        return
    except Exception as error:  # noqa: BLE001 because one socket's defect must not reach the others unseen
        report_failure(request_id, error)
        await connection.close_with(error, None)
    finally:
        connection.give_up()


@dataclass(slots=True)
class StreamedSpeech:
    """One socket: a reader that keeps what is to be spoken, and one voice that speaks it in order."""

    connection: DeepgramConnection
    service: Service
    principal: Principal
    options: SpeakOptions
    _chunker: SentenceChunker = field(default_factory=SentenceChunker)
    _characters: int = 0
    """Since the last flush."""
    _flushes: int = 0
    _clears: int = 0
    _speaking: anyio.CancelScope | None = None

    async def run(self) -> None:
        """Until the client closes. Raises ClientGone."""
        await self._say("Metadata", model_name=MODEL["name"], model_version=MODEL["version"], model_uuid=MODEL_UUID)
        send, receive = anyio.create_memory_object_stream[str | None](MAX_WAITING)
        async with send, receive, anyio.create_task_group() as tasks:
            fault: list[Exception] = []

            async def speak_all() -> None:
                try:
                    async for piece in receive:
                        await self._speak(piece)
                    await self.connection.close_normally()
                except Exception as error:  # noqa: BLE001 because the task group would wrap it
                    fault.append(error)
                    self.connection.give_up()

            tasks.start_soon(speak_all)
            async with aclosing(self.connection.frames()) as frames:
                async for frame in frames:
                    if not await self._read(frame, send, receive):
                        break
            if self.connection.lost.is_set():
                tasks.cancel_scope.cancel()
            await send.aclose()
        if fault:
            raise fault[0]

    async def _read(self, frame: dict[str, Any], send: Any, receive: Any) -> bool:
        """Keep what this frame asks for; False: the client closes."""
        try:
            message = decode_json(frame.get("text") or "", _message)
        except msgspec.DecodeError:
            await self._say("Warning", code="DATA-0001", description="this message cannot be read")
            return True
        match message.type:
            case "Speak":
                self._characters += len(message.text)
                if self._characters > MAX_CHARACTERS:
                    reason = f"more than {MAX_CHARACTERS} characters since the last Flush; this text is not spoken"
                    await self._say("Warning", code="TEXT-TOO-LONG", description=reason)
                    return True
                self._chunker, pieces = self._chunker.push(message.text)
                for piece in pieces:
                    await send.send(piece)
            case "Flush":
                await self._flush(send)
            case "Clear":
                self._clear(receive)
                await self._say("Cleared", sequence_id=self._clears)
                self._clears += 1
            case "Close":
                await self._flush(send, is_acknowledged=False)
                return False
        return True

    async def _flush(self, send: Any, *, is_acknowledged: bool = True) -> None:
        for piece in self._chunker.finish():
            await send.send(piece)
        self._chunker, self._characters = SentenceChunker(), 0
        if is_acknowledged:
            await send.send(None)

    def _clear(self, receive: Any) -> None:
        """Forget what waits and what is being spoken; flushes that wait are answered no more."""
        self._chunker, self._characters = SentenceChunker(), 0
        with suppress(anyio.WouldBlock, anyio.EndOfStream):
            while True:
                receive.receive_nowait()
        if self._speaking is not None:
            self._speaking.cancel()

    async def _speak(self, piece: str | None) -> None:
        if piece is None:
            number, self._flushes = self._flushes, self._flushes + 1
            await self._say("Flushed", sequence_id=number)
            return
        try:
            with anyio.CancelScope() as self._speaking:
                stream = _encoded(self.service, self.principal, piece, self.options)
                async with aclosing(stream) as audio:
                    async for data in audio:
                        await self.connection.send(data, text=False)
        except ParleyError as error:
            reply = error_reply(error)
            await self._say("Warning", code=reply.code, description=reply.message)
        finally:
            self._speaking = None

    async def _say(self, kind: str, **fields: Any) -> None:
        message = {"type": kind, **fields}
        if kind == "Metadata":
            message["request_id"] = self.connection.request_id
        await self.connection.send(_encode(message))
