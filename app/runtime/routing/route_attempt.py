"""One route at work on one utterance: asks its engine, reports the outcome, counts time and money."""

from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass, field

import anyio
from opentelemetry.context import Context

from app.domain.errors import ParleyError, ProviderMisbehaved, RequestRefused
from app.domain.ports import Transcriber
from app.domain.routing.decision import Attempt, Outcome
from app.domain.routing.finalization import AttemptAnswered, AttemptFailed
from app.domain.routing.rank import RouteChoice
from app.domain.transcript import Hypothesis
from app.runtime.first_final import first_final
from app.runtime.routing.ledger import Reservation
from app.runtime.routing.metering import EngineMeter
from app.runtime.routing.routes import Routes
from app.runtime.routing.utterance_audio import UtteranceAudio
from app.runtime.supervision import report_defect
from app.runtime.tracing import fail, tracer

MAX_UTTERANCE_S = 30.0
"""Reserved for an utterance that is not over: the endpointer lets none be longer."""


@dataclass(slots=True, eq=False)
class RouteAttempt:
    routes: Routes
    choice: RouteChoice
    engine: Transcriber
    audio: UtteranceAudio
    language: str | None
    streamed_s: float
    """What its stream had carried before, in seconds."""
    meter: EngineMeter | None
    """Of an engine that counts itself what it costs."""
    draft: Callable[[], str]
    report: Callable[[AttemptAnswered | AttemptFailed], None]
    reserve: Callable[[float], Reservation]
    """Reserves US dollars in the ledger."""
    attempts: list[Attempt]
    """Gets one line when this attempt is over."""
    trace: Context
    """Of the final that it is an attempt at."""
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    started_at: float = field(init=False)
    reservation: Reservation = field(init=False)

    def __post_init__(self) -> None:
        """The attempt counts, and its money is reserved, from now on; `run` must follow."""
        price = self.routes.states[self.choice.name].spec.price
        length_s = MAX_UTTERANCE_S if self.audio.complete_at is None else self.audio.seconds
        self.reservation = self.reserve(price.marginal(length_s, streamed=self.streamed_s))
        self.started_at = self.routes.clock.now()
        self.routes.started(self.choice.name)

    async def run(self) -> None:
        """Until its end is reported, or `scope` is cancelled. Raises nothing."""
        with tracer.start_as_current_span("route", self.trace, attributes={"parley.route": self.choice.name}) as span:
            outcome, code = await self._run()
            span.set_attribute("parley.outcome", outcome.value)
            if code:
                fail(span, code)

    async def _run(self) -> tuple[Outcome, str]:
        name = self.choice.name
        outcome, code = Outcome.STOPPED, ""
        try:
            with self.scope:
                try:
                    final = await self._final()
                except ParleyError as error:
                    outcome, code = Outcome.FAILED, getattr(error, "code", "internal_error")
                    if not isinstance(error, RequestRefused):  # which says nothing about the route
                        self.routes.failed(name)
                    self.report(AttemptFailed(name, error))
                except Exception as error:  # noqa: BLE001 because a defect of one engine must not lose the words
                    outcome, code = Outcome.FAILED, "internal_error"
                    report_defect("route_attempt", error, route=name)
                    self.routes.failed(name)
                    self.report(AttemptFailed(name, ProviderMisbehaved(name, "raised an unexpected error")))
                else:
                    outcome, draft = Outcome.ANSWERED, self.draft()
                    if final.text.strip() or not draft.strip():
                        self.routes.answered(name, self._elapsed_ms())
                    self.report(AttemptAnswered(name, final, draft))
        finally:
            self._settle(outcome, code)
        return outcome, code

    async def _final(self) -> Hypothesis:
        name = self.choice.name
        async with (
            aclosing(self.audio.replay()) as audio,
            aclosing(self.engine.transcribe(audio, language=self.language)) as hypotheses,
        ):
            final = await first_final(hypotheses, name)
            if self.audio.complete_at is None:
                raise ProviderMisbehaved(name, "did not wait for the end of the utterance")
            return final

    def _settle(self, outcome: Outcome, code: str) -> None:
        """Replace the reserved amount by what it cost, and add the attempt's line."""
        name = self.choice.name
        self.routes.ended(name)
        usd = self._cost(outcome)
        self.reservation.settle(usd)
        self.attempts.append(Attempt(name, outcome, round(self._elapsed_ms(), 1), usd, code))

    def _cost(self, outcome: Outcome) -> float:
        if self.meter is not None:
            return self.meter.charge()
        spec = self.routes.states[self.choice.name].spec
        was_sent = spec.live or (self.audio.complete_at is not None and outcome is not Outcome.FAILED)
        return spec.price.bill(self.audio.seconds) if was_sent else 0.0

    def _elapsed_ms(self) -> float:
        """Since the audio was complete, or since the route was asked, if that was later."""
        now = self.routes.clock.now()
        complete_at = now if self.audio.complete_at is None else self.audio.complete_at
        return (now - max(self.started_at, complete_at)) * 1000
