"""A server behind a proxy that has it under a path, such as https://example.org/voice/: PARLEY_ROOT_PATH."""

from app.web.http import App, Message, Receive, Scope, Send

ROOT_PATH = "parley_root_path"
"""Key of the scope: the prefix, empty where there is none."""


def under_root_path(app: App, prefix: str) -> App:
    """The application under this prefix, whether or not the proxy takes it off; addresses that it names have it.

    `prefix` is empty, or begins with a slash and ends with none. A path without it works as well: health checks come
    past the proxy.
    """
    if not prefix:
        return app
    sent = prefix.encode()

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await app(scope, receive, send)
            return

        if scope["type"] == "http" and scope["path"] == prefix:  # the page's own addresses are relative to it
            headers = [(b"location", sent + b"/"), (b"content-length", b"0")]
            await send({"type": "http.response.start", "status": 308, "headers": headers})
            await send({"type": "http.response.body", "body": b""})
            return

        async def named(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [_with_prefix(header, sent) for header in message.get("headers", ())]}
            await send(message)

        await app({**_without_prefix(scope, prefix), ROOT_PATH: prefix}, receive, named)

    return answer


def _without_prefix(scope: Scope, prefix: str) -> Scope:
    if not f"{scope['path']}/".startswith(f"{prefix}/"):
        return scope
    raw = scope.get("raw_path") or b""
    return {
        **scope,
        "path": scope["path"][len(prefix) :] or "/",
        "raw_path": raw[len(prefix) :] or b"/" if raw.startswith(prefix.encode()) else raw,
    }


def _with_prefix(header: tuple[bytes, bytes], prefix: bytes) -> tuple[bytes, bytes]:
    """An address on this server has it; one with a host, or relative to the request, stays."""
    name, value = header
    is_own = name.lower() == b"location" and value.startswith(b"/") and not value.startswith(b"//")
    return (name, prefix + value) if is_own else header
