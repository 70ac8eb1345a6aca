"""A conversation as Markdown, JSON-ready values, SRT or WebVTT."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal, assert_never

from app.domain.audio import SAMPLE_RATE, seconds
from app.domain.conversations.message import Conversation, StoredMessage
from app.domain.dialog.conversation import Role
from app.domain.recording.subtitles import Segment, as_srt, as_vtt, speaker_name
from app.domain.tools import ToolCall

ExportFormat = Literal["md", "markdown", "json", "srt", "vtt"]

READING_CHARACTERS_PER_S = 15
"""How long a caption without audio of its own is shown."""
SHORTEST_CAPTION_S = 1.0

_SPEAKERS = {Role.USER: "User", Role.ASSISTANT: "Assistant", Role.SYSTEM: "System"}


def as_markdown(conversation: Conversation, messages: Sequence[StoredMessage]) -> str:
    """A heading, then each message under its speaker and time; a reply that was cut says so."""
    title = " ".join(conversation.title.split()) or "Conversation"
    parts = [f"# {title}\n", f"{conversation.created} to {conversation.updated}\n"]
    for message in messages:
        if message.missing:
            parts.append(f"*{message.missing} messages are missing here.*\n")
        if message.text or message.tool_calls:
            cut = f" (cut: {message.cancelled})" if message.cancelled else ""
            parts.append(f"**{_speaker(message)}**, {message.at}{cut}\n")
            parts += [f"> {_on_one_line(call)}\n" for call in message.tool_calls]
            parts += [f"{message.received_text}\n"] if message.received_text else []
    return "\n".join(parts)


def _on_one_line(call: ToolCall) -> str:
    return " ".join(f"Tool {call.tool}, {call.arguments}: {call.result}".split())


def as_captions(messages: Sequence[StoredMessage], form: Literal["srt", "vtt"]) -> str:
    """Captions on the clock of the conversation, which begins with its first message.

    An utterance is shown while it was spoken, and everything else from its time on, for as long as it takes to read.
    What begins before the message before it has been read waits until then: captions follow each other in order.
    """
    segments = _segments([message for message in messages if message.received_text.strip()])
    match form:
        case "srt":
            return as_srt(segments)
        case "vtt":
            return as_vtt(segments)
        case _:
            assert_never(form)


def _segments(messages: Sequence[StoredMessage]) -> list[Segment]:
    if not messages:
        return []
    began = min(_seconds_of(message) - _spoken_s(message) for message in messages)
    segments, before = list[Segment](), 0.0
    for message in messages:
        text, at, spoken_s = message.received_text.strip(), _seconds_of(message) - began, _spoken_s(message)
        shown_s = max(SHORTEST_CAPTION_S, len(text) / READING_CHARACTERS_PER_S)
        start = max(before, at - spoken_s)
        before = end = start + (spoken_s or shown_s)
        lines = "\n".join(line for line in text.splitlines() if line.strip())  # an empty line would end the caption
        segments.append(Segment(round(start * SAMPLE_RATE), round(end * SAMPLE_RATE), f"{_speaker(message)}: {lines}"))
    return segments


def _speaker(message: StoredMessage) -> str:
    return _SPEAKERS[message.role] if message.speaker is None else speaker_name(message.speaker)


def _seconds_of(message: StoredMessage) -> float:
    return datetime.fromisoformat(message.at).timestamp()


def _spoken_s(message: StoredMessage) -> float:
    """How long the utterance was spoken; its message is from the moment of its end."""
    if message.role is not Role.USER or message.start is None or message.end is None:
        return 0.0
    return max(0.0, seconds(message.end - message.start))


def conversation_json(conversation: Conversation) -> dict[str, Any]:
    """As the HTTP API has it."""
    return {
        "id": conversation.id,
        "title": conversation.title,
        "person": conversation.person or None,
        "profile": conversation.profile or None,
        "created": conversation.created,
        "updated": conversation.updated,
        "messages": conversation.messages,
    }


def tool_call_json(call: ToolCall) -> dict[str, str]:
    """As the HTTP API has it: no result while the tool is running."""
    fields = {"id": call.id, "tool": call.tool, "arguments": call.arguments}
    return fields if call.result is None else {**fields, "result": call.result}


def message_json(message: StoredMessage) -> dict[str, Any]:
    """As the HTTP API has it; what does not apply is absent. Times of words are seconds of the session's audio."""
    fields: dict[str, Any] = {
        "number": message.number,
        "turn": message.turn,
        "role": str(message.role),
        "text": message.text,
        "at": message.at,
        "kind": str(message.kind),
    }
    words = [
        {
            "text": word.text,
            "start": round(seconds((message.start or 0) + word.start), 3),
            "end": round(seconds((message.start or 0) + word.end), 3),
        }
        for word in message.words
    ]
    optional = {
        "session": message.session or None,
        "start": None if message.start is None else round(seconds(message.start), 3),
        "end": None if message.end is None else round(seconds(message.end), 3),
        "words": words or None,
        "language": message.language,
        "speaker": message.speaker,
        "engine": message.engine or None,
        "costUsd": message.usd or None,
        "played": message.played,
        "cancelled": message.cancelled,
        "promptTokens": message.prompt_tokens,
        "replyTokens": message.reply_tokens,
        "toolCalls": [tool_call_json(call) for call in message.tool_calls] or None,
        "missing": message.missing or None,
    }
    return fields | {name: value for name, value in optional.items() if value is not None}
