"""The events that a Realtime client sends."""

from typing import Annotated, Any, Literal, TypeAlias

import msgspec

from app.json_input import decode_json
from app.web.realtime.errors import EventRefused, refuse_deep, refused_shape
from app.web.realtime.session_object import FunctionTool, NamedTool

MAX_ID = 512
Id: TypeAlias = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_ID)]
NO_BETA = "The Realtime Beta API is no longer supported. Please use /v1/realtime for the GA API."


class _ClientEvent(msgspec.Struct, frozen=True, tag_field="type", kw_only=True):
    event_id: Annotated[str, msgspec.Meta(max_length=MAX_ID)] | None = None


class SessionUpdate(_ClientEvent, frozen=True, tag="session.update"):
    session: dict[str, Any]


class AppendAudio(_ClientEvent, frozen=True, tag="input_audio_buffer.append"):
    audio: bytes
    """Base64 on the wire."""


class CommitAudio(_ClientEvent, frozen=True, tag="input_audio_buffer.commit"):
    pass


class ClearAudio(_ClientEvent, frozen=True, tag="input_audio_buffer.clear"):
    pass


class ClearOutput(_ClientEvent, frozen=True, tag="output_audio_buffer.clear"):
    """Of WebRTC, where the server has a buffer of what is not played yet; here it has none."""


class Content(msgspec.Struct, frozen=True):
    """One part of a message."""

    type: Literal["input_text", "output_text", "text", "input_audio", "output_audio", "audio", "input_image"]
    text: str | None = None
    transcript: str | None = None


class MessageItem(msgspec.Struct, frozen=True, tag_field="type", tag="message"):
    role: Literal["user", "assistant", "system"]
    content: list[Content]
    id: Id | None = None


class FunctionCallItem(msgspec.Struct, frozen=True, tag_field="type", tag="function_call"):
    name: Id
    arguments: str
    call_id: Id
    id: Id | None = None


class FunctionOutputItem(msgspec.Struct, frozen=True, tag_field="type", tag="function_call_output"):
    call_id: Id
    output: str
    id: Id | None = None


NewItem: TypeAlias = MessageItem | FunctionCallItem | FunctionOutputItem


class CreateItem(_ClientEvent, frozen=True, tag="conversation.item.create"):
    item: NewItem
    previous_item_id: Id | None = None
    """`root`: in front of all; None: behind all."""


class RetrieveItem(_ClientEvent, frozen=True, tag="conversation.item.retrieve"):
    item_id: Id


class DeleteItem(_ClientEvent, frozen=True, tag="conversation.item.delete"):
    item_id: Id


class TruncateItem(_ClientEvent, frozen=True, tag="conversation.item.truncate"):
    item_id: Id
    content_index: Annotated[int, msgspec.Meta(ge=0)]
    audio_end_ms: Annotated[int, msgspec.Meta(ge=0)]


class ItemReference(msgspec.Struct, frozen=True, tag_field="type", tag="item_reference"):
    id: Id


class ResponseOptions(msgspec.Struct, frozen=True):
    """What one response does otherwise than the session says."""

    instructions: str | None = None
    output_modalities: list[Literal["audio", "text"]] | None = None
    conversation: Literal["auto", "none"] = "auto"
    metadata: dict[Annotated[str, msgspec.Meta(max_length=64)], Annotated[str, msgspec.Meta(max_length=512)]] | None = (
        None
    )
    input: list[NewItem | ItemReference] | None = None
    """What is answered instead of the conversation."""
    tools: list[FunctionTool] | None = None
    tool_choice: Literal["auto", "none", "required"] | NamedTool | None = None


class CreateResponse(_ClientEvent, frozen=True, tag="response.create"):
    response: ResponseOptions | None = None


class CancelResponse(_ClientEvent, frozen=True, tag="response.cancel"):
    response_id: Id | None = None


ClientEvent: TypeAlias = (
    SessionUpdate
    | AppendAudio
    | CommitAudio
    | ClearAudio
    | ClearOutput
    | CreateItem
    | RetrieveItem
    | DeleteItem
    | TruncateItem
    | CreateResponse
    | CancelResponse
)
_event = msgspec.json.Decoder(ClientEvent)


class _Head(msgspec.Struct):
    """What can be said of an event that is otherwise wrong."""

    type: str
    event_id: str | None = None


_head = msgspec.json.Decoder(_Head)


def decode(text: str) -> ClientEvent:
    """The event in this text frame. Raises EventRefused."""
    try:
        event: ClientEvent = decode_json(text, _event)
        if isinstance(event, SessionUpdate):
            refuse_deep(event.session, "session")
        elif isinstance(event, CreateResponse) and event.response:
            refuse_deep([tool.parameters for tool in event.response.tools or ()], "response.tools")
    except msgspec.DecodeError as error:
        if _type_of(text).startswith("transcription_session."):
            raise EventRefused(NO_BETA, "beta_api_shape_disabled", "type") from error
        raise refused_shape(error) from error
    return event


def event_id_of(text: str) -> str | None:
    """The id of an event that may be wrong otherwise, so that its error can name it."""
    try:
        event_id = decode_json(text, _head).event_id
    except msgspec.DecodeError:
        return None
    return None if event_id is None else event_id[:MAX_ID]


def _type_of(text: str) -> str:
    try:
        return decode_json(text, _head).type
    except msgspec.DecodeError:
        return ""
