"""The web application of `parley serve`: sockets, REST and the page, over one open service."""

from pathlib import Path

from litestar import Litestar
from litestar.datastructures import State
from litestar.static_files import create_static_files_router

from app.runtime.service import Service
from app.web.auth.middleware import ANYONE, AuthMiddleware
from app.web.errors import handle_http_error, report_socket_defect
from app.web.health import health, metrics
from app.web.parley.sockets import raw, refuse, transcribe
from app.web.policy.router import decisions, explain, summary
from app.web.recordings.router import router as recordings

_HERE = Path(__file__).parent
PAGE = next(folder for folder in (_HERE / "frontend", _HERE.parents[1] / "frontend") if folder.is_dir())
"""In an installed wheel the page lies beside this module; in a checkout, at the root."""


def create_app(service: Service) -> Litestar:
    """The application; whoever opened the service closes it."""
    page = create_static_files_router(path="/", directories=[PAGE], html_mode=True, opt=ANYONE)
    return Litestar(
        [transcribe, raw, health, recordings, decisions, summary, explain, metrics, page],
        state=State({"service": service}),
        middleware=[AuthMiddleware(refuse)],
        exception_handlers={Exception: handle_http_error},
        after_exception=[report_socket_defect],
        openapi_config=None,
        logging_config=None,
    )
