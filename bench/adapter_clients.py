"""Bare clients of each adapter, for `bench/adapters.py`: what they send first, how they frame audio, what an event is.

They do as little as possible, so that what is measured is the server's.
"""

import base64
import struct
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

import msgspec
import numpy as np

from app.media.g711 import encode_g711
from app.web.twilio.call_tokens import CallTokens

Event: TypeAlias = Literal["draft", "stable draft", "final", "audio"]
Frame: TypeAlias = str | bytes
TWILIO_TOKEN = "an-auth-token"
RATE = 16_000


@dataclass(frozen=True, slots=True)
class SocketClient:
    """One protocol over a WebSocket."""

    path: str
    rate: int
    """Of the audio it sends, in Hz."""
    opening: Callable[[], Sequence[Frame]]
    """Messages before the audio."""
    frame: Callable[[bytes], Frame]
    """A message of audio, of PCM16 at that rate."""
    event_of: Callable[[Mapping[str, Any]], Event | None]
    """What a message in JSON means."""
    binary: Event | None = None
    """What a binary message is."""
    expects: tuple[Event, ...] = ("draft", "final")
    ending: Frame | None = None
    """Ends the audio behind the speech; without it silence follows."""


def parley(rate: int) -> SocketClient:
    """The reference."""
    head = msgspec.json.encode({"sampleRate": rate})

    def event_of(message: Mapping[str, Any]) -> Event | None:
        match message["type"]:
            case "realtime":
                return "stable draft" if message["stable"] else "draft"
            case "fullSentence":
                return "final"
            case _:
                return None

    return SocketClient(
        "/ws/transcribe",
        rate,
        tuple,
        lambda pcm: struct.pack("<i", len(head)) + head + pcm,
        event_of,
        "audio",
        ("draft", "stable draft", "final", "audio"),
    )


def parley_ended() -> SocketClient:
    """The reference of clients that say themselves where the speech ends."""
    return replace(parley(RATE), expects=("final",), ending=_json({"type": "end"}))


def realtime(rate: int) -> SocketClient:
    audio = {"format": {"type": "audio/pcm", "rate": rate}, "transcription": {"model": "whisper-1"}}
    update = {"type": "session.update", "session": {"type": "realtime", "audio": {"input": audio}}}

    def event_of(message: Mapping[str, Any]) -> Event | None:
        match message["type"]:
            case "conversation.item.input_audio_transcription.delta":
                return "stable draft"  # words that are taken back are never sent
            case "conversation.item.input_audio_transcription.completed":
                return "final"
            case "response.output_audio.delta":
                return "audio"
            case _:
                return None

    return SocketClient(
        "/v1/realtime?model=gpt-realtime",
        rate,
        lambda: [_json(update)],
        lambda pcm: _json({"type": "input_audio_buffer.append", "audio": base64.b64encode(pcm).decode()}),
        event_of,
        expects=("stable draft", "final", "audio"),
    )


def deepgram() -> SocketClient:
    def event_of(message: Mapping[str, Any]) -> Event | None:
        if message["type"] != "Results" or not message["channel"]["alternatives"][0]["transcript"]:
            return None
        return "final" if message["is_final"] else "draft"

    path = f"/v1/listen?encoding=linear16&sample_rate={RATE}&interim_results=true"
    return SocketClient(path, RATE, tuple, lambda pcm: pcm, event_of)


def flux() -> SocketClient:
    def event_of(message: Mapping[str, Any]) -> Event | None:
        return "draft" if message.get("event") == "StartOfTurn" else None

    path = f"/v2/listen?model=flux-general-en&encoding=linear16&sample_rate={RATE}"
    return SocketClient(path, RATE, tuple, lambda pcm: pcm, event_of, expects=("draft",))


def whisperlive() -> SocketClient:
    options = {"uid": "bench", "language": "en", "task": "transcribe", "model": "small", "use_vad": True}

    def event_of(message: Mapping[str, Any]) -> Event | None:
        if not message.get("segments"):
            return None
        return "final" if message["segments"][-1]["completed"] else "draft"

    def frame(pcm: bytes) -> bytes:
        return (np.frombuffer(pcm, "<i2").astype("<f4") / 32768).tobytes()

    return SocketClient("/", RATE, lambda: [_json(options)], frame, event_of)


def packets() -> SocketClient:
    """RealtimeSTT's browser example, at the address of earlier servers."""
    return replace(parley(RATE), path="/")


def twilio() -> SocketClient:
    def opening() -> Sequence[Frame]:
        call = f"CA{uuid.uuid4().hex}"
        start = {
            "streamSid": f"MZ{uuid.uuid4().hex}",
            "callSid": call,
            "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
            "customParameters": {"token": CallTokens(TWILIO_TOKEN).issue(call)},
        }
        return [_json({"event": "connected"}), _json({"event": "start", "start": start})]

    def frame(pcm: bytes) -> str:
        payload = base64.b64encode(encode_g711(pcm, "ulaw")).decode()
        return _json({"event": "media", "media": {"payload": payload}})

    return SocketClient(
        "/twilio/stream",
        8000,
        opening,
        frame,
        lambda message: "audio" if message["event"] == "media" else None,
        expects=("audio",),
    )


CLIENTS: Mapping[str, SocketClient] = {
    "OpenAI Realtime, 24 kHz": realtime(24_000),
    "OpenAI Realtime, 16 kHz": realtime(16_000),
    "Deepgram": deepgram(),
    "Flux": flux(),
    "WhisperLive": whisperlive(),
    "RealtimeSTT packets": packets(),
    "Twilio": twilio(),
}


def _json(message: object) -> str:
    return msgspec.json.encode(message).decode()
