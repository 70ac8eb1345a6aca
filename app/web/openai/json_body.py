"""JSON bodies of OpenAI's API: what cannot be used is an error that names the field."""

import re
from typing import Any, TypeVar

import msgspec
from litestar import Request

from app.domain.errors import ClientError, ClientFault
from app.json_input import decode_json
from app.web.request_body import MAX_BODY_BYTES, small_body_of

T = TypeVar("T")
_PATH = re.compile(r"`\$\.?([^`]*)`$")
_MISSING = re.compile(r"missing required field `([^`]+)`")


async def json_body(
    request: Request[Any, Any, Any], decoder: msgspec.json.Decoder[T], *, longest: int = MAX_BODY_BYTES
) -> T:
    """Of so many bytes at most. Raises ClientError, and HTTPException (413)."""
    try:
        return decode_json(await small_body_of(request, longest) or b"{}", decoder)
    except msgspec.DecodeError as error:
        raise ClientError(
            ClientFault.BAD_MESSAGE, f"the body cannot be used: {error}", param=field_at_fault(str(error))
        ) from error


def field_at_fault(reason: str) -> str | None:
    """The path in a reason of msgspec's, such as `messages[1].role`; None where it has none."""
    place, missing = _PATH.search(reason), _MISSING.search(reason)
    parts = [place.group(1) if place else "", missing.group(1) if missing else ""]
    return ".".join(filter(None, parts)) or None
