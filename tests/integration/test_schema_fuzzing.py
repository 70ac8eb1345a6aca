"""Schemathesis against the running service: requests that the OpenAPI document allows, and those that it forbids.

Of every operation, no answer is a 5xx, and each has a status, a content type, headers and a body as documented.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
import schemathesis
from anyio.from_thread import start_blocking_portal
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from schemathesis.specs.openapi.schemas import OpenApiSchema

from app.web.schema.document import TAGS
from tests.clips import HANDS
from tests.integration.whole_service import open_site

pytestmark = pytest.mark.filterwarnings(  # because Schemathesis draws from `random`, which Hypothesis seeds
    "ignore::hypothesis.errors.HypothesisDeprecationWarning"
)
schemathesis.serializer.alias("application/offset+octet-stream", "application/octet-stream")

DRAIN = ("POST", "/admin/drain")
"""Behind it nothing else would be answered."""
OPERATIONS = sorted(
    {key for table in TAGS.values() for key in table} - {DRAIN}, key=lambda key: (key[0] == "DELETE", key[1], key[0])
)
"""By method and path; what deletes comes last."""
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,  # the last, because it is left out for streams of events
]


@dataclass(frozen=True)
class Target:
    """A running service: its document, and the ids of what is stored there."""

    schema: OpenApiSchema
    headers: dict[str, str]
    ids: dict[str, Any]
    """By the name of the path's parameter."""


@pytest.fixture(scope="module")
def target(tmp_path_factory) -> Iterator[Target]:
    folder = tmp_path_factory.mktemp("fuzzing")
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(open_site(folder)) as site:
        headers = {"authorization": f"Bearer {site.key}"}
        with httpx.Client(base_url=site.http.base_url, headers=headers) as http:
            session = http.post("/recordings?person=visitor-17", content=HANDS.path.read_bytes()).json()["id"]
            conversation = http.post("/conversations", json={"person": "visitor-17"}).json()["id"]
            upload = http.post("/recordings/uploads", headers={"upload-length": "4000"}).json()["id"]
        ids = {"session": session, "conversation": conversation, "name": upload, "number": 1, "model": "whisper-1"}
        document = f"{site.http.base_url}/schema/openapi.json"
        yield Target(schemathesis.openapi.from_url(document, headers=headers), headers, ids)


@pytest.mark.parametrize(("method", "path"), OPERATIONS, ids=str)
def test_operation_answers_as_documented(target, method, path):
    try_operation(target, method, path, examples=12)


@pytest.mark.nightly
@pytest.mark.parametrize(("method", "path"), OPERATIONS, ids=str)
def test_operation_answers_many_requests_as_documented(target, method, path):
    try_operation(target, method, path, examples=400)


def try_operation(target: Target, method: str, path: str, *, examples: int) -> None:
    """Half of the requests keep to the document, half do not; half of them are about something that is stored."""
    operation = target.schema[path][method]
    allowed, forbidden = (operation.as_strategy(generation_mode=mode) for mode in GenerationMode)

    @settings(max_examples=examples, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
    @given(case=allowed | forbidden, is_stored=st.booleans())
    def ask(case: Case, is_stored: bool) -> None:
        if is_stored:
            known = {name: target.ids[name] for name in case.path_parameters or () if name in target.ids}
            case.path_parameters = {**(case.path_parameters or {}), **known}
        answer = case.call(headers=target.headers, timeout=20)
        is_stream = answer.headers.get("content-type", [""])[0].startswith("text/event-stream")
        # OpenAPI 3.1 has no words for the events of a stream: the document calls it a string.
        case.validate_response(answer, checks=CHECKS[:-1] if is_stream else CHECKS)

    ask()
