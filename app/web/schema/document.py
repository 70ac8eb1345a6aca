"""Puts the OpenAPI document together: from the routes, what they take; from the tables, what nobody can read off them.

A route that no table has is left out; a test finds it.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from typing import Any, TypeAlias, cast

import msgspec
from litestar import Litestar
from litestar.openapi.config import OpenAPIConfig
from litestar.routes import HTTPRoute
from litestar.types import ControllerRouterHandler

from app.domain.principal import Scope
from app.web.auth.middleware import ANYONE
from app.web.schema.admin import ADMIN
from app.web.schema.conversations import CONVERSATIONS
from app.web.schema.deepgram import DEEPGRAM
from app.web.schema.errors import (
    DEEPGRAM_ERROR_SCHEMA,
    ERROR_EXAMPLES,
    ERROR_SCHEMA,
    EVERY_CLOSED_ROUTE,
    EVERY_ROUTE,
    OPENAI_ERROR_SCHEMA,
    error_responses,
    is_vendors,
)
from app.web.schema.jobs import JOBS
from app.web.schema.openai import OPENAI
from app.web.schema.operation import JSON, DocumentedBody, DocumentedOperation, DocumentedResponse, Operations
from app.web.schema.parameters import PARAMETERS, REQUEST_HEADERS, RESPONSE_HEADERS, DocumentedValue
from app.web.schema.recordings import RECORDINGS, UPLOADS
from app.web.schema.samples import shell_command
from app.web.schema.service import SERVICE

Json: TypeAlias = dict[str, Any]
Access: TypeAlias = Scope | frozenset[Scope] | str | None
"""Who may use a route, as its `opt` has it."""

TAGS: Mapping[str, Operations] = {
    "recordings": RECORDINGS,
    "resumable uploads": UPLOADS,
    "conversations": CONVERSATIONS,
    "jobs": JOBS,
    "service": SERVICE,
    "OpenAI": OPENAI,
    "Deepgram": DEEPGRAM,
    "administration": ADMIN,
}
_INFO = """\
Live conversations run over the WebSockets `/ws/transcribe` and `/ws/raw`, which OpenAPI cannot describe: see
`frontend/PROTOCOL.md`. Everything else is here.

A key is sent as `Authorization: Bearer KEY`, and so is a session token. Every operation names the scope that its key
needs; a key with the scope `admin` may do everything. HEAD works wherever GET does. A path that does not exist is
answered with 404 `not_found`, a method that a path has not with 405 `method_not_allowed`.
"""
_SCHEME = "bearer"
_RAISES = re.compile(r"(?:^|\s)Raises\s.*?\.(?=\s|$)", re.DOTALL)
_REFERENCE = "#/components/schemas/{name}"
_TEXT: Json = {"type": "string"}
_UNDESCRIBED = DocumentedValue("", None)
"""Of a parameter that the table lacks: the document is served all the same, and a test finds it."""


def openapi_document(handlers: Sequence[ControllerRouterHandler]) -> Json:
    """The document of an application with these handlers, as JSON values."""
    config = OpenAPIConfig("Parley", version("parley-voice"), use_handler_docstrings=True, path="/framework")
    # An application of its own, never served: the real one has no pages of the framework.
    app = Litestar(handlers, openapi_config=config, logging_config=None)
    paths = cast(Json, app.openapi_schema.to_schema()["paths"])
    access, documented = _access(app), dict[str, Json]()
    for tag, operations in TAGS.items():
        for (method, path), operation in operations.items():
            if (method, path) in access:
                generated = paths[path][method.lower()]
                found = _operation(method, path, operation, generated, access[method, path])
                documented.setdefault(path, {})[method.lower()] = {"tags": [tag], **found}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Parley", "version": version("parley-voice"), "description": _INFO},
        "tags": [{"name": tag} for tag in TAGS],
        "paths": documented,
        "components": {
            "schemas": {
                "Error": ERROR_SCHEMA,
                "OpenAIError": OPENAI_ERROR_SCHEMA,
                "DeepgramError": DEEPGRAM_ERROR_SCHEMA,
                **_models(),
            },
            "examples": ERROR_EXAMPLES,
            "headers": {name: _described(_kind_of(value), value) for name, value in RESPONSE_HEADERS.items()},
            "securitySchemes": {
                _SCHEME: {"type": "http", "scheme": "bearer", "description": "An API key or a session token."}
            },
        },
    }


def _access(app: Litestar) -> dict[tuple[str, str], Access]:
    """By method and path of every route: who may use it."""
    routes = (route for route in app.routes if isinstance(route, HTTPRoute))
    return {
        (str(method), route.path_format): handler.opt.get("access")
        for route in routes
        for method, (handler, _) in route.route_handler_map.items()
    }


def _operation(method: str, path: str, documented: DocumentedOperation, generated: Json, access: Access) -> Json:
    parameters = [*_parameters(documented, generated), *_headers(documented)]
    codes = {*EVERY_ROUTE, *documented.errors}
    if access != ANYONE["access"]:
        codes |= {*EVERY_CLOSED_ROUTE}
        codes |= set() if is_vendors(path) else {"invalid_request"}  # an unknown query parameter
    responses = error_responses(codes, path)
    for response in documented.responses:
        responses[str(response.status)] = _response(response, responses.get(str(response.status)))
    operation: Json = {
        "operationId": documented.id,
        "summary": documented.summary,
        "description": f"{_for_clients(generated.get('description', documented.summary))}\n\n{_who(access)}",
        "security": [] if access == ANYONE["access"] else [{_SCHEME: []}],
        "parameters": parameters,
        "responses": dict(sorted(responses.items())),
    }
    if documented.body is not None:
        operation["requestBody"] = {"required": True, "content": _content(documented.body)}
    return {**operation, "x-codeSamples": [{"lang": "Shell", "source": shell_command(method, path, operation)}]}


def _for_clients(docstring: str) -> str:
    """Without the sentences that say which exceptions are raised."""
    paragraphs = [_RAISES.sub("", each).strip() for each in docstring.split("\n\n")]
    return "\n\n".join(filter(None, paragraphs))


def _who(access: Access) -> str:
    if access == ANYONE["access"]:
        return "Needs no key."
    if isinstance(access, frozenset):
        return f"Needs a key with the scope {' or '.join(f'`{scope}`' for scope in sorted(access))}."
    return f"Needs a key with the scope `{access}`." if isinstance(access, Scope) else "Needs a key, of any scope."


def _parameters(documented: DocumentedOperation, generated: Json) -> Iterator[Json]:
    for each in generated.get("parameters", ()):
        yield _parameter(documented, each["name"], each["in"], each["schema"], is_required=each["required"])
    if documented.query is not None:
        for name, schema in _components([documented.query])[documented.query.__name__]["properties"].items():
            yield _parameter(documented, name, "query", schema, is_required=False)


def _parameter(documented: DocumentedOperation, name: str, place: str, schema: Json, *, is_required: bool) -> Json:
    value = documented.parameters.get(name) or PARAMETERS.get(name, _UNDESCRIBED)
    found = _described(not_null(schema), value)
    return {"name": name, "in": place, "required": is_required, **found}


def _headers(documented: DocumentedOperation) -> Iterator[Json]:
    for name in (*documented.headers, *documented.optional_headers):
        found = _described(_kind_of(REQUEST_HEADERS[name]), REQUEST_HEADERS[name])
        yield {"name": name, "in": "header", "required": name in documented.headers, **found}


def _kind_of(value: DocumentedValue) -> Json:
    return {"type": "integer"} if isinstance(value.example, int) else _TEXT


def _described(schema: Json, value: DocumentedValue) -> Json:
    if value.example is None:
        return {"description": value.description, "schema": schema}
    example = f"{value.example}T00:00:00Z" if schema.get("format") == "date-time" else value.example
    return {"description": value.description, "schema": schema, "example": example}


def _response(documented: DocumentedResponse, error: Json | None) -> Json:
    """With the error of the same status, where there is one."""
    response: Json = {"description": documented.description}
    if documented.bodies:
        response["content"] = {kind: each for body in documented.bodies for kind, each in _content(body).items()}
    if documented.headers:
        response["headers"] = {name: {"$ref": f"#/components/headers/{name}"} for name in documented.headers}
    if error is None:
        return response
    own, failure = response["content"][JSON], error["content"][JSON]
    either = {
        "schema": {"anyOf": [own["schema"], failure["schema"]]},
        "examples": {**own["examples"], **failure["examples"]},
    }
    return {**error, "description": f"{documented.description} Or {error['description']}.", "content": {JSON: either}}


def _content(body: DocumentedBody) -> Json:
    if not body.examples:
        return {body.media_type: {"schema": {} if body.model is None else _reference(body.model)}}
    (kind,) = set(map(_kind, body.examples.values()))
    schema = {"type": kind} if body.model is None else _reference(body.model)
    return {body.media_type: {"schema": schema, "examples": {name: {"value": v} for name, v in body.examples.items()}}}


def _kind(value: Any) -> str:
    return {dict: "object", list: "array", str: "string", type(None): "null"}[type(value)]


def _reference(model: type) -> Json:
    return {"$ref": _REFERENCE.format(name=model.__name__)}


def _models() -> Json:
    """Schemas of every type that the tables name, and of those they are made of."""
    operations = [operation for table in TAGS.values() for operation in table.values()]
    queries = [operation.query for operation in operations if operation.query is not None]
    asked = [operation.body.model for operation in operations if operation.body and operation.body.model]
    answers = [body.model for each in operations for answer in each.responses for body in answer.bodies if body.model]
    found = {**_components([*asked, *queries]), **{name: _written(of) for name, of in _components(answers).items()}}
    for query in queries:
        found.pop(query.__name__, None)
    return dict(sorted(found.items()))


def _written(schema: Json) -> Json:
    """The schema of what the service writes: every field is there, whatever its default."""
    if "properties" not in schema:
        return schema
    fields = {
        name: {word: value for word, value in of.items() if word != "default"}
        for name, of in schema["properties"].items()
    }
    return {**schema, "properties": fields, "required": list(fields)}


def _components(models: Sequence[type]) -> Json:
    return msgspec.json.schema_components(models, ref_template=_REFERENCE)[1]


def not_null(schema: Json) -> Json:
    """The schema of a parameter that may be absent: it cannot be null, whatever its Python type says."""
    either = schema.get("oneOf") or schema.get("anyOf") or []
    choices = [each for each in either if each != {"type": "null"}]
    rest = {name: value for name, value in schema.items() if name not in ("oneOf", "anyOf") and value is not None}
    found = {**(choices[0] if len(choices) == 1 else {}), **rest}
    if isinstance(found.get("type"), list):
        (found["type"],) = (each for each in found["type"] if each != "null")
    if "enum" in found:
        found["enum"] = [each for each in found["enum"] if each is not None]
    return found
