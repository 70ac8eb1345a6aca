"""Headers of every HTTP response, errors included: content security, caching, and CORS for the allowed origins."""

from collections.abc import Collection

from litestar.datastructures import MutableScopeHeaders
from litestar.enums import ScopeType
from litestar.types import Message, Scope

from app.runtime.service import Service
from app.web.browser.content_security import content_security_policy
from app.web.browser.origin import ANY

CACHEABLE = {"cacheable": True}
"""`opt` of a route whose responses may be kept: everything else is `no-store`."""

_SECURITY = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "permissions-policy": "microphone=(self), camera=(), geolocation=(), payment=(), usb=()",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
_EXPOSED = (
    "accept-ranges, content-length, content-range, location, parley-kept-until, parley-recording, retry-after, "
    "tus-resumable, upload-length, upload-offset, www-authenticate"
)
_PREFLIGHT = {
    "access-control-allow-methods": "GET, HEAD, POST, PATCH, DELETE",
    "access-control-allow-headers": "authorization, *",  # because `*` does not include it
    "access-control-max-age": "600",
}


async def add_response_headers(message: Message, scope: Scope) -> None:
    """Litestar's hook before whatever is sent."""
    if message["type"] != "http.response.start" or scope["type"] != ScopeType.HTTP:
        return
    service: Service = scope["litestar_app"].state.service
    asked = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    headers = MutableScopeHeaders.from_message(message)
    headers.update(_SECURITY)
    headers["content-security-policy"] = content_security_policy(asked.get("host"))
    if message["status"] >= 400 or not _is_cacheable(scope):
        headers.setdefault("cache-control", "no-store")
    for name, value in cors_headers(asked.get("origin"), service.allowed_origins, scope["method"]).items():
        headers[name] = value


def cors_headers(origin: str | None, allowed: Collection[str], method: str) -> dict[str, str]:
    """What lets a page of this origin read the response. Never credentials: there are no cookies."""
    if not allowed:
        return {}
    vary = {"vary": "origin"}
    if ANY in allowed:
        granted = ANY
    elif origin is not None and origin in allowed:
        granted = origin
    else:
        return vary
    preflight = _PREFLIGHT if method == "OPTIONS" else {}
    return {**vary, "access-control-allow-origin": granted, "access-control-expose-headers": _EXPOSED, **preflight}


def _is_cacheable(scope: Scope) -> bool:
    handler = scope.get("route_handler")
    return handler is not None and bool(handler.opt.get("cacheable"))
