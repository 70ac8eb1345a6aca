"""Chat completions with the `openai` package: base URL, key."""

import json
import sys

import openai

url, key = sys.argv[1:]
client = openai.OpenAI(base_url=url, api_key=key, max_retries=0)
TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather of a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}
HI = {"role": "user", "content": "Hi"}
WEATHER = {"role": "user", "content": "Weather in Bonn?"}


def ask(*messages, **options):
    return client.chat.completions.create(model="x", messages=messages or [HI], **options)


def chunks(*messages, **options):
    return [chunk.to_dict() for chunk in ask(*messages, stream=True, **options)]


def error_in_chunks(*messages):
    """The text before it, and the error."""
    text = ""
    try:
        for chunk in ask(*messages, stream=True):
            text += chunk.choices[0].delta.content or ""
    except openai.APIError as error:
        return [text, error.code, error.type]
    return [text]


def refusal(call):
    try:
        call()
    except openai.APIStatusError as error:
        return [error.status_code, error.code, error.param]
    return None


system = {"role": "system", "content": "Be kind."}
called = ask(WEATHER, tools=[TOOL])
call = called.choices[0].message.tool_calls[0]
outcome = {"role": "tool", "tool_call_id": call.id, "content": "rain"}
image = {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:,"}}]}
result = {
    "called": called.to_dict(),
    "answered": ask(WEATHER, called.choices[0].message.to_dict(), outcome, tools=[TOOL]).to_dict(),
    "called in chunks": chunks(WEATHER, tools=[TOOL]),
    "whole": ask(system, HI).to_dict(),
    "short": ask(max_tokens=1).to_dict(),
    "chunks": chunks(stream_options={"include_usage": True}),
    "no usage": chunks(),
    "broken": error_in_chunks(),
    "refused": {
        "messages": refusal(lambda: client.chat.completions.create(model="x", messages=[])),
        "role": refusal(lambda: ask({"role": "king", "content": "x"})),
        "image": refusal(lambda: ask(image)),
        "n": refusal(lambda: ask(n=2)),
        "tool choice": refusal(lambda: ask(tools=[TOOL], tool_choice="required")),
        "result of no call": refusal(lambda: ask(WEATHER, outcome)),
    },
}
json.dump(result, sys.stdout)
