"""The three sequences of Home Assistant with the `wyoming` library: host, port."""

import asyncio
import json
import sys

from wyoming.asr import Transcribe, Transcript
from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.client import AsyncTcpClient
from wyoming.event import Event
from wyoming.info import Describe, Info
from wyoming.ping import Ping, Pong
from wyoming.tts import Synthesize, SynthesizeChunk, SynthesizeStart, SynthesizeStop

host, port = sys.argv[1], int(sys.argv[2])
SPEECH, SILENCE = b"\1\0" * 480, bytes(960)
FORMAT = {"rate": 16000, "width": 2, "channels": 1}


async def info():
    async with AsyncTcpClient(host, port) as client:
        await client.write_event(Describe().event())
        found = Info.from_event(await client.read_event())
        await client.write_event(Event("something-new", {"x": 1}))
        await client.write_event(Ping(text="are you there").event())
        pong = Pong.from_event(await client.read_event())
    return {
        "asr": found.asr[0].name,
        "languages": found.asr[0].models[0].languages,
        "tts": found.tts[0].name,
        "handle": [each.name for each in found.handle],
        "pong": pong.text,
    }


async def transcribe(client):
    await client.write_event(Transcribe(language="en").event())
    await client.write_event(AudioStart(timestamp=0, **FORMAT).event())
    for _ in range(2):
        for piece in [SPEECH] * 30 + [SILENCE] * 60:
            await client.write_event(AudioChunk(audio=piece, **FORMAT).event())
    await client.write_event(AudioStop(timestamp=0).event())
    events = []
    while not events or events[-1]["type"] != "transcript-stop":
        event = await client.read_event()
        events.append({"type": event.type, **event.data})
    return events


async def speech(client, *requests, last):
    for request in requests:
        await client.write_event(request.event())
    events = []
    while not events or events[-1]["type"] != last:
        event = await client.read_event()
        events.append({"type": event.type, "bytes": len(event.payload or b"")})
    return events


async def main():
    result = {"info": await info()}
    async with AsyncTcpClient(host, port) as client:
        result["transcripts"] = [await transcribe(client), await transcribe(client)]
    async with AsyncTcpClient(host, port) as client:
        result["speech"] = await speech(client, Synthesize(text="One. Two."), last="audio-stop")
        result["streamed"] = await speech(
            client,
            SynthesizeStart(),
            SynthesizeChunk(text="One. Tw"),
            SynthesizeChunk(text="o."),
            Synthesize(text="One. Two."),
            SynthesizeStop(),
            last="synthesize-stopped",
        )
    async with AsyncTcpClient(host, port) as client:
        await client.write_event(Transcript(text="Will it rain?", context={"conversation_id": "1"}).event())
        event = await client.read_event()
        result["handled"] = {"type": event.type, **event.data}
    json.dump(result, sys.stdout)


asyncio.run(main())
