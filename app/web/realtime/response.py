"""One response: the events that a client gets of it, in the order that OpenAI sends them."""

from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from app.domain.audio import AudioChunk
from app.domain.spending import TokenUsage
from app.domain.tools import ToolCall
from app.web.realtime.audio_format import AudioFormat, OutputAudio
from app.web.realtime.items import Item, Items

Event: TypeAlias = dict[str, Any]
"""An event for the client, without its `event_id`."""
EndReason: TypeAlias = Literal["turn_detected", "client_cancelled", "failed"]


@dataclass(slots=True)
class Response:
    """A response from its creation to `response.done`. Its items are made as they are needed."""

    id: str
    turn: int
    items: Items
    """Of the conversation, which its items join; of an out-of-band response, others."""
    is_spoken: bool
    audio: AudioFormat
    conversation: str | None
    """None: out of band."""
    metadata: dict[str, Any] | None = None
    output: list[Item] = field(default_factory=list)
    _spoken: OutputAudio | None = None

    def created(self) -> list[Event]:
        return [{"type": "response.created", "response": self.described("in_progress")}]

    def text(self, delta: str) -> list[Event]:
        """More of its text."""
        events, item = self._message()
        item.said += delta
        item.content[0]["transcript" if self.is_spoken else "text"] = item.said
        kind = "response.output_audio_transcript.delta" if self.is_spoken else "response.output_text.delta"
        return [*events, {"type": kind, **self._place(item), "delta": delta}]

    def sound(self, chunk: AudioChunk) -> list[Event]:
        """More of its audio."""
        events, item = self._message()
        self._spoken = self._spoken or OutputAudio(self.audio)
        events += self._audio_delta(item, self._spoken.push(chunk))
        item.samples = self._spoken.samples
        return events

    def function_call(self, call: ToolCall) -> list[Event]:
        """The model calls a function of the client."""
        events = self._finish_message("completed")
        named = {"call_id": call.id, "name": call.tool}
        item = self._new_item("function_call")
        item.call = {**named, "arguments": ""}
        events += self._item_added(item)
        item.call["arguments"] = call.arguments
        place = {"response_id": self.id, "item_id": item.id, "output_index": self.output.index(item)}
        events.append(
            {"type": "response.function_call_arguments.delta", **place, "call_id": call.id, "delta": call.arguments}
        )
        events.append({"type": "response.function_call_arguments.done", **place, **named, "arguments": call.arguments})
        return [*events, *self._item_done(item, "completed")]

    def completed(self, usage: TokenUsage | None = None) -> list[Event]:
        """It is whole."""
        return [*self._finish_message("completed"), self._done("completed", None, usage)]

    def ended(self, reason: EndReason, played: str = "", error: Event | None = None) -> list[Event]:
        """It ends early; `played` is what the user has got of its text."""
        events = self._finish_message("incomplete")
        for item in self.output:
            if item.type == "message":
                item.said, item.is_cut_off = played, True
        if reason == "failed":
            named = {name: value for name, value in (error or {}).items() if name in ("type", "code")}
            return [*events, self._done("failed", {"type": "failed", "error": named})]
        return [*events, self._done("cancelled", {"type": "cancelled", "reason": reason})]

    def described(self, status: str, details: Event | None = None, usage: TokenUsage | None = None) -> Event:
        response: Event = {
            "id": self.id,
            "object": "realtime.response",
            "status": status,
            "output": [item.described() for item in self.output],
            "output_modalities": ["audio" if self.is_spoken else "text"],
        }
        if details:
            response["status_details"] = details
        if self.conversation:
            response["conversation_id"] = self.conversation
        if self.metadata is not None:
            response["metadata"] = self.metadata
        if usage:
            response["usage"] = _usage(usage)
        return response

    # -- its items ------------------------------------------------------------

    def _message(self) -> tuple[list[Event], Item]:
        """The message that text and audio belong to; the events that begin it, where it is new."""
        if self.output and self.output[-1].type == "message":
            return [], self.output[-1]
        part = {"type": "output_audio", "transcript": ""} if self.is_spoken else {"type": "output_text", "text": ""}
        item = self._new_item("message")
        item.role = "assistant"
        events = self._item_added(item)
        item.content.append(part)
        return [*events, {"type": "response.content_part.added", **self._place(item), "part": self._part(item)}], item

    def _new_item(self, kind: Literal["message", "function_call"]) -> Item:
        item_id = f"item_{self.id}_{len(self.output) + 1}"
        return Item(item_id, kind, "in_progress", is_settled=False, turn=self.turn)

    def _item_added(self, item: Item) -> list[Event]:
        self.output.append(item)
        self.items.add(item)
        described, at = item.described(), self.output.index(item)
        events: list[Event] = [
            {"type": "response.output_item.added", "response_id": self.id, "output_index": at, "item": described}
        ]
        if self.conversation:
            events.append(added(self.items, item))
        return events

    def _item_done(self, item: Item, status: Literal["completed", "incomplete"]) -> list[Event]:
        item.status = status
        described, at = item.described(), self.output.index(item)
        events: list[Event] = [
            {"type": "response.output_item.done", "response_id": self.id, "output_index": at, "item": described}
        ]
        if self.conversation:
            events.append(done(self.items, item))
        return events

    def _finish_message(self, status: Literal["completed", "incomplete"]) -> list[Event]:
        """The end of the message that is open, if one is; every one of these is sent whatever ended it."""
        if not self.output or self.output[-1].type != "message" or self.output[-1].status != "in_progress":
            return []
        item = self.output[-1]
        place, part = self._place(item), self._part(item)
        events: list[Event] = []
        if self.is_spoken:
            if self._spoken and status == "completed":
                events += self._audio_delta(item, self._spoken.flush())
            self._spoken = None
            events.append({"type": "response.output_audio.done", **place})
            events.append({"type": "response.output_audio_transcript.done", **place, "transcript": item.said})
        else:
            events.append({"type": "response.output_text.done", **place, "text": item.said})
        events.append({"type": "response.content_part.done", **place, "part": part})
        return [*events, *self._item_done(item, status)]

    def _audio_delta(self, item: Item, encoded: str) -> list[Event]:
        return [{"type": "response.output_audio.delta", **self._place(item), "delta": encoded}] if encoded else []

    def _place(self, item: Item) -> Event:
        return {
            "response_id": self.id,
            "item_id": item.id,
            "output_index": self.output.index(item),
            "content_index": 0,
        }

    def _part(self, item: Item) -> Event:
        text = item.said
        return {"type": "audio", "transcript": text} if self.is_spoken else {"type": "text", "text": text}

    def _done(self, status: str, details: Event | None, usage: TokenUsage | None = None) -> Event:
        return {"type": "response.done", "response": self.described(status, details, usage)}


def added(items: Items, item: Item) -> Event:
    """`conversation.item.added`, with what it has so far."""
    return _with_previous({"type": "conversation.item.added", "item": item.described()}, items, item)


def done(items: Items, item: Item) -> Event:
    """`conversation.item.done`: it will get nothing more, but for its transcript."""
    return _with_previous({"type": "conversation.item.done", "item": item.described()}, items, item)


def _with_previous(event: Event, items: Items, item: Item) -> Event:
    return {**event, "previous_item_id": items.previous_of(item)}


def _usage(usage: TokenUsage) -> Event:
    return {
        "total_tokens": usage.prompt + usage.generated,
        "input_tokens": usage.prompt,
        "output_tokens": usage.generated,
        "input_token_details": {"text_tokens": usage.prompt, "audio_tokens": 0, "cached_tokens": 0},
        "output_token_details": {"text_tokens": usage.generated, "audio_tokens": 0},
    }
