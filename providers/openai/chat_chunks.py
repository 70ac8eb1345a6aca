"""What one chunk of a streamed chat completion says, read as leniently as servers write it.

Reference: https://platform.openai.com/docs/api-reference/chat-streaming. Servers that copy it leave fields out, send
`null`, or put the text in a list of parts.
"""

import json
from dataclasses import dataclass, replace
from typing import Any

from app.domain.spending import TokenUsage
from app.domain.storable_text import storable_text
from providers.openai.tools import ToolCallDelta, read_deltas

DONE = "[DONE]"
"""The data of the last event."""


class UnreadableChunk(Exception):
    """The event is no chunk of a chat completion."""


@dataclass(frozen=True, slots=True)
class ChatChunk:
    text: str = ""
    finish_reason: str = ""
    """Why the answer ends with this chunk; empty where it goes on."""
    reasoning: str = ""
    """What the model thinks; it is not part of the answer, and is paid for."""
    tool_calls: tuple[ToolCallDelta, ...] = ()
    """Pieces of calls that the model asks for."""
    is_refusal: bool = False
    """The model declines to answer."""
    usage: TokenUsage | None = None
    """The server's count of tokens so far; with the last chunk, of the whole answer."""
    has_choice: bool = False
    """A chunk with a count and without a choice is the last one."""


def read_chunk(data: str) -> ChatChunk:
    """The first choice of a chunk. Raises UnreadableChunk."""
    try:
        chunk = json.loads(data)
        if chunk.get("error"):
            raise UnreadableChunk("the server sent an error in place of a chunk")
        choices = chunk.get("choices") or ()
        read = _read_choice(choices[0]) if choices else ChatChunk()
        return replace(read, usage=_usage(chunk.get("usage")), has_choice=bool(choices))
    except (json.JSONDecodeError, AttributeError, TypeError, LookupError, RecursionError) as error:
        raise UnreadableChunk("the event is no chunk of a chat completion") from error


def _read_choice(choice: dict[str, Any]) -> ChatChunk:
    delta = choice.get("delta") or {}
    return ChatChunk(
        text=storable_text(_text(delta.get("content"))),
        finish_reason=str(choice.get("finish_reason") or ""),
        reasoning=str(delta.get("reasoning_content") or delta.get("reasoning") or ""),
        tool_calls=read_deltas(delta.get("tool_calls")),
        is_refusal=bool(delta.get("refusal")),
    )


def _usage(usage: object) -> TokenUsage | None:
    """None where there is no count, or one that makes no sense."""
    match usage:
        case {"prompt_tokens": int(prompt), "completion_tokens": int(generated)} if prompt >= 0 <= generated:
            return TokenUsage(prompt, generated)
    return None


def _text(content: object) -> str:
    match content:
        case None:
            return ""
        case str():
            return content
        case list():
            return "".join(part["text"] for part in content if part.get("type") == "text")
    raise TypeError(f"content is a {type(content).__name__}")
