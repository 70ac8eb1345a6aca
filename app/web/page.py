"""The page at `/`: the files of `frontend/`, which need no build."""

from pathlib import Path
from typing import Any

from litestar import Request, Router
from litestar.exceptions import NotFoundException
from litestar.static_files import create_static_files_router

from app.web.auth.middleware import ANYONE

_HERE = Path(__file__).parent
FOLDER = next(folder for folder in (_HERE / "frontend", _HERE.parents[1] / "frontend") if folder.is_dir())
"""In an installed wheel the page lies beside this module; in a checkout, at the root."""

MAX_NAME_BYTES = 255
"""Of a file, on the usual file systems."""


def create_page() -> Router:
    """A router for every path that no other handler has."""
    return create_static_files_router(
        path="/", directories=[FOLDER], html_mode=True, opt=ANYONE, before_request=_refuse_impossible_names
    )


async def _refuse_impossible_names(request: Request[Any, Any, Any]) -> None:
    """404 for a path that no file can have; asked for it, the operating system would raise."""
    path: str = request.scope["path"]
    if "\0" in path or any(len(name.encode()) > MAX_NAME_BYTES for name in path.split("/")):
        raise NotFoundException
