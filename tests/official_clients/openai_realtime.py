"""Realtime sessions with the `openai` package: base URL, key, scenario. Prints the events that the client parsed."""

import asyncio
import base64
import json
import sys

from openai import AsyncOpenAI

url, key, scenario = sys.argv[1:]
client = AsyncOpenAI(base_url=url, api_key=key, max_retries=0)
SPEECH = base64.b64encode(b"\0\x10" * 2400).decode()
SILENCE = base64.b64encode(b"\0\0" * 2400).decode()
"""100 ms each."""
seen = []


class Talk:
    """One connection, and what came over it."""

    def __init__(self, connection):
        self.connection = connection

    async def until(self, *kinds):
        """Read to the next event of one of these types."""
        async with asyncio.timeout(20):
            async for event in self.connection:
                seen.append({"class": type(event).__name__, **event.to_dict()})
                if event.type in kinds:
                    return

    async def say(self, speech, silence):
        """So many times 100 ms of each."""
        for piece in [SPEECH] * speech + [SILENCE] * silence:
            await self.connection.input_audio_buffer.append(audio=piece)

    async def configure(self, **session):
        await self.connection.session.update(session=session)
        await self.until("session.updated")


async def transcription():
    async with client.realtime.connect(extra_query={"intent": "transcription"}) as connection:
        talk = Talk(connection)
        await talk.until("session.created")
        await talk.configure(type="transcription", audio={"input": {"transcription": {"model": "gpt-transcribe"}}})
        await talk.say(6, 15)
        await talk.until("conversation.item.input_audio_transcription.completed")
        detection = {"transcription": {"model": "gpt-transcribe"}, "turn_detection": None}
        await talk.configure(type="transcription", audio={"input": detection})
        await talk.say(6, 2)
        await connection.input_audio_buffer.commit()
        await talk.until("conversation.item.input_audio_transcription.completed")


async def conversation():
    async with client.realtime.connect(model="gpt-realtime") as connection:
        talk = Talk(connection)
        await talk.until("session.created")
        detection = {"type": "server_vad", "silence_duration_ms": 300}
        audio = {"input": {"transcription": {"model": "whisper-1"}, "turn_detection": detection}}
        await talk.configure(type="realtime", instructions="Be brief.", audio=audio)
        await talk.say(6, 8)
        await talk.until("response.output_audio.delta")
        await talk.say(12, 0)  # over the reply
        await talk.until("response.done")
        await talk.until("input_audio_buffer.speech_started")


async def manual():
    async with client.realtime.connect(model="gpt-realtime") as connection:
        talk = Talk(connection)
        await talk.until("session.created")
        audio = {"input": {"transcription": {"model": "whisper-1"}, "turn_detection": None}}
        await talk.configure(type="realtime", audio=audio)
        await talk.say(6, 0)
        await connection.input_audio_buffer.commit()
        await connection.response.create(response={"metadata": {"topic": "first"}})
        await talk.until("response.done")
        done = seen[-1]["response"]["output"][0]["id"]
        await connection.conversation.item.truncate(item_id=done, content_index=0, audio_end_ms=50)
        await talk.until("conversation.item.truncated")
        item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "and in text"}]}
        await connection.conversation.item.create(item=item)
        await talk.until("conversation.item.done")
        await connection.response.create(response={"output_modalities": ["text"], "instructions": "Sing."})
        await talk.until("response.done")
        await connection.response.cancel()
        await talk.until("error")
        await connection.input_audio_buffer.commit()
        await talk.until("error")


async def functions():
    async with client.realtime.connect(model="gpt-realtime") as connection:
        talk = Talk(connection)
        await talk.until("session.created")
        dial = {"type": "function", "name": "dial", "description": "Dials.", "parameters": {"type": "object"}}
        audio = {"input": {"turn_detection": None}}
        await talk.configure(type="realtime", output_modalities=["text"], tools=[dial], audio=audio)
        item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "call Bob"}]}
        await connection.conversation.item.create(item=item)
        await connection.response.create()
        await talk.until("response.done")
        call_id = seen[-1]["response"]["output"][0]["call_id"]
        output = {"type": "function_call_output", "call_id": call_id, "output": "Bob is there"}
        await connection.conversation.item.create(item=output)
        await connection.response.create()
        await talk.until("response.done")
        question = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Which kind?"}]}
        await connection.response.create(
            response={"conversation": "none", "input": [question], "tool_choice": "none", "metadata": {"kind": "x"}}
        )
        await talk.until("response.done")


async def secret():
    made = await client.realtime.client_secrets.create(
        expires_after={"anchor": "created_at", "seconds": 60},
        session={"type": "realtime", "model": "gpt-realtime", "instructions": "Be brief."},
    )
    seen.append(made.to_dict())
    async with AsyncOpenAI(base_url=url, api_key=made.value).realtime.connect(model="gpt-realtime") as connection:
        await Talk(connection).until("session.created")


SCENARIOS = (transcription, conversation, manual, functions, secret)
asyncio.run({each.__name__: each for each in SCENARIOS}[scenario]())
sys.stdout.write(json.dumps(seen))
