"""Whose jobs and uploads a client reaches: a token's those of its person, a key's those of its tenant."""

import anyio
import httpx
import pytest

from app.domain.job import JobState
from app.domain.tenant import Tenant, fingerprint
from app.domain.upload_limits import UploadLimits
from app.runtime.authentication import AnyOf, OpenAuthenticator, Peer, TenantKeys
from app.runtime.session_tokens import SessionTokens
from tests.clips import HANDS
from tests.serving import scripted_service, served

pytestmark = pytest.mark.anyio
FILE = HANDS.path.read_bytes()
TENANTS = (
    Tenant("acme", (fingerprint("acme-key"),)),
    Tenant("globex", (fingerprint("globex-key"),)),
    Tenant("ops", (fingerprint("ops-key"),), operator=True),
)
ABOUT_ONE = [
    ("HEAD", "/recordings/uploads/{}"),
    ("PATCH", "/recordings/uploads/{}"),
    ("DELETE", "/recordings/uploads/{}"),
    ("GET", "/recordings/jobs/{}"),
    ("GET", "/jobs/{}"),
    ("GET", "/jobs/{}/events"),
    ("DELETE", "/jobs/{}"),
]


class Strangers(OpenAuthenticator):
    """Everybody comes from another machine."""

    async def authenticate(self, credential, peer):
        return await super().authenticate(credential, Peer("203.0.113.7"))


@pytest.fixture
async def service():
    keys = TenantKeys(lambda: TENANTS)
    tokens = SessionTokens(lambda: {"1": b"s" * 64}, [keys])
    service = scripted_service(authenticator=AnyOf([keys, tokens]), session_tokens=tokens, max_sessions=0)
    service.batch_transcriber.transcriber.go = anyio.Event()
    return service


@pytest.fixture
async def http(service):
    async with served(service) as address, httpx.AsyncClient(base_url=f"http://{address}", timeout=20) as client:
        yield client


def bearer(credential: str) -> dict[str, str]:
    return {"authorization": f"Bearer {credential}"} if credential else {}


async def visitor(http, person: str) -> str:
    body = {"scopes": ["transcribe"], "person": person}
    return (await http.post("/auth/session-tokens", json=body, headers=bearer("acme-key"))).json()["token"]


async def open_upload(http, credential: str, length: int = len(FILE)) -> str:
    headers = {**bearer(credential), "upload-length": str(length)}
    answer = await http.post("/recordings/uploads", headers=headers)
    assert answer.status_code == 201, answer.text
    return answer.headers["location"].rpartition("/")[2]


async def queued_job(http, credential: str) -> str:
    session = await open_upload(http, credential)
    assert (await patch(http, credential, session, FILE)).status_code == 204
    return session


async def patch(http, credential: str, session: str, data: bytes) -> httpx.Response:
    headers = {**bearer(credential), "upload-offset": "0"}
    return await http.patch(f"/recordings/uploads/{session}", headers=headers, content=data)


async def listed(http, credential: str) -> list[str]:
    return [job["id"] for job in (await http.get("/jobs", headers=bearer(credential))).json()["jobs"]]


async def ask_all(http, credential: str, session: str) -> list[tuple[int, str]]:
    """Status and body, without the id, of every request about one job or upload."""
    headers, found = {**bearer(credential), "upload-offset": "0"}, []
    for method, path in ABOUT_ONE:
        answer = await http.request(method, path.format(session), headers=headers)
        found.append((answer.status_code, answer.text.replace(session, "ID")))
    return found


@pytest.mark.parametrize("other", ["bert", "globex"])
async def test_jobs_and_uploads_of_another_person_are_answered_like_what_nobody_has(http, service, other):
    """So are those of another tenant. Nothing happens to them."""
    anna = await visitor(http, "anna")
    credential = await visitor(http, "bert") if other == "bert" else "globex-key"
    upload, job = await open_upload(http, anna), await queued_job(http, anna)
    absent = await ask_all(http, credential, "0" * 32)

    assert await ask_all(http, credential, upload) == absent
    assert await ask_all(http, credential, job) == absent
    assert {status for status, _ in absent} == {404}
    assert await listed(http, credential) == []
    assert (service.jobs.rows[upload].state, service.jobs.rows[job].state) == (JobState.RECEIVING, JobState.QUEUED)


async def test_jobs_and_uploads_of_a_person_are_that_persons_by_any_of_its_tokens(http, service):
    first, again = await visitor(http, "anna"), await visitor(http, "anna")
    upload, job = await open_upload(http, first), await queued_job(http, await visitor(http, "bert"))

    assert await listed(http, again) == [upload]
    assert (await http.get(f"/jobs/{upload}", headers=bearer(again))).json()["person"] == "anna"
    assert (await patch(http, again, upload, FILE)).status_code == 204
    assert (await http.get(f"/recordings/jobs/{upload}", headers=bearer(again))).json()["state"] == "queued"
    assert (await http.delete(f"/jobs/{upload}", headers=bearer(again))).json()["state"] == "cancelled"
    assert service.jobs.rows[job].state is JobState.QUEUED


@pytest.mark.parametrize("key", ["acme-key", "ops-key"])
async def test_jobs_and_uploads_of_all_persons_are_reached_by_a_key(http, key):
    uploads = [await open_upload(http, await visitor(http, person)) for person in ("anna", "bert")]

    assert await listed(http, key) == uploads[::-1]
    assert (await http.get(f"/jobs/{uploads[0]}", headers=bearer(key))).status_code == 200
    assert (await http.delete(f"/recordings/uploads/{uploads[1]}", headers=bearer(key))).status_code == 204


async def test_visitor_takes_a_quarter_of_the_uploads_of_its_tenant(http, service):
    """Another visitor and the tenant itself, also in that person's name, still find a place."""
    service.uploads.limits = UploadLimits(per_tenant=8)
    anna = bearer(await visitor(http, "anna"))
    answers = [await http.post("/recordings/uploads", headers={**anna, "upload-length": "9"}) for _ in range(3)]
    at_once = await http.post("/recordings?wait=false", headers=anna, content=FILE)
    await open_upload(http, await visitor(http, "bert"))
    named = {**bearer("acme-key"), "upload-length": "9"}
    by_key = await http.post("/recordings/uploads", params={"person": "anna"}, headers=named)

    assert [answer.status_code for answer in answers] == [201, 201, 503]
    assert [(answer.status_code, answer.json()["code"]) for answer in (at_once, answers[2])] == [
        (503, "provider_busy")
    ] * 2
    assert by_key.status_code == 201


async def test_stranger_sees_no_list_and_reaches_its_upload_by_its_id_alone():
    """All strangers share a tenant; the id, which nobody else is told, is what it has of its upload."""
    service = scripted_service(authenticator=Strangers(), max_sessions=0)
    async with served(service) as address, httpx.AsyncClient(base_url=f"http://{address}", timeout=20) as http:
        session = await open_upload(http, "")
        lists = [(await http.get("/jobs", params=query)).json() for query in ({}, {"tenant": "default"})]
        offset = (await http.head(f"/recordings/uploads/{session}")).headers["upload-offset"]
        sent = await patch(http, "", session, FILE)
        job = (await http.get(f"/jobs/{session}")).json()
        guessed = await http.get(f"/jobs/{session[:-1]}{'0' if session[-1] != '0' else '1'}")

    assert lists == [{"jobs": [], "next": None}] * 2
    assert (offset, sent.status_code, job["state"], guessed.status_code) == ("0", 204, "queued", 404)
