"""One StartStreamTranscription request in the Transcribe emulator, from its headers to its last frame."""

import asyncio
import json
from collections.abc import Callable, Sequence
from math import ceil
from uuid import uuid4

from tests.emulators.event_stream import BadFrame, Frame, Frames
from tests.emulators.http2_server import Http2Stream
from tests.emulators.sigv4 import Chain, Signed
from tests.emulators.transcribe_script import (
    BadChecksum,
    BadPayload,
    ExceptionEvent,
    GoAway,
    HttpError,
    NoAnswer,
    Script,
    Stall,
    StreamReset,
    TcpReset,
)
from tests.emulators.transcribe_words import Json, Recogniser

_PREFIX = "x-amzn-transcribe-"
_MAX_EVENT_BYTES = 32 * 1024


class _Refused(Exception):
    """Ends the stream with an exception frame."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class TranscribeStream:
    """What the client sent, and the answers to it."""

    def __init__(
        self,
        http: Http2Stream,
        script: Script,
        accounts: dict[str, str],
        recogniser: Callable[[Script, int, str], Recogniser],
    ) -> None:
        self.headers = http.headers
        self.pcm = bytearray()
        self.events = 0
        self.was_ended = False
        """Whether the client has ended its audio."""
        self.is_open = True
        self._http = http
        self._script = script
        self._accounts = accounts
        self._make_recogniser = recogniser
        self._rate = 16_000

    @property
    def option(self) -> dict[str, str]:
        """What the client asked for, by the names of the service's own headers."""
        return {k.removeprefix(_PREFIX): v for k, v in self.headers.items() if k.startswith(_PREFIX)}

    @property
    def billed_seconds(self) -> int:
        """Whole seconds of audio and fifteen at least; a stream without audio costs nothing."""
        return max(15, ceil(len(self.pcm) / 2 / self._rate)) if self.pcm else 0

    async def run(self) -> None:
        try:
            await self._run()
        finally:
            self.is_open = False

    async def _run(self) -> None:
        if isinstance(self._script.fault, NoAnswer):
            await self._stay_silent()
        await asyncio.sleep(self._script.answer_after_s)
        refusal, chain = self._admit()
        if refusal is not None or chain is None:
            await self._refuse(refusal or HttpError(403, "UnrecognizedClientException"))
            return
        echoed = [(k, v) for k, v in self.headers.items() if k.startswith(_PREFIX)]
        await self._http.respond(
            [
                (":status", "200"),
                ("content-type", "application/vnd.amazon.eventstream"),
                ("x-amzn-request-id", str(uuid4())),
                (f"{_PREFIX}session-id", str(uuid4())),
                *echoed,
            ]
        )
        try:
            await self._receive_audio(chain)
        except _Refused as refused:
            await self._send_exception(refused.code, str(refused))
            await self._http.end()

    def _admit(self) -> tuple[HttpError | None, Chain | None]:
        if isinstance(self._script.fault, HttpError):
            return self._script.fault, None
        path = self.headers[":path"].rstrip("?")
        if (self.headers[":method"], path) != ("POST", "/stream-transcription"):
            return HttpError(404, "UnknownOperationException"), None
        try:
            signed = Signed.parse(self.headers.get("authorization", ""))
        except ValueError as malformed:
            return HttpError(403, "IncompleteSignatureException", str(malformed)), None
        secret = self._accounts.get(signed.access_key)
        if secret is None:
            message = "The security token included in the request is invalid."
            return HttpError(403, "UnrecognizedClientException", message), None
        if not signed.matches(self.headers, method="POST", path=path, secret=secret):
            message = "The request signature we calculated does not match the signature you provided."
            return HttpError(403, "InvalidSignatureException", message), None
        self._rate = int(self.option.get("sample-rate", "0"))
        if "language-code" not in self.option or not 8_000 <= self._rate <= 48_000:
            return HttpError(400, "BadRequestException", "1 validation error detected"), None
        return None, Chain(signed, secret)

    async def _refuse(self, error: HttpError) -> None:
        body = json.dumps({"Message": error.message}).encode()
        await self._http.respond(
            [
                (":status", str(error.status)),
                ("content-type", "application/json"),
                ("x-amzn-errortype", f"{error.code}:"),
                ("x-amzn-request-id", str(uuid4())),
                ("content-length", str(len(body))),
            ]
        )
        await self._http.send(body)
        await self._http.end()

    async def _receive_audio(self, chain: Chain) -> None:
        recogniser = self._make_recogniser(self._script, self._rate, self.option["language-code"])
        frames = Frames()
        while not self.was_ended:
            try:
                async with asyncio.timeout(self._script.silence_limit_s):
                    data = await self._http.receive()
            except TimeoutError:
                message = "Your request timed out because no new audio was received for 15 seconds."
                raise _Refused("BadRequestException", message) from None
            if data is None:
                message = "A complete signal was sent without the preceding empty frame."
                raise _Refused("BadRequestException", message)
            for frame in self._unwrap(frames, data, chain):
                if not await self._accept_audio(frame, recogniser):
                    return
        await self._send_results(await recogniser.finish())
        await self._http.end()

    def _unwrap(self, frames: Frames, data: bytes, chain: Chain) -> list[bytes]:
        """The audio in these frames; an empty piece is the client's last."""
        try:
            signed = list(frames.feed(data))
            if not all(map(chain.accepts, signed)):
                raise _Refused("BadRequestException", "The signature of a frame does not match.")
            return [self._audio(frame) for frame in signed]
        except BadFrame as bad:
            raise _Refused("SerializationException", str(bad)) from bad

    def _audio(self, signed: Frame) -> bytes:
        if not signed.payload:
            return b""
        (event,) = Frames().feed(signed.payload)
        if event.headers[":event-type"] != "AudioEvent":
            raise _Refused("BadRequestException", "Only audio events are understood.")
        if len(event.payload) > _MAX_EVENT_BYTES:
            raise _Refused("BadRequestException", "An audio event is larger than 32 KB.")
        return event.payload

    async def _accept_audio(self, pcm: bytes, recogniser: Recogniser) -> bool:
        """Answer one piece of audio; False where the script ends the stream here."""
        if not pcm:
            self.was_ended = True
            return True
        self.events += 1
        self.pcm += pcm
        received_ms = len(self.pcm) * 1000 // (2 * self._rate)
        match self._script.fault:
            case ExceptionEvent(after_ms, code, message) if received_ms >= after_ms:
                raise _Refused(code, message)
            case TcpReset(after_ms) if received_ms >= after_ms:
                self._http.abort()
                return False
            case StreamReset(after_ms) if received_ms >= after_ms:
                await self._http.reset()
                return False
            case GoAway(after_ms) if received_ms >= after_ms:
                await self._http.go_away()
                return False
            case Stall(after_ms) if received_ms >= after_ms:
                await self._stay_silent()
            case BadPayload(after_ms, payload) if received_ms >= after_ms:
                await self._send_event(payload)
                return True
        await self._send_results(await recogniser.push(pcm))
        return True

    async def _stay_silent(self) -> None:
        while True:
            await self._http.receive()  # until the client is gone

    async def _send_results(self, results: Sequence[Json]) -> None:
        for result in results:
            await asyncio.sleep(self._script.result_after_s)
            await self._send_event(json.dumps({"Transcript": {"Results": [result]}}).encode())

    async def _send_event(self, payload: bytes) -> None:
        await self._send_frame({":message-type": "event", ":event-type": "TranscriptEvent"}, payload)

    async def _send_exception(self, code: str, message: str) -> None:
        payload = json.dumps({"Message": message}).encode()
        await self._send_frame({":message-type": "exception", ":exception-type": code}, payload)

    async def _send_frame(self, headers: dict[str, str], payload: bytes) -> None:
        data = Frame({**headers, ":content-type": "application/json"}, payload).encode()
        if isinstance(self._script.fault, BadChecksum):
            data = data[:-1] + bytes([data[-1] ^ 0xFF])
        await self._http.send(data)
