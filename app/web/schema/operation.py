"""What the document says of one operation and its route does not."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from app.web.schema.parameters import DocumentedValue

JSON = "application/json"

Operations: TypeAlias = "Mapping[tuple[str, str], DocumentedOperation]"
"""By method and path, as the document has them: `("GET", "/recordings/{session}")`."""


@dataclass(frozen=True, slots=True)
class DocumentedBody:
    """The body of a request or of a response."""

    examples: Mapping[str, Any] = field(default_factory=dict)
    """By what they show; values as they are in JSON, or text."""
    media_type: str = JSON
    model: type | None = None
    """Its type, where the code has one; otherwise the examples say what it looks like."""


@dataclass(frozen=True, slots=True)
class DocumentedResponse:
    """A response that is no error."""

    description: str
    status: int = 200
    bodies: tuple[DocumentedBody, ...] = ()
    headers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DocumentedOperation:
    id: str
    """Unique; generators of clients name methods by it."""
    summary: str
    responses: tuple[DocumentedResponse, ...]
    errors: tuple[str, ...] = ()
    """Codes that this operation may answer with, besides those that every route has."""
    body: DocumentedBody | None = None
    headers: tuple[str, ...] = ()
    """Request headers that must be there."""
    optional_headers: tuple[str, ...] = ()
    query: type | None = None
    """Dataclass of query parameters that the handler reads by itself."""
    parameters: Mapping[str, DocumentedValue] = field(default_factory=dict)
    """Parameters that mean something of their own here."""


def ok(description: str, model: type | None = None, **examples: Any) -> DocumentedResponse:
    """Status 200 and a JSON body."""
    return DocumentedResponse(description, 200, (DocumentedBody(examples, model=model),))
