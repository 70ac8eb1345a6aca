"""The items of a Realtime conversation, in order, and what they are as the history of a session."""

from dataclasses import dataclass, field
from typing import Any, Literal

from app.domain.conversations.message import MAX_TEXT_CHARACTERS
from app.domain.dialog.conversation import Message, Role
from app.domain.tools import ToolCall
from app.domain.transcript import join
from app.web.realtime.client_events import Content, FunctionCallItem, MessageItem, NewItem
from app.web.realtime.errors import EventRefused

MAX_ITEMS = 1000
"""Of one conversation; the oldest are forgotten beyond it."""
ROOT = "root"


@dataclass(slots=True)
class Item:
    """One item, as the client gets it (`described`) and as the history has it."""

    id: str
    type: Literal["message", "function_call", "function_call_output"]
    status: Literal["in_progress", "completed", "incomplete"] = "completed"
    role: Literal["user", "assistant", "system"] | None = None
    content: list[dict[str, Any]] = field(default_factory=list)
    call: dict[str, str] = field(default_factory=dict)
    """`call_id`, `name`, `arguments`, `output`, as far as its type has them."""
    said: str = ""
    """Its text in the history: of a reply that was interrupted, what was played."""
    is_cut_off: bool = False
    is_settled: bool = True
    """It is in the session's history; False while its turn or its response goes on."""
    turn: int = 0
    """Of the reply that it is; 0: it is none."""
    samples: int = 0
    """Of its audio, at 16 kHz."""

    def described(self) -> dict[str, Any]:
        item: dict[str, Any] = {"id": self.id, "object": "realtime.item", "type": self.type, "status": self.status}
        if self.role:
            return {**item, "role": self.role, "content": [dict(part) for part in self.content]}
        return {**item, **self.call}


@dataclass(slots=True)
class Items:
    items: list[Item] = field(default_factory=list)

    def find(self, item_id: str, param: str = "item_id") -> Item:
        """Raises EventRefused."""
        for item in self.items:
            if item.id == item_id:
                return item
        raise EventRefused(f"Item with id '{item_id[:64]}' not found.", "item_not_found", param)

    def previous_of(self, item: Item) -> str | None:
        """The id of the item in front of this one; None: it is the first."""
        at = self.items.index(item)
        return self.items[at - 1].id if at else None

    def add(self, item: Item, previous_item_id: str | None = None) -> bool:
        """Put it behind the item of this id, or behind all. Whether it is the last now. Raises EventRefused."""
        if any(each.id == item.id for each in self.items):
            raise EventRefused(f"Item with id '{item.id[:64]}' exists already.", "item_exists", "item.id")
        at = len(self.items)
        if previous_item_id == ROOT:
            at = 0
        elif previous_item_id is not None:
            at = self.items.index(self.find(previous_item_id, "previous_item_id")) + 1
        self.items.insert(at, item)
        is_last = at == len(self.items) - 1
        del self.items[:-MAX_ITEMS]
        return is_last

    def remove(self, item: Item) -> None:
        self.items.remove(item)

    def history(self) -> tuple[Message, ...]:
        """As the session has it: calls stand with their outputs."""
        outputs = {i.call["call_id"]: i.call["output"] for i in self.items if i.type == "function_call_output"}
        messages: list[Message] = []
        for item in self.items:
            if not item.is_settled:
                continue
            if item.type == "function_call":
                result = outputs.get(item.call["call_id"])
                if result is None:
                    continue  # a model is not shown a call that has no result yet
                call = ToolCall(item.call["call_id"], item.call["name"], item.call["arguments"], result)
                before = messages[-1] if messages and messages[-1].tool_calls else Message(Role.ASSISTANT, "")
                messages[len(messages) - bool(before.tool_calls) :] = [
                    Message(Role.ASSISTANT, before.text, tool_calls=(*before.tool_calls, call))
                ]
            elif item.role and item.said:
                messages.append(Message(Role(item.role), item.said, item.is_cut_off))
        return tuple(messages)


def new_item(item: NewItem, item_id: str) -> Item:
    """What a client creates. Raises EventRefused."""
    if isinstance(item, MessageItem):
        text = join(_text(part, at, item.role) for at, part in enumerate(item.content))
        if not text or len(text) > MAX_TEXT_CHARACTERS:
            message = f"A message needs a text of 1 to {MAX_TEXT_CHARACTERS} characters."
            raise EventRefused(message, "invalid_value", "item.content")
        kind = "output_text" if item.role == "assistant" else "input_text"
        content: list[dict[str, Any]] = [{"type": kind, "text": text}]
        return Item(item.id or item_id, "message", role=item.role, content=content, said=text)
    if isinstance(item, FunctionCallItem):
        call = {"call_id": item.call_id, "name": item.name, "arguments": item.arguments}
        return Item(item.id or item_id, "function_call", call=call)
    if len(item.output) > MAX_TEXT_CHARACTERS:
        message = f"The output of a function has at most {MAX_TEXT_CHARACTERS} characters."
        raise EventRefused(message, "string_above_max_length", "item.output")
    return Item(item.id or item_id, "function_call_output", call={"call_id": item.call_id, "output": item.output})


def _text(part: Content, at: int, role: str) -> str:
    """The words of one part. Raises EventRefused for what is no text."""
    if part.text is None and part.transcript is None:
        param = f"item.content[{at}].type"
        message = f"Invalid value: '{part.type}'. In a message of the {role}, text and transcripts are supported here;"
        raise EventRefused(f"{message} append audio to the input buffer.", "invalid_value", param)
    return part.text if part.text is not None else part.transcript or ""
