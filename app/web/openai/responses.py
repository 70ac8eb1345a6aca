"""`POST /v1/responses`: OpenAI's newer interface for replies, which is not here; the error says what is."""

from litestar import post

from app.domain.errors import ClientError, ClientFault
from app.domain.principal import Scope
from app.web.auth.middleware import requires


@post("/v1/responses", opt=requires(Scope.CHAT))
async def responses() -> None:
    """Always an error that names the route to use instead."""
    raise ClientError(
        ClientFault.BAD_MESSAGE,
        "the Responses API is not served here; POST /v1/chat/completions answers conversations: "
        "in OpenAI's clients `chat.completions.create`, in the AI SDK `openai.chat(MODEL)`",
    )
