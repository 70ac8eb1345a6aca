"""Whatever a client sends over HTTP, the answer is below 500, no defect is counted and no task is left."""

import asyncio
import base64
import json
from collections.abc import Callable
from contextlib import AsyncExitStack, contextmanager
from io import BytesIO
from tempfile import TemporaryDirectory

import msgspec
import pytest
from hypothesis import strategies as st
from structlog.testing import capture_logs

from app.domain.errors import ClientError, ClientFault
from app.domain.principal import Scope
from app.domain.recording.wav import wav_header
from app.domain.tenant import Tenant, fingerprint, key_id_of
from app.domain.upload_limits import UploadLimits
from app.runtime.admission_queue import AdmissionQueue
from app.runtime.authentication import AnyOf, Peer, TenantKeys
from app.runtime.clock import SystemClock
from app.runtime.service import Service
from app.runtime.session_tokens import SessionTokens
from app.runtime.supervision import defects
from app.runtime.worker import Worker
from app.web.http import served_app
from app.web.openai.worker import create_worker
from app.web.server import create_app
from tests.fakes import MemoryBlobStore, ScriptedDetector, ScriptedTranscriber
from tests.fuzz.asgi import Answer, HostileRequest, ask
from tests.fuzz.generate import JSON, SNIPPETS, damaged, effort, try_inputs
from tests.fuzz.test_parsers import FOLDER, MANIFEST, SESSION
from tests.serving import index_in, scripted_service

KEY = "k" * 32
ACME = Tenant("acme", (fingerprint(KEY),), operator=True)


class RefusingDecoder:
    """No file is audio to it, and none costs a process."""

    async def decode(self, file: BytesIO, **_: object):
        raise ClientError(ClientFault.BAD_AUDIO, "cannot read the upload as audio")
        yield


@contextmanager
def asking(app, service: Service | None = None) -> "Callable[[HostileRequest], Answer]":
    """Sends requests and checks what holds for each of them; the service gets a database with a recordings index."""
    with asyncio.Runner() as runner, capture_logs(), TemporaryDirectory() as folder:
        app, stack = served_app(app), AsyncExitStack()
        if service is not None:
            runner.run(index_in(f"sqlite+aiosqlite:///{folder}/parley.db", service.uploader, stack))

        def send(request: HostileRequest) -> Answer:
            before = defects.total()
            answer = runner.run(ask(app, request))
            assert 200 <= answer.status < 500, answer
            assert defects.total() == before
            runner.run(asyncio.sleep(0))  # generators that were abandoned are closed now
            assert not asyncio.all_tasks(runner.get_loop())
            if answer.status >= 400 and request.method != "HEAD":
                assert json.loads(answer.body)
            return answer

        try:
            yield send
        finally:
            runner.run(stack.aclose())


@pytest.fixture
def service():
    store = MemoryBlobStore({f"{FOLDER}/{SESSION}/manifest.json": MANIFEST.replace(b'"default"', b'"acme"')})
    keys = TenantKeys(lambda: (ACME,))
    tokens = SessionTokens(lambda: {"1": b"s" * 64}, [keys])
    return scripted_service(
        store=store,
        authenticator=AnyOf([keys, tokens]),
        session_tokens=tokens,
        decoder=RefusingDecoder(),
    )


AUTHORIZED = ((b"authorization", b"Bearer " + KEY.encode()),)
PATHS = [
    b"/recordings",
    b"/recordings/%s/manifest" % SESSION.encode(),
    b"/recordings/%s/audio" % SESSION.encode(),
    b"/recordings/%s/utterances/1" % SESSION.encode(),
    b"/recordings/%s/replies/1/audio" % SESSION.encode(),
    b"/recordings/%s/links" % SESSION.encode(),
    b"/recordings/uploads/%s" % SESSION.encode(),
    b"/admin/sessions",
    b"/admin/keys",
    b"/auth/session-tokens",
    b"/policy/decisions",
    b"/metrics",
    b"/health",
    b"/health/ready",
    b"/",
    b"/ws/transcribe",
]
QUERIES = damaged(
    b"limit=10&before=2026-11-14/x&since=2026-01-01&until=2026-12-31&text=hello&route=local&kind=live&tenant=acme",
    b"start=0&end=100&format=flac",
    b"language=en&wait=false",
)
METHODS = st.sampled_from(["GET", "HEAD", "POST", "PATCH", "PUT", "DELETE", "OPTIONS", "TRACE", "XYZZY"])


@effort
def test_any_request_to_any_path_is_answered(inputs, service):
    requests = st.builds(
        HostileRequest,
        METHODS,
        damaged(*PATHS).map(lambda raw: b"/" + raw.replace(b"?", b"").replace(b" ", b"%20").lstrip(b"/")),
        QUERIES | st.just(b""),
        st.just(AUTHORIZED),
        st.lists(st.binary(max_size=20) | SNIPPETS, max_size=2).map(tuple),
    )

    with asking(create_app(service), service) as send:
        assert send(HostileRequest(path=PATHS[1], headers=AUTHORIZED)).status == 200
        try_inputs(inputs, requests, send)


@effort
def test_range_and_query_of_audio_are_answered(inputs, service):
    requests = st.builds(
        lambda value, query: HostileRequest(
            path=PATHS[2], query=query, headers=(*AUTHORIZED, (b"range", value.replace(b"\r", b"").replace(b"\n", b"")))
        ),
        damaged(b"bytes=0-99", b"bytes=-5", b"bytes=7-"),
        damaged(b"start=0&end=1", b"format=wav&start=0.01"),
    )

    with asking(create_app(service), service) as send:
        assert send(HostileRequest(path=PATHS[2], headers=(*AUTHORIZED, (b"range", b"bytes=0-9")))).status == 206
        try_inputs(inputs, requests, send)


@effort
def test_headers_and_pieces_of_a_resumable_upload_are_answered(inputs, service):
    def upload(length: bytes, offset: bytes, pieces: list[bytes], name: bytes | None) -> None:
        created = send(
            HostileRequest("POST", b"/recordings/uploads", headers=(*AUTHORIZED, (b"upload-length", length)))
        )
        path = created.headers.get(b"location", PATHS[6]) if name is None else b"/recordings/uploads/" + name
        for method in ("PATCH", "HEAD", "DELETE"):
            send(HostileRequest(method, path, b"", (*AUTHORIZED, (b"upload-offset", offset)), tuple(pieces)))

    numbers = st.integers(0, 30).map(lambda n: b"%d" % n) | damaged(b"10", b"0", b"1048576")
    names = st.none() | damaged(PATHS[6].rpartition(b"/")[2]).map(lambda raw: raw.replace(b"/", b"%2f"))
    uploads = st.tuples(numbers, numbers | st.just(b"0"), st.lists(st.binary(max_size=20), max_size=3), names)

    service.uploads.limits = UploadLimits(max_bytes=1 << 20, per_tenant=1_000_000)
    with asking(create_app(service), service) as send:
        try_inputs(inputs // 3, uploads, lambda each: upload(*each))


@effort
@pytest.mark.parametrize("path", [b"/auth/session-tokens", b"/admin/keys"])
def test_json_bodies_are_answered(inputs, service, path):
    bodies = damaged(
        b'{"scopes":["speak"],"ttl_s":600,"name":"web"}',
        b'{"name":"web","scopes":["speak"],"tenant":"acme","expires":"2099-01-01T00:00:00+00:00"}',
    ) | JSON.map(msgspec.json.encode)

    with asking(create_app(service), service) as send:
        try_inputs(
            inputs // 2, bodies, lambda body: send(HostileRequest("POST", path, headers=AUTHORIZED, body=(body,)))
        )


@effort
def test_no_damaged_key_or_token_is_accepted(inputs, service):
    principal = TenantKeys(lambda: (ACME,)).principal_of(key_id_of(fingerprint(KEY)))
    token, _ = service.session_tokens.issue(principal, frozenset({Scope.RECORDINGS_READ}), 600, "web")
    claims = {"iss": "parley", "aud": "parley", "sub": principal.key_id, "tenant": "acme", "scope": "admin speak"}
    unsigned = ".".join(
        base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()
        for part in ({"alg": "none", "kid": "1", "typ": "parley-session+jwt"}, {**claims, "exp": 4_000_000_000})
    )
    valid = {b"bearer " + KEY.encode(), b"bearer " + token.encode()}
    credentials = damaged(*valid, b"bearer " + unsigned.encode() + b".", b"basic " + base64.b64encode(b"a:b"))

    def check(value: bytes) -> None:
        request = HostileRequest(path=PATHS[0], headers=((b"authorization", value),))
        is_valid = value.partition(b" ")[0].lower() + b" " + value.partition(b" ")[2].strip() in valid
        assert (send(request).status == 200) == is_valid

    with asking(create_app(service), service) as send:
        for each in valid:
            assert send(HostileRequest(path=PATHS[0], headers=((b"authorization", each),))).status == 200
        try_inputs(inputs, credentials, check)


@effort
def test_token_of_any_bytes_gives_no_administrator(inputs, service):
    def check(credential: bytes) -> None:
        principal = runner.run(service.session_tokens.authenticate(credential.decode("latin-1"), Peer("203.0.113.7")))
        assert principal is None

    header = base64.urlsafe_b64encode(b'{"alg":"HS256","kid":"1","typ":"parley-session+jwt"}').rstrip(b"=")
    with asyncio.Runner() as runner:
        try_inputs(inputs, damaged(header + b".e30.AAAA", b"a.b.c") | st.binary(), check)


FORM = b"".join(
    [
        b'--X\r\ncontent-disposition: form-data; name="file"; filename="a.wav"\r\ncontent-type: audio/wav\r\n\r\n',
        wav_header(4),
        b"\1\0\1\0\1\0\1\0\r\n",
        b'--X\r\ncontent-disposition: form-data; name="language"\r\n\r\nen\r\n',
        b'--X\r\ncontent-disposition: form-data; name="response_format"\r\n\r\nverbose_json\r\n--X--\r\n',
    ]
)


@effort
def test_multipart_form_is_answered(inputs):
    engine, queue = ScriptedTranscriber(), AdmissionQueue("worker", SystemClock(), 1, 1)
    worker = Worker("tiny", engine, engine, ScriptedDetector(), queue, "en", decoder=RefusingDecoder())

    def request(body: bytes, kind: bytes, cut: int) -> HostileRequest:
        headers = ((b"content-type", kind), (b"content-length", b"%d" % len(body)))
        return HostileRequest("POST", b"/v1/audio/transcriptions", b"", headers, (body[:cut], body[cut:]))

    kinds = st.just(b"multipart/form-data; boundary=X") | damaged(b"multipart/form-data; boundary=X")
    requests = st.builds(request, damaged(FORM), kinds, st.integers(0, len(FORM)))

    with asking(create_worker(worker)) as send:
        whole = send(request(FORM, b"multipart/form-data; boundary=X", 10))
        assert (whole.status, json.loads(whole.body)["error"]["code"]) == (400, "bad_audio")
        try_inputs(inputs, requests, send)
