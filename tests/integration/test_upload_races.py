"""Uploads under any order of concurrent requests, deletions and broken connections: no slot and no file is left."""

from dataclasses import dataclass, field

import anyio
import httpx
import pytest
import structlog
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from app.domain.job import JobState
from app.domain.recording.wav import wav_header
from app.runtime.supervision import defects
from tests.eventually import until
from tests.fakes import SILENCE, SPEECH
from tests.serving import scripted_service, served

SOUND = SPEECH * 10 + SILENCE * 30
FILE = wav_header(len(SOUND) // 2) + SOUND
"""A recording of 1.2 s."""
PLACES = 2


@dataclass
class Client:
    """Sends requests about at most two uploads; what the server answers is noted."""

    http: httpx.AsyncClient
    uploads: list[str] = field(default_factory=list)
    promised: set[str] = field(default_factory=set)
    statuses: list[int] = field(default_factory=list)

    async def post(self, _: int) -> None:
        self._note(await self.http.post("/recordings", content=FILE))

    async def post_unattended(self, _: int) -> None:
        answer = self._note(await self.http.post("/recordings?wait=false", content=FILE))
        if answer.status_code == 202:
            self.promised.add(answer.json()["id"])

    async def post_no_audio(self, _: int) -> None:
        self._note(await self.http.post("/recordings", content=b"no audio"))

    async def post_broken(self, _: int) -> None:
        await self._break_off("POST", "/recordings", {})

    async def create(self, _: int) -> None:
        answer = self._note(await self.http.post("/recordings/uploads", headers={"Upload-Length": str(len(FILE))}))
        if answer.status_code == 201:
            self.uploads.append(answer.headers["location"])

    async def head(self, number: int) -> None:
        if where := self._upload(number):
            self._note(await self.http.head(where))

    async def patch_half(self, number: int) -> None:
        await self._patch(number, len(FILE) // 2)

    async def patch_rest(self, number: int) -> None:
        await self._patch(number, len(FILE))

    async def patch_broken(self, number: int) -> None:
        if where := self._upload(number):
            offset = (await self.http.head(where)).headers.get("upload-offset", "0")
            await self._break_off("PATCH", where, {"Upload-Offset": offset})

    async def delete(self, number: int) -> None:
        if where := self._upload(number):
            self._note(await self.http.delete(where))

    async def delete_recording(self, number: int) -> None:
        if where := self._upload(number):
            answer = self._note(await self.http.delete(where.replace("/uploads", "")))
            if answer.status_code == 204:
                self.promised.discard(where.rpartition("/")[2])

    async def _patch(self, number: int, end: int) -> None:
        if where := self._upload(number):
            offset = int((await self.http.head(where)).headers.get("upload-offset", 0))
            headers = {"Upload-Offset": str(offset)}
            answer = self._note(await self.http.patch(where, headers=headers, content=FILE[offset : max(end, offset)]))
            if "parley-recording" in answer.headers:
                self.promised.add(answer.headers["parley-recording"])

    async def _break_off(self, method: str, where: str, headers: dict[str, str]) -> None:
        async def broken():
            yield FILE[:100]
            raise ConnectionResetError

        with pytest.raises((ConnectionResetError, httpx.HTTPError)):
            await self.http.request(method, where, headers=headers, content=broken())
            raise ConnectionResetError  # the server has answered before it read the body

    def _upload(self, number: int) -> str | None:
        return self.uploads[number % len(self.uploads)] if self.uploads else None

    def _note(self, answer: httpx.Response) -> httpx.Response:
        self.statuses.append(answer.status_code)
        return answer


REQUESTS = [name for name in vars(Client) if not name.startswith("_") and callable(getattr(Client, name))]
ROUNDS = st.lists(
    st.lists(st.tuples(st.sampled_from(REQUESTS), st.integers(0, 1)), min_size=1, max_size=4), min_size=1, max_size=4
)
"""The requests of a round are sent at the same time."""


@settings(max_examples=10, deadline=None, phases=[Phase.generate], suppress_health_check=[HealthCheck.too_slow])
@given(ROUNDS)
def test_uploads_in_any_order_leave_no_slot_and_no_file(rounds):
    """Each answer is one of the documented ones, each promise becomes a recording, and nothing else is left."""
    before = defects.total()
    with structlog.testing.capture_logs():
        anyio.run(assert_nothing_leaks, rounds)
    assert defects.total() == before


async def assert_nothing_leaks(rounds) -> None:
    service = scripted_service(max_sessions=PLACES)
    async with served(service) as address, httpx.AsyncClient(base_url=f"http://{address}", timeout=30) as http:
        client = Client(http)
        for requests in rounds:
            async with anyio.create_task_group() as tasks:
                for name, number in requests:
                    tasks.start_soon(getattr(client, name), number)

        async def is_idle() -> bool:
            rows = service.jobs.rows.values()
            busy = [job for job in rows if not (job.is_finished or (job.state is JobState.RECEIVING and job.length))]
            return not (busy or service.admission.sessions)

        await until(is_idle, seconds=30)
        recorded = {session for session in client.promised if await is_recorded(service, session)}
        for where in client.uploads:
            await http.delete(where)

        async def is_empty() -> bool:
            left = [key for key in service.store.blobs if key.startswith("uploads/")]
            return not (left or service.uploader.session_log.records)

        await until(is_empty, seconds=30)

    assert set(client.statuses) <= {200, 201, 202, 204, 404, 409, 415, 503}
    assert recorded == client.promised
    assert (service.uploader.held_sessions, service.admission.sessions) == (set(), {})
    assert all(job.is_finished and not job.has_remains for job in service.jobs.rows.values())


async def is_recorded(service, session: str) -> bool:
    manifests = [key for key in service.store.blobs if session in key and key.endswith("manifest.json")]
    return len(manifests) == 1 and (await service.jobs.get(session)).state is JobState.DONE
