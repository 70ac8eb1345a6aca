"""Amazon Polly emulator: speech and voices over HTTP, with faults on demand."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, asynccontextmanager
from dataclasses import dataclass
from html import unescape
from types import TracebackType
from typing import Self, TypeAlias

from aiohttp import web

from tests.emulators.background import in_background
from tests.emulators.voice import mp3, speech

RATES = {"pcm": ("8000", "16000"), "mp3": ("8000", "16000", "22050", "24000")}
VOICES = {
    "Joanna": ("en-US", ("neural", "standard")),
    "Amy": ("en-GB", ("neural", "standard")),
    "Vicki": ("de-DE", ("neural", "standard")),
    "Lea": ("fr-FR", ("neural", "standard")),
    "Ivy": ("en-US", ("neural", "standard")),
    "Geraint": ("en-GB-WLS", ("standard",)),
}
_MOST_CHARACTERS = 3000
_MOST_MARKUP = 6000


@dataclass(frozen=True, slots=True)
class Error:
    """Answers with an error."""

    status: int
    code: str
    message: str = "as the script says"


@dataclass(frozen=True, slots=True)
class Cut:
    """Drops the connection in the middle of the audio."""

    after_bytes: int


@dataclass(frozen=True, slots=True)
class Hang:
    """Takes the request and never answers it."""


PollyFault: TypeAlias = Error | Cut | Hang


class PollyEmulator:
    """Listens on a free port and obeys `fault` from the next request on."""

    def __init__(self, *, fault: PollyFault | None = None) -> None:
        self.fault = fault
        self.requests: list[dict[str, str]] = []
        self.abandoned = 0
        """Answers whose client left before their end."""
        self.pause_s = 0.0
        """Between two pieces of audio of 4 KB."""
        self.port = 0
        self._running: AbstractContextManager[None] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        application = web.Application()
        application.add_routes([web.post("/v1/speech", self._speak), web.get("/v1/voices", self._voices)])
        runner = web.AppRunner(application, handler_cancellation=True, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.port = runner.addresses[0][1]
        try:
            yield
        finally:
            await runner.cleanup()

    def __enter__(self) -> Self:
        self._running = in_background(self.serving())
        self._running.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._running is not None
        self._running.__exit__(kind, error, trace)

    async def _voices(self, request: web.Request) -> web.Response:
        if isinstance(self.fault, Error):
            return _refusal(self.fault)
        engine = request.query.get("Engine", "neural")
        voices = [
            {"Id": name, "LanguageCode": language, "SupportedEngines": list(engines)}
            for name, (language, engines) in VOICES.items()
            if engine in engines
        ]
        return web.json_response({"Voices": voices})

    async def _speak(self, request: web.Request) -> web.StreamResponse:
        asked = await request.json()
        self.requests.append(asked)
        match self.fault:
            case Error() as error:
                return _refusal(error)
            case Hang():
                await asyncio.Event().wait()
        if error := _invalid(asked):
            return _refusal(error)
        text = _spoken(asked)
        rate = int(asked["SampleRate"])
        pcm = await asyncio.to_thread(speech, text, rate)
        audio = await asyncio.to_thread(mp3, pcm, rate) if asked["OutputFormat"] == "mp3" else pcm
        response = web.StreamResponse(
            headers={"Content-Type": f"audio/{asked['OutputFormat']}", "x-amzn-RequestCharacters": str(len(text))}
        )
        await response.prepare(request)
        try:
            await self._send(request, response, audio)
        except (ConnectionError, asyncio.CancelledError):
            self.abandoned += 1
        return response

    async def _send(self, request: web.Request, response: web.StreamResponse, audio: bytes) -> None:
        for at in range(0, len(audio), 4095):  # an odd length, because the network knows no samples
            if isinstance(self.fault, Cut) and at >= self.fault.after_bytes:
                assert request.transport is not None
                request.transport.abort()
                return
            await response.write(audio[at : at + 4095])
            await asyncio.sleep(self.pause_s)
        await response.write_eof()


def _spoken(asked: dict[str, str]) -> str:
    return unescape(re.sub(r"<[^>]*>", "", asked["Text"])) if asked.get("TextType") == "ssml" else asked["Text"]


def _invalid(asked: dict[str, str]) -> Error | None:
    _, engines = VOICES.get(asked["VoiceId"], ("", ()))
    if not engines:
        return Error(400, "ValidationException", "There is no such voice.")
    if asked.get("Engine", "standard") not in engines:
        return Error(400, "ValidationException", "This voice does not support the selected engine.")
    if asked.get("SampleRate") not in RATES.get(asked["OutputFormat"], ()):
        return Error(400, "InvalidSampleRateException", "The specified sample rate is not valid.")
    if len(_spoken(asked)) > _MOST_CHARACTERS or len(asked["Text"]) > _MOST_MARKUP:
        return Error(400, "TextLengthExceededException", "Maximum text length has been exceeded")
    if asked.get("TextType") == "ssml" and not re.fullmatch(
        r"<speak>(<prosody rate=\"\d+%\">)?([^<>&]|&(amp|lt|gt|quot|apos|#\d+);)*(</prosody>)?</speak>", asked["Text"]
    ):
        return Error(400, "InvalidSsmlException", "Invalid SSML request")
    return None


def _refusal(error: Error) -> web.Response:
    return web.Response(
        status=error.status,
        text=json.dumps({"message": error.message}),
        headers={"x-amzn-ErrorType": error.code, "Content-Type": "application/json"},
    )
