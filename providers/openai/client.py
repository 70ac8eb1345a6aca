"""Opens the HTTP client of one OpenAI-compatible server, and refuses a key or a proxy that cannot work."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx

from app.domain.errors import SettingsError
from app.proxies import proxy_of

_LIMITS = httpx.Limits(max_connections=1000, max_keepalive_connections=100)
"""As many requests at once as there may be sessions; the account's quota is the server's to enforce."""


@asynccontextmanager
async def open_client(
    provider: str, base_url: str, api_key: str, *, connect_timeout_s: float
) -> AsyncIterator[httpx.AsyncClient]:
    """A client whose paths are relative to `base_url`; it has no time limit but for connecting.

    The environment's proxies apply, but for servers on this machine and those that `NO_PROXY` names.
    Raises SettingsError for a key that no HTTP header can carry, an address that is none, and an unusable proxy.
    """
    if not base_url.startswith(("http://", "https://")):
        raise SettingsError(f"{provider}: {base_url!r} does not begin with http:// or https://")
    try:
        httpx.URL(base_url)
    except httpx.InvalidURL as error:
        raise SettingsError(f"{provider}: {base_url!r} is no address of a server") from error
    headers = {"Authorization": _authorization(provider, api_key)} if api_key else {}
    async with httpx.AsyncClient(
        base_url=base_url,
        headers=headers,
        timeout=httpx.Timeout(None, connect=connect_timeout_s),
        limits=_LIMITS,
        follow_redirects=True,
        verify=httpx.create_ssl_context(),
        proxy=proxy_of(base_url),
        trust_env=False,
    ) as client:
        yield client


def _authorization(provider: str, api_key: str) -> str:
    if not (api_key.isascii() and api_key.isprintable()):
        raise SettingsError(
            f"{provider}: the API key has characters that no HTTP header can carry; a key is plain ASCII on one line"
        )
    return f"Bearer {api_key}"
