"""The service's metrics: what each outage looks like in them, and that their labels are bounded."""

from types import SimpleNamespace

import anyio
import anyio.lowlevel
import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from app.domain.errors import ProviderDown
from app.runtime import metrics
from app.runtime.metrics import MAX_TENANTS, OTHER_TENANTS, ServiceMetrics
from app.runtime.supervision import report_defect
from tests.serving import scripted_service, served

pytestmark = pytest.mark.anyio


def samples(exposition: bytes) -> dict[str, list]:
    """Every sample, by its name."""
    found = {}
    for family in text_string_to_metric_families(exposition.decode()):
        for sample in family.samples:
            found.setdefault(sample.name, []).append(sample)
    return found


def value(service, name: str) -> float:
    (sample,) = samples(service.metrics.exposition())[name]
    return sample.value


async def test_each_outage_shows_in_its_gauge():
    """Store, disk, database, drain: what the alert rules ask for."""
    service = scripted_service()
    keys = SimpleNamespace(is_available=True)
    service.keys = keys
    names = ("parley_store_failing", "parley_spool_full", "parley_database_up", "parley_draining")
    well = [value(service, name) for name in names]

    service.uploader.error = ProviderDown("s3", "down")
    service.uploader.session_log.has_space = False
    keys.is_available = False
    service.admission.is_draining = True

    assert well == [0, 0, 1, 0]
    assert [value(service, name) for name in names] == [1, 1, 0, 1]


async def test_a_defect_is_counted_by_its_place():
    service = scripted_service()
    report_defect("a place of this test", ValueError("x"))

    counted = {s.labels["where"]: s.value for s in samples(service.metrics.exposition())["parley_defects_total"]}

    assert counted["a place of this test"] == 1


async def test_build_and_process_are_named():
    """Which version runs, since when, and in how much memory."""
    found = samples(scripted_service().metrics.exposition())

    assert found["parley_build_info"][0].labels.keys() == {"version", "python"}
    assert found["process_resident_memory_bytes"][0].value > 1 << 20
    assert "process_start_time_seconds" in found


async def test_waiting_jobs_of_the_speech_models_are_gauges():
    """How many, and for how long."""
    service = scripted_service()
    service.speech_capacity = SimpleNamespace(queue=lambda: (3, 1.5))

    assert (value(service, "parley_speech_queue"), value(service, "parley_speech_queue_seconds")) == (3, 1.5)


def test_tenants_beyond_the_most_are_counted_together():
    """However many tenants a process serves, it has so many series, and loses no second."""
    counting = ServiceMetrics()
    for number in range(MAX_TENANTS + 50):
        counting.count_session(f"tenant-{number}", 2.0)
    counting.count_session("tenant-0", 2.0)

    audio = {s.labels["tenant"]: s.value for s in samples(counting.exposition())["parley_audio_seconds_total"]}
    begun = samples(counting.exposition())["parley_begun_sessions_total"]
    assert len(audio) == len(begun) == MAX_TENANTS + 1
    assert (audio["tenant-0"], audio[OTHER_TENANTS]) == (4.0, 100.0)


async def test_requests_are_counted_by_route_and_not_by_path():
    """Ten recordings are one series, a thousand unknown paths at most one; refusals have their status."""
    service = scripted_service()
    async with served(service) as address, httpx.AsyncClient(base_url=f"http://{address}") as http:
        for number in range(10):
            await http.get(f"/recordings/{number}/manifest")
            await http.get(f"/no/such/path/{number}.php")
        await http.get("/health")

    counted = samples(service.metrics.exposition())["parley_requests_total"]
    by_route = {(s.labels["route"], s.labels["method"], s.labels["status"]): s.value for s in counted}
    assert len({route for route, _, _ in by_route if route.startswith("/recordings/")}) == 1
    assert by_route["/health", "GET", "200"] == 1
    assert sum(by_route.values()) == 21
    assert len(by_route) == 3


async def test_lag_of_the_event_loop_is_measured(monkeypatch):
    """What holds it up shows."""
    monkeypatch.setattr(metrics, "LAG_EVERY_S", 0.001)
    counting = ServiceMetrics()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(counting.measure_loop_lag)
        with anyio.fail_after(10):
            while not samples(counting.exposition())["parley_event_loop_lag_seconds_count"][0].value:
                await anyio.lowlevel.checkpoint()
        tasks.cancel_scope.cancel()
