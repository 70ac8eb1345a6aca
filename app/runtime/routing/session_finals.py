"""Finals of one session by the routing policy: opens a FinalRequest for each utterance."""

from collections.abc import AsyncGenerator, AsyncIterable, Mapping, Sequence
from dataclasses import dataclass, field

from app.domain.audio import AudioChunk
from app.domain.ports import Transcriber
from app.domain.residency import Residency
from app.domain.routing.decision import ExpenseKind
from app.domain.tenant import DEFAULT_TENANT, Tenant
from app.domain.transcript import Hypothesis
from app.runtime.routing.final_request import FinalRequest
from app.runtime.routing.metering import EngineMeter
from app.runtime.routing.routes import Routes


@dataclass(slots=True, eq=False)
class SessionFinals:
    """The routes as one session sees them: a FinalTranscription, and a Transcriber too."""

    routes: Routes
    session: str
    tenant: Tenant = DEFAULT_TENANT
    residency: Residency = Residency.CLOUD_OK
    """For `transcribe`; each utterance of `open` brings its own."""
    engines: Mapping[str, Transcriber] | None = None
    """The session's own engines, where it has some; otherwise those of the routes."""
    meters: Mapping[str, EngineMeter] = field(default_factory=dict)
    """Of those that count themselves what they cost."""
    _open: list[FinalRequest] = field(default_factory=list)
    """Requests whose decision is not recorded yet."""

    @property
    def deadline_ms(self) -> float:
        """From the end of an utterance to the best available text, by the rules."""
        return self.routes.rules().deadline_ms

    def open(
        self,
        utterance: int,
        language: str | None,
        residency: Residency,
        deadline_ms: float | None = None,
        key_terms: Sequence[str] = (),
        vocabulary: str | None = None,
    ) -> FinalRequest:
        if self.tenant.place is Residency.ON_PREM_ONLY:
            residency = Residency.ON_PREM_ONLY  # whatever the session asks for
        engines = self.routes.engines if self.engines is None else self.engines
        request = FinalRequest(
            self.routes,
            engines,
            self.meters,
            self.session,
            self.tenant,
            utterance,
            language,
            residency,
            deadline_ms,
            key_terms,
            vocabulary or self.tenant.vocabulary,
        )
        self._open = [*(other for other in self._open if not other.is_recorded), request]
        return request

    def close(self) -> None:
        """The session is over; what was spent since its last recorded decision is recorded as expenses."""
        for request in self._open:
            request.close()
        for name, meter in self.meters.items():
            self.routes.charge(name, ExpenseKind.SILENCE, meter.charge(), self.session, self.tenant.name)
        self.routes.ledger.close(self.session)

    async def transcribe(
        self, utterance: AsyncIterable[AudioChunk], *, language: str | None = None
    ) -> AsyncGenerator[Hypothesis, None]:
        request = self.open(0, language, self.residency)
        request.confirm_endpoint()
        async for hypothesis in request.transcribe(utterance, language=language):
            request.record_shown(hypothesis, request.route)
            yield hypothesis
