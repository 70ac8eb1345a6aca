"""The body of `POST /v1/chat/completions`, and the conversation that it brings. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

import msgspec

from app.domain.dialog.conversation import Message, Role
from app.domain.errors import ClientError, ClientFault
from app.domain.tools import Tool, ToolCall
from app.runtime.conversations.reply_run import ClientTools

CHARACTERS_PER_TOKEN = 4
"""Of a limit that a client gives in tokens."""
MAX_TOOLS = 128
"""OpenAI's own limit."""

PartType = Literal["text", "input_text", "input_audio", "image_url", "file", "refusal"]


class AudioContent(msgspec.Struct, frozen=True):
    data: str
    """Base64."""
    format: str = "wav"


class ContentPart(msgspec.Struct, frozen=True):
    type: PartType
    text: str = ""
    input_audio: AudioContent | None = None


class CalledFunction(msgspec.Struct, frozen=True):
    name: str
    arguments: str = "{}"


class RequestedCall(msgspec.Struct, frozen=True):
    id: str
    function: CalledFunction


class ChatMessage(msgspec.Struct, frozen=True):
    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | list[ContentPart] | None = None
    tool_calls: list[RequestedCall] | None = None
    tool_call_id: str = ""


class OfferedFunction(msgspec.Struct, frozen=True):
    name: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    description: str | None = None
    parameters: dict[str, Any] | None = None


class OfferedTool(msgspec.Struct, frozen=True):
    function: OfferedFunction
    type: Literal["function"] = "function"


class StreamOptions(msgspec.Struct, frozen=True):
    include_usage: bool = False


PositiveNumber = Annotated[int, msgspec.Meta(ge=1)]


class ChatCompletionRequest(msgspec.Struct, frozen=True):
    """The fields that this endpoint uses; it passes over the others, such as `temperature`."""

    messages: Annotated[list[ChatMessage], msgspec.Meta(min_length=1)]
    model: str = ""
    """The name of a profile, or any other."""
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    tools: Annotated[list[OfferedTool], msgspec.Meta(max_length=MAX_TOOLS)] | None = None
    tool_choice: str | dict[str, Any] | None = None
    max_tokens: PositiveNumber | None = None
    max_completion_tokens: PositiveNumber | None = None
    n: Annotated[int, msgspec.Meta(ge=1, le=1)] | None = None

    @property
    def max_characters(self) -> int | None:
        """Of the reply, as far as the client limits it."""
        limit = self.max_completion_tokens or self.max_tokens
        return limit * CHARACTERS_PER_TOKEN if limit else None

    @property
    def client_tools(self) -> ClientTools | None:
        """Raises ClientError for a choice that cannot be asked of the engines here."""
        if not self.tools:
            return None
        if self.tool_choice not in (None, "auto", "none"):
            raise _refusal(
                "tool_choice may be auto or none here; which tool is called, the model decides", "tool_choice"
            )
        tools = [_tool(each.function) for each in self.tools]
        return ClientTools(tools, may_call=self.tool_choice != "none")


def _tool(function: OfferedFunction) -> Tool:
    tool = Tool(function.name, function.description or "", url="")
    return replace(tool, parameters=function.parameters) if function.parameters else tool


@dataclass(frozen=True, slots=True)
class SpokenPart:
    """Audio in a message, which is transcribed before the reply begins."""

    path: str
    audio: AudioContent


def spoken_parts(messages: Sequence[ChatMessage]) -> list[SpokenPart]:
    """In the order of their places."""
    return [
        SpokenPart(f"messages[{at}].content[{number}].input_audio", part.input_audio)
        for at, message in enumerate(messages)
        if isinstance(message.content, list)
        for number, part in enumerate(message.content)
        if part.type == "input_audio" and part.input_audio is not None
    ]


def conversation(messages: Sequence[ChatMessage], transcripts: Sequence[str] = ()) -> tuple[Message, ...]:
    """As reply engines take it: all instructions first, and each call of a tool with its result.

    `transcripts` are those of spoken_parts(). Raises ClientError for what no engine here can read.
    """
    spoken = iter(transcripts)
    instructions: list[str] = []
    turns: list[Message] = []
    for at, message in enumerate(messages):
        text = _text(message, f"messages[{at}]", spoken)
        match message.role:
            case "system" | "developer":
                instructions.append(text)
            case "user":
                turns.append(Message(Role.USER, text))
            case "assistant":
                calls = tuple(
                    ToolCall(call.id, call.function.name, call.function.arguments) for call in message.tool_calls or ()
                )
                turns.append(Message(Role.ASSISTANT, text, tool_calls=calls))
            case "tool" | "function":
                turns = _with_result(turns, message.tool_call_id, text, f"messages[{at}]")
    if any(call.result is None for turn in turns for call in turn.tool_calls):
        raise _refusal("every call of a tool needs its result, in a message with the role tool", "messages")
    if not turns:
        raise _refusal("there must be a message of the user", "messages")
    system = (Message(Role.SYSTEM, "\n\n".join(instructions)),) if instructions else ()
    return (*system, *turns)


def _text(message: ChatMessage, place: str, spoken: Any) -> str:
    if not isinstance(message.content, list):
        return message.content or ""
    texts: list[str] = []
    for number, part in enumerate(message.content):
        if part.type == "input_audio" and part.input_audio is not None:
            texts.append(next(spoken, ""))
        elif part.type in ("text", "input_text", "refusal"):
            texts.append(part.text)
        else:
            raise _refusal(f"no reply engine here reads {part.type}", f"{place}.content[{number}].type")
    return "\n".join(texts)


def _with_result(turns: Sequence[Message], call_id: str, result: str, place: str) -> list[Message]:
    """The turns, where the call with this id has its result."""
    found = next((at for at in reversed(range(len(turns))) if _has_open_call(turns[at], call_id)), None)
    if found is None:
        raise _refusal(f"no call has the id {call_id[:64]!r}", f"{place}.tool_call_id")
    calls = tuple(replace(call, result=result) if call.id == call_id else call for call in turns[found].tool_calls)
    return [*turns[:found], replace(turns[found], tool_calls=calls), *turns[found + 1 :]]


def _has_open_call(message: Message, call_id: str) -> bool:
    return any(call.id == call_id and call.result is None for call in message.tool_calls)


def _refusal(reason: str, param: str) -> ClientError:
    return ClientError(ClientFault.BAD_MESSAGE, reason, param=param)
