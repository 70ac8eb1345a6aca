"""Opens OpenAI's client for one compatible server, and refuses a key, an address or a proxy that cannot work."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx2
import openai
from opentelemetry import propagate

from app.domain.errors import SettingsError
from app.proxies import proxy_of

_LIMITS = httpx2.Limits(max_connections=1000, max_keepalive_connections=100)
"""As many requests at once as there may be sessions; the account's quota is the server's to enforce."""


@asynccontextmanager
async def open_client(
    provider: str, base_url: str, api_key: str, *, connect_timeout_s: float
) -> AsyncIterator[openai.AsyncOpenAI]:
    """A client that retries nothing and has no time limit but for connecting.

    The environment's proxies apply, but for servers on this machine and those that `NO_PROXY` names.
    Raises SettingsError for a key that no HTTP header can carry, an address that is none, and an unusable proxy.
    """
    if not base_url.startswith(("http://", "https://")):
        raise SettingsError(f"{provider}: {base_url!r} does not begin with http:// or https://")
    try:
        httpx2.URL(base_url)
    except httpx2.InvalidURL as error:
        raise SettingsError(f"{provider}: {base_url!r} is no address of a server") from error
    _check_key(provider, api_key)
    timeout = httpx2.Timeout(None, connect=connect_timeout_s)
    http_client = httpx2.AsyncClient(
        timeout=timeout,
        limits=_LIMITS,
        follow_redirects=True,
        verify=httpx2.create_ssl_context(),
        proxy=proxy_of(base_url),
        trust_env=False,
        event_hooks={"request": [_pass_trace_on]},
    )
    async with openai.AsyncOpenAI(
        base_url=base_url,
        api_key=api_key or "none",  # because the SDK insists on one
        timeout=timeout,
        max_retries=0,
        http_client=http_client,
    ) as client:
        yield client


async def _pass_trace_on(request: httpx2.Request) -> None:
    """W3C trace context of the current span, so that a worker's spans are part of the turn's trace."""
    propagate.inject(request.headers)


def _check_key(provider: str, api_key: str) -> None:
    if api_key and not (api_key.isascii() and api_key.isprintable()):
        raise SettingsError(
            f"{provider}: the API key has characters that no HTTP header can carry; a key is plain ASCII on one line"
        )
