"""What is a legal order of server events in OpenAI's Realtime protocol; used on whatever a session has sent."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

TRANSCRIPTION = "conversation.item.input_audio_transcription"
DELTAS = ("response.output_audio.delta", "response.output_audio_transcript.delta", "response.output_text.delta")
DONES = ("response.output_audio.done", "response.output_audio_transcript.done", "response.output_text.done")
ENDS = {"completed", "cancelled", "failed", "incomplete"}


@dataclass
class LegalOrder:
    """Takes one event after the other; an assertion fails at the first that may not come there."""

    ids: set[str] = field(default_factory=set)
    speaking: list[str] = field(default_factory=list)
    stopped: set[str] = field(default_factory=set)
    committed: set[str] = field(default_factory=set)
    transcribed: set[str] = field(default_factory=set)
    items: list[str] = field(default_factory=list)
    """In the conversation, in its order."""
    open_items: set[str] = field(default_factory=set)
    """Added, and not done."""
    response: str | None = None
    """The active one."""
    is_in_band: bool = True
    output: list[str] = field(default_factory=list)
    """Its items."""
    open_output: str | None = None
    open_part: str | None = None
    part_dones: list[str] = field(default_factory=list)
    responses: set[str] = field(default_factory=set)
    has_begun: bool = False

    def take_all(self, events: Iterable[dict]) -> None:
        for event in events:
            self.take(event)

    def take(self, event: dict) -> None:
        kind = event["type"]
        assert event["event_id"] not in self.ids, event
        self.ids.add(event["event_id"])
        assert self.has_begun == (kind != "session.created"), event
        self.has_begun = True
        if kind.startswith("response."):
            self._response(kind, event)
        elif kind.startswith("conversation.item.") and not kind.startswith(TRANSCRIPTION):
            self._item(kind, event)
        else:
            self._input(kind, event)

    def finish(self) -> None:
        """The session is over, and every response with it."""
        assert self.response is None
        assert self.committed <= set(self.items) | self.transcribed | self.committed

    def _input(self, kind: str, event: dict) -> None:
        match kind:
            case "input_audio_buffer.speech_started":
                assert event["item_id"] not in (*self.speaking, *self.committed), event
                self.speaking.append(event["item_id"])
            case "input_audio_buffer.speech_stopped":
                assert event["item_id"] in self.speaking
                assert event["item_id"] not in self.stopped
                self.stopped.add(event["item_id"])
            case "input_audio_buffer.committed":
                assert event["item_id"] not in self.committed
                assert event["item_id"] not in self.speaking or event["item_id"] in self.stopped
                self.committed.add(event["item_id"])
            case "conversation.item.input_audio_transcription.delta":
                assert event["delta"]
                assert event["item_id"] in {*self.speaking, *self.committed}
                assert event["item_id"] not in self.transcribed
            case "conversation.item.input_audio_transcription.completed":
                assert event["item_id"] in self.committed
                assert event["item_id"] not in self.transcribed
                self.transcribed.add(event["item_id"])
            case "error":
                assert set(event["error"]) == {"type", "code", "message", "param", "event_id"}
            case _:
                assert kind in {"session.created", "session.updated", "input_audio_buffer.cleared"}, event

    def _item(self, kind: str, event: dict) -> None:
        match kind:
            case "conversation.item.added":
                item, previous = event["item"]["id"], event["previous_item_id"]
                assert item not in self.items
                at = 0 if previous is None else self.items.index(previous) + 1
                self.items.insert(at, item)
                self.open_items.add(item)
            case "conversation.item.done":
                assert event["item"]["id"] in self.open_items
                assert event["item"]["status"] in {"completed", "incomplete"}
                self.open_items.discard(event["item"]["id"])
            case "conversation.item.deleted":
                self.items.remove(event["item_id"])
            case "conversation.item.truncated":
                assert event["item_id"] in self.items
            case _:
                assert kind == "conversation.item.retrieved", event
                assert event["item"]["id"] in self.items

    def _response(self, kind: str, event: dict) -> None:
        if kind == "response.created":
            assert self.response is None
            self.response = event["response"]["id"]
            assert self.response not in self.responses
            self.responses.add(self.response)
            assert (event["response"]["status"], event["response"]["output"]) == ("in_progress", [])
            self.output = []
            return
        assert self.response == (event.get("response_id") or event["response"]["id"]), event
        match kind:
            case "response.output_item.added":
                assert self.open_output is None
                assert event["output_index"] == len(self.output)
                self.open_output = event["item"]["id"]
                self.output.append(self.open_output)
            case "response.content_part.added":
                assert self.open_part is None
                assert event["item_id"] == self.open_output
                self.open_part, self.part_dones = event["item_id"], []
            case kind if kind in DELTAS:
                assert event["item_id"] == self.open_part
                assert not self.part_dones
            case kind if kind in DONES:
                assert event["item_id"] == self.open_part
                self.part_dones.append(kind)
            case "response.content_part.done":
                assert event["item_id"] == self.open_part
                assert self.part_dones in ([*DONES[:2]], [DONES[2]])
                self.open_part = None
            case "response.function_call_arguments.delta" | "response.function_call_arguments.done":
                assert event["item_id"] == self.open_output
                assert self.open_part is None
            case "response.output_item.done":
                assert event["item"]["id"] == self.open_output
                assert self.open_part is None
                self.open_output = None
            case _:
                assert kind == "response.done", event
                assert self.open_output is None
                assert event["response"]["status"] in ENDS
                assert [item["id"] for item in event["response"]["output"]] == self.output
                self.response = None


def assert_legal(events: Sequence[dict]) -> None:
    """Of one whole session."""
    order = LegalOrder()
    order.take_all(events)
    order.finish()
