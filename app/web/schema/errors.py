"""Errors of the HTTP API: their stable codes, and the responses that carry them."""

from collections import defaultdict
from collections.abc import Collection, Mapping
from typing import Any

from litestar.exceptions import ClientException
from litestar.exceptions.http_exceptions import RequestEntityTooLarge

from app.domain.errors import (
    BlobNotFound,
    BlobUnreadable,
    BudgetExhausted,
    ClientError,
    ClientFault,
    ConversationBusy,
    ConversationFull,
    Draining,
    KeyNameTaken,
    ModelNotFound,
    ProviderBusy,
    ProviderDown,
    ProviderMisbehaved,
    ProviderRefused,
    RateLimited,
    RequestRefused,
    SessionStillLive,
    TooManyAttempts,
    TooManyConversations,
)
from app.web.deepgram_errors import is_deepgram
from app.web.errors import ErrorReply, error_reply, http_answer, is_openai
from app.web.schema.operation import JSON
from app.web.schema.parameters import SESSION

EVERY_ROUTE = ("bad_message", "host_refused", "rate_limited", "internal_error")
EVERY_CLOSED_ROUTE = ("unauthorized", "forbidden", "origin_refused", "too_many_attempts", "provider_down")
EVERY_READER_OF_THE_ARCHIVE = ("not_found", "provider_busy", "provider_down", "provider_refused", "unreadable")

_SAMPLES: Mapping[str, Exception] = {
    "bad_audio": ClientError(ClientFault.BAD_AUDIO, "there is no audio in the file"),
    "bad_message": ClientError(ClientFault.BAD_MESSAGE, "Object missing required field `scopes`"),
    "bad_metadata": ClientError(ClientFault.BAD_METADATA, "the header upload-length must be a number of bytes"),
    "bad_packet": ClientError(ClientFault.BAD_PACKET, "the next byte is number 524288"),
    "body_too_slow": ClientError(ClientFault.BODY_TOO_SLOW, "the body of the request came too slowly"),
    "budget_exhausted": BudgetExhausted("this tenant's budget of the day is spent: there is no reply"),
    "conversation_busy": ConversationBusy("another message of this conversation is being answered"),
    "conversation_full": ConversationFull("the conversation has 20000 messages, which is the limit"),
    "draining": Draining("this server takes no new uploads, because it is about to stop; send it again"),
    "forbidden": ClientError(ClientFault.FORBIDDEN, "this needs the scope recordings:read"),
    "frame_too_large": ClientError(ClientFault.FRAME_TOO_LARGE, "the file is larger than 512 MB"),
    "host_refused": ClientError(ClientFault.HOST_REFUSED, "this server has another name; see PARLEY_SERVER_NAMES"),
    "internal_error": RuntimeError(),
    "invalid_request": ClientException("limit: Expected `int` >= 1"),
    "key_name_taken": KeyNameTaken(
        "the tenant acme has an active key kiosk (2a158c59a51b): revoke it or choose another"
    ),
    "model_not_found": ModelNotFound("gpt-2"),
    "not_found": BlobNotFound(),
    "origin_refused": ClientError(
        ClientFault.ORIGIN_REFUSED, "this web origin may not connect; see PARLEY_ALLOWED_ORIGINS"
    ),
    "provider_busy": ProviderBusy("recordings", "every session slot is taken"),
    "provider_down": ProviderDown("keys", "the database does not answer"),
    "provider_misbehaved": ProviderMisbehaved("local", "the model failed on this audio"),
    "provider_refused": ProviderRefused("s3", "refused"),
    "rate_limited": RateLimited("too many requests from this address", retry_after_s=1),
    "request_refused": RequestRefused("local", "does not know the language xx"),
    "request_too_large": RequestEntityTooLarge(),
    "still_live": SessionStillLive(),
    "text_too_long": ClientError(ClientFault.TEXT_TOO_LONG, "text has 9000 characters; 8000 is the most"),
    "too_many_conversations": TooManyConversations("your tenant has 100000 conversations; delete some"),
    "too_many_attempts": TooManyAttempts(30),
    "unauthorized": ClientError(ClientFault.UNAUTHORIZED, "this server asks for a key"),
    "unknown_language": ClientError(
        ClientFault.UNKNOWN_LANGUAGE, "there is no language 'xx'; write it like de, de-DE or German"
    ),
    "unknown_profile": ClientError(
        ClientFault.UNKNOWN_PROFILE, "there is no profile 'cook'; there are: assistant, code"
    ),
    "unsupported_media_type": ClientError(
        ClientFault.UNSUPPORTED_MEDIA_TYPE, "the body must have the content type application/offset+octet-stream"
    ),
    "unsupported_version": ClientError(
        ClientFault.UNSUPPORTED_VERSION, "this server speaks tus 1.0.0, and the client '0.2.2'"
    ),
    "unreadable": BlobUnreadable("archive", "damaged"),
}
"""An exception of each code. Status, headers and body of the examples come from the table that answers with them."""

_REPLIES = {code: error_reply(error) for code, error in _SAMPLES.items()}
ERROR_EXAMPLES = {code: {"value": {"code": each.code, "message": each.message}} for code, each in _REPLIES.items()}

ERROR_SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "description": "Every error. Programs go by `code`, which does not change; `message` is a sentence for people.",
    "required": ["code", "message"],
    "properties": {"code": {"type": "string", "enum": sorted(_SAMPLES)}, "message": {"type": "string"}},
}

OPENAI_ERROR_SCHEMA = {
    "type": "object",
    "description": "Every error below `/v1`, as OpenAI has it. `param` is the field at fault, where one is.",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "param", "code"],
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string", "enum": ["invalid_request_error", "server_error"]},
                "param": {"type": ["string", "null"]},
                "code": {"type": "string"},
            },
        }
    },
}
DEEPGRAM_ERROR_SCHEMA = {
    "type": "object",
    "description": "Every error of Deepgram's paths, as Deepgram has it. The header `dg-error` repeats it.",
    "required": ["err_code", "err_msg", "request_id"],
    "properties": {name: {"type": "string"} for name in ("err_code", "err_msg", "request_id")},
}
_HEADERS = {"retry-after": "Retry-After", "tus-version": "Tus-Version", "www-authenticate": "WWW-Authenticate"}


def error_responses(codes: Collection[str], path: str) -> dict[str, Any]:
    """By status, the responses with these codes on this path."""
    by_status: dict[int, dict[str, ErrorReply]] = defaultdict(dict)
    for code in sorted(codes):
        by_status[http_answer(path, _REPLIES[code])[0]][code] = _REPLIES[code]
    return {str(status): _response(replies, path) for status, replies in sorted(by_status.items())}


def _response(replies: Mapping[str, ErrorReply], path: str) -> dict[str, Any]:
    headers = {_HEADERS[name] for reply in replies.values() for name in reply.headers if name in _HEADERS}
    response: dict[str, Any] = {
        "description": " or ".join(f"`{code}`" for code in replies),
        "content": {JSON: _vendor_content(replies, path) if is_vendors(path) else _content(replies)},
    }
    if headers:
        response["headers"] = {name: {"$ref": f"#/components/headers/{name}"} for name in sorted(headers)}
    return response


def _content(replies: Mapping[str, ErrorReply]) -> dict[str, Any]:
    schema = {"allOf": [{"$ref": "#/components/schemas/Error"}], "properties": {"code": {"enum": list(replies)}}}
    return {"schema": schema, "examples": {code: {"$ref": f"#/components/examples/{code}"} for code in replies}}


def is_vendors(path: str) -> bool:
    """Whether errors on this path have the shape of another service's."""
    return is_openai(path) or is_deepgram(path)


def _vendor_content(replies: Mapping[str, ErrorReply], path: str) -> dict[str, Any]:
    examples = {code: {"value": _as_documented(http_answer(path, reply)[1])} for code, reply in replies.items()}
    name = "DeepgramError" if is_deepgram(path) else "OpenAIError"
    return {"schema": {"$ref": f"#/components/schemas/{name}"}, "examples": examples}


def _as_documented(body: dict[str, Any]) -> dict[str, Any]:
    """The same body each time: an id of a request is another one for every request."""
    return {**body, "request_id": SESSION} if "request_id" in body else body
