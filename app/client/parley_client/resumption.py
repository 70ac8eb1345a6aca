"""A client's side of a session that can be resumed: what it keeps of its input, and how it comes back."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import websockets
from websockets.asyncio.client import ClientConnection

from parley_client.errors import SessionError
from parley_client.packets import BYTES_PER_SAMPLE, encode, packet

MAX_KEPT_S = 30.0
"""Seconds of audio that the server has not confirmed; beyond it the sender waits."""
FIRST_RETRY_S, LONGEST_RETRY_S = 0.1, 2.0
CONFIRM_EVERY = 8
"""Messages of the server between two confirmations."""
SILENCE_S = 5.0
"""A server that has confirmed nothing of what was sent for so long, and sent nothing else, is not there any more."""

LEFT = frozenset({1000, 1001, 1008, 1009, 1011, 1012, 1013})
"""Close codes that end the session; any other means that the connection was lost."""


@dataclass(frozen=True, slots=True)
class KeptFrame:
    frame: str | bytes
    samples: int
    """The client's audio up to its end."""
    messages: int
    """The client's messages up to its end."""
    seconds: float = 0.0


@dataclass(slots=True)
class SentInput:
    """Packets and messages that were sent, until the server confirms them."""

    samples: int = 0
    messages: int = 0
    is_kept: bool = True
    """False where the server confirms nothing, because the session cannot be resumed."""
    kept: deque[KeptFrame] = field(default_factory=deque)

    @property
    def kept_s(self) -> float:
        """Seconds of audio."""
        return sum(frame.seconds for frame in self.kept)

    def packet(self, pcm: bytes, rate: int) -> bytes:
        """A packet with its position, which is kept."""
        frame = packet({"sampleRate": rate, "start": self.samples}, pcm)
        samples = len(pcm) // BYTES_PER_SAMPLE
        self.samples += samples
        self._keep(KeptFrame(frame, self.samples, self.messages, samples / rate))
        return frame

    def message(self, message: dict[str, Any]) -> str:
        """A message with its number, which is kept."""
        self.messages += 1
        frame = encode({**message, "seq": self.messages})
        self._keep(KeptFrame(frame, self.samples, self.messages))
        return frame

    def keep_nothing(self) -> None:
        """The session cannot be resumed."""
        self.is_kept = False
        self.kept.clear()

    def _keep(self, frame: KeptFrame) -> None:
        if self.is_kept:
            self.kept.append(frame)

    def confirm(self, samples: int, messages: int) -> None:
        """The server has so much of the audio, and the messages up to this number."""
        while self.kept and self.kept[0].samples <= samples and self.kept[0].messages <= messages:
            self.kept.popleft()


@dataclass(slots=True)
class Resumption:
    """What a client needs to come back to its session."""

    connect: Callable[[str], Awaitable[ClientConnection]]
    """To the session with this id. Raises a SessionError."""
    sent: SentInput = field(default_factory=SentInput)
    session: str = ""
    token: str = ""
    seconds: float = 0.0
    """How long the session waits; 0: it cannot be resumed."""
    received: int = 0
    """Number of the newest message of the server."""
    silence_s: float = SILENCE_S
    """Also how long one attempt to come back may take."""
    returns: int = 0
    """How often it has come back."""
    _confirmed: int = 0

    def is_new(self, message: dict[str, Any]) -> bool:
        """Take note of a message of the server: False where it came before."""
        match message:
            case {"type": "session", "id": session, "resume": offer}:
                self.session, self.token, self.seconds = session, offer["token"], offer["seconds"]
                self.sent.confirm(offer["samples"], offer["messages"])
            case {"type": "session"}:
                self.sent.keep_nothing()
            case {"type": "received"}:
                self.sent.confirm(message["samples"], message["messages"])
            case {"seq": number}:
                if number <= self.received:
                    return False
                self.received = number
            case _:
                pass
        return True

    def confirmation(self) -> str | None:
        """The message that confirms what was received, where it is due."""
        if self.received < self._confirmed + CONFIRM_EVERY:
            return None
        self._confirmed = self.received
        return encode({"type": "received", "message": self.received})

    async def come_back(self) -> tuple[ClientConnection, str | bytes] | None:
        """Another connection and its first message; None where the session waits no longer."""
        retry_s, loop = FIRST_RETRY_S, asyncio.get_running_loop()
        until = loop.time() + self.seconds
        while self.session and (left_s := until - loop.time()) > 0:
            try:
                async with asyncio.timeout(min(self.silence_s, left_s)):
                    answered = await self._attempt()
            except (SessionError, TimeoutError, websockets.ConnectionClosed):
                await asyncio.sleep(min(retry_s, left_s))
                retry_s = min(2 * retry_s, LONGEST_RETRY_S)
            else:
                self.returns += 1
                return answered
        return None

    async def _attempt(self) -> tuple[ClientConnection, str | bytes]:
        socket = await self.connect(self.session)
        try:
            await socket.send(encode({"type": "resume", "token": self.token, "received": self.received}))
            return socket, await socket.recv()
        except BaseException:  # because nobody else closes this socket
            socket.transport.abort()  # a closing handshake would wait for a peer that may be silent
            raise
