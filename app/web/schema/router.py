"""`/schema`, the page of the reference, and `/schema/openapi.json`, the document that it shows.

Both are public: they are the same on every server of this version, and say nothing of the one that is asked.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any

import msgspec
from anyio import to_thread
from litestar import MediaType, Request, Response, Router, get
from litestar.response import Redirect
from litestar.types import ControllerRouterHandler

from app.web.auth.middleware import ANYONE
from app.web.page_files import FOLDER
from app.web.root_path import ROOT_PATH
from app.web.schema.document import openapi_document


def create_schema_router(handlers: Sequence[ControllerRouterHandler]) -> Router:
    """Serves the document of these handlers and of its own. It is made when it is first asked for."""

    @get("/", opt=ANYONE)
    async def get_reference(request: Request[Any, Any, Any]) -> Response[Any]:
        """The reference of the HTTP API, for people; it works without a network."""
        if request.scope.get("raw_path", b"").endswith(b"/"):  # the page's own addresses are relative to `/schema`
            return Redirect("../schema")
        page = await to_thread.run_sync((FOLDER / "schema.html").read_bytes)
        return Response(page, media_type=MediaType.HTML)

    @get("/openapi.json", opt=ANYONE)
    async def get_document(request: Request[Any, Any, Any]) -> Response[bytes]:
        """The OpenAPI document of the HTTP API, for programs."""
        root_path = request.scope.get(ROOT_PATH, "")
        return Response(await to_thread.run_sync(document, root_path), media_type=MediaType.JSON)

    router = Router("/schema", route_handlers=[get_reference, get_document])

    @cache
    def document(root_path: str) -> bytes:
        return msgspec.json.encode({**openapi_document([*handlers, router]), "servers": [{"url": f"{root_path}/"}]})

    return router
