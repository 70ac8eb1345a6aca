"""The status of an answer, for those who count or trace requests."""

from collections.abc import Callable

from litestar.types import ASGIApp, Message, Receive, Scope, Send

from app.web.errors import error_reply


async def watch_status(
    next_app: ASGIApp, scope: Scope, receive: Receive, send: Send, note: Callable[[int], None]
) -> None:
    """Run the application. `note` is called when the answer begins, and where an error is raised, with its status."""

    async def noted(message: Message) -> None:
        if message["type"] == "http.response.start":
            note(message["status"])
        await send(message)

    try:
        await next_app(scope, receive, noted)
    except Exception as error:
        note(error_reply(error).status)
        raise
