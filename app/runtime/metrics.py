"""Prometheus gauges: open sessions, session limit, spool size and age."""

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from app.runtime.service import Service


class _ProcessCollector(Collector):
    """Reads the service at each scrape; keeps no state."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def collect(self) -> Iterable[GaugeMetricFamily]:
        status = self._service.uploader.status()
        yield GaugeMetricFamily("parley_sessions", "Sessions that are open.", len(self._service.admission.sessions))
        yield GaugeMetricFamily(
            "parley_sessions_most", "Sessions that may be open.", self._service.admission.max_sessions
        )
        yield GaugeMetricFamily("parley_spool_sessions", "Sessions not whole in the store yet.", status.waiting)
        yield GaugeMetricFamily("parley_spool_bytes", "Bytes in the spool.", status.bytes)
        yield GaugeMetricFamily("parley_spool_oldest_seconds", "Age of the oldest of them.", status.oldest_s)


def process_metrics(service: Service) -> bytes:
    """The metrics in Prometheus's text format."""
    registry = CollectorRegistry()
    registry.register(_ProcessCollector(service))
    return generate_latest(registry)
