"""The Prometheus metrics of one service, in its one registry: process, sessions, defects; routes register theirs."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Protocol

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from app.runtime.session_registry import SessionRegistry
from app.runtime.supervision import defects

CONTENT_TYPE = "text/plain; version=0.0.4"
LATENCY_BUCKETS_S = (0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2, 3, 5, 10)


class SpoolStatus(Protocol):
    """What waits on the local disk for the store."""

    @property
    def waiting(self) -> int: ...

    @property
    def bytes(self) -> int: ...

    @property
    def oldest_s(self) -> float: ...


@dataclass(slots=True)
class ServiceMetrics:
    """A registry per service, so that two services in one process do not mix."""

    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    ttfs: Histogram = field(init=False)
    voice_to_voice: Histogram = field(init=False)
    replies: Counter = field(init=False)
    overlaps: Counter = field(init=False)
    overlap_decision: Histogram = field(init=False)
    resumed_replies: Counter = field(init=False)
    refused_authentications: Counter = field(init=False)
    closed_sessions: Counter = field(init=False)

    def __post_init__(self) -> None:
        self.ttfs = Histogram(
            "parley_ttfs_seconds",
            "From the end of speech to the final shown.",
            buckets=LATENCY_BUCKETS_S,
            registry=self.registry,
        )
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

    def watch(self, running: SessionRegistry, spool: Callable[[], SpoolStatus]) -> None:
        """Export the gauges of the process, read at each scrape."""
        self.registry.register(_ProcessCollector(running, spool))

    def exposition(self) -> bytes:
        """Every metric of the service in Prometheus's text format, of the type CONTENT_TYPE."""
        return generate_latest(self.registry)


@dataclass(frozen=True, eq=False, slots=True)
class _ProcessCollector(Collector):
    running: SessionRegistry
    spool: Callable[[], SpoolStatus]

    def collect(self) -> Iterable[Metric]:
        spool, admission, connected = self.spool(), self.running.admission, len(self.running.sessions)
        yield GaugeMetricFamily("parley_sessions", "Sessions that have a place.", len(admission.sessions))
        yield GaugeMetricFamily("parley_sessions_most", "Places for sessions.", admission.max_sessions)
        yield GaugeMetricFamily("parley_connected_sessions", "Sessions, with a place or without.", connected)
        yield GaugeMetricFamily("parley_spool_sessions", "Sessions not whole in the store yet.", spool.waiting)
        yield GaugeMetricFamily("parley_spool_bytes", "Bytes in the spool.", spool.bytes)
        yield GaugeMetricFamily("parley_spool_oldest_seconds", "Age of the oldest of them.", spool.oldest_s)
        unexpected = CounterMetricFamily("parley_defects", "Unexpected exceptions, by place.", labels=["where"])
        for where, count in defects.items():
            unexpected.add_metric([where], count)
        yield unexpected
