"""The body of a request, as it comes."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from litestar import Request
from litestar.exceptions import InternalServerException

from app.domain.errors import ClientError, ClientFault


async def body_of(request: Request[Any, Any, Any]) -> AsyncGenerator[bytes, None]:
    """Raises ClientError where the connection breaks off, which nobody reads, and HTTPException (413)."""
    try:
        async with aclosing(request.stream()) as pieces:
            async for piece in pieces:
                yield piece
    except InternalServerException as error:
        raise ClientError(ClientFault.BAD_MESSAGE, "the connection broke off in the middle of the body") from error
