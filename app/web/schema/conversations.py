"""The document's tables of `/conversations` and `/chat`."""

from typing import Any

from app.web.conversations.audio import AudioSource
from app.web.conversations.conversation import ConversationChange
from app.web.conversations.listing import NewConversation
from app.web.conversations.messages import ChatRequest, NewMessage
from app.web.schema.operation import DocumentedBody, DocumentedOperation, DocumentedResponse, Operations, ok
from app.web.schema.parameters import SESSION, value

_CONVERSATION: dict[str, Any] = {
    "id": SESSION,
    "title": "Will it rain?",
    "person": "visitor-17",
    "created": "2026-01-31T12:00:00.000+00:00",
    "updated": "2026-01-31T12:00:09.120+00:00",
    "messages": 2,
    "profile": "assistant",
}
_MESSAGE = {
    "number": 1,
    "turn": 1,
    "role": "user",
    "text": "Will it rain?",
    "at": "2026-01-31T12:00:08.000+00:00",
    "kind": "text",
}
_REPLY = {
    **_MESSAGE,
    "number": 2,
    "role": "assistant",
    "text": "Not today.",
    "engine": "openai",
    "promptTokens": 24,
    "replyTokens": 3,
}
_WITH_TOOL = {
    **_REPLY,
    "toolCalls": [
        {"id": "call_1", "tool": "weather", "arguments": '{"city": "Bonn"}', "result": "Sunny until the evening."}
    ],
}
_USAGE = {"usage": {"promptTokens": 24, "replyTokens": 3, "isEstimate": True}, "costUsd": 0.0000054}
_ANSWER = {"conversation": SESSION, "message": _MESSAGE, "reply": _REPLY, **_USAGE}
_SPOKEN = {
    **_ANSWER,
    "message": {**_MESSAGE, "kind": "voice", "session": SESSION, "start": 0.5, "end": 3.25, "language": "en"},
}
_ONCE = {"reply": {"text": "Not today.", "engine": "openai"}, **_USAGE}
_RECEIPT = {
    "conversation": SESSION,
    "tenant": "acme",
    "at": "2026-02-28T12:00:00.000+00:00",
    "deleted": {"messages": 2},
    "remaining": [],
}
_EVENTS = (
    'event: tool\ndata: {"id": "call_1", "tool": "weather", "arguments": "{}"}\n\n'
    'event: tool\ndata: {"id": "call_1", "tool": "weather", "arguments": "{}", "result": "Sunny."}\n\n'
    'event: delta\ndata: {"text": "Not "}\n\n'
    'event: done\ndata: {"reply": {"text": "Not today."}}\n\n'
)
_BODY_ERRORS = ("bad_message", "body_too_slow", "request_too_large", "text_too_long")
_REPLY_ERRORS = (
    *("budget_exhausted", "conversation_busy", "conversation_full", "not_found", "provider_busy"),
    *("provider_misbehaved", "provider_refused", "request_refused", "unknown_profile"),
)
_PROFILE = value("Profile of the reply, a name of `GET /profiles`; one in the body wins over it.", "code")
_STREAM = {
    "profile": _PROFILE,
    "stream": value("Answer with server-sent events; without it the header `Accept` decides.", True),
    "conversation": value("Id of the conversation: 32 hexadecimal digits.", SESSION),
}
_HERE = {"conversation": _STREAM["conversation"]}


def _answered(**examples: Any) -> DocumentedResponse:
    events = DocumentedBody({"events": _EVENTS}, "text/event-stream")
    return DocumentedResponse("The reply.", 200, (DocumentedBody(examples), events))


CONVERSATIONS: Operations = {
    ("GET", "/conversations"): DocumentedOperation(
        "listConversations",
        "List and search conversations",
        (
            ok(
                "One page, the one with the newest message first.",
                page={"conversations": [_CONVERSATION], "next": None},
            ),
        ),
        ("provider_busy",),
    ),
    ("POST", "/conversations"): DocumentedOperation(
        "createConversation",
        "Begin a conversation",
        (
            DocumentedResponse(
                "It has no message yet.",
                201,
                (DocumentedBody({"begun": {**_CONVERSATION, "title": "Weather", "messages": 0}}),),
                ("Location",),
            ),
        ),
        (*_BODY_ERRORS, "provider_busy", "too_many_conversations", "unknown_profile"),
        DocumentedBody(
            {
                "named": {"title": "Weather", "person": "visitor-17"},
                "profile": {"profile": "assistant"},
            },
            model=NewConversation,
        ),
        parameters={"profile": value("What its replies have, a name of `GET /profiles`.", "assistant")},
    ),
    ("GET", "/conversations/{conversation}"): DocumentedOperation(
        "getConversation",
        "Read a conversation",
        (
            ok(
                "The newest messages, in their order.",
                page={**_CONVERSATION, "messages": [_MESSAGE], "next": None},
                replies={**_CONVERSATION, "messages": [_REPLY], "next": 2},
                tools={**_CONVERSATION, "messages": [_WITH_TOOL], "next": 2},
            ),
        ),
        ("not_found", "provider_busy"),
        parameters={**_HERE, "before": value("The `next` of the page of newer messages.", None)},
    ),
    ("PATCH", "/conversations/{conversation}"): DocumentedOperation(
        "renameConversation",
        "Rename a conversation, or change its profile",
        (ok("As it is now.", renamed={**_CONVERSATION, "title": "Weather"}),),
        (*_BODY_ERRORS, "not_found", "unknown_profile", "provider_busy"),
        DocumentedBody(
            {
                "title": {"title": "Weather"},
                "profile": {"profile": "code"},
                "both": {"title": "Weather", "profile": None},
            },
            model=ConversationChange,
        ),
        parameters=_HERE,
    ),
    ("DELETE", "/conversations/{conversation}"): DocumentedOperation(
        "deleteConversation",
        "Delete a conversation",
        (
            ok("With `receipt=true`: what was deleted, and what remains.", receipt=_RECEIPT),
            DocumentedResponse("Deleted.", 204),
        ),
        ("not_found", "provider_busy"),
        parameters=_HERE,
    ),
    ("GET", "/conversations/{conversation}/export"): DocumentedOperation(
        "exportConversation",
        "Download a conversation as one file",
        (
            DocumentedResponse(
                "The file.",
                200,
                (
                    DocumentedBody({"json": {**_CONVERSATION, "messages": [_MESSAGE]}}),
                    *(DocumentedBody(media_type=kind) for kind in ("text/markdown", "text/plain", "text/vtt")),
                ),
                ("Content-Disposition",),
            ),
        ),
        ("not_found", "provider_busy"),
        parameters={**_HERE, "format": value("Of the file.", "md")},
    ),
    ("POST", "/conversations/{conversation}/messages"): DocumentedOperation(
        "createMessage",
        "Have a message answered",
        (_answered(reply=_ANSWER, tool={**_ANSWER, "reply": _WITH_TOOL}),),
        (*_BODY_ERRORS, *_REPLY_ERRORS),
        DocumentedBody(
            {"text": {"text": "Will it rain?"}, "profile": {"text": "Sort it.", "profile": "code"}}, model=NewMessage
        ),
        parameters=_STREAM,
    ),
    ("POST", "/conversations/{conversation}/audio"): DocumentedOperation(
        "createSpokenMessage",
        "Have speech in a file or a recording answered",
        (
            _answered(reply={**_ANSWER, "message": {**_MESSAGE, "kind": "voice"}}, recording=_SPOKEN),
            DocumentedResponse(
                "The file has more than 25 MB: its job, which appends message and reply.",
                202,
                (DocumentedBody({"job": {"conversation": SESSION, "job": SESSION}}),),
                ("Location",),
            ),
        ),
        ("bad_audio", "frame_too_large", "unknown_language", "unreadable", "draining", *_BODY_ERRORS, *_REPLY_ERRORS),
        DocumentedBody({"recording": {"recording": SESSION}}, model=AudioSource),
        parameters=_STREAM,
    ),
    ("POST", "/chat"): DocumentedOperation(
        "chat",
        "Have a text answered",
        (_answered(once=_ONCE, kept=_ANSWER),),
        (*_BODY_ERRORS, *_REPLY_ERRORS),
        DocumentedBody({"text": {"text": "Will it rain?", "keep": False}}, model=ChatRequest),
        parameters=_STREAM,
    ),
}
