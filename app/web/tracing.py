"""A span for each HTTP request: of its route, never of what stands in its address.

Litestar's own plugin is outside of the routes: it knows the address only, which has ids, search words and tokens.
A session's socket has no span, because it lasts for hours: its turns have traces of their own.
"""

from litestar.enums import ScopeType
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, Receive, Scope, Send
from opentelemetry import propagate
from opentelemetry.trace import SpanKind

from app.runtime.tracing import fail, tracer
from app.web.answer_status import watch_status

UNTRACED = frozenset({"/health", "/health/live", "/health/ready", "/metrics"})
"""What balancers and scrapers ask all day."""


class TraceMiddleware(ASGIMiddleware):
    """Continues the W3C trace context of the client; a status from 500 on is a failure. It is the outermost one."""

    scopes = (ScopeType.HTTP,)

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        route, method = scope["path_template"], str(scope.get("method"))
        if route in UNTRACED:
            await next_app(scope, receive, send)
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        with tracer.start_as_current_span(
            f"{method} {route}",
            propagate.extract(headers),
            kind=SpanKind.SERVER,
            attributes={"http.request.method": method, "http.route": route},
            record_exception=False,  # because its message may quote what was sent
            set_status_on_exception=False,
        ) as span:

            def note(status: int) -> None:
                span.set_attribute("http.response.status_code", status)
                if status >= 500:
                    fail(span, str(status))

            await watch_status(next_app, scope, receive, send, note)
