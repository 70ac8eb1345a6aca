"""OpenAI's Realtime protocol in transcription mode: 24 kHz PCM16 in base64 in, deltas and completed items out."""

import base64
import os
from collections import defaultdict
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import anyio
import numpy as np
import soxr
from websockets.asyncio.client import ClientConnection

from app.domain.audio import SAMPLE_RATE
from bench.protocols.connection import ServerEvent
from bench.protocols.sockets import await_type, messages, open_socket, send_json

RATE = 24_000
MODEL = "gpt-4o-mini-transcribe"
ITEM = "conversation.item.input_audio_transcription"


@dataclass(frozen=True, slots=True)
class OpenAiConnection:
    socket: ClientConnection
    resampler: soxr.ResampleStream

    async def send(self, pcm: bytes) -> None:
        await self._append(self.resampler.resample_chunk(np.frombuffer(pcm, "<i2")))

    async def finish(self) -> None:
        await self._append(self.resampler.resample_chunk(np.zeros(0, np.int16), last=True))

    async def _append(self, audio: np.ndarray) -> None:
        if len(audio):
            encoded = base64.b64encode(audio.astype("<i2").tobytes()).decode()
            await send_json(self.socket, {"type": "input_audio_buffer.append", "audio": encoded})

    async def events(self) -> AsyncGenerator[ServerEvent, None]:
        so_far: defaultdict[str, str] = defaultdict(str)
        async for message in messages(self.socket):
            at, item = anyio.current_time(), str(message.get("item_id"))
            match message["type"]:
                case kind if kind == f"{ITEM}.delta":
                    so_far[item] += message["delta"]
                    yield ServerEvent(at, "draft", so_far[item], item)
                case kind if kind == f"{ITEM}.completed":
                    yield ServerEvent(at, "final", message["transcript"].strip(), item)


@asynccontextmanager
async def open_openai_realtime(
    url: str,
    *,
    reply: bool,  # noqa: ARG001 because it only transcribes
) -> AsyncGenerator[OpenAiConnection, None]:
    """The address is the whole one, such as ws://host:port/v1/realtime?intent=transcription."""
    key = os.environ.get("OPENAI_API_KEY", "none")
    async with open_socket(url, additional_headers={"Authorization": f"Bearer {key}"}) as socket:
        await await_type(socket, "session.created")
        audio_input = {
            "format": {"type": "audio/pcm", "rate": RATE},
            "transcription": {"model": MODEL, "language": "en"},
            "turn_detection": {"type": "server_vad", "silence_duration_ms": 500},
        }
        await send_json(
            socket, {"type": "session.update", "session": {"type": "transcription", "audio": {"input": audio_input}}}
        )
        await await_type(socket, "session.updated")
        yield OpenAiConnection(socket, soxr.ResampleStream(SAMPLE_RATE, RATE, 1, dtype="int16"))
