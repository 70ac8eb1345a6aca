"""`/health/live`: whether this process still works, or must be restarted. Shared by gateway and worker."""

import anyio
from anyio import to_thread
from litestar import Response, get

from app.web.auth.middleware import ANYONE

LIVENESS_DEADLINE_S = 3.0
"""How long a free worker thread is waited for: less than the timeout of the container's health check."""


@get("/health/live", opt=ANYONE)
async def live() -> Response[dict[str, str]]:
    """200 where event loop and worker threads answer, however busy; 503 `stuck` where every thread hangs."""
    with anyio.move_on_after(LIVENESS_DEADLINE_S):
        await to_thread.run_sync(_nothing, abandon_on_cancel=True)
        return Response({"status": "ok"}, status_code=200)
    return Response({"status": "stuck"}, status_code=503)


def _nothing() -> None:
    """Work for a thread that shows that the thread runs."""
