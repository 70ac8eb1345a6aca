"""One connection of a Wyoming client: any number of requests, one after the other."""

from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from typing import Any

import anyio
from anyio.abc import ByteStream, TaskGroup
from anyio.streams.buffered import BufferedByteReceiveStream

from app.domain.audio import SAMPLE_RATE
from app.domain.dialog.conversation import Message, Role
from app.domain.dialog.sentences import SentenceChunker
from app.domain.errors import ClientError, ClientFault, ParleyError, ProviderDown
from app.domain.key_terms import key_terms_in
from app.domain.language import allowed_languages, parse_languages
from app.domain.principal import Principal
from app.media.resampling import Resampler
from app.runtime.authentication import Peer
from app.runtime.ids import new_id
from app.runtime.service import Service
from app.runtime.spoken_text import spoken_text
from app.web.errors import error_reply
from app.web.served_session import SessionOrigin, begin_session, closed_on_error
from app.wyoming.dictation import Dictation
from app.wyoming.frames import WyomingEvent, encoded, read_event
from app.wyoming.program_info import program_info

IDLE_TIMEOUT_S = 300.0
TRANSCRIPT_TIMEOUT_S = 30.0
"""From the end of the audio to its last final."""
_AUDIO = {"rate": SAMPLE_RATE, "width": 2, "channels": 1}
_RATES = range(8000, 96_001)


@dataclass(slots=True)
class WyomingConnection:
    service: Service
    stream: ByteStream
    principal: Principal
    peer: Peer
    _language: str | None = None
    """Of the next audio, as `transcribe` names it."""
    _terms: tuple[str, ...] = ()
    _dictation: Dictation | None = None
    _resampler: Resampler = field(default_factory=Resampler)
    _rate: int = SAMPLE_RATE
    _chunker: SentenceChunker | None = None
    """While a text comes in pieces."""

    async def serve(self) -> None:
        """Answer its events until it leaves, or is silent for too long."""
        reader = BufferedByteReceiveStream(self.stream)
        ends = (anyio.IncompleteRead, anyio.EndOfStream, anyio.BrokenResourceError, anyio.DelimiterNotFound)
        async with anyio.create_task_group() as tasks:
            with suppress(*ends, TimeoutError):
                while (event := await self._next(reader)) is not None:
                    await self._answer_or_complain(event, tasks)
            if self._dictation is not None:
                self._dictation.leave()

    async def _next(self, reader: BufferedByteReceiveStream) -> WyomingEvent | None:
        """None behind bytes that are no event: where the next one would begin is not known. Raises what ends it."""
        try:
            with anyio.fail_after(IDLE_TIMEOUT_S):
                return await read_event(reader)
        except ClientError as error:
            await self._complain(error)
            return None

    async def _answer_or_complain(self, event: WyomingEvent, tasks: TaskGroup) -> None:
        try:
            await self._answer(event, tasks)
        except ParleyError as error:
            await self._complain(error)

    async def _complain(self, error: Exception) -> None:
        reply = error_reply(error)
        await self._send("error", text=reply.message, code=reply.code)

    async def _answer(self, event: WyomingEvent, tasks: TaskGroup) -> None:
        """Events that nobody knows are passed over, as the protocol wants."""
        match event.type:
            case "describe":
                await self._send("info", **self._info())
            case "ping":
                await self._send("pong", **({"text": event.text("text")} if event.text("text") else {}))
            case "transcribe":
                self._language = parse_languages([event.text("language")]) or None
                self._terms = key_terms_in(
                    "\n".join([*event.texts("transcript_names"), *event.texts("transcript_terms")])
                )
            case "audio-start":
                await self._begin(event, tasks)
            case "audio-chunk":
                if self._dictation is not None:
                    pcm = event.payload[: len(event.payload) & ~1]
                    await self._dictation.push(self._resampler.push(pcm, self._rate))
            case "audio-stop":
                await self._finish()
            case "synthesize":
                if self._chunker is None:  # within a stream the whole text comes once more, for older servers
                    await self._speak(event.text("text"))
            case "synthesize-start":
                self._chunker = SentenceChunker()
            case "synthesize-chunk":
                if self._chunker is not None:
                    self._chunker, pieces = self._chunker.push(event.text("text"))
                    for piece in pieces:
                        await self._speak(piece)
            case "synthesize-stop":
                await self._finish_speech()
            case "transcript":
                await self._handle(event.text("text"))
            case _:
                pass

    def _info(self) -> dict[str, Any]:
        spoken = allowed_languages(self.service.initial_state.rules.language) or ("en",)
        chat = self.service.chat
        return program_info(languages=spoken, speaks=True, replies=chat is not None)

    # -- speech to text --------------------------------------------------------

    async def _begin(self, event: WyomingEvent, tasks: TaskGroup) -> None:
        rate, width, channels = (event.data.get(name) for name in ("rate", "width", "channels"))
        if not isinstance(rate, int) or rate not in _RATES or (width, channels) != (2, 1):
            raise ClientError(ClientFault.BAD_AUDIO, "the audio must be 16 bits, mono, 8000 to 96000 Hz")
        if self._dictation is not None:
            self._dictation.leave()
        self._rate, self._resampler = rate, Resampler()
        texts: list[str] = []
        self._dictation = Dictation(self._language, self._terms, texts.append)
        tasks.start_soon(self._run, self._dictation)
        await self._send("transcript-start", **({"language": self._language} if self._language else {}))

    async def _run(self, dictation: Dictation) -> None:
        session = new_id()
        origin = SessionOrigin(self.principal, self.peer, "wyoming")
        try:
            async with closed_on_error(self.service, session, dictation):
                with begin_session(self.service, session, origin) as served:
                    await served.run(dictation)
        finally:
            dictation.close()

    async def _finish(self) -> None:
        """The transcript of the audio, which is told in pieces first."""
        dictation, self._dictation = self._dictation, None
        if dictation is None:
            return
        try:
            await dictation.push(self._resampler.flush())
            await dictation.stop()
            with anyio.move_on_after(TRANSCRIPT_TIMEOUT_S):
                await dictation.is_done.wait()
            if dictation.error is not None:
                await self._complain(dictation.error)
                return
            if not dictation.is_done.is_set():
                raise ProviderDown("finals", "gave no transcript in time")
        finally:
            dictation.leave()
        for number, text in enumerate(dictation.texts):
            await self._send("transcript-chunk", text=f"{' ' if number else ''}{text.strip()}")
        await self._send("transcript", text=dictation.text, **({"language": self._language} if self._language else {}))
        await self._send("transcript-stop")

    # -- text to speech --------------------------------------------------------

    async def _speak(self, text: str) -> None:
        """One cycle of audio."""
        if not any(map(str.isalnum, text)):
            return
        await self._send("audio-start", **_AUDIO)
        async with aclosing(spoken_text(self.service, self.principal.tenant, text)) as chunks:
            async for chunk in chunks:
                await self.stream.send(encoded(WyomingEvent("audio-chunk", _AUDIO, chunk.pcm)))
        await self._send("audio-stop")

    async def _finish_speech(self) -> None:
        chunker, self._chunker = self._chunker, None
        try:
            for piece in chunker.finish() if chunker else ():
                await self._speak(piece)
        except ParleyError as error:
            await self._complain(error)
        finally:
            await self._send("synthesize-stopped")  # without which Home Assistant waits for ever

    # -- conversation ----------------------------------------------------------

    async def _handle(self, text: str) -> None:
        chat = self.service.chat
        if chat is None or not text.strip():
            await self._send("not-handled", text="")
            return
        kept = await chat.complete((Message(Role.USER, text),), self.principal.tenant).finished()
        await self._send("handled", text=kept.reply.text)

    async def _send(self, kind: str, **data: Any) -> None:
        await self.stream.send(encoded(WyomingEvent(kind, data)))
