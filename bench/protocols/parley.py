"""Parley's own protocol, spoken by the same client as `parley talk`."""

import math
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import anyio
from parley_client import SessionError

from app.domain.errors import ProviderDown
from bench.protocols.connection import ServerEvent
from tests.streaming_client import ReceivedMessage, StreamingClient, open_session


@dataclass(frozen=True, slots=True)
class ParleyConnection:
    client: StreamingClient

    async def send(self, pcm: bytes) -> None:
        await self.client.send_audio(pcm, pace=0)
        if self.client.closed:
            raise anyio.BrokenResourceError

    async def finish(self) -> None:
        await self.client.send_message(type="end")

    async def events(self) -> AsyncGenerator[ServerEvent, None]:
        taken = 0

        def has_more(client: StreamingClient) -> bool:
            return len(client.received) > taken

        while await self.client.wait_until(has_more, timeout_s=math.inf):
            received = self.client.received[taken]
            taken += 1
            if (event := self._event(received)) is not None:
                yield event

    def _event(self, received: ReceivedMessage) -> ServerEvent | None:
        at, message = self.client.started_at + received.at_s, received.message
        utterance = str(message.get("utterance"))
        match message["type"]:
            case "realtime":
                return ServerEvent(at, "draft", message["text"], utterance)
            case "fullSentence":
                return ServerEvent(at, "final", message["text"], utterance, message.get("start"), message.get("end"))
            case "replyAudio":
                return ServerEvent(at, "reply")
            case _:
                return None


@asynccontextmanager
async def open_parley(url: str, *, reply: bool) -> AsyncGenerator[ParleyConnection, None]:
    """Raises ProviderDown if the server cannot be reached."""
    async with AsyncExitStack() as stack:
        try:
            client = await stack.enter_async_context(open_session(url))
        except SessionError as error:
            raise ProviderDown(url, str(error)) from error
        if not reply:
            await client.send_message(type="configure", reply=False)
        yield ParleyConnection(client)
