"""Router for `/conversations`: its handlers."""

from litestar import Router

from app.web.conversations.audio import post_audio
from app.web.conversations.conversation import (
    change_conversation,
    delete_conversation,
    export_conversation,
    get_conversation,
)
from app.web.conversations.listing import create_conversation, list_conversations
from app.web.conversations.messages import post_message

router = Router(
    "/conversations",
    route_handlers=[
        create_conversation,
        list_conversations,
        get_conversation,
        change_conversation,
        delete_conversation,
        export_conversation,
        post_message,
        post_audio,
    ],
)
