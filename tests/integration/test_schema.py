"""The OpenAPI document: every route is in it, it is valid, and what it says is what the running service does."""

import json
import re
from collections.abc import AsyncIterator

import anyio
import httpx
import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from app.web.conversations.audio import MAX_BYTES
from app.web.deepgram_errors import CODES as DEEPGRAM_CODES
from app.web.deepgram_errors import is_deepgram
from app.web.openai_errors import CODES as OPENAI_CODES
from app.web.schema.document import TAGS
from tests.clips import HANDS
from tests.eventually import until
from tests.fakes import (
    SILENCE,
    SPEECH,
)
from tests.integration.test_auth_matrix import ANY_KEY, ANYONE, RULES
from tests.integration.whole_service import Site, open_site
from tests.serving import scripted_service, served, stored_manifest
from tests.streaming_client import open_session

pytestmark = pytest.mark.anyio

NOT_REST = {
    ("WEBSOCKET", "/ws/transcribe"): "frontend/PROTOCOL.md describes it",
    ("WEBSOCKET", "/ws/raw"): "frontend/PROTOCOL.md describes it",
    ("WEBSOCKET", "/v1/listen"): "docs/protocols/deepgram.md describes it",
    ("WEBSOCKET", "/v2/listen"): "docs/protocols/deepgram.md describes it",
    ("WEBSOCKET", "/v1/speak"): "docs/protocols/deepgram.md describes it",
    ("WEBSOCKET", "/"): "clients of earlier servers know it",
    ("WEBSOCKET", "/v1/realtime"): "docs/protocols/openai-realtime.md describes it",
    ("GET", "/"): "the web page",
    ("GET", "/{file_path:path}"): "files of the web page",
    ("HEAD", "/{file_path:path}"): "files of the web page",
}
"""Routes that the document leaves out, and why."""


@pytest.fixture(scope="module")
def document() -> dict:
    async def read() -> dict:
        async with served(scripted_service()) as address, httpx.AsyncClient(base_url=f"http://{address}") as http:
            return (await http.get("/schema/openapi.json")).json()

    return anyio.run(read)


def operations(document: dict) -> dict[tuple[str, str], dict]:
    paths = document["paths"].items()
    return {(method.upper(), path): of for path, methods in paths for method, of in methods.items()}


def template(path: str) -> str:
    """`/recordings/{session:str}` as the document has it."""
    return re.sub(r":(str|int|path)}", "}", path)


def with_components(document: dict, schema: dict) -> Draft202012Validator:
    """A validator for a schema that may refer to the document's components."""
    return Draft202012Validator({**schema, "components": document["components"]})


def example_values(document: dict, content: dict) -> list:
    """Every example of this content, references followed."""
    named = document["components"]["examples"]
    found = [
        named[each["$ref"].rpartition("/")[2]] if "$ref" in each else each for each in content["examples"].values()
    ]
    return [each["value"] for each in found]


# -- The document by itself ---------------------------------------------------------------------------


def test_schema_document_has_every_route_of_the_running_application(document):
    """Whoever adds a route adds a row to a table of app/web/schema, or says in NOT_REST why not."""
    routes = {(method, template(path)) for method, path in RULES.keys() - NOT_REST.keys()}

    assert routes - operations(document).keys() == set(), "add a row for each to a table of app/web/schema"
    assert operations(document).keys() - routes == set()
    rows = {key for table in TAGS.values() for key in table}
    assert rows == routes, "these rows have no route"


def test_schema_document_is_valid_openapi(document):
    """As the specification's own schemas have it."""
    assert [error.message for error in OpenAPIV31SpecValidator(document).iter_errors()] == []


def test_schema_says_nothing_of_exceptions_in_the_code(document):
    assert "Raises " not in json.dumps(document)


def test_schema_operations_are_told_apart_by_id_and_summary(document):
    """Generators name methods by the id; people choose by the summary."""
    for name in ("operationId", "summary"):
        values = [operation[name] for operation in operations(document).values()]
        assert len(set(values)) == len(values)


def test_schema_operation_has_the_security_of_its_route(document):
    """The same rule that the route is tested by; and the scope, in words."""
    for (method, path), rule in RULES.items():
        if (method, path) in NOT_REST:
            continue
        operation = operations(document)[method, template(path)]
        assert operation["security"] == ([] if rule == ANYONE else [{"bearer": []}]), (method, path)
        needs = {ANYONE: "Needs no key.", ANY_KEY: "Needs a key, of any scope."}
        scopes = sorted(rule) if isinstance(rule, frozenset) else [rule]
        expected = needs.get(rule, f"Needs a key with the scope {' or '.join(f'`{each}`' for each in scopes)}.")
        assert operation["description"].endswith(expected), (method, path)


def test_schema_operation_describes_every_parameter_and_shows_a_request(document):
    """A sentence for each parameter, an example that the parameter takes, and a command line."""
    for route, operation in operations(document).items():
        assert len(operation["description"].split("\n\n")) > 1, route
        assert operation["x-codeSamples"][0]["source"].startswith("curl "), route
        for parameter in operation["parameters"]:
            assert parameter["description"].endswith("."), (route, parameter)
            if "example" in parameter:
                assert with_components(document, parameter["schema"]).is_valid(parameter["example"]), (route, parameter)
            else:
                assert parameter["name"] in {"before", "source"}, (route, parameter)


def test_schema_json_bodies_have_examples_of_their_schema(document):
    """Requests, responses, errors."""
    for route, operation in operations(document).items():
        bodies = [operation.get("requestBody", {}), *operation["responses"].values()]
        for content in [body["content"][kind] for body in bodies for kind in body.get("content", {}) if "json" in kind]:
            values = example_values(document, content)
            assert values, route
            for value in values:
                assert with_components(document, content["schema"]).is_valid(value), (route, value)


def test_schema_operations_name_the_errors_that_every_route_has(document):
    """A wrong host, too many requests; and where a key is needed, no key and the wrong one."""
    for route, operation in operations(document).items():
        named = documented_errors(document, operation)
        words = OPENAI_CODES if route[1].startswith("/v1/") else {}
        words = DEEPGRAM_CODES if is_deepgram(route[1]) else words
        rate, key = (words.get(code, code) for code in ("rate_limited", "unauthorized"))
        assert {(400, "host_refused"), (429, rate), (500, "internal_error")} <= named, route
        if operation["security"]:
            assert {(401, key), (403, "forbidden"), (403, "origin_refused")} <= named, route


def documented_errors(document: dict, operation: dict) -> set[tuple[int, str]]:
    contents = [(int(status), each.get("content", {})) for status, each in operation["responses"].items()]
    values = [
        (status, value.get("error", value))
        for status, content in contents
        if status >= 400 and "application/json" in content
        for value in example_values(document, content["application/json"])
        if isinstance(value, dict)
    ]
    codes = [(status, value.get("code", value.get("err_code"))) for status, value in values]
    return {(status, code) for status, code in codes if code}


# -- The document and the service ---------------------------------------------------------------------


@pytest.fixture(scope="module")
async def site(tmp_path_factory) -> AsyncIterator[Site]:
    async with open_site(tmp_path_factory.mktemp("schema")) as opened:
        yield opened


NAMED = {"deleted", "details", "runs", "/recordings/{session}/links"}
"""Objects whose keys are names of something, and not of a field."""


def is_alike(example: object, answer: object, name: str = "") -> bool:
    """Whether both have the same fields, of the same types. Null is of every type; so is an empty list."""
    if example is None or answer is None:
        return True
    match example, answer:
        case dict(), dict():
            if name in NAMED:
                return True
            return example.keys() == answer.keys() and all(is_alike(example[key], answer[key], key) for key in example)
        case list(), list():
            return not example or all(is_alike(example[0], each) for each in answer)
        case (bool(), bool()) | (str(), str()):
            return True
        case (int() | float(), int() | float()):
            return bool not in (type(example), type(answer))
    return False


async def test_schema_examples_look_like_what_the_service_answers(document, site):
    """Every operation that answers with JSON is asked; an example of that status has the answer's fields and types."""
    asked: dict[tuple[str, str], list[int]] = {}
    described = operations(document)

    async def ask(method: str, path: str, *, at: str = "", **options) -> httpx.Response:
        answer = await site.http.request(method, at or path, **options)
        responses = described[method, path]["responses"]
        assert str(answer.status_code) in responses, (method, path, answer.status_code, answer.text)
        response = responses[str(answer.status_code)]
        assert {name.title() for name in DESCRIBED_HEADERS & answer.headers.keys()} <= {
            name.title() for name in response.get("headers", ())
        }, (method, path, answer.headers)
        has_json = answer.headers.get("content-type", "").startswith("application/json") and method != "HEAD"
        if has_json and path != "/schema/openapi.json":  # of which the example is the beginning
            examples = example_values(document, response["content"]["application/json"])
            assert any(is_alike(each, answer.json(), path) for each in examples), (method, path, answer.text)
        asked.setdefault((method, path), []).append(answer.status_code)
        return answer

    for path in (
        "/health",
        "/health/ready",
        "/health/live",
        "/schema/openapi.json",
        "/schema",
        "/profiles",
        "/engines",
        "/metrics",
    ):
        await ask("GET", path)
    async with open_session(site.socket, key=site.key) as client:
        await client.send_audio(SPEECH * 30 + SILENCE * 80, pace=0)
        assert await client.wait_until(lambda heard: heard.messages("server_response"), timeout_s=20)
        live = client.messages("session")[0].message["id"]
        await ask("GET", "/admin/sessions")
        await ask("DELETE", "/recordings/{session}", at=f"/recordings/{live}")
        await ask("DELETE", "/admin/sessions", at="/admin/sessions?tenant=nobody")
        await ask("DELETE", "/admin/sessions/{session}", at=f"/admin/sessions/{live}")
    named = "/recordings?person=visitor-17"
    file = (await ask("POST", "/recordings", at=named, content=HANDS.path.read_bytes())).json()["id"]
    for session in (live, file):
        await stored_manifest(site.service, session)
    await ask("GET", "/recordings")
    for rest in ("manifest", "audio", "utterances/{number}", "utterances/{number}/audio", "replies/{number}/audio"):
        path = f"/recordings/{{session}}/{rest}"
        await ask("GET", path, at=path.format(session=live, number=1))
    for headers in ({"range": "bytes=0-99"}, {"range": "bytes=99999999-"}):
        await ask("GET", "/recordings/{session}/audio", at=f"/recordings/{live}/audio", headers=headers)
    await ask("GET", "/recordings/export", at="/recordings/export?person=visitor-17")
    utterance = "/recordings/{session}/utterances/{number}/audio"
    await ask("GET", utterance, at=utterance.format(session=live, number=1), headers={"range": "bytes=-10"})
    for rest in ("links", "export"):
        await ask("GET", f"/recordings/{{session}}/{rest}", at=f"/recordings/{live}/{rest}")
    accepted = await ask("POST", "/recordings", at="/recordings?wait=false", content=HANDS.path.read_bytes())
    job = "/recordings/jobs/{session}"

    async def is_done() -> bool:
        return (await ask("GET", job, at=accepted.headers["location"])).json()["state"] == "done"

    await until(is_done, seconds=30)
    for path in ("/jobs", "/jobs/{session}", "/jobs/{session}/events"):
        await ask("GET", path, at=path.format(session=accepted.json()["id"]))
    await ask("DELETE", "/jobs/{session}", at=f"/jobs/{accepted.json()['id']}")
    parts, length = "/recordings/uploads/{name}", {"upload-length": "1000"}
    upload = (await ask("POST", "/recordings/uploads", headers=length)).headers["location"]
    await ask("HEAD", parts, at=upload)
    await ask("PATCH", parts, at=upload, headers={"upload-offset": "0"}, content=b"x" * 10)
    await ask("PATCH", parts, at=upload, headers={"upload-offset": "10"}, content=b"x" * 990)

    async def is_failed() -> bool:
        return (await ask("GET", job, at=upload.replace("uploads", "jobs"))).json()["state"] == "failed"

    await until(is_failed, seconds=30)
    other = (await ask("POST", "/recordings/uploads", headers=length)).headers["location"]
    await ask("DELETE", parts, at=other)
    await ask("DELETE", "/recordings/{session}", at=f"/recordings/{file}?receipt=true")
    await ask("DELETE", "/recordings/{session}", at=f"/recordings/{live}")
    talk = "/conversations/{conversation}"
    begun = (await ask("POST", "/conversations", json={"person": "visitor-17"})).headers["location"]
    await ask("POST", f"{talk}/messages", at=f"{begun}/messages", json={"text": "Will it rain?"})
    await ask("GET", talk, at=f"{begun}?limit=1")
    spoken = {"file": ("hands.wav", HANDS.path.read_bytes())}
    await ask("POST", f"{talk}/audio", at=f"{begun}/audio", files=spoken)
    long = {"file": ("long.wav", bytes(MAX_BYTES + 1))}
    await ask("POST", f"{talk}/audio", at=f"{begun}/audio", files=long)
    await ask("PATCH", talk, at=begun, json={"title": "Weather"})
    await ask("GET", f"{talk}/export", at=f"{begun}/export?format=vtt")
    await ask("DELETE", talk, at=f"{begun}?receipt=true")
    await ask("POST", "/chat", json={"text": "Will it rain?"})
    other = (await ask("POST", "/conversations")).headers["location"]
    await ask("GET", "/conversations")
    await ask("DELETE", talk, at=other)
    for path in ("/policy/decisions", "/policy/summary", "/policy/explain"):
        await ask("GET", path)
    await ask("POST", "/admin/drain")
    await ask("GET", "/health/ready")
    await ask("DELETE", "/admin/drain")
    key = await ask("POST", "/admin/keys", json={"name": "kiosk", "scopes": ["speak"], "tenant": "acme"})
    await ask("GET", "/admin/keys")
    await ask("DELETE", "/admin/keys/{key_id}", at=f"/admin/keys/{key.json()['id']}")
    await ask("POST", "/auth/session-tokens", json={"scopes": ["speak"]})
    await ask("POST", "/v1/realtime/client_secrets", json={"session": {"type": "realtime"}})
    await ask("GET", "/admin/audit")
    for form in ("json", "verbose_json", "vtt", "text"):
        spoken = {"file": ("hands.flac", HANDS.path.read_bytes())}
        await ask("POST", "/v1/audio/transcriptions", files=spoken, data={"response_format": form})
    await ask("POST", "/v1/audio/translations", files=spoken)
    await ask("POST", "/v1/listen", content=HANDS.path.read_bytes())
    await ask("POST", "/v1/speak", json={"text": "Hello."})
    await ask("POST", "/v1/audio/speech", json={"input": "Hello."})
    await ask("POST", "/v1/chat/completions", json={"messages": [{"role": "user", "content": "Hello"}]})
    await ask("POST", "/v1/responses", json={"model": "gpt-5", "input": "Hello"})
    for path in ("/v1/audio/voices", "/v1/audio/models", "/v1/models"):
        await ask("GET", path)
    await ask("GET", "/v1/models/{model}", at="/v1/models/whisper-1")

    assert asked.keys() == described.keys()
    assert 503 in asked["GET", "/health/ready"]
    succeeded = {route: {str(status) for status in statuses} for route, statuses in asked.items()}
    documented = {route: {s for s in each["responses"] if s < "300"} for route, each in described.items()}
    assert {
        route: documented[route] - succeeded[route] for route in asked if documented[route] - succeeded[route]
    } == {}


DESCRIBED_HEADERS = {
    "accept-ranges",
    "content-disposition",
    "content-range",
    "location",
    "parley-lost",
    "parley-recording",
    "retry-after",
    "tus-resumable",
    "upload-length",
    "upload-offset",
    "www-authenticate",
}

NO_SUCH = "01932c5e0a7b7def8123456789abcdef"
LARGE = b'{"name": "%s"}' % (b"x" * (11 << 20))


@pytest.mark.parametrize(
    ("method", "path", "at", "options", "expected"),
    [
        ("GET", "/recordings", "/recordings?limit=0", {}, (400, "invalid_request")),
        ("GET", "/recordings", "/recordings", {"headers": {"authorization": ""}}, (401, "unauthorized")),
        ("GET", "/recordings", "/recordings", {"headers": {"host": "evil.example"}}, (400, "host_refused")),
        ("GET", "/recordings", "/recordings", {"headers": {"origin": "http://evil"}}, (403, "origin_refused")),
        ("POST", "/recordings", "/recordings", {"content": b"no audio"}, (415, "bad_audio")),
        ("POST", "/recordings", "/recordings?source=x", {}, (400, "request_refused")),
        ("POST", "/recordings", "/recordings?wait=perhaps", {}, (400, "invalid_request")),
        ("GET", "/recordings/{session}/manifest", f"/recordings/{NO_SUCH}/manifest", {}, (404, "not_found")),
        ("GET", "/recordings/{session}/audio", "/recordings/x/audio?start=2&end=1", {}, (400, "invalid_request")),
        ("DELETE", "/recordings/{session}", f"/recordings/{NO_SUCH}", {}, (404, "not_found")),
        ("GET", "/recordings/export", "/recordings/export?person=nobody", {}, (404, "not_found")),
        ("GET", "/recordings/export", "/recordings/export?person=%20", {}, (400, "bad_message")),
        ("GET", "/recordings/export", "/recordings/export", {}, (400, "invalid_request")),
        ("GET", "/recordings/jobs/{session}", f"/recordings/jobs/{NO_SUCH}", {}, (404, "not_found")),
        ("GET", "/jobs/{session}", f"/jobs/{NO_SUCH}", {}, (404, "not_found")),
        ("GET", "/jobs/{session}/events", f"/jobs/{NO_SUCH}/events", {}, (404, "not_found")),
        ("DELETE", "/jobs/{session}", f"/jobs/{NO_SUCH}", {}, (404, "not_found")),
        ("GET", "/jobs", "/jobs?state=asleep", {}, (400, "invalid_request")),
        ("POST", "/recordings/uploads", "/recordings/uploads", {}, (400, "bad_metadata")),
        (
            *("POST", "/recordings/uploads", "/recordings/uploads"),
            *({"headers": {"upload-length": "99999999999999"}}, (413, "frame_too_large")),
        ),
        (
            *("POST", "/recordings/uploads", "/recordings/uploads"),
            *({"headers": {"upload-length": "9", "tus-resumable": "0.2.2"}}, (412, "unsupported_version")),
        ),
        (
            *("PATCH", "/recordings/uploads/{name}", f"/recordings/uploads/{NO_SUCH}"),
            *({"headers": {"content-type": "audio/wav"}}, (415, "unsupported_media_type")),
        ),
        ("GET", "/recordings/{session}/links", f"/recordings/{NO_SUCH}/links?page=2", {}, (400, "invalid_request")),
        ("GET", "/health", "/health?a=%0a", {}, (400, "bad_message")),
        ("DELETE", "/recordings/uploads/{name}", f"/recordings/uploads/{NO_SUCH}", {}, (404, "not_found")),
        ("DELETE", "/admin/sessions", "/admin/sessions", {}, (400, "invalid_request")),
        ("DELETE", "/admin/sessions/{session}", "/admin/sessions/x", {}, (404, "not_found")),
        ("GET", "/conversations/{conversation}", f"/conversations/{NO_SUCH}", {}, (404, "not_found")),
        ("POST", "/chat", "/chat", {"json": {"text": "x" * 8001}}, (413, "text_too_long")),
        ("POST", "/conversations", "/conversations", {"json": {"name": "x"}}, (400, "bad_message")),
        ("POST", "/admin/keys", "/admin/keys", {"content": b"{}"}, (400, "bad_message")),
        ("POST", "/admin/keys", "/admin/keys", {"content": LARGE}, (413, "request_too_large")),
        (
            *("POST", "/admin/keys", "/admin/keys"),
            *({"json": {"name": "root", "scopes": ["speak"], "tenant": "acme"}}, (409, "key_name_taken")),
        ),
        ("DELETE", "/admin/keys/{key_id}", "/admin/keys/x", {}, (404, "not_found")),
        ("GET", "/admin/audit", "/admin/audit?since=yesterday", {}, (400, "invalid_request")),
        ("GET", "/policy/decisions", "/policy/decisions?limit=x", {}, (400, "invalid_request")),
        ("GET", "/policy/explain", "/policy/explain?place=moon", {}, (400, "invalid_request")),
        ("POST", "/auth/session-tokens", "/auth/session-tokens", {"content": b"[]"}, (400, "bad_message")),
        ("POST", "/auth/session-tokens", "/auth/session-tokens", {"json": {"scopes": ["admin"]}}, (403, "forbidden")),
    ],
    ids=lambda value: text if len(text := str(value)) < 80 else "large",
)
async def test_schema_names_the_errors_that_the_service_answers_with(
    document, site, method, path, at, options, expected
):
    """Each provoked error is in the document: its status, its code, and the shape of its body."""
    answer = await site.http.request(method, at, **options)

    assert (answer.status_code, answer.json()["code"]) == expected
    assert expected in documented_errors(document, operations(document)[method, path])
    assert with_components(document, document["components"]["schemas"]["Error"]).is_valid(answer.json())


async def test_schema_is_public_and_the_same_for_everybody(site):
    """It says nothing of the service that is asked: another service has the same document, with a key or without."""
    with_key = await site.http.get("/schema/openapi.json")
    without = await site.http.get("/schema/openapi.json", headers={"authorization": ""})
    async with served(scripted_service()) as address, httpx.AsyncClient(base_url=f"http://{address}") as http:
        elsewhere = await http.get("/schema/openapi.json")

    assert (with_key.status_code, without.status_code) == (200, 200)
    assert with_key.content == without.content == elsewhere.content
    assert site.key not in json.dumps(with_key.json())


async def test_schema_page_below_a_slash_leads_to_the_page(site):
    """Its scripts are found relative to `/schema`."""
    answer = await site.http.get("/schema/")

    assert (answer.status_code, answer.headers["location"]) == (302, "../schema")
    assert answer.headers["content-security-policy"].startswith("default-src 'self';")
