"""The Realtime protocol without a socket: the client's events become inputs of the session, what it shows the server's.

Everything here is deterministic: ids are counted, and time is the session's audio. Whatever is wrong with an event of
the client is an `error` event, after which the session goes on as before.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, assert_never

from app.domain.audio import AudioChunk, ms
from app.domain.dialog import effects as do
from app.domain.dialog import events as ev
from app.domain.dialog.conversation import Message, Role
from app.runtime.dialog.session import Incoming
from app.web.realtime import client_events as ce
from app.web.realtime.audio_format import PCM, InputAudio
from app.web.realtime.errors import EventRefused, failure, refusal
from app.web.realtime.input_audio import SpokenItems
from app.web.realtime.items import Item, Items, new_item
from app.web.realtime.response import EndReason, Event, Response, added, done
from app.web.realtime.session_object import RealtimeSession, client_tools, configured, described, updated

LEAST_COMMIT_MS = 100
"""A commit of less audio is refused."""
OVERSHOOT_MS = 1000
"""A client that reckons its playback by a clock may be so far behind the end of the audio."""
MAX_WAITING = 8
"""Responses that a client may have asked for and that have not begun."""


@dataclass(slots=True)
class Received:
    """What one event of the client comes to."""

    inputs: list[Incoming] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Asked:
    """A response that the client has asked for."""

    event_id: str | None
    options: ce.ResponseOptions


@dataclass(slots=True)
class RealtimeProtocol:
    """One connection. `receive` and `show` are called in the order in which things happen."""

    id: str
    """Of the session."""
    session: RealtimeSession
    items: Items = field(default_factory=Items)
    response: Response | None = None
    """The one that goes on."""
    bad_events: int = 0
    """Events that were refused."""
    _input: InputAudio = field(default_factory=InputAudio)
    _position: int = 0
    """Samples of the session so far, at 16 kHz."""
    _spoken: SpokenItems = field(init=False)
    _asked: dict[str, Asked] = field(default_factory=dict)
    """By the number that the session has for it."""
    _newest: Response | None = None
    """Of the conversation."""
    _plays_until: int = 0
    """Where in the session's audio the newest reply is played to its end."""
    _failed: Event | None = None
    """The newest error that the session showed: where a response fails, the reason."""
    _numbers: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._spoken = SpokenItems(self.items)
        self._apply_session()

    def greeting(self) -> Received:
        """Before the client's first event."""
        created = {"type": "session.created", "session": described(self.session)}
        return Received([configured(self.session)], self._numbered([created]))

    # -- from the client -------------------------------------------------------

    def receive(self, text: str) -> Received:
        """One text frame."""
        event_id: str | None = None
        try:
            event = ce.decode(text)
            event_id = event.event_id
            received = self._receive(event)
        except EventRefused as error:
            self.bad_events += 1
            body = refusal(error, event_id or ce.event_id_of(text))
            return Received(events=self._numbered([{"type": "error", "error": body}]))
        received.events = self._numbered(received.events)
        return received

    def finish(self) -> list[AudioChunk]:
        """The connection is over: the audio that the resampler holds."""
        return self._input.flush()

    def _receive(self, event: ce.ClientEvent) -> Received:
        match event:
            case ce.SessionUpdate(session=update):
                return self._update(update)
            case ce.AppendAudio(audio=data):
                return Received(list(self._append(data)))
            case ce.CommitAudio():
                return self._commit()
            case ce.ClearAudio():
                self._input.uncommitted = 0
                self._spoken.clear()
                return Received([*self._flushed(), ev.ClientCleared()], [{"type": "input_audio_buffer.cleared"}])
            case ce.ClearOutput():
                return Received()
            case ce.CreateItem(item=item, previous_item_id=previous):
                return self._create_item(new_item(item, self._next("item")), previous, item.id)
            case ce.RetrieveItem(item_id=item_id):
                found = self.items.find(item_id).described()
                return Received(events=[{"type": "conversation.item.retrieved", "item": found}])
            case ce.DeleteItem(item_id=item_id):
                return self._delete_item(item_id)
            case ce.TruncateItem():
                return self._truncate(event)
            case ce.CreateResponse(response=options):
                return self._create_response(event.event_id, options or ce.ResponseOptions())
            case ce.CancelResponse(response_id=response_id):
                return self._cancel(response_id)
            case _:
                assert_never(event)

    def _update(self, update: dict[str, Any]) -> Received:
        session = updated(self.session, update)
        configuration = configured(session)
        self.session = session
        self._apply_session()
        return Received([configuration], [{"type": "session.updated", "session": described(session)}])

    def _append(self, data: bytes) -> Sequence[AudioChunk]:
        audio = self.session.audio.input.format
        if len(data) % audio.bytes_per_sample:
            raise EventRefused("Invalid 'audio': it ends within a sample.", "invalid_value", "audio")
        chunks = self._input.push(data, audio)
        self._position = chunks[-1].end if chunks else self._position
        return chunks

    def _commit(self) -> Received:
        audio = self.session.audio.input.format
        length_ms = self._input.uncommitted_ms(audio)
        if length_ms < LEAST_COMMIT_MS:
            message = (
                "Error committing input audio buffer: buffer too small. "
                f"Expected at least {LEAST_COMMIT_MS}ms of audio, but buffer only has {length_ms:.2f}ms of audio."
            )
            raise EventRefused(message, "input_audio_buffer_commit_empty")
        self._input.uncommitted = 0
        inputs: list[Incoming] = [*self._flushed(), ev.ClientEnded()]
        if not self.session.is_manual:
            return Received(inputs)  # the session ends the utterance, and that makes it an item
        return Received(inputs, self._spoken.commit(self._next("item"), self._position, ms(round(length_ms))))

    def _flushed(self) -> Sequence[AudioChunk]:
        chunks = self._input.flush()
        self._position = chunks[-1].end if chunks else self._position
        return chunks

    def _create_item(self, item: Item, previous: str | None, own_id: str | None) -> Received:
        if own_id and f"_{self.id}_" in own_id:  # the server's own ids, of items to come too
            raise EventRefused("An item with an id of this session exists or will.", "item_exists", "item.id")
        is_last = self.items.add(item, previous)
        events = [added(self.items, item), done(self.items, item)]
        if is_last and item.role is not None:
            return Received([ev.ClientAddedMessage(Message(Role(item.role), item.said))], events)
        return Received([self._history()], events)

    def _delete_item(self, item_id: str) -> Received:
        item = self.items.find(item_id)
        if item.status == "in_progress":
            message = f"Item with id '{item.id}' is in progress: cancel its response, or wait for its end."
            raise EventRefused(message, "item_in_progress", "item_id")
        self.items.remove(item)
        return Received([self._history()], [{"type": "conversation.item.deleted", "item_id": item.id}])

    def _truncate(self, event: ce.TruncateItem) -> Received:
        item = self.items.find(event.item_id)
        if item.role != "assistant" or not item.samples:
            message = "Only model output audio messages can be truncated."
            raise EventRefused(message, "invalid_value", "item_id")
        if event.content_index != 0:
            raise EventRefused("Invalid 'content_index': a message has one part.", "invalid_value", "content_index")
        length_ms = item.samples // ms(1)
        if event.audio_end_ms > length_ms + OVERSHOOT_MS:
            message = f"Audio content of {length_ms}ms is already shorter than {event.audio_end_ms}ms"
            raise EventRefused(message, "invalid_value", "audio_end_ms")
        played = min(ms(event.audio_end_ms), item.samples)
        words = str(item.content[0].get("transcript", "")).split()
        item.said = " ".join(words[: len(words) * played // item.samples])
        item.is_cut_off = played < item.samples
        item.content[0]["transcript"] = item.said
        truncated = {
            "type": "conversation.item.truncated",
            "item_id": item.id,
            "content_index": 0,
            "audio_end_ms": min(event.audio_end_ms, length_ms),
        }
        inputs: list[Incoming] = []
        if self._newest and item.turn == self._newest.turn:
            inputs = [ev.ClientPlayed(item.turn, played), ev.ClientCancelled()]
        if item.is_settled:
            inputs.append(self._history())
        return Received(inputs, [truncated])

    def _create_response(self, event_id: str | None, options: ce.ResponseOptions) -> Received:
        if self.response or self._asked:
            message = f"Conversation already has an active response in progress: {self._active_id()}."
            raise EventRefused(message, "conversation_already_has_active_response")
        if self.session.type == "transcription":
            raise EventRefused("A transcription session has no responses.", "invalid_session_type", "type")
        if options.output_modalities not in (None, ["audio"], ["text"]):
            message = "Invalid modalities: use either ['audio'] or ['text']."
            raise EventRefused(message, "invalid_value", "response.output_modalities")
        number = self._next("request")
        speaks = None if options.output_modalities is None else options.output_modalities == ["audio"]
        tools = None
        if options.tools is not None or options.tool_choice is not None:
            chosen = options.tools if options.tools is not None else self.session.tools or []
            tools = client_tools(chosen, options.tool_choice or self.session.tool_choice)
        given = None if options.input is None else self._messages(options.input)
        is_kept = options.conversation != "none"
        request = ev.ClientRequestedReply(number, options.instructions, speaks, tools, given, is_kept)
        self._asked[number] = Asked(event_id, options)
        return Received([request])

    def _messages(self, given: Sequence[ce.NewItem | ce.ItemReference]) -> tuple[Message, ...]:
        """What these items are as a history. Raises EventRefused."""
        context = Items()
        for item in given:
            if isinstance(item, ce.ItemReference):
                context.add(self.items.find(item.id, "response.input"))
            else:
                context.add(new_item(item, self._next("input")))
        return context.history()

    def _cancel(self, response_id: str | None) -> Received:
        active = self.response
        if (active is None and not self._asked) or (active and response_id not in (None, active.id)):
            raise EventRefused("Cancellation failed: no active response found", "response_cancel_not_active")
        self._asked.clear()
        return Received([ev.ClientCancelled()])

    def _active_id(self) -> str:
        return self.response.id if self.response else "it has not begun yet"

    def _history(self) -> ev.ClientReplacedHistory:
        return ev.ClientReplacedHistory(self.items.history())

    def _apply_session(self) -> None:
        self._spoken.has_transcripts = self.session.audio.input.transcription is not None
        self._spoken.is_manual = self.session.is_manual

    # -- to the client -----------------------------------------------------------

    def show(self, shown: do.Shown) -> list[Event]:
        """What the session shows, as events."""
        return self._numbered(self._show(shown))

    def _show(self, shown: do.Shown) -> list[Event]:
        match shown:
            case do.ShowSpeechStarted():
                over_reply = self.response is not None or shown.start < self._plays_until
                return self._spoken.started(shown, self._next("item"), over_reply=over_reply)
            case do.ShowSpeechStopped():
                return self._spoken.stopped(shown)
            case do.ShowDraft():
                is_over = self.response is None and self._position >= self._plays_until
                released = self._spoken.release() if is_over else []
                return [*released, *self._spoken.drafted(shown)]
            case do.ShowFinal():
                return self._spoken.final(shown)
            case do.ShowTurnEnd():
                return self._spoken.turn_ended()
            case do.StopPlayback(turn, _, played):
                return self._stop_playback(turn, played)
            case do.ShowReplyStart(turn, _, request):
                return self._begin(turn, self._asked.pop(request, None))
            case do.ShowError(error, request):
                asked = self._asked.pop(request, None)
                self._failed = failure(error, asked.event_id if asked else None)
                return [{"type": "error", "error": self._failed}]
            case (
                do.ShowTurnEager()
                | do.ShowTurnResumed()
                | do.ShowConversation()
                | do.ShowSpeaker()
                | do.DuckReply()
                | do.ShowMark()
                | do.RestoreReply()
                | do.PauseReply()
                | do.ResumeReply()
                | do.ResendAudio()
            ):
                return []  # no event says it, and no client of this protocol can pause a reply
            case _:
                return self._reply(shown)

    def _reply(
        self,
        shown: do.ShowReplyDelta | do.ShowToolCall | do.PlayAudio | do.ShowReply | do.ShowReplyCancelled,
    ) -> list[Event]:
        response = self.response
        if response is None or response.turn != shown.turn:
            return []
        match shown:
            case do.ShowReplyDelta(text=text):
                return response.text(text)
            case do.ShowToolCall(call=call):
                return response.function_call(call)
            case do.PlayAudio(chunk=chunk):
                self._plays_until = max(self._plays_until, self._position) + chunk.samples
                return response.sound(chunk)
            case do.ShowReply(usage=usage):
                self._end()
                return response.completed(usage)
            case do.ShowReplyCancelled(_, reason, played):
                self._end(is_playing=False)
                if reason == "failed":
                    return [*response.ended("failed", played, self._failed), *self._spoken.release()]
                by_user: EndReason = "turn_detected" if reason == "barge_in" else "client_cancelled"
                return [*response.ended(by_user, played), *self._spoken.release()]
            case _:
                assert_never(shown)

    def _stop_playback(self, turn: int, played: str) -> list[Event]:
        """The user speaks over a reply that was sent completely, and of which so much was played."""
        self._plays_until = 0
        if self._newest and self._newest.turn == turn:
            for item in self._newest.output:
                item.said, item.is_cut_off = played, item.is_cut_off or played != item.said
        return self._spoken.release()

    def _begin(self, turn: int, asked: Asked | None) -> list[Event]:
        options = asked.options if asked else ce.ResponseOptions()
        modalities = options.output_modalities
        output = self.session.audio.output
        is_kept = options.conversation != "none"
        self.response = Response(
            self._next("resp"),
            turn,
            self.items if is_kept else Items(),
            is_spoken=self.session.speaks if modalities is None else modalities == ["audio"],
            audio=output.format if output else PCM,
            conversation=f"conv_{self.id}" if is_kept else None,
            metadata=options.metadata,
        )
        self._newest = self.response if is_kept else self._newest
        self._failed = None
        return self.response.created()

    def _end(self, *, is_playing: bool = True) -> None:
        if not is_playing:
            self._plays_until = 0
        if self.response is not None:
            for item in self.response.output:
                item.is_settled = True
        self.response = None

    # -- ids ---------------------------------------------------------------------

    def _next(self, kind: str) -> str:
        number = self._numbers[kind] = self._numbers.get(kind, 0) + 1
        return f"{kind}_{self.id}_{number}"

    def _numbered(self, events: list[Event]) -> list[Event]:
        """With an `event_id` for each."""
        return [{"type": event["type"], "event_id": self._next("event"), **event} for event in events]
