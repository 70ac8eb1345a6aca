"""Drive the dialog state machine by hand: events in, effects out, time is the audio's."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TypeVar

from app.domain.audio import AudioChunk, ScoredChunk, ms
from app.domain.dialog import effects as do
from app.domain.dialog import events as ev
from app.domain.dialog.state import DialogState, TurnRules
from app.domain.dialog.transitions import transition
from app.domain.residency import Place
from app.domain.routing.route import Route
from app.domain.transcript import Hypothesis

FRAME_MS = 30
LOCAL = Route("local", Place.ON_PREM)
E = TypeVar("E")


@dataclass
class Play:
    state: DialogState = field(default_factory=lambda: DialogState(TurnRules(language="en")))
    effects: list[do.Effect] = field(default_factory=list)
    newest: list[do.Effect] = field(default_factory=list)
    """The effects of the last call."""
    may_echo: bool = True
    """The microphone may hear the replies."""

    def happen(self, *events: ev.Event) -> list[do.Effect]:
        self.newest = []
        for event in events:
            self.state, effects = transition(self.state, event)
            self.newest += effects
        self.effects += self.newest
        return self.newest

    def audio(self, milliseconds: int, *, speech: float, level_db: float | None = None) -> list[do.Effect]:
        made: list[do.Effect] = []
        for _ in range(milliseconds // FRAME_MS):
            chunk = AudioChunk(b"\1\0" * ms(FRAME_MS), self.state.audio_end)
            made += self.happen(ev.AudioReceived(ScoredChunk(chunk, speech, level_db, may_echo=self.may_echo)))
        self.newest = made
        return made

    def speech(self, milliseconds: int) -> list[do.Effect]:
        return self.audio(milliseconds, speech=1.0)

    def silence(self, milliseconds: int) -> list[do.Effect]:
        return self.audio(milliseconds, speech=0.0)

    def final(self, text: str, utterance: int | None = None, revision: int = 0) -> list[do.Effect]:
        number = self.state.utterance_count if utterance is None else utterance
        return self.happen(ev.FinalReceived(number, revision, Hypothesis(text, is_final=True), LOCAL))

    def draft(self, text: str) -> list[do.Effect]:
        return self.happen(ev.DraftReceived(self.state.utterance_count, Hypothesis(text)))

    def every(self, kind: type[E]) -> list[E]:
        return [effect for effect in self.effects if isinstance(effect, kind)]

    def new(self, kind: type[E]) -> list[E]:
        return [effect for effect in self.newest if isinstance(effect, kind)]


def assert_turn_events_in_order(effects: Iterable[do.Effect]) -> None:
    """With `events`: an utterance starts, then stops; a turn is eager once, then resumed or over with those words."""
    speaking: int | None = None
    eager: tuple[int, str] | None = None
    over: set[int] = set()
    for effect in effects:
        match effect:
            case do.ShowSpeechStarted(turn, number):
                assert speaking is None
                assert eager is None
                assert turn not in over
                speaking = number
            case do.ShowSpeechStopped(_, number):
                assert speaking == number
                speaking = None
            case do.ShowTurnEager(turn, text):
                assert eager is None
                assert turn not in over
                assert text
                eager = turn, text
            case do.ShowTurnResumed(turn):
                assert eager is not None
                assert eager[0] == turn
                eager = None
            case do.ShowTurnEnd(turn, text):
                assert turn not in over
                assert eager in {None, (turn, text)}
                eager = None
                over.add(turn)
            case do.ShowReplyStart(turn, text) if text:
                assert turn in over
            case do.EndTurnUnanswered(turn):
                assert turn in over
            case _:
                pass
