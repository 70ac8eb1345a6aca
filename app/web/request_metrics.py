"""Counts HTTP requests by the template of their route, and times them to the start of their answer."""

import time
from collections.abc import Callable

from litestar.enums import ScopeType
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, Receive, Send
from litestar.types import Scope as ASGIScope

from app.web.answer_status import watch_status


class RequestMetricsMiddleware(ASGIMiddleware):
    """What no route serves is not counted: its paths are endless."""

    scopes = (ScopeType.HTTP,)

    def __init__(self, count: Callable[[str, str, int, float], None]) -> None:
        """`count` is called with a request's route, method, status, and seconds."""
        self._count = count

    async def handle(self, scope: ASGIScope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        began, is_counted, method = time.monotonic(), False, str(scope.get("method", ""))

        def count(status: int) -> None:
            nonlocal is_counted
            if not is_counted:
                is_counted = True
                self._count(scope["path_template"], method, status, time.monotonic() - began)

        await watch_status(next_app, scope, receive, send, count)
