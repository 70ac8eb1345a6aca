"""Random clients of the Realtime protocol over the dialog's own state machine: never a crash, always a legal order."""

import base64
import json
from collections.abc import Iterable

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from app.domain.audio import AudioChunk, ScoredChunk, ms
from app.domain.dialog import effects as do
from app.domain.dialog import events as ev
from app.domain.dialog.state import Closed, DialogState, TurnRules
from app.domain.dialog.transitions import transition
from app.domain.errors import ProviderDown
from app.domain.tools import ToolCall
from app.domain.transcript import Hypothesis
from app.runtime.dialog.session import Incoming
from app.web.realtime.protocol import RealtimeProtocol
from app.web.realtime.session_object import new_session
from tests.unit.playing import LOCAL
from tests.unit.realtime_order import LegalOrder

GONE = ProviderDown("local", "asked to fail")
TEXTS = st.sampled_from(["", "mm-hm", "and so my fellow", "stop that now"])
SHOWN = do.Shown.__args__  # type: ignore[attr-defined]
SESSIONS = [
    {"audio": {"input": {"turn_detection": None, "transcription": {"model": "whisper-1"}}}},
    {"audio": {"input": {"turn_detection": {"type": "server_vad", "silence_duration_ms": 500}}}},
    {"audio": {"input": {"turn_detection": {"type": "semantic_vad", "create_response": False}}}},
    {"audio": {"input": {"turn_detection": {"type": "semantic_vad"}, "transcription": {"model": "whisper-1"}}}},
    {"audio": {"input": {"turn_detection": {"type": "server_vad", "interrupt_response": False}}}},
    {"audio": {"output": {"format": {"type": "audio/pcma"}}}},
    {"output_modalities": ["text"]},
    {"output_modalities": ["audio"], "instructions": "Be brief."},
    {"tools": [{"type": "function", "name": "dial"}]},
    {"audio": {"input": {"format": {"type": "audio/pcmu"}}}},
    {"audio": {"input": {"format": {"type": "audio/pcm", "rate": 24000}}}},
    {"audio": {"input": 7}},
]
CONTENT = [{"type": "input_text", "text": "hello"}]
ITEMS = [
    {"type": "message", "role": "user", "content": CONTENT},
    {"type": "message", "role": "system", "content": CONTENT},
    {"type": "message", "role": "assistant", "content": CONTENT, "id": "mine"},
    {"type": "function_call_output", "call_id": "c1", "output": "42"},
    {"type": "function_call", "call_id": "c1", "name": "dial", "arguments": "{}"},
    {"type": "message", "role": "user", "content": []},
]
RESPONSES = [
    {},
    {"instructions": "Sing."},
    {"output_modalities": ["text"], "metadata": {"a": "b"}},
    {"conversation": "none", "input": [ITEMS[0]]},
    {"conversation": "none"},
    {"input": [{"type": "item_reference", "id": "mine"}]},
    {"output_modalities": ["smell"]},
]
NONSENSE = ["", "{}", "[]", '{"type":"session.update"}', '{"type":"response.cancel","response_id":"none"}', "\ud800"]


class RandomClient(RuleBasedStateMachine):
    """The session's engines answer when a rule says so, also with what is stale by then."""

    @initialize(kind=st.sampled_from(["realtime", "transcription"]))
    def connect(self, kind: str) -> None:
        self.protocol = RealtimeProtocol("s", new_session(kind, "s", None))
        self.state = DialogState(TurnRules(language="en"))
        self.order = LegalOrder()
        self.is_speech = True
        greeting = self.protocol.greeting()
        self.order.take_all(greeting.events)
        self.feed(greeting.inputs)

    def feed(self, inputs: Iterable[Incoming | ev.Event]) -> None:
        for item in inputs:
            event = ev.AudioReceived(ScoredChunk(item, float(self.is_speech))) if isinstance(item, AudioChunk) else item
            self.state, effects = transition(self.state, event)
            for effect in effects:
                if isinstance(effect, SHOWN):
                    self.order.take_all(self.protocol.show(effect))

    def send(self, kind: str, **fields: object) -> None:
        self.receive(json.dumps({"type": kind, **fields}))

    def receive(self, frame: str) -> None:
        received = self.protocol.receive(frame)
        self.order.take_all(received.events)
        self.feed(received.inputs)

    # -- the client --------------------------------------------------------------

    @rule(speech=st.booleans(), hundreds=st.integers(1, 12))
    def append(self, speech: bool, hundreds: int) -> None:
        self.is_speech = speech
        audio = self.protocol.session.audio.input.format
        pcm = bytes(audio.samples_per_s * audio.bytes_per_sample // 10)
        for _ in range(hundreds):
            self.send("input_audio_buffer.append", audio=base64.b64encode(pcm).decode())

    @rule(kind=st.sampled_from(["commit", "commit", "clear"]))
    def end_input(self, kind: str) -> None:
        self.send(f"input_audio_buffer.{kind}")

    @rule(session=st.sampled_from(SESSIONS))
    def update(self, session: dict) -> None:
        self.send("session.update", session=session)

    @rule(item=st.sampled_from(ITEMS), previous=st.sampled_from([None, None, "root", "mine", "none"]))
    def create_item(self, item: dict, previous: str | None) -> None:
        self.send("conversation.item.create", item=item, **({"previous_item_id": previous} if previous else {}))

    @rule(kind=st.sampled_from(["delete", "retrieve", "truncate"]), at=st.integers(-3, 3), end=st.integers(0, 3000))
    def change_item(self, kind: str, at: int, end: int) -> None:
        items = self.order.items
        item = items[at % len(items)] if items else "none"
        more = {"content_index": 0, "audio_end_ms": end} if kind == "truncate" else {}
        self.send(f"conversation.item.{kind}", item_id=item, **more)

    @rule(response=st.sampled_from(RESPONSES))
    def create_response(self, response: dict) -> None:
        self.send("response.create", response=response)

    @rule()
    def cancel_response(self) -> None:
        self.send("response.cancel")

    @rule(frame=st.sampled_from(NONSENSE))
    def send_nonsense(self, frame: str) -> None:
        self.receive(frame)

    # -- the engines ---------------------------------------------------------------

    @rule(text=TEXTS)
    def draft(self, text: str) -> None:
        self.feed([ev.DraftReceived(self.state.utterance_count, Hypothesis(text))])

    @rule(text=TEXTS, back=st.integers(0, 2), fails=st.booleans())
    def finish_final(self, text: str, back: int, fails: bool) -> None:
        number = self.state.utterance_count - back
        revision = next((u.revision for u in self.state.pending_finals if u.number == number), 0)
        if fails:
            self.feed([ev.FinalFailed(number, revision, GONE)])
        else:
            self.feed([ev.FinalReceived(number, revision, Hypothesis(text, is_final=True), LOCAL)])

    @rule(
        kind=st.sampled_from(["delta", "piece", "audio", "audio", "finish", "fail", "refuse", "tool", "played"]),
        back=st.sampled_from([0, 0, 0, 1]),
    )
    def reply(self, kind: str, back: int) -> None:
        number = self.state.reply_count - back
        if self.state.reply is None or not self.state.reply.released:
            return  # nothing leaves the pipeline before the release
        if back and kind == "played":
            return
        events: dict[str, ev.Event] = {
            "delta": ev.ReplyDeltaReceived(number, "Well, yes. "),
            "piece": ev.ReplyPieceBegun(number, "Well, yes."),
            "audio": ev.ReplyAudioReceived(number, AudioChunk(bytes(2 * ms(400)), 0)),
            "finish": ev.ReplyFinished(number),
            "fail": ev.ReplyFailed(number, GONE),
            "refuse": ev.ReplySpeechRefused(number, GONE),
            "tool": ev.ReplyToolRequested(number, ToolCall("c1", "dial", "{}")),
            "played": ev.PlaybackFinished(number),
        }
        if self.state.reply.finished != (kind == "played"):
            return  # its engines are done, or its playback cannot be
        self.feed([events[kind]])

    # -- promises -----------------------------------------------------------------

    @invariant()
    def session_and_client_agree_on_the_response(self) -> None:
        if not hasattr(self, "state"):
            return
        reply = self.state.reply
        is_active = reply is not None and reply.released and not reply.finished
        assert is_active == (self.protocol.response is not None)
        assert is_active == (self.order.response is not None)

    def teardown(self) -> None:
        if not hasattr(self, "state"):
            return
        for event in (ev.ClientCancelled(), ev.ClientLeft(), ev.LeaveTimeoutDue()):
            self.feed([event])
        assert isinstance(self.state.phase, Closed)
        self.order.finish()


RandomClient.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
test_random_clients_get_a_legal_order_of_events = RandomClient.TestCase


def test_speech_that_ended_during_a_reply_is_told_of_whole_when_the_reply_ends():
    """`speech_started` is held back over a reply; what follows it must not come alone, nor be lost."""
    client = RandomClient()
    client.connect("realtime")
    client.create_response({})
    client.append(speech=True, hundreds=1)
    client.end_input("commit")
    client.feed([ev.ClientCancelled()])

    assert len(client.order.stopped) == len(client.order.committed) == 1
    client.teardown()
