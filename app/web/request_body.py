"""The body of a request, as it comes."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from litestar import Request
from litestar.exceptions import InternalServerException
from litestar.exceptions.http_exceptions import RequestEntityTooLarge

from app.domain.errors import ClientError, ClientFault

MAX_BODY_BYTES = 256 << 10
"""Of a request, which is held in memory whole. Files have limits of their own."""


async def body_of(request: Request[Any, Any, Any]) -> AsyncGenerator[bytes, None]:
    """Raises ClientError where the connection breaks off, which nobody reads, and HTTPException (413)."""
    try:
        async with aclosing(request.stream()) as pieces:
            async for piece in pieces:
                yield piece
    except InternalServerException as error:
        raise ClientError(ClientFault.BAD_MESSAGE, "the connection broke off in the middle of the body") from error


async def small_body_of(request: Request[Any, Any, Any], longest: int = MAX_BODY_BYTES) -> bytes:
    """The whole body of a request that brings no file, also on a route that takes files. Raises as body_of() does."""
    body = bytearray()
    async with aclosing(body_of(request)) as pieces:
        async for piece in pieces:
            body += piece
            if len(body) > longest:
                raise RequestEntityTooLarge
    return bytes(body)
