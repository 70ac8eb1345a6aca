"""The one table from exceptions to what a client gets: HTTP status, WebSocket close code, stable code, sentence.

Sockets, REST, the worker's OpenAI endpoint and authentication all answer from it. A vendor's own words and
tracebacks never leave the process: an exception that the table does not know is `internal_error` to the client,
and one log line with its traceback to the operator.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import structlog
from litestar import Request, Response
from litestar.enums import ScopeType
from litestar.exceptions import HTTPException
from litestar.types import Scope

from app.domain.errors import (
    BlobNotFound,
    BlobUnreadable,
    BudgetExhausted,
    ClientError,
    ClientFault,
    ConversationBusy,
    ConversationFull,
    ConversationNotFound,
    Draining,
    KeyNameTaken,
    ModelNotFound,
    NoCapacity,
    NoDrafts,
    ProviderBusy,
    ProviderError,
    RateLimited,
    RequestRefused,
    SessionNotRunning,
    SessionStillLive,
    TooManyAttempts,
    TooManyConversations,
    flatten,
)
from app.runtime.supervision import report_defect
from app.web.deepgram_errors import deepgram_error, deepgram_headers, is_deepgram
from app.web.openai_errors import openai_error, openai_headers

NORMAL, POLICY_VIOLATION, INTERNAL_ERROR, SERVICE_RESTART, TRY_AGAIN_LATER = 1000, 1008, 1011, 1012, 1013
TIMED_OUT = 3008
"""WebSocket close codes, as RFC 6455 and the IANA registry have them."""

TUS_VERSION = "1.0.0"
"""Of the protocol of resumable uploads, the only one here."""

OPENAI_PREFIX = "/v1/"
"""Paths below it are OpenAI's API, where errors have OpenAI's shape."""

_log = structlog.get_logger("parley.http")

_CLIENT_STATUS = {
    ClientFault.BAD_PACKET: 409,
    ClientFault.BAD_AUDIO: 415,
    ClientFault.UNKNOWN_PROFILE: 404,
    ClientFault.FRAME_TOO_LARGE: 413,
    ClientFault.ORIGIN_REFUSED: 403,
    ClientFault.FORBIDDEN: 403,
    ClientFault.SAY_TOO_OFTEN: 429,
    ClientFault.TEXT_TOO_LONG: 413,
    ClientFault.TEXT_TOO_OFTEN: 429,
    ClientFault.UNAUTHORIZED: 401,
    ClientFault.BODY_TOO_SLOW: 408,
    ClientFault.UNSUPPORTED_MEDIA_TYPE: 415,
    ClientFault.UNSUPPORTED_VERSION: 412,
}
_CLIENT_CLOSE_CODE = {
    ClientFault.TIMED_OUT: TIMED_OUT,
    ClientFault.SESSION_IDLE: NORMAL,
    ClientFault.SESSION_SILENT: NORMAL,
    ClientFault.SESSION_TOO_LONG: NORMAL,
}
_CLIENT_HEADERS = {
    ClientFault.UNAUTHORIZED: {"www-authenticate": 'Bearer realm="parley"'},
    ClientFault.BODY_TOO_SLOW: {"connection": "close"},
    ClientFault.UNSUPPORTED_VERSION: {"tus-version": TUS_VERSION},
}
_HTTP_CODE = {404: "not_found", 405: "method_not_allowed", 413: "request_too_large"}
_NOT_FOUND = "there is no such recording, upload or file"
"""The same for what is absent and for what is another tenant's."""
_STORES = frozenset({"azure", "filesystem", "s3", "session log"})
_RETRY_AFTER_S = 1
"""For a busy engine that does not say itself when it will have room."""


@dataclass(frozen=True, slots=True)
class ErrorReply:
    """One row of the table."""

    status: int
    close_code: int
    code: str
    message: str
    headers: Mapping[str, str] = field(default_factory=dict)
    param: str | None = None
    """Field of the request that is at fault, where one is."""
    is_defect: bool = False
    """An unexpected exception: it is to be logged with its traceback and counted."""


def error_reply(error: BaseException) -> ErrorReply:
    """The row for this exception. In an ExceptionGroup the first exception that has a row of its own decides."""
    replies = [_row(leaf) for leaf in flatten(error)]
    return next((reply for reply in replies if not reply.is_defect), replies[0])


def has_defect(error: BaseException) -> bool:
    """Whether this exception, or one of those in this group, is unexpected."""
    return any(_row(leaf).is_defect for leaf in flatten(error))


def handle_http_error(request: Request[Any, Any, Any], error: Exception) -> Response[Any]:
    """Litestar's exception handler: `{code, message}`, or OpenAI's shape below `/v1`."""
    _name_as_sent(error, request)
    reply, path = error_reply(error), request.scope["path"]
    if has_defect(error):
        report_defect("http", error, method=request.method, path=path)
    if isinstance(error, ProviderError) and reply.message != str(error):
        _log.warning("store failed", path=path, code=reply.code, message=str(error))
    status, body = http_answer(path, reply)
    return Response(body, status_code=status, headers=http_headers(path, reply))


def http_answer(path: str, reply: ErrorReply) -> tuple[int, dict[str, Any]]:
    """Status and JSON body of this row on this path."""
    if is_deepgram(path):
        return deepgram_error(reply.status, reply.code, reply.message)
    if is_openai(path):
        return openai_error(reply.status, reply.code, reply.message, reply.param)
    return reply.status, {"code": reply.code, "message": reply.message}


def http_headers(path: str, reply: ErrorReply) -> dict[str, str]:
    """Headers of this row on this path."""
    if is_deepgram(path):
        return {**reply.headers, **deepgram_headers(reply.code, reply.message)}
    if is_openai(path):
        return {**reply.headers, **openai_headers(reply.status, reply.code)}
    return dict(reply.headers)


def is_openai(path: str) -> bool:
    """Whether errors on this path have OpenAI's shape."""
    return f"{path}/".startswith(OPENAI_PREFIX)


async def report_socket_defect(error: Exception, scope: Scope) -> None:
    """Litestar's hook for what a WebSocket's middleware raises, which it would close without a word."""
    if scope["type"] != ScopeType.HTTP and has_defect(error):
        report_defect("socket", error, path=scope["path"])


def _row(error: BaseException) -> ErrorReply:
    match error:
        case TooManyAttempts(retry_after_s=retry_after_s):
            return ErrorReply(429, POLICY_VIOLATION, error.code, str(error), {"retry-after": str(retry_after_s)})
        case ClientError(code=fault):
            headers = _CLIENT_HEADERS.get(fault, {})
            close_code = _CLIENT_CLOSE_CODE.get(fault, POLICY_VIOLATION)
            status = _CLIENT_STATUS.get(fault, 400)
            return ErrorReply(status, close_code, fault, str(error), headers, error.param)
        case RequestRefused():
            return ErrorReply(400, POLICY_VIOLATION, error.code, str(error))
        case RateLimited():
            headers = {"retry-after": str(error.retry_after_s)}
            return ErrorReply(429, TRY_AGAIN_LATER, error.code, str(error), headers)
        case Draining():
            return ErrorReply(503, SERVICE_RESTART, error.code, str(error), {"retry-after": str(_RETRY_AFTER_S)})
        case NoDrafts(code=code):
            return ErrorReply(400, POLICY_VIOLATION, code, str(error))
        case BudgetExhausted():
            return ErrorReply(429, POLICY_VIOLATION, error.code, str(error))
        case NoCapacity():
            return ErrorReply(503, TRY_AGAIN_LATER, error.code, str(error), {"retry-after": str(_RETRY_AFTER_S)})
        case BlobNotFound():
            return ErrorReply(404, POLICY_VIOLATION, "not_found", _NOT_FOUND)
        case ConversationNotFound():
            return ErrorReply(404, POLICY_VIOLATION, "not_found", "there is no such conversation")
        case ConversationBusy() | ConversationFull() | TooManyConversations():
            return ErrorReply(409, POLICY_VIOLATION, error.code, str(error))
        case SessionStillLive(is_job=True):
            sentence = f"its file is being transcribed: DELETE /jobs/{error} ends that, then it can be deleted"
            return ErrorReply(409, POLICY_VIOLATION, "still_live", sentence)
        case SessionStillLive():
            return ErrorReply(409, POLICY_VIOLATION, "still_live", "the session is not over")
        case KeyNameTaken():
            return ErrorReply(409, POLICY_VIOLATION, "key_name_taken", str(error))
        case ModelNotFound():
            sentence = f"there is no model {str(error)[:64]!r}; GET /v1/models lists those there are"
            return ErrorReply(404, POLICY_VIOLATION, "model_not_found", sentence, param="model")
        case SessionNotRunning():
            return ErrorReply(404, POLICY_VIOLATION, "not_found", f"no session {error} runs in this process")
        case ProviderBusy():
            headers = {"retry-after": str(error.retry_after_s or _RETRY_AFTER_S)}
            return ErrorReply(503, INTERNAL_ERROR, error.code, _public_message(error), headers)
        case ProviderError():
            return ErrorReply(503 if error.retryable else 502, INTERNAL_ERROR, error.code, _public_message(error))
        case HTTPException(status_code=status) if status < 500:
            code = _HTTP_CODE.get(status, "invalid_request")
            return ErrorReply(status, POLICY_VIOLATION, code, _sentence(error), error.headers or {})
        case _:
            return ErrorReply(
                500, INTERNAL_ERROR, "internal_error", "something went wrong on the server", is_defect=True
            )


def _public_message(error: ProviderError) -> str:
    """What a client is told. Keys, paths and a store's own words are for the operator, in the log."""
    if isinstance(error, BlobUnreadable):
        return "this recording cannot be read: it is damaged, or encrypted with another key"
    if error.provider in _STORES:
        return f"the store of recordings {'cannot be used now' if error.retryable else 'refuses this service'}"
    return str(error)


def _name_as_sent(error: Exception, request: Request[Any, Any, Any]) -> None:
    """The router's reasons name the handler's arguments; a client knows them by their names in the address."""
    handler, extra = request.scope.get("route_handler"), getattr(error, "extra", None)
    if handler is None or not isinstance(extra, list):
        return
    arguments = handler.parsed_fn_signature.parameters
    for reason in extra:
        argument = arguments.get(str(reason.get("key"))) if isinstance(reason, dict) else None
        if argument is not None and (name := getattr(argument.kwarg_definition, "name", None)):
            reason["key"] = name


def _sentence(error: HTTPException) -> str:
    """What the router refused, and where it knows them, which parameters and why."""
    extra = error.extra if isinstance(error.extra, list) else []
    reasons = [f"{e['key']}: {e['message']}" for e in extra if isinstance(e, dict) and {"key", "message"} <= e.keys()]
    return "; ".join([error.detail, *reasons])
