"""Asks an OpenAI-compatible server which models it has."""

import anyio

from app.domain.errors import ParleyError, ProviderMisbehaved
from providers.openai.client import open_client
from providers.openai.errors import translate_errors


async def model_problem(base_url: str, model: str, *, api_key: str = "", timeout_s: float = 0.5) -> str | None:
    """Why a server cannot serve this model, in a sentence; None where it can.

    Ollama lists models by name and tag: a name without a tag is `latest` of it. Raises SettingsError for a key, an
    address or a proxy that cannot be used.
    """
    async with open_client(base_url, base_url, api_key, connect_timeout_s=timeout_s) as client:
        try:
            with translate_errors(base_url), anyio.fail_after(timeout_s):
                response = await client.models.with_raw_response.list()
                names = _names(base_url, response.http_response.json())
        except ParleyError as error:
            return str(error)
    if {model, f"{model}:latest"} & names:
        return None
    return f"{base_url}: has no model {model!r}"


def _names(base_url: str, body: object) -> frozenset[str]:
    match body:
        case {"data": list(models)}:
            return frozenset(str(model["id"]) for model in models if isinstance(model, dict) and "id" in model)
    raise ProviderMisbehaved(base_url, "sent something that is no list of models")
