"""Liveness and readiness: what a supervisor restarts, and where a balancer sends new clients."""

from types import SimpleNamespace

import httpx
import pytest
from anyio import to_thread

from app.domain.errors import ProviderDown
from app.runtime.admission import Admission
from app.web import liveness
from tests.serving import scripted_service, served

pytestmark = pytest.mark.anyio


async def test_full_server_is_alive_and_not_ready():
    service = scripted_service()
    service.admission = Admission(max_sessions=0)

    async with served(service) as address, httpx.AsyncClient(base_url=f"http://{address}") as http:
        live, ready = await http.get("/health/live"), await http.get("/health/ready")

    assert (live.status_code, live.json()) == (200, {"status": "ok"})
    assert (ready.status_code, ready.json()) == (503, {"status": "full", "reasons": ["full"]})


async def test_server_is_ready_while_store_and_database_answer():
    """Every reason is named, and is gone when what it names answers again; HEAD has the same status."""
    keys = SimpleNamespace(is_available=True)
    service = scripted_service()
    service.keys = keys

    async with served(service) as address, httpx.AsyncClient(base_url=f"http://{address}") as http:
        first = await http.get("/health/ready")
        keys.is_available, service.uploader.error = False, ProviderDown("s3", "down")
        failing, head = await http.get("/health/ready"), await http.head("/health/ready")
        live = await http.get("/health/live")
        keys.is_available, service.uploader.error = True, None
        recovered = await http.get("/health/ready")

    assert (first.status_code, first.json()) == (200, {"status": "ok", "reasons": []})
    assert (failing.status_code, failing.json()["reasons"]) == (503, ["database", "store"])
    assert (head.status_code, head.content) == (503, b"")
    assert live.status_code == 200
    assert recovered.status_code == 200


async def test_server_whose_worker_threads_all_hang_is_not_alive_until_one_is_free(monkeypatch):
    monkeypatch.setattr(liveness, "LIVENESS_DEADLINE_S", 0.2)
    threads = to_thread.current_default_thread_limiter()
    async with served(scripted_service()) as address, httpx.AsyncClient(base_url=f"http://{address}") as http:
        hung = [object() for _ in range(int(threads.available_tokens))]
        for borrower in hung:
            threads.acquire_on_behalf_of_nowait(borrower)
        try:
            stuck = await http.get("/health/live")
        finally:
            for borrower in hung:
                threads.release_on_behalf_of(borrower)
        recovered = await http.get("/health/live")

    assert (stuck.status_code, stuck.json()) == (503, {"status": "stuck"})
    assert (recovered.status_code, recovered.json()) == (200, {"status": "ok"})


async def test_server_with_a_free_place_is_ready_and_head_is_answered():
    async with served(scripted_service()) as address, httpx.AsyncClient(base_url=f"http://{address}") as http:
        answers = [
            (await http.request(method, f"/health/{each}")).status_code
            for method in ("GET", "HEAD")
            for each in ("live", "ready")
        ]

    assert answers == [200] * 4
