"""Speech with the `openai` package: base URL, key."""

import base64
import json
import sys

import openai

url, key = sys.argv[1:]
client = openai.OpenAI(base_url=url, api_key=key, max_retries=0)


def speak(**options):
    options = {"model": "tts-1", "voice": "alloy", "input": "One. Two. Three.", **options}
    answer = client.audio.speech.create(**options)
    return [answer.response.headers["content-type"], base64.b64encode(answer.content).decode()]


def speech_events():
    with client.audio.speech.with_streaming_response.create(
        model="gpt-4o-mini-tts", voice="nova", input="One. Two.", response_format="pcm", stream_format="sse"
    ) as answer:
        lines = [line.removeprefix("data: ") for line in answer.iter_lines() if line.startswith("data: ")]
    return [json.loads(line) for line in lines if line != "[DONE]"]


def refusal(call):
    try:
        call()
    except openai.APIStatusError as error:
        return [error.status_code, error.code, error.param]
    return None


result = {
    "speech": {form: speak(response_format=form) for form in ("mp3", "opus", "aac", "flac", "wav", "pcm")},
    "default": speak()[0],
    "fast": speak(response_format="pcm", speed=2.0)[1],
    "voice by id": speak(voice={"id": "marin"}, response_format="pcm")[0],
    "events": speech_events(),
    "refused": {
        "long": refusal(lambda: speak(input="x" * 4097)),
        "empty": refusal(lambda: speak(input=" ")),
        "speed": refusal(lambda: speak(speed=9.0)),
        "format": refusal(lambda: speak(response_format="midi")),
    },
}
json.dump(result, sys.stdout)
