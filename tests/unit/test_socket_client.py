"""What a client's frames become for the session."""

import json
from collections import deque

import pytest

from app.domain.audio import AudioChunk
from app.domain.dialog import events as ev
from app.web.parley.connection import Connection
from app.web.parley.packets import pack
from app.web.parley.socket_client import SocketClient

pytestmark = pytest.mark.anyio
TONE = b"\1\0" * 4800


class ScriptedSocket:
    """Receives its frames, then the end of the connection."""

    def __init__(self, *frames: bytes | str) -> None:
        self.frames = deque(frames)

    async def receive(self) -> dict[str, object]:
        if not self.frames:
            return {"type": "websocket.disconnect", "code": 1000}
        frame = self.frames.popleft()
        return {"type": "websocket.receive", "bytes" if isinstance(frame, bytes) else "text": frame}


async def test_end_comes_behind_every_sample_sent_before_it():
    """The resampler hands over what its filter holds, and goes on with the next packet."""
    packet, end = pack(json.dumps({"sampleRate": 48_000}).encode(), TONE), json.dumps({"type": "end"})
    client = SocketClient(Connection(ScriptedSocket(packet, end, packet, end)))

    items = [item async for item in client.incoming()]

    first, second = [n for n, item in enumerate(items) if item == ev.ClientEnded()]
    samples = [
        sum(item.samples for item in part if isinstance(item, AudioChunk))
        for part in (items[:first], items[first:second], items[second:])
    ]
    assert samples == [1600, 1600, 0]
