"""The Prometheus metrics of one service, in its one registry: process, sessions, defects; routes register theirs."""

import platform
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Protocol

import anyio
from prometheus_client import CollectorRegistry, Counter, Histogram, Info, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from app.runtime.session_registry import SessionRegistry
from app.runtime.supervision import defects

CONTENT_TYPE = "text/plain; version=0.0.4"
LATENCY_BUCKETS_S = (0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2, 3, 5, 10)
LAG_BUCKETS_S = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5)
LAG_EVERY_S = 0.5
MAX_TENANTS = 100
"""Label values of one process; what tenants beyond them use is counted together, as OTHER_TENANTS."""
OTHER_TENANTS = "(others)"


class SpoolStatus(Protocol):
    """What waits on the local disk for the store."""

    @property
    def waiting(self) -> int: ...

    @property
    def bytes(self) -> int: ...

    @property
    def oldest_s(self) -> float: ...

    @property
    def full(self) -> bool: ...

    @property
    def error(self) -> str | None: ...


@dataclass(slots=True)
class ServiceMetrics:
    """A registry per service, so that two services in one process do not mix."""

    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    ttfs: Histogram = field(init=False)
    draft_age: Histogram = field(init=False)
    loop_lag: Histogram = field(init=False)
    requests: Counter = field(init=False)
    request_time: Histogram = field(init=False)
    audio: Counter = field(init=False)
    begun_sessions: Counter = field(init=False)
    voice_to_voice: Histogram = field(init=False)
    replies: Counter = field(init=False)
    overlaps: Counter = field(init=False)
    overlap_decision: Histogram = field(init=False)
    resumed_replies: Counter = field(init=False)
    refused_authentications: Counter = field(init=False)
    closed_sessions: Counter = field(init=False)
    _tenants: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.ttfs = Histogram(
            "parley_ttfs_seconds",
            "From the end of speech to the final shown.",
            buckets=LATENCY_BUCKETS_S,
            registry=self.registry,
        )
        self.draft_age = Histogram(
            "parley_draft_age_seconds",
            "From the arrival of a draft's newest audio to the draft shown.",
            buckets=LATENCY_BUCKETS_S,
            registry=self.registry,
        )
        self.loop_lag = Histogram(
            "parley_event_loop_lag_seconds",
            "How late the event loop woke a task that slept.",
            buckets=LAG_BUCKETS_S,
            registry=self.registry,
        )
        self.requests = Counter(
            "parley_requests", "HTTP requests answered.", ["route", "method", "status"], registry=self.registry
        )
        self.request_time = Histogram(
            "parley_request_seconds",
            "From a request to the start of its answer.",
            ["route"],
            buckets=LATENCY_BUCKETS_S,
            registry=self.registry,
        )
        self.audio = Counter(
            "parley_audio_seconds", "Audio received in sessions, in seconds.", ["tenant"], registry=self.registry
        )
        self.begun_sessions = Counter("parley_begun_sessions", "Sessions begun.", ["tenant"], registry=self.registry)
        self.voice_to_voice = Histogram(
            "parley_voice_to_voice_seconds",
            "From the end of speech to the first audio of the reply.",
            buckets=LATENCY_BUCKETS_S,
            registry=self.registry,
        )
        self.replies = Counter("parley_replies", "Replies that ended.", ["outcome"], registry=self.registry)
        self.overlaps = Counter(
            "parley_overlaps", "What speech over replies was found to be.", ["verdict"], registry=self.registry
        )
        self.overlap_decision = Histogram(
            "parley_overlap_decision_seconds",
            "From the start of speech over a reply to what it was found to be, in audio.",
            buckets=LATENCY_BUCKETS_S,
            registry=self.registry,
        )
        self.resumed_replies = Counter(
            "parley_resumed_replies", "Replies that went on after a false interruption.", registry=self.registry
        )
        self.refused_authentications = Counter(
            "parley_refused_authentications", "Connections refused for their key.", ["reason"], registry=self.registry
        )
        self.closed_sessions = Counter(
            "parley_closed_sessions", "Sessions refused or ended by the server.", ["code"], registry=self.registry
        )

    def count_refused_key(self, reason: str) -> None:
        """Reasons: no_key, wrong_key, too_many, forbidden."""
        self.refused_authentications.labels(reason).inc()

    def count_session(self, tenant: str, audio_s: float) -> None:
        """A session of this tenant is over."""
        label = self._tenant_label(tenant)
        self.begun_sessions.labels(label).inc()
        self.audio.labels(label).inc(audio_s)

    def count_request(self, route: str, method: str, status: int, seconds: float) -> None:
        """`route` is its template, with the parameters in braces: there are as many as the program has."""
        self.requests.labels(route, method, str(status)).inc()
        self.request_time.labels(route).observe(seconds)

    async def measure_loop_lag(self) -> None:
        """Again and again, for ever."""
        while True:
            due = anyio.current_time() + LAG_EVERY_S
            await anyio.sleep_until(due)
            self.loop_lag.observe(anyio.current_time() - due)

    def watch(
        self,
        running: SessionRegistry,
        spool: Callable[[], SpoolStatus],
        database: Callable[[], bool] = lambda: True,
        speech: Callable[[], tuple[int, float]] = lambda: (0, 0.0),
    ) -> None:
        """Export the gauges of the process, read at each scrape.

        `database`: whether it answers; `speech`: jobs that wait for a model, and seconds that the oldest has waited.
        """
        self.registry.register(_ProcessCollector(running, spool, database, speech))
        ProcessCollector(registry=self.registry)
        Info("parley_build", "The running program.", registry=self.registry).info(
            {"version": version("parley-voice"), "python": platform.python_version()}
        )

    def _tenant_label(self, tenant: str) -> str:
        if tenant not in self._tenants and len(self._tenants) >= MAX_TENANTS:
            return OTHER_TENANTS
        self._tenants.add(tenant)
        return tenant

    def exposition(self) -> bytes:
        """Every metric of the service in Prometheus's text format, of the type CONTENT_TYPE."""
        return generate_latest(self.registry)


@dataclass(frozen=True, eq=False, slots=True)
class _ProcessCollector(Collector):
    running: SessionRegistry
    spool: Callable[[], SpoolStatus]
    database: Callable[[], bool]
    speech: Callable[[], tuple[int, float]]

    def collect(self) -> Iterable[Metric]:
        spool, admission, connected = self.spool(), self.running.admission, len(self.running.sessions)
        yield GaugeMetricFamily("parley_sessions", "Sessions that have a place.", len(admission.sessions))
        yield GaugeMetricFamily("parley_sessions_most", "Places for sessions.", admission.max_sessions)
        yield GaugeMetricFamily("parley_connected_sessions", "Sessions, with a place or without.", connected)
        yield GaugeMetricFamily("parley_spool_sessions", "Sessions not whole in the store yet.", spool.waiting)
        yield GaugeMetricFamily("parley_spool_bytes", "Bytes in the spool.", spool.bytes)
        yield GaugeMetricFamily("parley_spool_oldest_seconds", "Age of the oldest of them.", spool.oldest_s)
        yield GaugeMetricFamily("parley_spool_full", "1 while no session begins, for want of disk.", spool.full)
        yield GaugeMetricFamily("parley_store_failing", "1 while the blob store fails.", spool.error is not None)
        yield GaugeMetricFamily("parley_database_up", "1 while the database answers, or none is used.", self.database())
        yield GaugeMetricFamily("parley_draining", "1 while the server is about to stop.", admission.is_draining)
        waiting, oldest_s = self.speech()
        yield GaugeMetricFamily("parley_speech_queue", "Jobs that wait for a speech model.", waiting)
        yield GaugeMetricFamily("parley_speech_queue_seconds", "How long the oldest of them has waited.", oldest_s)
        unexpected = CounterMetricFamily("parley_defects", "Unexpected exceptions, by place.", labels=["where"])
        for where, count in defects.items():
            unexpected.add_metric([where], count)
        yield unexpected
