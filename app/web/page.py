"""The page at `/`: the files of `frontend/`."""

from typing import Any

from litestar import Request, Router
from litestar.config.compression import CompressionConfig
from litestar.exceptions import NotFoundException
from litestar.middleware import DefineMiddleware
from litestar.middleware.compression import CompressionMiddleware
from litestar.static_files import create_static_files_router

from app.web.auth.middleware import ANYONE
from app.web.browser.headers import CACHEABLE
from app.web.page_files import FOLDER, page_paths

_COMPRESSED = DefineMiddleware(CompressionMiddleware, config=CompressionConfig("gzip", gzip_compress_level=6))
"""For these files alone: what is compressed together with a secret can be guessed by its length."""
_PATHS = page_paths()


def create_page() -> Router:
    """A router for every path that no other handler has."""
    return create_static_files_router(
        path="/",
        directories=[FOLDER],
        html_mode=True,
        opt={**ANYONE, **CACHEABLE},
        before_request=_refuse_other_paths,
        middleware=[_COMPRESSED],
    )


async def _refuse_other_paths(request: Request[Any, Any, Any]) -> None:
    """404 for what is not of the page; the file system is never asked for it."""
    if request.scope["path"] not in _PATHS:
        raise NotFoundException
