"""Random clients of Deepgram's streams over the dialog's own state machine: never a crash, always a legal order."""

import json
from collections import deque
from collections.abc import Iterable

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from app.domain.audio import AudioChunk, ScoredChunk
from app.domain.dialog import effects as do
from app.domain.dialog import events as ev
from app.domain.dialog.state import DialogState, TurnRules
from app.domain.dialog.transitions import transition
from app.domain.errors import ClientError, ProviderDown
from app.domain.transcript import Hypothesis, Word
from app.web.deepgram.flux_protocol import FluxProtocol, Thresholds
from app.web.deepgram.listen_protocol import ListenProtocol, ListenReceived
from app.web.deepgram.query import ListenOptions
from tests.unit.deepgram_order import FluxOrder, ListenOrder
from tests.unit.playing import LOCAL

GONE = ProviderDown("local", "asked to fail")
TEXTS = st.sampled_from(["", "mm-hm", "and so my fellow", "stop that now"])
SHOWN = do.Shown.__args__  # type: ignore[attr-defined]
NONSENSE = [
    "",
    "no json",
    "[]",
    "{}",
    "\ud800",
    '{"type":7}',
    '{"type":"Whatever"}',
    '{"type":"Configure","keyterms":7}',
    '{"type":"Configure","thresholds":{"eot_threshold":"x"}}',
    "[" * 5000,
]
TENTH = 3200
"""Bytes of 100 ms."""


class RandomStream(RuleBasedStateMachine):
    """The session's engines answer when a rule says so, also with what is stale by then.

    What the client sends waits in an inbox, as it does while a session is behind.
    """

    def begin(self, protocol: ListenProtocol | FluxProtocol, order: ListenOrder | FluxOrder) -> None:
        self.protocol, self.order = protocol, order
        self.state = DialogState(TurnRules(language="en", score_end_of_turn=True))
        self.is_speech = True
        self.inbox: deque[ev.Event] = deque()
        self.lags = False
        self.take(protocol.greeting())

    def take(self, received: ListenReceived) -> None:
        self.order.take_all(received.messages)
        for item in received.inputs:
            is_audio = isinstance(item, AudioChunk)
            self.inbox.append(ev.AudioReceived(ScoredChunk(item, float(self.is_speech))) if is_audio else item)
        if not self.lags:
            self.catch_up()

    def catch_up(self, events: int = 10**6) -> None:
        for _ in range(min(events, len(self.inbox))):
            self.feed([self.inbox.popleft()])

    def feed(self, events: Iterable[ev.Event]) -> None:
        for event in events:
            self.state, effects = transition(self.state, event)
            for effect in effects:
                if isinstance(effect, SHOWN) and not self.protocol.is_over:  # then the socket is closed
                    self.order.take_all(self.protocol.show(effect))

    def send(self, kind: str, **fields: object) -> None:
        if not self.protocol.is_over:
            self.take(self.protocol.receive_text(json.dumps({"type": kind, **fields})))

    # -- the client ------------------------------------------------------------

    @rule(speech=st.booleans(), tenths=st.integers(1, 8), cut=st.integers(0, 3))
    def send_audio(self, speech: bool, tenths: int, cut: int) -> None:
        """Frames may end anywhere in a sample."""
        self.is_speech = speech
        for size in [TENTH + cut, TENTH - cut] * tenths:
            if not self.protocol.is_over:
                self.take(self.protocol.receive_audio(bytes(size)))

    @rule()
    def keep_alive(self) -> None:
        self.send("KeepAlive")

    @rule(terms=st.sampled_from([["Siobhan"], [], ["x" * 2000], ["a", ""]]))
    def configure(self, terms: list[str]) -> None:
        self.order.configures += 1
        self.send("Configure", keyterms=terms)

    @rule(frame=st.sampled_from(NONSENSE))
    def send_nonsense(self, frame: str) -> None:
        if not self.protocol.is_over:
            self.order.configures += "Configure" in frame
            self.take(self.protocol.receive_text(frame))

    # -- the session ---------------------------------------------------------------

    @rule(lags=st.booleans(), events=st.integers(0, 12))
    def progress(self, lags: bool, events: int) -> None:
        """As much of the inbox; whether it is behind from now on."""
        self.lags = lags
        self.catch_up(events if lags else 10**6)

    # -- the engines -----------------------------------------------------------

    @rule(text=TEXTS, back=st.sampled_from([0, 0, 1]))
    def draft(self, text: str, back: int) -> None:
        self.feed([ev.DraftReceived(self.state.utterance_count - back, Hypothesis(text))])

    @rule(text=TEXTS, back=st.integers(0, 2), fails=st.booleans(), timed=st.booleans())
    def finish_final(self, text: str, back: int, fails: bool, timed: bool) -> None:
        number = self.state.utterance_count - back
        revision = next((u.revision for u in self.state.pending_finals if u.number == number), 0)
        words = (
            tuple(Word(word, 800 * at, 800 * at + 700, 0.5) for at, word in enumerate(text.split())) if timed else ()
        )
        if fails:
            self.feed([ev.FinalFailed(number, revision, GONE)])
        else:
            self.feed([ev.FinalReceived(number, revision, Hypothesis(text, is_final=True, words=words), LOCAL)])

    @rule(probability=st.sampled_from([0.1, 0.5, 0.95]), revision=st.integers(0, 2))
    def score(self, probability: float, revision: int) -> None:
        number = self.state.utterance_count
        self.feed([ev.EndOfTurnScored(number, revision, probability), ev.ComputeIdle(number, revision)])

    def finish_all_finals(self) -> None:
        for _ in range(4):  # a final that failed in the pause is asked for again
            for pending in self.state.pending_finals:
                self.feed([ev.FinalReceived(pending.number, pending.revision, Hypothesis("so", is_final=True), LOCAL)])

    @invariant()
    def not_over_before_the_client_closes(self) -> None:
        if hasattr(self, "protocol") and self.protocol.is_over:
            assert self.has_closed

    def teardown(self) -> None:
        if not hasattr(self, "protocol"):
            return
        if not self.has_closed:
            self.close()
        self.catch_up()
        self.finish_all_finals()
        assert self.protocol.is_over
        self.settle()

    # -- each stream -----------------------------------------------------------

    has_closed = False

    def close(self) -> None:
        raise NotImplementedError

    def settle(self) -> None:
        raise NotImplementedError


class RandomListen(RandomStream):
    """`/v1/listen`."""

    order: ListenOrder
    asked = 0
    """Finalizes before the stream was closed: each has its answer."""

    @initialize(interims=st.booleans(), vad=st.booleans(), end=st.sampled_from([None, 1000]))
    def connect(self, interims: bool, vad: bool, end: int | None) -> None:
        options = ListenOptions("linear16", interim_results=interims, vad_events=vad, utterance_end_ms=end)
        self.begin(ListenProtocol("r", options, "2026-11-27T00:00:00Z"), ListenOrder(options))

    @rule()
    def finalize(self) -> None:
        self.order.finalizes += 1
        self.asked += not self.has_closed
        self.send("Finalize")

    @rule(by_frame=st.booleans(), comes=st.integers(0, 4))
    def close_stream(self, by_frame: bool, comes: int) -> None:
        """Seldom, so that most streams are long; an empty frame does the same."""
        if comes == 0 and not self.protocol.is_over:
            self.close(by_frame)

    def close(self, by_frame: bool = False) -> None:
        self.has_closed = self.order.is_closing = True
        if self.protocol.is_over:
            return
        if by_frame:
            self.take(self.protocol.receive_audio(b""))
        else:
            self.send("CloseStream")

    def settle(self) -> None:
        assert self.order.is_over
        assert self.order.from_finalize >= self.asked


class RandomFlux(RandomStream):
    """Flux."""

    order: FluxOrder

    @initialize(eager=st.sampled_from([None, 0.3, 0.9]))
    def connect(self, eager: float | None) -> None:
        thresholds = Thresholds(eager)
        self.begin(FluxProtocol("r", ListenOptions("linear16"), thresholds), FluxOrder(thresholds))

    @rule()
    def force_end_of_turn(self) -> None:
        self.order.is_ended_by_client = True
        self.send("ForceEndTurn")

    @rule(comes=st.integers(0, 4))
    def close_stream(self, comes: int) -> None:
        if comes == 0:
            self.close()

    def close(self) -> None:
        self.has_closed = self.order.is_ended_by_client = True
        self.send("CloseStream")

    def settle(self) -> None:
        assert not self.order.has_begun


class RandomBareBytes(RuleBasedStateMachine):
    """Of a stream that is a WAV file, whatever comes: it is audio, or a ClientError."""

    @initialize()
    def connect(self) -> None:
        self.protocol = ListenProtocol("r", ListenOptions(), "2026-11-27T00:00:00Z")

    @rule(
        data=st.binary(min_size=1, max_size=200) | st.sampled_from([b"RIFF\x24\0\0\0WAVE", b"fmt \x10\0\0\0", b"data"])
    )
    def send(self, data: bytes) -> None:
        try:
            self.protocol.receive_audio(data)
        except ClientError:
            self.protocol = ListenProtocol("r", ListenOptions(), "2026-11-27T00:00:00Z")


for machine in (RandomListen, RandomFlux, RandomBareBytes):
    machine.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
test_random_listen_clients_get_a_legal_order_of_messages = RandomListen.TestCase
test_random_flux_clients_get_a_legal_order_of_messages = RandomFlux.TestCase
test_random_bytes_are_audio_or_the_clients_fault = RandomBareBytes.TestCase


def listening() -> RandomListen:
    machine = RandomListen()
    machine.connect(interims=True, vad=True, end=1000)
    return machine


def test_two_finalizes_of_one_utterance_leave_the_audio_behind_them_to_the_next():
    """The second answer is empty, and ends where the first does."""
    machine = listening()
    machine.send_audio(speech=True, tenths=5, cut=0)
    machine.finalize()
    machine.finalize()
    machine.send_audio(speech=True, tenths=5, cut=0)
    machine.finish_all_finals()

    assert (machine.order.from_finalize, machine.order.final_end) == (2, 1.0)
    machine.teardown()


def test_finalize_without_words_ends_at_its_own_place_where_the_session_is_behind():
    machine = listening()
    machine.progress(lags=True, events=0)
    machine.send_audio(speech=False, tenths=5, cut=0)
    machine.finalize()
    machine.send_audio(speech=True, tenths=5, cut=0)
    machine.catch_up()

    assert (machine.order.from_finalize, machine.order.final_end) == (1, 1.0)
    machine.teardown()


def test_audio_behind_the_end_of_a_stream_begins_no_utterance():
    """It would keep the stream open."""
    machine = listening()
    machine.send_audio(speech=True, tenths=5, cut=0)
    machine.close()
    machine.send_audio(speech=True, tenths=5, cut=0)
    machine.finish_all_finals()

    assert machine.order.is_over
