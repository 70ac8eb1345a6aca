"""Authentication and authorization by API key, end to end: routes, sockets, recordings, uploads, limits."""

import json
from dataclasses import replace

import anyio
import httpx
import pytest
from litestar.routes import WebSocketRoute
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from app.domain.profile import Profile
from app.domain.tenant import Tenant, fingerprint
from app.runtime.profiles import ProfileCatalogue
from app.web.server import create_app
from tests.clips import HANDS
from tests.eventually import until
from tests.fakes import SILENCE, SPEECH, TermNotingTranscriber
from tests.serving import scripted_service, served
from tests.streaming_client import open_session

pytestmark = pytest.mark.anyio
TURN = SPEECH * 20 + SILENCE * 60
ACME = Tenant("acme", (fingerprint("acme-key"),), max_sessions=2)
GLOBEX = Tenant("globex", (fingerprint("globex-key"),))
OPS = Tenant("ops", (fingerprint("ops-key"),), operator=True)

OPEN = {"/health", "/health/live", "/health/ready", "/schema", "/schema/openapi.json", "/", "/{file_path:path}"}
OPEN |= {"/v1/audio/voices", "/v1/audio/models"}
"""Routes without a key: health, the reference of the API, the page, and names that other servers give everybody."""
NO_ENTRY = ("unauthorized", "invalid_api_key", "INVALID_AUTH")
"""Codes of a refused key, in our words, OpenAI's and Deepgram's."""
OPERATORS = {"/metrics", "/policy/decisions", "/policy/summary", "/policy/explain", "/admin/sessions"}


@pytest.fixture
async def service():
    return scripted_service(tenants=lambda: (ACME, GLOBEX, OPS))


@pytest.fixture
async def address(service):
    async with served(service) as where:
        yield where


@pytest.fixture
async def http(address):
    async with httpx.AsyncClient(base_url=f"http://{address}", timeout=20) as client:
        yield client


def code_of(body: dict) -> str:
    """Of an error, in whichever shape."""
    return body["err_code"] if "err_code" in body else body.get("error", body)["code"]


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def routes(service) -> list[tuple[str, str, str]]:
    """Every method of every route: its name, and an address of its kind."""
    found = []
    for route in create_app(service).routes:
        address = "/".join(part if isinstance(part, str) else "7" for part in route.path_components)
        methods = ["WEBSOCKET"] if isinstance(route, WebSocketRoute) else sorted(route.methods)
        found += [(route.path, method, f"/{address}") for method in methods]
    return found


async def first_word(address: str, **options) -> tuple[dict, int | None]:
    """The server's first message, and its close code where that was the last."""
    async with connect(f"ws://{address}", **options) as socket:
        message = json.loads(await socket.recv())
        if message["type"] == "error":
            with pytest.raises(ConnectionClosed):
                await socket.recv()
        return message, socket.close_code


@pytest.mark.parametrize(
    "headers", [{}, {"Authorization": "Bearer"}, bearer("wrong"), bearer(ACME.keys[0]), {"Authorization": "Basic eDp5"}]
)
async def test_every_route_but_the_public_ones_asks_for_a_key(service, http, headers):
    """Whatever routes are added: each is either in OPEN or refuses a missing and a wrong key."""
    seen = set()
    for name, method, path in routes(service):
        if method == "WEBSOCKET" and name.startswith(("/v1/", "/v2/")):
            with pytest.raises(InvalidStatus) as refused:
                await first_word(f"{http.base_url.netloc.decode()}{path}", additional_headers=headers)
            assert refused.value.response.status_code == 401, name
            assert code_of(json.loads(refused.value.response.body)) in NO_ENTRY
        elif method == "WEBSOCKET":
            message, code = await first_word(f"{http.base_url.netloc.decode()}{path}", additional_headers=headers)
            assert (message["code"], message["fatal"], code) == ("unauthorized", True, 1008), name
        elif name not in OPEN:
            answer = await http.request(method, path, headers=headers)
            assert (answer.status_code, answer.headers["www-authenticate"]) == (401, 'Bearer realm="parley"'), name
            if method != "HEAD":
                assert code_of(answer.json()) in NO_ENTRY
        seen.add(name)

    assert seen >= OPEN | OPERATORS | {"/ws/transcribe", "/ws/raw", "/recordings"}


async def test_operator_routes_are_403_for_other_tenants(service, http):
    """An operator gets an answer, or 404 where there is no policy."""
    for name in OPERATORS:
        told = await http.get(name, headers=bearer("acme-key"))
        assert (told.status_code, told.json()["code"]) == (403, "forbidden"), name
        assert (await http.get(name, headers=bearer("ops-key"))).status_code in (200, 404), name


async def test_page_needs_no_key_and_health_shows_components_to_operators_alone(http):
    """A load balancer needs no key, and learns nothing but the status."""
    page = await http.get("/")
    anonymous, tenant, operator = [
        (await http.get("/health", headers=h)).json() for h in ({}, bearer("acme-key"), bearer("ops-key"))
    ]

    assert page.status_code == 200
    assert "<title>Parley</title>" in page.text
    assert (anonymous, tenant) == ({"status": "ok"}, {"status": "ok"})
    assert operator["runs"] == {"finals": "scripted"}


async def test_websocket_key_in_header_or_subprotocol(address):
    """A browser cannot set the header, so it offers a subprotocol."""
    where = f"{address}/ws/transcribe"
    by_header, _ = await first_word(where, additional_headers=bearer("acme-key"))
    by_protocol, _ = await first_word(where, subprotocols=["parley", "parley-key.acme-key"])
    wrong, code = await first_word(where, subprotocols=["parley", "parley-key.guess"])
    async with connect(f"ws://{where}", subprotocols=["parley", "parley-key.acme-key"]) as socket:
        chosen = socket.subprotocol

    assert (by_header["type"], by_protocol["type"], chosen) == ("session", "session", "parley")
    assert (wrong["code"], code) == ("unauthorized", 1008)


async def test_max_sessions_of_a_tenant_refuses_its_next_session_alone(address, service):
    """1013 and a sentence; other tenants are not affected."""
    url = f"ws://{address}/ws/transcribe"
    async with open_session(url, key="acme-key") as one, open_session(url, key="acme-key") as two:
        assert await one.wait_until(lambda t: t.messages("session"), timeout_s=5)
        assert await two.wait_until(lambda t: t.messages("session"), timeout_s=5)
        async with open_session(url, key="acme-key") as three, open_session(url, key="globex-key") as other:
            await three.wait_until(lambda t: t.closed, timeout_s=5)
            assert await other.wait_until(lambda t: t.messages("session"), timeout_s=5)

    assert three.closed[0] == 1013
    assert (
        three.messages("error")[0].message["code"],
        "your 2 places" in three.messages("error")[0].message["message"],
    ) == (
        "no_capacity",
        True,
    )


async def spoken(address: str, service, key: str) -> str:
    """The id of a session that this client has spoken, and that is stored."""
    async with open_session(f"ws://{address}/ws/transcribe", key=key) as talk:
        await talk.send_audio(TURN, pace=0)
        assert await talk.wait_until(lambda t: t.messages("server_response"), timeout_s=5)
        session = talk.messages("session")[0].message["id"]
    with anyio.fail_after(10):
        while service.admission.sessions or service.uploader.session_log.records:  # noqa: ASYNC110 because the store tells nobody
            await anyio.sleep(0.005)
    return session


async def listed(http, key: str, query: str = "") -> set[str]:
    answer = (await http.get(f"/recordings{query}", headers=bearer(key))).json()
    return {recording["id"] for recording in answer["recordings"]}


async def test_recordings_are_visible_to_their_tenant_and_to_operators(http, address, service):
    """For every other tenant they are 404: not listed, not readable, not to be deleted."""
    mine, other = await spoken(address, service, "acme-key"), await spoken(address, service, "globex-key")

    assert await listed(http, "acme-key") == await listed(http, "acme-key", "?tenant=acme") == {mine}
    assert await listed(http, "globex-key") == {other}
    assert await listed(http, "acme-key", "?tenant=globex") == set()
    assert await listed(http, "ops-key") == {mine, other}
    assert await listed(http, "ops-key", "?tenant=globex") == {other}

    parts = ["manifest", "audio", "utterances/1", "utterances/1/audio", "replies/1/audio", "links"]
    for part in parts:
        seen = [(await http.get(f"/recordings/{mine}/{part}", headers=bearer(f"{who}-key"))).status_code for who in WHO]
        assert seen == [200, 404, 200], part
    hidden = await http.get(f"/recordings/{mine}/manifest", headers=bearer("globex-key"))
    absent = await http.get(f"/recordings/{'0' * 12}7{'0' * 19}/manifest", headers=bearer("globex-key"))
    impossible = await http.get("/recordings/..%2fetc/manifest", headers=bearer("globex-key"))
    assert hidden.json() == {"code": "not_found", "message": "there is no such recording, upload or file"}
    assert hidden.json() == absent.json()
    assert mine not in hidden.text
    assert impossible.status_code == 404

    gone = [(await http.delete(f"/recordings/{mine}", headers=bearer(f"{who}-key"))).status_code for who in WHO[1::-1]]
    assert gone == [404, 204]
    assert not [key for key in service.store.recorded if mine in key]
    assert (await http.delete(f"/recordings/{other}", headers=bearer("ops-key"))).status_code == 204
    assert service.store.recorded == {}


WHO = ("acme", "globex", "ops")


async def test_live_session_cannot_be_deleted_and_is_404_for_other_tenants(http, address):
    """409 for its own tenant, even before its first audio."""
    async with open_session(f"ws://{address}/ws/transcribe", key="acme-key") as talk:
        assert await talk.wait_until(lambda t: t.messages("session"), timeout_s=5)
        session = talk.messages("session")[0].message["id"]
        answers = [
            (await http.delete(f"/recordings/{session}", headers=bearer(f"{who}-key"))).status_code for who in WHO
        ]

    assert answers == [409, 404, 409]


async def test_uploads_belong_to_the_tenant_that_sent_them(http, service):
    """At once or resumable; no other tenant can continue an upload or ask for its offset."""
    file = HANDS.path.read_bytes()
    brought = (await http.post("/recordings", content=file, headers=bearer("acme-key"))).json()["id"]
    begun = await http.post("/recordings/uploads", headers={**bearer("acme-key"), "Upload-Length": str(len(file))})
    where = begun.headers["location"]

    foreign = bearer("globex-key") | {"Upload-Offset": "0"}
    tried = [await http.request(method, where, headers=foreign) for method in ("HEAD", "PATCH", "DELETE")]
    whole = await http.patch(where, content=file, headers=bearer("acme-key") | {"Upload-Offset": "0"})
    with anyio.fail_after(10):
        while service.admission.sessions or service.uploader.session_log.records:  # noqa: ASYNC110 because the store tells nobody
            await anyio.sleep(0.005)

    assert [answer.status_code for answer in tried] == [404, 404, 404]
    assert await listed(http, "acme-key") == {brought, whole.headers["parley-recording"]}
    assert await listed(http, "globex-key") == set()


async def test_job_of_an_upload_is_its_tenants_alone(http, service):
    """Queued, failed or done: for another tenant there is no such job; an operator sees it."""
    service.admission.max_sessions = 0
    sent = await http.post("/recordings?wait=false", content=b"no audio", headers=bearer("acme-key"))
    path = f"/recordings/jobs/{sent.json()['id']}"

    answers = [(await http.get(path, headers=bearer(f"{who}-key"))).status_code for who in WHO]

    assert answers == [200, 404, 200]


@pytest.mark.parametrize("how", ["/recordings", "/recordings?wait=false"])
async def test_uploaded_file_is_transcribed_with_the_key_terms_of_its_tenant(http, service, how):
    """At once or as a job; a tenant without terms has none."""
    transcriber = TermNotingTranscriber()
    service.batch_transcriber = replace(service.batch_transcriber, transcriber=transcriber)
    service.tenants = lambda: (replace(ACME, key_terms=("Siobhan", "Parley")), GLOBEX, OPS)
    sound = HANDS.path.read_bytes()

    sent = [await http.post(how, content=sound, headers=bearer(f"{who}-key")) for who in ("acme", "globex")]

    async def both_are_transcribed() -> bool:
        return transcriber.closed >= 2

    await until(both_are_transcribed, seconds=20)

    assert all(answer.is_success for answer in sent)
    assert transcriber.expected == [("Siobhan", "Parley")]


@pytest.mark.parametrize("how", ["/recordings", "/recordings?wait=false"])
async def test_uploaded_file_is_transcribed_with_key_terms_of_its_own(http, service, how):
    """They come before the tenant's; one that cannot be one refuses the upload."""
    transcriber = TermNotingTranscriber()
    service.batch_transcriber = replace(service.batch_transcriber, transcriber=transcriber)
    service.tenants = lambda: (replace(ACME, key_terms=("Siobhan",)), GLOBEX, OPS)
    sound, acme = HANDS.path.read_bytes(), bearer("acme-key")

    address = f"{how}{'&' if '?' in how else '?'}keyTerms="
    sent = await http.post(f"{address}Zoë, Parley", content=sound, headers=acme)
    refused = await http.post(f"{address}!%3F", content=sound, headers=acme)
    begun = await http.post("/recordings/uploads?keyTerms=,!?", headers=acme | {"Upload-Length": "1"})

    async def is_transcribed() -> bool:
        return transcriber.closed >= 1

    await until(is_transcribed, seconds=20)

    assert sent.is_success
    assert transcriber.expected == [("Zoë", "Parley", "Siobhan")]
    assert [(a.status_code, a.json()["code"]) for a in (refused, begun)] == [(400, "bad_message")] * 2


@pytest.mark.parametrize("how", ["/recordings", "/recordings?wait=false"])
async def test_uploaded_file_has_the_languages_and_key_terms_of_its_profile(http, service, how):
    """Where the client names none; a profile that it may not use refuses the upload before the file is read."""
    transcriber = TermNotingTranscriber()
    service.batch_transcriber = replace(service.batch_transcriber, transcriber=transcriber)
    clinic = Profile("clinic", languages=("de", "en"), key_terms=("Ibuprofen",))
    service.profiles = ProfileCatalogue(lambda: {"clinic": clinic})
    sound, acme = HANDS.path.read_bytes(), bearer("acme-key")

    address = f"{how}{'&' if '?' in how else '?'}profile="
    sent = [
        await http.post(f"{address}{query}", content=sound, headers=acme)
        for query in ("clinic", "clinic&language=fr&keyTerms=Zoë")
    ]
    refused = await http.post(f"{address}kiosk", content=sound, headers=acme)
    begun = await http.post("/recordings/uploads?profile=kiosk", headers=acme | {"Upload-Length": "1"})

    async def are_transcribed() -> bool:
        return transcriber.closed >= 2

    await until(are_transcribed, seconds=20)

    assert all(answer.is_success for answer in sent)
    assert sorted(transcriber.expected) == [("Ibuprofen",), ("Zoë", "Ibuprofen")]
    assert sorted(transcriber.languages) == ["de,en", "fr"]
    assert [(a.status_code, a.json()["code"]) for a in (refused, begun)] == [(404, "unknown_profile")] * 2


async def test_upload_that_nobody_waits_for_is_refused_where_nothing_is_archived(http, service):
    """Its result would be nowhere."""
    service.tenants = lambda: (Tenant("acme", ACME.keys, archive=False),)

    at_once = await http.post("/recordings?wait=false", content=b"x", headers=bearer("acme-key"))
    resumable = await http.post("/recordings/uploads", headers=bearer("acme-key") | {"Upload-Length": "1"})

    assert [(a.status_code, a.json()["code"]) for a in (at_once, resumable)] == [(400, "bad_message")] * 2


async def test_recording_from_a_link_is_for_operators_alone(http):
    """The service's own Drive account would otherwise show each tenant what was shared with another."""
    told = [await http.post("/recordings?source=1AbC_dEfGhIjK-lMnOp", headers=bearer(f"{who}-key")) for who in WHO]

    assert [(answer.status_code, answer.json()["code"]) for answer in told] == [
        (403, "forbidden"),
        (403, "forbidden"),
        (400, "request_refused"),
    ]


async def test_revoked_key_begins_no_new_session_and_ends_its_open_one(address, service):
    """Within two seconds; the tenants file is read at each handshake too."""
    url = f"ws://{address}/ws/transcribe"
    async with open_session(url, key="acme-key") as inside:
        assert await inside.wait_until(lambda t: t.messages("session"), timeout_s=5)
        service.tenants = lambda: (GLOBEX, OPS)
        async with open_session(url, key="acme-key") as outside:
            await outside.wait_until(lambda t: t.closed, timeout_s=5)
        await inside.wait_until(lambda t: t.closed, timeout_s=5)

    assert [talk.messages("error")[0].message["code"] for talk in (outside, inside)] == ["unauthorized"] * 2
    assert [talk.closed[0] for talk in (outside, inside)] == [1008, 1008]


async def test_archive_default_of_a_tenant_and_consent_of_a_session(service, http, address):
    """`archive = false` in the tenants file holds for sessions that do not configure it."""
    service.tenants = lambda: (Tenant("acme", ACME.keys, archive=False),)
    for wanted, kept in [(None, False), (True, True)]:
        async with open_session(f"ws://{address}/ws/transcribe", key="acme-key") as talk:
            if wanted:
                await talk.send_message(type="configure", archive=wanted)
            await talk.send_audio(TURN, pace=0)
            assert await talk.wait_until(lambda t: t.messages("server_response"), timeout_s=5)
        assert bool(talk.messages("ack")) is kept


async def test_without_tenants_everyone_is_operator_without_a_key(tmp_path):
    """As on a laptop: every route answers."""
    service = scripted_service()
    async with served(service) as address, httpx.AsyncClient(base_url=f"http://{address}") as http:
        message, _ = await first_word(f"{address}/ws/transcribe")
        answers = [(await http.get(path)).status_code for path in ("/health", "/recordings", "/metrics")]
        health = (await http.get("/health")).json()

    assert message["type"] == "session"
    assert answers == [200, 200, 200]
    assert health["runs"] == {"finals": "scripted"}


async def test_key_is_ignored_where_none_is_asked_for():
    """A client may send its key to every server."""
    async with served(scripted_service()) as address, open_session(f"ws://{address}/ws/raw", key="any") as talk:
        with anyio.fail_after(5):
            assert await talk.wait_until(lambda t: t.messages("session"), timeout_s=5)
