"""Every route and socket of the running application x every kind of credential x every spelling of its path.

A route that is added needs a rule in RULES: without one the first test fails.
"""

import json
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import anyio
import httpx
import jwt
import pytest
from litestar.routes import WebSocketRoute
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from app.data.api_keys import KeyStore
from app.data.conversation_log import ConversationLog
from app.data.database import open_database
from app.domain.principal import TENANT_SCOPES, Scope
from app.runtime.authentication import AnyOf, DatabaseKeys
from app.runtime.conversations.chat import Chat
from app.runtime.conversations.reply_run import ChatEngine, ReplyBill
from app.runtime.service import Service
from app.runtime.session_tokens import AUDIENCE, ISSUER, TYPE, SessionTokens
from app.web.server import create_app
from tests.clips import HANDS
from tests.eventually import until
from tests.fakes import ScriptedGenerator
from tests.serving import scripted_service, served

pytestmark = pytest.mark.anyio

ANYONE, ANY_KEY = "anyone", "any key"
RULES = {
    ("WEBSOCKET", "/ws/transcribe"): Scope.SPEAK,
    ("WEBSOCKET", "/ws/raw"): Scope.SPEAK,
    ("WEBSOCKET", "/"): Scope.SPEAK,
    ("WEBSOCKET", "/v1/realtime"): Scope.SPEAK,
    ("POST", "/v1/realtime/client_secrets"): ANY_KEY,
    ("GET", "/"): ANYONE,
    ("GET", "/{file_path:path}"): ANYONE,
    ("HEAD", "/{file_path:path}"): ANYONE,
    ("GET", "/health"): ANYONE,
    ("GET", "/health/live"): ANYONE,
    ("GET", "/health/ready"): ANYONE,
    ("GET", "/schema"): ANYONE,
    ("GET", "/schema/openapi.json"): ANYONE,
    ("GET", "/profiles"): frozenset({Scope.SPEAK, Scope.CHAT}),
    ("GET", "/engines"): frozenset({Scope.SPEAK, Scope.CHAT}),
    ("GET", "/metrics"): Scope.ADMIN,
    ("GET", "/policy/decisions"): Scope.ADMIN,
    ("GET", "/policy/explain"): Scope.ADMIN,
    ("GET", "/policy/summary"): Scope.ADMIN,
    ("GET", "/admin/audit"): Scope.ADMIN,
    ("DELETE", "/admin/drain"): Scope.ADMIN,
    ("POST", "/admin/drain"): Scope.ADMIN,
    ("GET", "/admin/keys"): Scope.ADMIN,
    ("POST", "/admin/keys"): Scope.ADMIN,
    ("DELETE", "/admin/keys/{key_id:str}"): Scope.ADMIN,
    ("DELETE", "/admin/sessions"): Scope.ADMIN,
    ("GET", "/admin/sessions"): Scope.ADMIN,
    ("DELETE", "/admin/sessions/{session:str}"): Scope.ADMIN,
    ("POST", "/auth/session-tokens"): ANY_KEY,
    ("POST", "/chat"): Scope.CHAT,
    ("GET", "/conversations"): Scope.CHAT,
    ("POST", "/conversations"): Scope.CHAT,
    ("DELETE", "/conversations/{conversation:str}"): Scope.CHAT,
    ("GET", "/conversations/{conversation:str}"): Scope.CHAT,
    ("PATCH", "/conversations/{conversation:str}"): Scope.CHAT,
    ("GET", "/conversations/{conversation:str}/export"): Scope.CHAT,
    ("POST", "/conversations/{conversation:str}/audio"): Scope.CHAT,
    ("POST", "/conversations/{conversation:str}/messages"): Scope.CHAT,
    ("GET", "/jobs"): Scope.TRANSCRIBE,
    ("DELETE", "/jobs/{session:str}"): Scope.TRANSCRIBE,
    ("GET", "/jobs/{session:str}"): Scope.TRANSCRIBE,
    ("GET", "/jobs/{session:str}/events"): Scope.TRANSCRIBE,
    ("GET", "/recordings"): Scope.RECORDINGS_READ,
    ("POST", "/recordings"): Scope.TRANSCRIBE,
    ("DELETE", "/recordings/{session:str}"): Scope.RECORDINGS_DELETE,
    ("GET", "/recordings/{session:str}/audio"): Scope.RECORDINGS_READ,
    ("GET", "/recordings/jobs/{session:str}"): Scope.TRANSCRIBE,
    ("GET", "/recordings/export"): Scope.RECORDINGS_READ,
    ("GET", "/recordings/{session:str}/export"): Scope.RECORDINGS_READ,
    ("GET", "/recordings/{session:str}/links"): Scope.RECORDINGS_READ,
    ("GET", "/recordings/{session:str}/manifest"): Scope.RECORDINGS_READ,
    ("GET", "/recordings/{session:str}/replies/{number:int}/audio"): Scope.RECORDINGS_READ,
    ("GET", "/recordings/{session:str}/utterances/{number:int}"): Scope.RECORDINGS_READ,
    ("GET", "/recordings/{session:str}/utterances/{number:int}/audio"): Scope.RECORDINGS_READ,
    ("POST", "/v1/audio/transcriptions"): Scope.TRANSCRIBE,
    ("POST", "/v1/audio/translations"): Scope.TRANSCRIBE,
    ("WEBSOCKET", "/v1/listen"): Scope.SPEAK,
    ("POST", "/v1/listen"): Scope.TRANSCRIBE,
    ("WEBSOCKET", "/v2/listen"): Scope.SPEAK,
    ("WEBSOCKET", "/v1/speak"): Scope.SPEAK,
    ("POST", "/v1/speak"): Scope.SPEAK,
    ("POST", "/v1/audio/speech"): Scope.SPEAK,
    ("GET", "/v1/audio/voices"): ANYONE,
    ("GET", "/v1/audio/models"): ANYONE,
    ("POST", "/v1/chat/completions"): Scope.CHAT,
    ("POST", "/v1/responses"): Scope.CHAT,
    ("GET", "/v1/models"): frozenset({Scope.TRANSCRIBE, Scope.SPEAK, Scope.CHAT}),
    ("GET", "/v1/models/{model:path}"): frozenset({Scope.TRANSCRIBE, Scope.SPEAK, Scope.CHAT}),
    ("POST", "/recordings/uploads"): Scope.TRANSCRIBE,
    ("DELETE", "/recordings/uploads/{name:str}"): Scope.TRANSCRIBE,
    ("HEAD", "/recordings/uploads/{name:str}"): Scope.TRANSCRIBE,
    ("PATCH", "/recordings/uploads/{name:str}"): Scope.TRANSCRIBE,
}

SPELLINGS = {
    "as it is": lambda path: path,
    "trailing slash": lambda path: f"{path}/",
    "doubled slash": lambda path: f"/{path}",
    "percent-encoded letter": lambda path: f"/%{ord(path[1]):02x}{path[2:]}" if path[1:] else "/%2e",
}

UNKNOWN = ("no key", "no bearer", "wrong key", "expired key", "revoked key", "expired token", "forged token")
"""Credentials of nobody."""


@dataclass(frozen=True)
class Route:
    method: str
    template: str

    @property
    def path(self) -> str:
        """An address of this kind; no object has this id."""
        parts = self.template.split("/")
        return "/".join(part if "{" not in part else "1" if ":int" in part else "7" for part in parts)


@dataclass(frozen=True)
class Site:
    """A server, its store of keys, and one credential of each kind that does not depend on the route."""

    address: str
    service: Service
    keys: KeyStore
    tokens: SessionTokens
    unknown: dict[str, str]

    async def key(self, *scopes: Scope, tenant: str = "acme") -> str:
        secret, _ = await self.keys.create(f"matrix {len(self.keys.all_keys())}", tenant, frozenset(scopes), None)
        return bearer(secret)


@pytest.fixture(scope="module")
async def site(tmp_path_factory) -> AsyncIterator[Site]:
    folder = tmp_path_factory.mktemp("matrix")
    async with open_database(f"sqlite+aiosqlite:///{folder}/parley.db") as engine:
        keys = KeyStore(engine)
        await keys.load()
        known = DatabaseKeys(keys)
        tokens = SessionTokens(lambda: keys.signing_secrets, [known])
        service = scripted_service(
            authenticator=AnyOf([known, tokens]),
            keys=keys,
            session_tokens=tokens,
            max_sessions=100,
            chat=Chat(ConversationLog(engine), lambda *_: ChatEngine(ScriptedGenerator(), ReplyBill("scripted"))),
        )
        async with served(service) as address:
            yield Site(address, service, keys, tokens, await credentials_of_nobody(keys))


async def credentials_of_nobody(keys: KeyStore) -> dict[str, str]:
    expired, _ = await keys.create("old", "acme", frozenset(Scope), datetime.now(UTC) - timedelta(seconds=1))
    revoked, key = await keys.create("gone", "acme", frozenset(Scope), None)
    await keys.revoke(key.id)
    _, own = await keys.create("own", "acme", TENANT_SCOPES, None)
    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": own.id, "tenant": "acme", "scope": " ".join(TENANT_SCOPES)}
    headers = {"kid": "1", "typ": TYPE}
    old_token = jwt.encode(
        {**claims, "exp": int(time.time()) - 60}, keys.signing_secrets["1"], "HS256", headers=headers
    )
    forged = jwt.encode({**claims, "exp": int(time.time()) + 60}, "f" * 32, "HS256", headers=headers)
    made = (expired, revoked, old_token, forged)
    return dict(zip(UNKNOWN, ("", "Basic eDp5", "Bearer wrong", *map(bearer, made)), strict=True))


def bearer(credential: str) -> str:
    return f"Bearer {credential}"


def routes() -> list[Route]:
    """Of the application, but for the answers to OPTIONS that the framework adds to each."""
    found = []
    for route in create_app(scripted_service()).routes:
        methods = ["WEBSOCKET"] if isinstance(route, WebSocketRoute) else sorted(route.methods)
        found += [Route(method, route.path) for method in methods]
    return found


SOCKET_STATUS = {"unauthorized": 401, "forbidden": 403, "origin_refused": 403, "host_refused": 400}

NO_ENTRY = ('"unauthorized"', '"invalid_api_key"', '"INVALID_AUTH"')
"""In the body of a 401, in our words, OpenAI's or Deepgram's."""
OPENED = ('"session"', '"request_id"')
"""In the first message of a socket, in our words or OpenAI's, and Deepgram's."""

CLOSED = [Route(*known) for known, rule in RULES.items() if rule != ANYONE]


def scopes_of(route: Route) -> frozenset[Scope]:
    """Each of which opens it."""
    rule = RULES[route.method, route.template]
    return rule if isinstance(rule, frozenset) else frozenset({rule} & set(Scope))


@dataclass(frozen=True)
class Answer:
    status: int
    """Of a socket that of its refusal, 200 for a session."""
    body: str = ""


async def ask(
    site: Site, route: Route, authorization: str, *, spelling: str = "as it is", named: str = "", page: str = ""
) -> Answer:
    """Of the path exactly as it is spelt, the server `named` as it is in a browser on this `page`, if there is one."""
    path = route.path if route.path == "/" else SPELLINGS[spelling](route.path)  # which no other spelling names
    host, port = site.address.split(":")
    headers = {"authorization": authorization} if authorization else {}
    headers |= {"origin": page} if page else {}
    if route.method == "WEBSOCKET":
        url = f"ws://{named or site.address}{path}"
        try:
            async with connect(url, host=host, port=int(port), additional_headers=headers) as socket:
                if route.template.endswith("/listen"):  # which says nothing of itself
                    await socket.send('{"type":"CloseStream"}')
                if route.path == "/":  # which waits for the client
                    with suppress(ConnectionClosed):
                        await socket.send('{"type": "configure"}')
                first = json.loads(await socket.recv())
        except InvalidStatus as refused:
            return Answer(refused.response.status_code, refused.response.body.decode())
        return Answer(SOCKET_STATUS.get(first.get("code"), 200), json.dumps(first))
    headers |= {"host": named or site.address, "connection": "close", "content-length": "0"}
    lines = [f"{route.method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    request = "\r\n".join([*lines, "", ""])
    received = b""
    with anyio.fail_after(20):
        async with await anyio.connect_tcp(host, int(port)) as stream:
            await stream.send(request.encode())
            async for piece in stream:
                received += piece
    head, _, body = received.partition(b"\r\n\r\n")
    return Answer(int(head.split()[1]), body.decode(errors="replace"))


# -- The matrix -------------------------------------------------------------------------------------


def test_every_route_has_a_rule():
    """Whoever adds a route says here who may use it."""
    found = {(route.method, route.template) for route in routes() if route.method != "OPTIONS"}

    assert found - set(RULES) == set(), "add a rule for each to RULES"
    assert set(RULES) - found == set(), "these routes are gone: remove their rules"


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("credential", UNKNOWN)
async def test_credential_of_nobody_opens_no_closed_route(site, credential, spelling):
    for route in CLOSED:
        answer = await ask(site, route, site.unknown[credential], spelling=spelling)

        assert answer.status == 401, (route, answer)
        assert route.method == "HEAD" or any(word in answer.body for word in NO_ENTRY), (route, answer)


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("scope", [*Scope])
async def test_key_without_the_scope_of_a_route_is_403(site, scope, spelling):
    """It has every other scope that a tenant can have."""
    for route in [route for route in CLOSED if scope in scopes_of(route)]:
        everything_else = await site.key(*(TENANT_SCOPES - scopes_of(route)))
        answer = await ask(site, route, everything_else, spelling=spelling)

        assert answer.status == 403, (route, answer)
        assert route.method == "HEAD" or '"forbidden"' in answer.body, (route, answer)


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("scope", [*Scope])
async def test_key_with_no_other_scope_opens_its_routes(site, scope, spelling):
    """So does an administrator's, and where it is not for administrators a token with that scope."""
    right, admin = await site.key(scope), await site.key(Scope.ADMIN)
    allowed = [right, admin]
    if scope is not Scope.ADMIN:
        principal = await DatabaseKeys(site.keys).authenticate(right.removeprefix("Bearer "), None)
        allowed.append(bearer(site.tokens.issue(principal, frozenset({scope}), 60, "visitor")[0]))
    for route in [
        route for route in CLOSED if scope in scopes_of(route) or RULES[route.method, route.template] == ANY_KEY
    ]:
        for credential in allowed:
            answer = await ask(site, route, credential, spelling=spelling)

            site.service.admission.is_draining = False  # one of the routes has that effect
            assert answer.status not in (401, 403), (route, answer)
            assert route.method != "WEBSOCKET" or any(word in answer.body for word in OPENED), (route, answer)


@pytest.mark.parametrize("credential", ["no key", "wrong key", "revoked key"])
async def test_public_routes_are_open_to_everybody(site, credential):
    for route in [Route(*known) for known, rule in RULES.items() if rule == ANYONE]:
        answer = await ask(site, route, site.unknown[credential])

        assert answer.status in (200, 404), (route, answer)


@pytest.mark.parametrize("spelling", SPELLINGS)
async def test_no_route_answers_to_a_foreign_host_name_whatever_the_key(site, spelling):
    """A name that was rebound to this address; the page and `/health` are no exceptions."""
    admin = await site.key(Scope.ADMIN)
    for route in [Route(*known) for known in RULES]:
        answer = await ask(site, route, admin, spelling=spelling, named="evil.example", page="http://evil.example")

        assert answer.status == 400, (route, answer)
        assert route.method == "HEAD" or '"host_refused"' in answer.body, (route, answer)


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("page", ["https://evil.example", "null", "https of our own"])
async def test_no_closed_route_answers_to_a_foreign_page_whatever_the_key(site, page, spelling):
    """Nor to a page of our own address under the other scheme."""
    admin, origin = await site.key(Scope.ADMIN), f"https://{site.address}" if " " in page else page
    for route in CLOSED:
        answer = await ask(site, route, admin, spelling=spelling, page=origin)

        assert answer.status == 403, (route, answer)
        assert route.method == "HEAD" or '"origin_refused"' in answer.body, (route, answer)


async def test_our_own_page_is_asked_for_a_key_like_everybody(site):
    for route in CLOSED:
        answer = await ask(site, route, "", page=f"http://{site.address}")

        assert answer.status == 401, (route, answer)


async def test_options_of_a_closed_route_says_nothing_without_a_key(site):
    for route in CLOSED:
        if route.method != "WEBSOCKET":
            answer = await ask(site, replace(route, method="OPTIONS"), "")

            assert answer.status == 401, (route, answer)


async def test_unknown_path_is_404_in_every_spelling(site):
    for spelling in SPELLINGS:
        for path in ("/nothing", "/recordings/7/nothing/at/all", "/admin", "/admin/nothing"):
            answer = await ask(site, Route("GET", path), "", spelling=spelling)

            assert answer.status == 404, (path, spelling, answer)


# -- Another tenant's ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
async def recording(site) -> str:
    """The id of one that belongs to `acme`."""
    headers = {"authorization": await site.key(Scope.TRANSCRIBE)}
    async with httpx.AsyncClient(base_url=f"http://{site.address}", headers=headers, timeout=60) as http:
        answer = await http.post("/recordings", content=HANDS.path.read_bytes())
    assert answer.status_code == 201, answer.text

    async def is_stored() -> bool:
        return answer.json()["id"] not in site.service.uploader.session_log.records

    await until(is_stored, seconds=20)
    return answer.json()["id"]


@pytest.fixture(scope="module")
async def upload(site) -> str:
    """The name of one that belongs to `acme`."""
    headers = {"authorization": await site.key(Scope.TRANSCRIBE), "upload-length": "1000"}
    async with httpx.AsyncClient(base_url=f"http://{site.address}", headers=headers) as http:
        answer = await http.post("/recordings/uploads")
    assert answer.status_code == 201, answer.text
    return answer.headers["location"].rpartition("/")[2]


@pytest.fixture(scope="module")
async def conversation(site) -> str:
    """The id of one that belongs to `acme`."""
    headers = {"authorization": await site.key(Scope.CHAT)}
    async with httpx.AsyncClient(base_url=f"http://{site.address}", headers=headers) as http:
        answer = await http.post("/conversations")
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


async def test_what_another_tenant_has_is_answered_like_what_nobody_has(site, recording, upload, conversation):
    """The same status and the same sentence, but for the id that was asked for."""
    stranger = await site.key(*TENANT_SCOPES, tenant="globex")
    absent = {recording: f"{recording[:-4]}0000", upload: f"{'0' * 32}{upload[32:]}", conversation: "0" * 32}
    for route in [
        route
        for route in CLOSED
        if route.template.startswith(
            ("/recordings/{", "/recordings/jobs/{", "/recordings/uploads/{", "/conversations/{")
        )
        and (route.method, route.template[:14])
        not in (
            ("PATCH", "/conversations"),
            ("POST", "/conversations"),
        )  # those of conversations refuse an empty body first
    ]:
        own = upload if "{name" in route.template else conversation if "{conv" in route.template else recording
        template = route.template.replace("{session:str}", "{id}").replace("{name:str}", "{id}")
        template = template.replace("{number:int}", "1").replace("{conversation:str}", "{id}")

        foreign, nothing = [
            await ask(site, Route(route.method, template.replace("{id}", name)), stranger)
            for name in (own, absent[own])
        ]

        assert foreign.status == 404, (route, foreign)
        assert foreign.body.replace(own, "ID") == nothing.body.replace(absent[own], "ID"), route
        assert foreign.status == nothing.status


async def test_damaged_recording_of_another_tenant_is_answered_like_what_nobody_has(site, recording):
    """Its owner is told that it is damaged."""
    blobs = site.service.store.blobs
    (key,) = [key for key in blobs if recording in key and key.endswith("manifest.json")]
    whole, blobs[key] = blobs[key], b"damaged"
    route = Route("GET", f"/recordings/{recording}/manifest")

    own = await ask(site, route, await site.key(Scope.RECORDINGS_READ))
    stranger = await site.key(Scope.RECORDINGS_READ, tenant="globex")
    foreign = await ask(site, route, stranger)
    absent = await ask(
        site, replace(route, template=route.template.replace(recording, f"{recording[:-4]}0000")), stranger
    )

    blobs[key] = whole
    assert own.status == 502
    assert foreign.status == 404
    assert foreign.body.replace(recording, "ID") == absent.body.replace(f"{recording[:-4]}0000", "ID")


async def test_tenant_sees_its_own_recording(site, recording):
    """So the test above compares with something that is there."""
    for scope, method, path in [(Scope.RECORDINGS_READ, "GET", "manifest"), (Scope.RECORDINGS_READ, "GET", "audio")]:
        answer = await ask(site, Route(method, f"/recordings/{recording}/{path}"), await site.key(scope))

        assert answer.status == 200, (path, answer)
