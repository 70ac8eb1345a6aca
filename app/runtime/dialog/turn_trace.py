"""One trace per turn, made of the session's events and effects: what waited for what, and how long."""

import time
from collections.abc import Generator, Hashable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from opentelemetry import context, trace
from opentelemetry.trace import Span

from app.domain.audio import SAMPLE_RATE
from app.domain.dialog import effects as do
from app.domain.dialog import events as ev
from app.runtime.tracing import fail, trace_id, tracer


@dataclass(slots=True)
class TurnTrace:
    """Spans of one session's turns. They are open between two calls; only the session's loop calls it."""

    session: str
    _turn: Span | None = None
    """The root of the current turn's trace."""
    _open: dict[Hashable, Span] = field(default_factory=dict)
    """By what begins and ends them."""
    _closed_at: dict[int, int] = field(default_factory=dict)
    """Utterance -> when it was closed (ns since 1970), until its final is shown."""

    def observe_event(self, event: ev.Event) -> None:
        """End the span of what an engine has answered."""
        match event:
            case ev.EndOfTurnScored(utterance, revision, probability):
                self._end(("end_of_turn", utterance, revision), probability=round(probability, 3))
            case ev.DraftReceived(utterance) | ev.DraftSkipped(utterance):
                self._end(("draft", utterance))
            case ev.FinalReceived(utterance, revision, _, route):
                self._end(("final", utterance, revision), outcome="answered", route=route.name)
            case ev.FinalFailed(utterance, revision, error):
                self._end(("final", utterance, revision), failure=getattr(error, "code", "internal_error"))
            case _:
                pass

    @contextmanager
    def performing(self, effect: do.Effect) -> Generator[None, None, None]:
        """Begin and end spans by this effect; inside, the span of the work that it starts is the current one."""
        span = self._begun_by(effect)
        if span is None:
            yield
            return
        token = context.attach(trace.set_span_in_context(span))
        try:
            yield
        finally:
            context.detach(token)

    def show_final(self, final: do.ShowFinal) -> None:
        """The silence that ended the utterance is known now: a span in the past, from the end of speech on."""
        closed_at = self._closed_at.pop(final.utterance, None)
        if closed_at is None:
            return
        silence_ns = (final.end - final.speech_end) * 1_000_000_000 // SAMPLE_RATE
        wait = self._child("endpoint_wait", {"utterance": final.utterance}, closed_at - silence_ns)
        wait.end(closed_at)

    def end_turn(self, **fields: object) -> str:
        """The turn is over, with these fields. The id of its trace; empty where nothing is traced."""
        turn, self._turn = self._turn, None
        for span in self._open.values():
            span.end()
        self._open = {}
        if turn is None:
            return ""
        turn.set_attributes({f"parley.{name}": value for name, value in fields.items() if isinstance(value, int | str)})
        turn.end()
        return trace_id(turn)

    def _begun_by(self, effect: do.Effect) -> Span | None:
        match effect:
            case do.OpenUtterance(number):
                return self._begin(("speech", number), "speech", utterance=number)
            case do.RequestDraft(number):
                return self._begin(("draft", number), "draft", utterance=number)
            case do.ScoreEndOfTurn(number, revision):
                return self._begin(("end_of_turn", number, revision), "end_of_turn", utterance=number)
            case do.StartFinal(number, revision):
                is_speculative = ("speech", number) in self._open
                key = ("final", number, revision)
                return self._begin(key, "final", utterance=number, speculative=is_speculative)
            case do.DropFinal(number, revision):
                self._end(("final", number, revision), outcome="dropped")
            case do.CloseUtterance(number):
                self._closed_at[number] = time.time_ns()
                self._end(("speech", number))
            case do.StartReply(number) | do.StartSpeakingText(number):
                return self._begin(("reply", number), "reply")
            case do.CancelReply(number):
                self._end(("reply", number), outcome="cancelled")
            case _:
                pass
        return None

    def _begin(self, key: Hashable, name: str, **attributes: int | str | bool) -> Span:
        self._end(key)
        span = self._open[key] = self._child(name, attributes)
        return span

    def _child(self, name: str, attributes: Mapping[str, int | str | bool], start_ns: int | None = None) -> Span:
        """A span of the current turn, which begins with its first span."""
        if self._turn is None:
            root = context.Context()  # because the session's own request lasts for hours
            self._turn = tracer.start_span(
                "turn", root, attributes={"parley.session": self.session}, start_time=start_ns
            )
        parent = trace.set_span_in_context(self._turn)
        named = {f"parley.{key}": value for key, value in attributes.items()}
        return tracer.start_span(name, parent, attributes=named, start_time=start_ns)

    def _end(self, key: Hashable, *, failure: str = "", **attributes: float | str) -> None:
        span = self._open.pop(key, None)
        if span is None:
            return
        span.set_attributes({f"parley.{name}": value for name, value in attributes.items()})
        if failure:
            fail(span, failure)
        span.end()
