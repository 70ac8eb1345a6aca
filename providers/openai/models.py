"""Asks an OpenAI-compatible server which models it has."""

import anyio
import openai

from app.domain.errors import ParleyError, ProviderMisbehaved, ProviderRefused
from providers.openai.client import open_client
from providers.openai.errors import translate_errors

_LISTED = 8
"""So many names of a server's models are shown."""


async def model_problem(
    base_url: str, model: str | None, *, api_key: str = "", timeout_s: float = 0.5, pull: str = ""
) -> str | None:
    """Why a server cannot serve this model, or any where it is None, and what to do, in a sentence; None where it can.

    Ollama lists models by name and tag: a name without a tag is `latest` of it. `pull` is the command that gives the
    server this model. Raises SettingsError for a key, an address or a proxy that cannot be used.
    """
    async with open_client(base_url, base_url, api_key, connect_timeout_s=timeout_s) as client:
        try:
            with translate_errors(base_url), anyio.fail_after(timeout_s):
                response = await client.models.with_raw_response.list()
                names = _names(base_url, response.http_response.json())
        except ProviderRefused as error:
            return f"{error}{_hint(base_url, error.__cause__)}"
        except ProviderMisbehaved as error:
            return f"{error}{_path_hint(base_url)}"
        except ParleyError as error:
            return f"{error}: is it running?"
    if model is None or {model, f"{model}:latest"} & names:
        return None
    known = f"it has {', '.join(sorted(names)[:_LISTED])}" if names else "it has none"
    return f"{base_url}: has no model {model!r}: " + (f"run `{pull}`" if pull else known)


def _hint(base_url: str, refusal: BaseException | None) -> str:
    match refusal:
        case openai.APIStatusError(status_code=401 | 403):
            return ": is the key right?"
        case openai.APIStatusError(status_code=404 | 405):
            return _path_hint(base_url)
    return ""


def _path_hint(base_url: str) -> str:
    """The paths of OpenAI's API stand below /v1, on nearly every server."""
    address = base_url.rstrip("/")
    return ": is the address right?" if address.endswith("/v1") else f": the address lacks /v1; try {address}/v1"


def _names(base_url: str, body: object) -> frozenset[str]:
    match body:
        case {"data": list(models)}:
            return frozenset(str(model["id"]) for model in models if isinstance(model, dict) and "id" in model)
    raise ProviderMisbehaved(base_url, "sent something that is no list of models")
