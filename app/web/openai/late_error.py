"""What an event stream of OpenAI's API says where it fails in the middle."""

from app.web.errors import error_reply
from app.web.event_stream import event
from app.web.openai_errors import openai_error


def error_event(error: Exception) -> bytes:
    """The last event: the official clients raise it."""
    reply = error_reply(error)
    return event(openai_error(reply.status, reply.code, reply.message, reply.param)[1])
