"""Transcriptions and models with the `openai` package: base URL, key, audio file."""

import json
import sys
from pathlib import Path

import openai

url, key, file = sys.argv[1:]
client = openai.OpenAI(base_url=url, api_key=key, max_retries=0)


def transcribe(**options):
    with Path(file).open("rb") as audio:
        return client.audio.transcriptions.create(file=audio, **{"model": "whisper-1", **options})


def events(**options):
    return [event.to_dict() for event in transcribe(stream=True, **options)]


def refusal(call):
    try:
        call()
    except openai.APIStatusError as error:
        return [type(error).__name__, error.status_code, error.code, error.param, error.type, error.request_id]
    return None


verbose = transcribe(
    response_format="verbose_json", timestamp_granularities=["word", "segment"], language="en", temperature=0.2
)
stranger = openai.OpenAI(base_url=url, api_key="wrong", max_retries=0)
result = {
    "json": transcribe().text,
    "text": transcribe(response_format="text"),
    "srt": transcribe(response_format="srt"),
    "vtt": transcribe(response_format="vtt"),
    "verbose": verbose.to_dict(),
    "diarized": transcribe(response_format="diarized_json", model="gpt-4o-transcribe-diarize").to_dict(),
    "events": events(model="gpt-4o-mini-transcribe"),
    "whisper-1 events": events(),
    "models": [model.id for model in client.models.list()],
    "model": client.models.retrieve("whisper-1").to_dict(),
    "refused": {
        "no such model": refusal(lambda: client.models.retrieve("gpt-2")),
        "no audio": refusal(lambda: client.audio.transcriptions.create(file=("a.mp3", b"none"), model="whisper-1")),
        "language": refusal(lambda: transcribe(language="xx")),
        "format": refusal(lambda: transcribe(response_format="poem")),
        "translation": refusal(lambda: client.audio.translations.create(file=("a.mp3", b"none"), model="whisper-1")),
        "key": refusal(stranger.models.list),
        "path": refusal(client.fine_tuning.jobs.list),
        "responses": refusal(lambda: client.responses.create(model="x", input="hello")),
    },
}
json.dump(result, sys.stdout)
